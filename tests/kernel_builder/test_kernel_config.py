# SPDX-License-Identifier: Apache-2.0
"""The kernel's fragment: how it is read, and that what was not followed is named."""

import pytest
from guest_image import kernel_config
from guest_image.places import HERE, GuestError

FRAGMENT = HERE / "guest.config"
# What makes a kernel the guest's: a fragment that lost one of these would still build.
EXPECTED = {
    "CONFIG_XEN_PV": "y", "CONFIG_XEN_PVH": "y", "CONFIG_XEN_GRANT_DEV_ALLOC": "y",
    "CONFIG_XEN_GNTDEV": "y", "CONFIG_XEN_DEV_EVTCHN": "y", "CONFIG_NET_9P_XEN": "y",
    "CONFIG_XEN_BLKDEV_FRONTEND": "y", "CONFIG_XEN_NETDEV_FRONTEND": "y", "CONFIG_HVC_XEN": "y",
    "CONFIG_USER_NS": "y", "CONFIG_PID_NS": "y", "CONFIG_NET_NS": "y", "CONFIG_SECCOMP_FILTER": "y",
    "CONFIG_MEMCG": "y", "CONFIG_CGROUP_PIDS": "y", "CONFIG_CPUSETS": "y", "CONFIG_BLK_CGROUP": "y",
    "CONFIG_OVERLAY_FS": "y", "CONFIG_EROFS_FS_ZIP": "y", "CONFIG_SQUASHFS_ZSTD": "y",
    "CONFIG_CPU_MITIGATIONS": "y", "CONFIG_RETPOLINE": "y", "CONFIG_STACKPROTECTOR_STRONG": "y",
    "CONFIG_STRICT_KERNEL_RWX": "y", "CONFIG_FORTIFY_SOURCE": "y", "CONFIG_HARDENED_USERCOPY": "y",
    "CONFIG_RANDOMIZE_BASE": "y", "CONFIG_MODULES": "n", "CONFIG_DEVMEM": "n", "CONFIG_KEXEC": "n",
}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_the_fragment_asks_for_what_makes_it_the_guests():
    asked = kernel_config.read_fragment(FRAGMENT)
    assert {name: asked.get(name) for name in EXPECTED} == EXPECTED


def test_each_group_of_the_fragment_says_what_it_is_for():
    groups = FRAGMENT.read_text().split("\n\n")
    for group in groups[1:]:
        assert group.startswith("# --- "), group


@pytest.mark.parametrize(
    "line", ["CONFIG_A", "# CONFIG_A is not set\nA=y", "CONFIG_A=", " CONFIG_A=y"]
)
def test_a_line_that_is_none_is_named_with_its_number(files, line):
    number = 1 + line.count("\n")
    with pytest.raises(GuestError, match=f"guest.config:{number}: neither a comment nor"):
        kernel_config.read_fragment(files("guest.config", line + "\n"))


def test_an_option_that_is_asked_for_twice_is_named(files):
    fragment = files("guest.config", "CONFIG_A=y\nCONFIG_A=n\n")
    with pytest.raises(GuestError, match="guest.config:2: CONFIG_A is asked for twice"):
        kernel_config.read_fragment(fragment)


def test_every_line_that_was_not_followed_is_named(files):
    fragment = files("guest.config", "# why\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=64\n")
    config = files(".config", "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_D=32\n")
    with pytest.raises(GuestError) as raised:
        kernel_config.require(fragment, config)
    lines = str(raised.value).splitlines()
    assert lines[1:] == ["CONFIG_B=y is n", "CONFIG_C=n is y", "CONFIG_D=64 is 32"]


def test_a_configuration_that_follows_is_accepted(files):
    fragment = files("guest.config", 'CONFIG_A=y\nCONFIG_C=n\nCONFIG_S="text"\n')
    config = files(".config", '#\nCONFIG_A=y\n# CONFIG_C is not set\nCONFIG_S="text"\n')
    kernel_config.require(fragment, config)
