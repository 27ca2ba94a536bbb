# SPDX-License-Identifier: Apache-2.0
"""Domains come up, are seen by Xen, and leave nothing: what every other test here stands on."""

from __future__ import annotations

import pytest
from hypervisor import channels, command, domains, grants, picture, read_store, store_paths
from images import DEBIAN_KERNEL, debian, pod

BALLOONED_MIB = 2  # a PVH guest gives back what it was given beyond its map of memory
IMAGES = {"pod": pod, "trial": debian, "debian": lambda: debian(kernel=DEBIAN_KERNEL)}


@pytest.mark.parametrize("kind", ["pv", "pvh"])
@pytest.mark.parametrize("image", IMAGES)
def test_boot_console_and_destroy(domain, kind, image):
    one = domain(kind, IMAGES[image]()).boot()
    listed = domains()[one.domid]
    assert listed.name == one.name
    assert 0 <= one.image.memory - listed.memory <= BALLOONED_MIB
    assert one.read("name") == one.name
    assert (
        one.run("cat /sys/hypervisor/type /sys/hypervisor/guest_type") == f"xen\n{kind.upper()}\n"
    )
    one.destroy()
    one.wait_gone()
    assert read_store(f"/local/domain/{one.domid}/name") is None


def test_two_domains_at_once(domain):
    both = [domain("pv"), domain("pvh")]
    for one in both:
        one.create()
    for one in both:
        one.wait_console(one.image.ready)
    assert {one.domid for one in both} <= set(domains())


def test_a_guest_has_the_checkout_and_python(domain):
    one = domain("pv", debian("venv", "repo")).boot()
    assert one.run("cd /repo && python -c 'import idm.api; print(42)'") == "42\n"


def test_commands_report_their_exit_codes(domain):
    one = domain("pv").boot()
    assert one.run("echo one; echo two >&2; exit 7", expected=7) == "one\ntwo\n"
    long = "\n".join(f"echo {number:060}" for number in range(100))
    assert one.run(long) == "".join(f"{number:060}\n" for number in range(100))


def test_a_domain_writes_below_data_only(domain):
    one = domain("pv").boot()
    one.run("xenstore-write data/vgpu hello")
    assert one.wait_store("data/vgpu", "hello") == "hello"
    one.run("xenstore-write vgpu hello", expected=1)


def test_grants_of_a_domain_are_seen_in_the_dump(domain, capsys):
    """The disk's front end grants pages to Dom0, over an event channel of its own."""
    one = domain("pv").boot()
    ring = int(one.read("device/vbd/51712/ring-ref"))
    port = int(one.read("device/vbd/51712/event-channel"))
    used = {grant.reference: grant for grant in grants() if grant.granted_by == one.domid}
    assert used[ring].mapped_by == 0
    with capsys.disabled():
        print(f"\n{picture()}")
    assert any((one.domid, port) == (c.domain, c.port) and c.remote_domain == 0 for c in channels())


def test_a_crash_ends_the_domain(domain):
    one = domain("pv").boot()
    one.start("echo c > /proc/sysrq-trigger")
    one.wait_gone()
    paths = store_paths()
    assert not [path for path in paths if path.startswith(f"/local/domain/{one.domid}/")]


def test_a_failed_create_leaves_nothing(domain):
    one = domain("pv", max_grant_frames=100000)
    before = domains()
    with pytest.raises(AssertionError, match="exit"):
        one.create()
    assert domains() == before
    assert "Domain-0" in command("xl", "list")
