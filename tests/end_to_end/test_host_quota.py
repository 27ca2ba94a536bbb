# SPDX-License-Identifier: Apache-2.0
"""Host memory that a session takes in the driver domain beside pinned memory: uploads and links."""

from applications import wait_until
from raw import Raw, handle

from gpu_proxy.cli.info import read
from idm.api.types import Kind

OUT_OF_MEMORY = 2
MiB = 1 << 20


def zone_row(proxy):
    """What `vgpu info` shows of the zone."""
    return next(row for row in read(str(proxy.runtime_dir)).zones if row.name == "small")


def test_what_a_link_keeps_is_host_memory_of_the_zone(proxy):
    def host_used():
        return zone_row(proxy).host_used

    application = proxy.start(
        """
from cu import *
start()
say("ready")
hear()
n, image = ffi.NULL, KERNELS + b"//" + bytes(8 << 20).replace(b"\\0", b"x") + b"\\0"
link = out("CUlinkState", lambda p: lib.cuLinkCreate_v2(0, n, n, p))
check(lib.cuLinkAddData_v2(link, 1, image, len(image), b"large", 0, n, n))
say("added")
hear()
check(lib.cuLinkDestroy(link))
check(lib.cuCtxSynchronize())
say("gone")
hear()
other = out("CUlinkState", lambda p: lib.cuLinkCreate_v2(0, n, n, p))
check(lib.cuLinkAddData_v2(other, 1, image, len(image), b"large", 0, n, n))
check(lib.cuDevicePrimaryCtxReset_v2(0))
say("reset")
hear()
""",
        "small",
    )
    assert application.hear() == ["ready"]
    wait_until(lambda: zone_row(proxy).sessions == 1, "only this session is there")
    before = host_used()
    application.say("go")
    application.hear()
    wait_until(lambda: host_used() >= before + 8 * MiB, "the input is charged")
    for _ in range(2):  # destroyed, and gone with its context
        application.say("go")
        application.hear()
        wait_until(lambda: host_used() == before, "it is given back")
    application.say("go")
    application.end()


def test_an_upload_beyond_the_quota_is_refused_once_where_it_is_wanted(proxy):
    session = Raw(proxy.socket("small"))
    session.start()
    upload = handle(Kind.UPLOAD, 5)
    session.send("vgpuUpload", upload=upload, total=200 * MiB)
    session.send("vgpuUploadData", upload=upload, offset=0, count=5, data=b"bytes")
    module = handle(Kind.MODULE, 6)
    assert session.call("vgpuModuleLoad", module=module, upload=upload)[0] == OUT_OF_MEMORY
    assert session.call("vgpuLateError") == (0, bytes(8))
    assert session.alive()
    session.close()
