# SPDX-License-Identifier: Apache-2.0
"""`--xen`: finds pod domains in xenstore, gives each its zone, and lets go of those that die.

A domain is served when the toolstack has announced it (idm.xen.nodes.announce, as `vgpu domain
create` does), or, where we have the toolstack's rights, when the configuration names it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from gpu_proxy import log
from gpu_proxy.errors import AlreadyRunning, ConfigError, StartError
from gpu_proxy.settings import Settings, ZoneSettings, announced_zone
from gpu_proxy.xen.back_channel import REPORT_MAX
from gpu_proxy.xen.link import DomainLink
from gpu_proxy.zone import Zone
from idm.errors import StoreError
from idm.xen import nodes
from idm.xen.store import Store

RELEASED, INTRODUCED, BACKEND = "@releaseDomain", "@introduceDomain", "backend"
STOP_SECONDS = 5.0
MUTEX = "\0vgpu-xen-back-end"
QUOTA_KEYS = ("device-memory", "host-memory", "sessions", "handles")


class XenService:
    """All pod domains of one daemon."""

    def __init__(self, settings: Settings, make_zone: Callable[[ZoneSettings], Zone]) -> None:
        """Connect to xenstore. Raises StartError."""
        self._named = {zone.domain: zone for zone in settings.zones if zone.domain}
        self._stub = settings.stub
        self._make_zone = make_zone
        self._links: dict[int, DomainLink] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._refused: set[int] = set()
        self._log = log.get(part="xen")
        self._mutex = _only_one()
        try:
            self._store = Store()
            self._own = int(self._store.read("domid") or "-1")
        except (StoreError, ValueError) as error:
            raise StartError(f"--xen: {error}") from None
        if self._own < 0:
            raise StartError("--xen: xenstore does not say which domain this is (node domid)")
        self._backends = f"/local/domain/{self._own}/backend/{nodes.GPU}"

    @property
    def zones(self) -> list[Zone]:
        """The zones of the domains that are there."""
        return [link.zone for link in self._links.values()]

    def start(self) -> None:
        """Watch for domains; those that are there already are found at once."""
        loop = asyncio.get_running_loop()
        self._store.on_event = self._look_soon
        loop.add_reader(self._store.fd, self._readable)
        self._store.watch(self._backends, BACKEND)
        self._store.watch(RELEASED, RELEASED)
        if self._named:
            self._store.watch(INTRODUCED, INTRODUCED)
        self._log.info("xen-serving", domain=self._own, named=sorted(self._named))

    async def stop(self, seconds: float) -> None:
        """End all sessions and say that nobody is here any more."""
        asyncio.get_running_loop().remove_reader(self._store.fd)
        self._store.on_event = None
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.zone.stop(seconds) for link in links), *self._stopping)
        for link in links:
            link.close(domain_is_alive=self._store.is_introduced(link.domain))
        self._store.close()
        self._mutex.close()

    def _look_soon(self) -> None:
        """An event has come in with the answer to a request: the descriptor will not tell."""
        asyncio.get_running_loop().call_soon(self._readable)

    def _readable(self) -> None:
        if self._store.on_event is None:
            return  # Stopped meanwhile.
        try:
            for event in self._store.events():
                self._follow(event.token)
        except StoreError as error:
            self._log.error("xenstore-failed", text=str(error))

    def _follow(self, token: str) -> None:
        if token == RELEASED:
            self._drop_dead()
        elif token == INTRODUCED:
            self._announce_named()
        elif token == BACKEND:
            self._look_for_new()
        else:
            domain = token.split("/")[3]
            link = self._links.get(int(domain)) if domain.isdecimal() else None
            if link:
                link.look()

    def _announce_named(self) -> None:
        """Make the nodes of domains that the configuration names."""
        for text in self._store.children("/local/domain"):
            zone = self._named.get(self._store.read(f"/local/domain/{text}/name") or "")
            domain = int(text)
            if zone is None or domain in self._links or not self._store.is_introduced(domain):
                continue
            if self._store.read(f"{nodes.front_path(domain, nodes.GPU)}/backend") is None:
                nodes.announce(self._store, nodes.GPU, domain, self._own, {"zone": zone.name})

    def _look_for_new(self) -> None:
        for text in self._store.children(self._backends):
            domain = int(text)
            if domain in self._links or domain in self._refused:
                continue
            path = nodes.back_path(self._own, nodes.GPU, domain)
            if self._store.is_introduced(domain):
                if nodes.state_of(self._store, path):  # written last: the rest is there
                    self._serve(domain)
            else:
                nodes.withdraw_back(self._store, nodes.GPU, domain, self._own)

    def _serve(self, domain: int) -> None:
        try:
            settings = self._settings_of(domain)
            zone = self._make_zone(settings)
        except (ConfigError, StartError) as error:
            self._refused.add(domain)
            path = nodes.back_path(self._own, nodes.GPU, domain)
            self._store.write(f"{path}/error", str(error)[:REPORT_MAX])
            self._log.error("domain-refused", domain=domain, text=str(error))
            return
        self._links[domain] = DomainLink(self._store, domain, self._own, zone)
        self._log.info("domain-served", domain=domain, zone=zone.name)

    def _settings_of(self, domain: int) -> ZoneSettings:
        """Return the zone's settings: configured by its name, else as the toolstack announced."""
        path = nodes.back_path(self._own, nodes.GPU, domain)
        name = self._store.read(f"{path}/zone") or f"domain-{domain}"
        taken = [zone.name for zone in self.zones]
        if name in taken:
            raise ConfigError(f"zone {name} is another domain's")
        for zone in self._named.values():
            if zone.name == name:
                return zone
        quota = {key: self._store.read(f"{path}/{key}") for key in QUOTA_KEYS}
        given = {key.replace("-", "_"): value for key, value in quota.items() if value}
        return announced_zone(name, domain, given, stub=self._stub)

    def _drop_dead(self) -> None:
        for domain, link in list(self._links.items()):
            if not self._store.is_introduced(domain):
                del self._links[domain]
                self._log.info("domain-gone", domain=domain, zone=link.zone.name)
                link.close(domain_is_alive=False)
                nodes.withdraw_back(self._store, nodes.GPU, domain, self._own)
                task = asyncio.ensure_future(link.zone.stop(STOP_SECONDS))
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)
        self._refused = {d for d in self._refused if self._store.is_introduced(d)}


def _only_one() -> socket.socket:
    """Be the only one that serves pod domains from here; a name that ends with the process."""
    mutex = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mutex.bind(MUTEX)
    except OSError:
        mutex.close()
        raise AlreadyRunning("another gpu-proxy serves pod domains from this domain") from None
    return mutex
