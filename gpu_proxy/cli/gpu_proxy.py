# SPDX-License-Identifier: Apache-2.0
"""`gpu-proxy`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from gpu_proxy import log
from gpu_proxy.config import Config, Source, load, parse_zone_option
from gpu_proxy.errors import GpuProxyError
from gpu_proxy.settings import Settings, resolve
from gpu_proxy.supervisor import Supervisor

ZONE_HELP = (
    "a zone; keys: owner, group, device_memory, host_memory, worker_memory, sessions,"
    " handles, isolation, pending, domain"
)


def parser() -> argparse.ArgumentParser:
    """Return the command line's description."""
    result = argparse.ArgumentParser(prog="gpu-proxy", description="Serve GPUs to zones.")
    result.add_argument("--stub", action="store_true", help="use the software GPU")
    result.add_argument("--xen", action="store_true", help="serve pod domains")
    result.add_argument("--config", type=Path, metavar="FILE", help="TOML configuration")
    result.add_argument("--runtime-dir", metavar="DIR", help="where sockets are made")
    result.add_argument("--state-dir", metavar="DIR", help="where caches are kept")
    result.add_argument("--executor", choices=("c", "python"), help="who runs FAST calls")
    result.add_argument("--log-level", choices=log.LEVELS)
    result.add_argument(
        "--zone", action="append", default=[], metavar="NAME[:KEY=VALUE,...]", help=ZONE_HELP
    )
    result.add_argument(
        "--worker-stderr", action="store_true", help="let workers write to standard error"
    )
    # Only tests replace these.
    result.add_argument("--worker-module", default=Settings.worker_module, help=argparse.SUPPRESS)
    result.add_argument("--probe-module", default=Settings.probe_module, help=argparse.SUPPRESS)
    return result


def settings_from(options: argparse.Namespace) -> tuple[Settings, str]:
    """Return settings and log level; the command line wins over the file. Raises ConfigError."""
    config, source = load(options.config) if options.config else (Config(), Source())
    changes = {
        key: getattr(options, key)
        for key in ("runtime_dir", "state_dir", "executor", "log_level")
        if getattr(options, key) is not None
    }
    zones = dict(config.zone) | dict(parse_zone_option(option) for option in options.zone)
    workers = config.workers
    if options.worker_stderr:
        workers = msgspec.structs.replace(workers, stderr=True)
    config = msgspec.structs.replace(config, **changes, zone=zones, workers=workers)
    settings = resolve(config, source, stub=options.stub, xen=options.xen)
    settings = replace(
        settings, worker_module=options.worker_module, probe_module=options.probe_module
    )
    return settings, config.log_level


async def _serve(settings: Settings) -> None:
    await Supervisor(settings).run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `gpu-proxy`."""
    options = parser().parse_args(arguments)
    try:
        settings, level = settings_from(options)
        log.configure(level)
        asyncio.run(_serve(settings))
    except GpuProxyError as error:
        print(f"gpu-proxy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
