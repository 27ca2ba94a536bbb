# SPDX-License-Identifier: Apache-2.0
"""The life of a pod domain: made by xl, announced to its gpu-proxy before it boots, destroyed."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from gpu_proxy.domain import domains
from gpu_proxy.domain.image import as_disk
from gpu_proxy.domain.instances import withdraw_all
from gpu_proxy.domain.pod import Pod, configuration
from gpu_proxy.domain.tools import xl
from gpu_proxy.domain.waiting import wait_for
from gpu_proxy.errors import BackEndSilent, DomainError, DomainGone, DomainMissing, ToolFailed
from idm.errors import StoreError
from idm.xen import nodes
from idm.xen.nodes import State
from idm.xen.store import Store

SERVE_SECONDS = 20.0  # gpu-proxy has only to see the nodes
BOOT_SECONDS = 180.0  # under emulation; the guest on hardware takes seconds


class CreateFailed(ToolFailed):
    """`xl create` made nothing; a domain of that name is somebody else's."""


class Toolstack:
    """Makes and destroys domains; what belongs to them lies in `folder`."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Raise DomainError when this is no domain of a toolstack."""
        self._store = store
        self._folder = folder
        self.own = domains.own_number(store)

    def require_free(self, name: str) -> None:
        """Raise DomainError when there is a domain of this name."""
        number = domains.find(self._store, name)
        if number is not None:
            raise DomainError(f"there is a domain {name!r} already, number {number}")

    def create(self, pod: Pod, back: int | None = None) -> int:
        """Make a domain whose GPU works; its number. `back` is gpu-proxy's domain, ours if None.

        Raises DomainError; nothing is left of the domain then.
        """
        pod.check()
        self.require_free(pod.name)
        back = self.own if back is None else back
        try:
            self._create(pod)
            number = domains.require(self._store, pod.name)
            self._announce(pod, number, back)
            xl("unpause", number)
            self._wait_connected(pod, number, back)
        except CreateFailed:
            self._remove_files(pod.name)
            raise
        except BaseException:
            # An interrupted request may have left this connection in the middle of an answer.
            with closing(domains.connect()) as store, suppress(DomainMissing):
                Toolstack(store, self._folder).destroy(pod.name)
            raise
        return number

    def destroy(self, name: str) -> None:
        """Destroy a domain, and all that belongs to it. Raises DomainError."""
        number = domains.find(self._store, name)
        if number is not None:
            name = self._store.read(f"{nodes.domain_path(number)}/name") or name
            self._destroy(number)
        if not self._remove_files(name) and number is None:
            raise DomainMissing(f"no domain {name!r}")

    def _remove_files(self, name: str) -> bool:
        """Remove the files of a domain, which may have ended by itself; whether there were any."""
        paths = (self._folder / f"{name}{suffix}" for suffix in (".cfg", ".image"))
        files = [path for path in paths if path.exists()]
        for file in files:
            file.unlink(missing_ok=True)
        return bool(files)

    def _create(self, pod: Pod) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / f"{pod.name}.cfg"
        if pod.image:
            pod = replace(pod, image=as_disk(pod.image, file.with_suffix(".image")))
        file.write_text(configuration(pod))
        try:
            xl("create", "-q", "-p", file)
        except ToolFailed as error:
            hint = "is max_grant_frames above gnttab_max_frames of Xen's command line?"
            raise CreateFailed(f"{error}\n{hint}" if pod.grant_frames else str(error)) from None

    def _destroy(self, number: int) -> None:
        back = self._store.read(f"{nodes.front_path(number, nodes.GPU)}/backend-id") or ""
        xl("destroy", number)
        if back.isdecimal():
            nodes.withdraw(self._store, nodes.GPU, number, int(back))
        withdraw_all(self._store, number, self.own)

    def _announce(self, pod: Pod, number: int, back: int) -> None:
        more = {"zone": pod.zone or pod.name, **pod.quota}
        try:
            made = nodes.announce(self._store, nodes.GPU, number, back, more)
        except StoreError as error:
            raise DomainError(str(error)) from None
        if not made and (pod.quota or pod.zone):
            raise DomainError(
                f"gpu-proxy's configuration names domain {pod.name}: zone and quota are set there"
            )
        path = nodes.back_path(back, nodes.GPU, number)

        def answered() -> bool:
            refused = self._store.read(f"{path}/error") is not None
            return refused or self._state(path) != State.MADE

        wait_for(self._store, path, answered, SERVE_SECONDS)
        self._check_refused(path)
        if self._state(path) in (None, State.MADE):
            raise BackEndSilent(
                f"nobody serves a GPU to domain {pod.name}: is gpu-proxy --xen running in"
                f" domain {back}?"
            )

    def _wait_connected(self, pod: Pod, number: int, back: int) -> None:
        path = nodes.back_path(back, nodes.GPU, number)

        def settled() -> bool:
            alive = self._store.is_introduced(number)
            return not alive or self._state(path) == State.CONNECTED

        if not wait_for(self._store, path, settled, BOOT_SECONDS):
            self._check_refused(path)
            raise BackEndSilent(
                f"domain {pod.name} has not connected to its GPU in {BOOT_SECONDS:.0f} s:"
                f" look at its console in /var/log/xen/console/guest-{pod.name}.log"
            )
        if not self._store.is_introduced(number):
            raise DomainGone(
                f"domain {pod.name} ended while it booted: look at"
                f" /var/log/xen/console/guest-{pod.name}.log"
            )

    def _state(self, path: str) -> State | None:
        return nodes.state_of(self._store, path)

    def _check_refused(self, path: str) -> None:
        text = self._store.read(f"{path}/error")
        if text:
            raise DomainError(f"gpu-proxy refuses the domain: {text}")
