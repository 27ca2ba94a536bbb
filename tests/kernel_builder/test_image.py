# SPDX-License-Identifier: Apache-2.0
"""The root image: the same bytes from the same files, whatever happened to them before."""

import os
import shutil

import pytest
from guest_image import image
from guest_image.places import GuestError

pytestmark = pytest.mark.skipif(
    not shutil.which("mkfs.erofs"), reason="no mkfs.erofs on this machine (apt install erofs-utils)"
)
NAMES = [f"folder{number % 7}/file{number}" for number in range(60)]


def make_tree(root, names, umask, when):
    """The same content; order, modes and times are those of the machine."""
    before = os.umask(umask)
    try:
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name * 1000)
            os.utime(path, (when, when))
        (root / "program").write_text("#!/bin/sh\n")
        (root / "program").chmod(0o755 & ~umask)
        (root / "link").symlink_to("program")
    finally:
        os.umask(before)
    return root


def test_order_times_and_umask_do_not_matter(tmp_path):
    one = make_tree(tmp_path / "one", NAMES, 0o022, 1_000_000_000)
    other = make_tree(tmp_path / "a/longer/name", NAMES[::-1], 0o077, 1_600_000_000)
    image.make_image(one, tmp_path / "one.erofs")
    image.make_image(other, tmp_path / "other.erofs")
    assert (tmp_path / "one.erofs").read_bytes() == (tmp_path / "other.erofs").read_bytes()


def test_content_does(tmp_path):
    tree = make_tree(tmp_path / "tree", NAMES, 0o022, 1_000_000_000)
    image.make_image(tree, tmp_path / "before.erofs")
    (tree / NAMES[0]).write_text("x" + NAMES[0] * 1000)
    image.make_image(tree, tmp_path / "after.erofs")
    assert (tmp_path / "before.erofs").read_bytes() != (tmp_path / "after.erofs").read_bytes()


def test_an_image_that_is_too_large_is_an_error(tmp_path, monkeypatch):
    tree = make_tree(tmp_path / "tree", NAMES, 0o022, 1_000_000_000)
    monkeypatch.setattr(image, "BYTES_MAX", 100)
    with pytest.raises(GuestError, match="bytes, more than 100"):
        image.make_image(tree, tmp_path / "image.erofs")
