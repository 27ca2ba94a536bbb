# SPDX-License-Identifier: Apache-2.0
"""The templates for `xl create`: xl's syntax is read here as Python's, of which it is a part."""

import pytest
from guest_image.pod_config import configurations


@pytest.fixture(params=["pv", "pvh"])
def pod(request):
    text = configurations("/guest")[f"pod-{request.param}.cfg"]
    read = {}
    exec(text, {}, read)
    return request.param, read


def test_each_kind_is_what_its_name_says(pod):
    kind, read = pod
    assert read["type"] == kind


def test_kernel_and_root_lie_where_the_build_was_told(pod):
    _, read = pod
    assert read["kernel"] == "/guest/vmlinux"
    assert read["disk"] == ["format=raw,vdev=xvda,access=ro,target=/guest/root.erofs"]


def test_the_guest_is_told_the_size_of_its_grant_table(pod):
    _, read = pod
    assert f"vgpu.grant-frames={read['max_grant_frames']}" in read["extra"].split()


def test_the_root_is_mounted_read_only(pod):
    _, read = pod
    assert {"root=/dev/xvda", "ro", "rootfstype=erofs", "console=hvc0"} <= set(
        read["extra"].split()
    )


def test_every_knob_has_a_comment():
    for text in configurations("/guest").values():
        for part in text.split("\n\n"):
            assert part.startswith("#"), part


def test_nothing_of_the_template_is_left():
    for text in configurations("/guest").values():
        assert "$" not in text
