# SPDX-License-Identifier: Apache-2.0
"""The builder's own files: one build at a time, nothing written twice, nothing kept for ever."""

import os

import pytest
from guest_image import build, own_parts, places
from guest_image.places import GuestError, Places
from guest_image.tree import prune


@pytest.fixture
def folders(tmp_path):
    return Places(out=tmp_path / "out", cache=tmp_path / "cache")


def test_what_has_not_changed_is_not_written(tmp_path):
    source, target = tmp_path / "source", tmp_path / "out" / "target"
    source.write_text("one")
    assert build.copy_if_changed(source, target)
    before = target.stat()
    assert not build.copy_if_changed(source, target)
    assert target.stat() == before
    source.write_text("two")
    assert build.copy_if_changed(source, target)
    assert target.read_text() == "two"


def test_a_reader_of_the_old_file_keeps_it(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    target.write_text("old")
    source.write_text("new")
    with target.open() as reader:
        build.copy_if_changed(source, target)
        assert reader.read() == "old"


def test_only_the_newest_results_stay(tmp_path):
    for number in range(5):
        made = tmp_path / f"kernel-{number}"
        made.mkdir()
        os.utime(made, (number, number))
    build.forget(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernel-2", "kernel-3", "kernel-4"]


def test_a_second_build_at_the_same_time_is_refused(folders):
    with (
        places.alone(folders),
        pytest.raises(GuestError, match="another build is at work"),
        places.alone(folders),
    ):
        pass


def test_what_a_killed_build_left_is_removed(folders):
    (folders.work / "kernel-abc").mkdir(parents=True)
    with places.alone(folders):
        assert list(folders.work.iterdir()) == []


def test_everything_that_is_missing_is_named_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "TOOLS", {"no-such-tool": "package-b", "sh": "dash"})
    monkeypatch.setattr(places, "FILES", {tmp_path / "none": "package-a"})
    with pytest.raises(GuestError, match="apt install .* package-a package-b$"):
        places.require_tools()


def test_a_failed_command_says_what_it_printed():
    with pytest.raises(GuestError, match="sh -c .* failed with 3:\nout\nerr\n"):
        places.run(["sh", "-c", "echo out; echo err >&2; exit 3"])


def test_pruning_takes_what_it_names_and_folders_that_become_empty(tmp_path):
    for name in ("usr/share/doc/x/copyright", "usr/lib/python3.11/test/a.py", "usr/bin/crun"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    prune(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "usr/bin/crun"]
    assert not (tmp_path / "usr/lib").exists()


def test_an_image_without_libvgpu_is_an_error(tmp_path):
    with pytest.raises(GuestError, match="libvgpu.so is missing: python -m libvgpu.build"):
        own_parts.add_driver(tmp_path / "tree", tmp_path / "nothing")


def test_the_nvml_library_is_taken_as_soon_as_it_is_built(tmp_path):
    tree, driver = tmp_path / "tree", tmp_path / "driver"
    (tree / own_parts.LIBRARIES).mkdir(parents=True)
    driver.mkdir()
    (tmp_path / "source.c").write_text("int one(void) { return 1; }\n")
    for name in ("libvgpu.so", "libnvidia-ml.so.1"):
        places.run(["gcc", "-shared", "-o", driver / name, tmp_path / "source.c"])
    own_parts.add_driver(tree, driver)
    made = sorted(path.name for path in (tree / own_parts.LIBRARIES).iterdir())
    assert made == ["libcuda.so", "libcuda.so.1", "libnvidia-ml.so", "libnvidia-ml.so.1"]
