# SPDX-License-Identifier: Apache-2.0
"""Which Debian packages the guest is made of, and getting the very ones that were locked.

The archive keeps only the newest versions. When one of the lock is gone, the build takes what the
archive has instead and names every package that differs: security updates must not stop a build,
and nobody may take its result for the locked one. `make guest-lock` makes it the locked one.
"""

from __future__ import annotations

from collections.abc import Iterable

from guest_image.apt import Apt
from guest_image.lock import IMAGE, KERNEL, Package, differences, read_lock, write_lock
from guest_image.places import GuestError, Places, digest, say, sha256_of, step

SOURCE = "linux-source-6.1"
WANTED = ("python3.11", "crun", "busybox-static")
# Dependencies that nothing in the image uses.
LEFT_OUT = {
    # what configures packages on a running system
    *("dpkg", "tar", "libacl1", "libselinux1", "libpcre2-8-0", "libmd0", "readline-common"),
    # only documentation, and a table that Python has built in
    *("gcc-12-base", "media-types"),
    # Python's nis and dbm modules, which `tree.PRUNED` leaves out as well
    *("libnsl2", "libtirpc3", "libtirpc-common", "libgssapi-krb5-2", "libkrb5-3", "libdb5.3"),
    *("libkrb5support0", "libk5crypto3", "libkeyutils1", "libcom-err2"),
}


def resolve(apt: Apt) -> list[Package]:
    """What the archive has now for kernel and image."""
    image = [one for one in apt.resolve(IMAGE, WANTED) if one.name not in LEFT_OUT]
    return sorted([*image, apt.newest(KERNEL, SOURCE)])


def lock_now(places: Places) -> list[str]:
    """Write the lock from the archive; what changed."""
    old = read_lock(places.lock) if places.lock.exists() else []
    new = resolve(_apt(places))
    write_lock(places.lock, new)
    return differences(old, new)


def choose(places: Places, strict: bool) -> tuple[list[Package], list[str]]:
    """The packages to build from, and how they differ from the lock."""
    locked = read_lock(places.lock)
    taken = places.cache / f"packages-instead-of-{digest(*locked)}.lock"
    if taken.exists() and not strict:  # decided before: another run must not need the network
        return _report(locked, read_lock(taken))
    if _all_cached(locked, places):
        return locked, []
    apt = _apt(places)
    if apt.has(locked):
        return locked, []
    met = resolve(apt)
    if strict:
        lines = "\n".join(differences(locked, met))
        raise GuestError(f"the archive has not the locked packages any more:\n{lines}")
    write_lock(taken, met)
    return _report(locked, met)


def _report(locked: list[Package], met: list[Package]) -> tuple[list[Package], list[str]]:
    changed = differences(locked, met)
    for line in changed:
        say(f"not as locked: {line}")
    say("the locked versions are gone from the archive; make guest-lock locks these")
    return met, changed


def fetch(packages: Iterable[Package], places: Places) -> None:
    """Have their files, and check each of them."""
    wanted = list(packages)
    missing = [one for one in wanted if not _is_cached(one, places)]
    if missing:
        with step(f"{len(missing)} packages from the archive"):
            _apt(places).download(missing, places.packages)
    for package in missing:
        _check(package, places)


def _is_cached(package: Package, places: Places) -> bool:
    """Whether the file is there and right; a wrong one is said and goes."""
    file = places.packages / package.file
    if not file.exists():
        return False
    if sha256_of(file) == package.sha256:
        return True
    say(f"{file.name} in the cache is damaged: fetching it again")
    file.unlink()
    return False


def _all_cached(packages: Iterable[Package], places: Places) -> bool:
    return all((places.packages / package.file).exists() for package in packages)


def _check(package: Package, places: Places) -> None:
    file = places.packages / package.file
    if not file.exists() or sha256_of(file) != package.sha256:
        raise GuestError(f"{package.file} from the archive has not the checksum that it announces")


def _apt(places: Places) -> Apt:
    return Apt(places.cache / "apt", places.sources)
