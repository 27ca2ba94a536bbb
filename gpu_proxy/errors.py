# SPDX-License-Identifier: Apache-2.0
"""Every error of the back end.

GpuProxyError
├── ConfigError            the configuration file or the command line is wrong
├── StartError             the daemon cannot start
│   ├── DriverMissing      there is no CUDA driver, or it does not work
│   ├── AlreadyRunning     another daemon owns the runtime directory
│   └── SocketError        a zone's socket cannot be made
├── QuotaExceeded          the zone's ledger has no room
├── WorkerProtocolError    a worker said something that it may not say
├── WorkerFailed           a worker could not be started, or ended before it was ready
├── ZygoteError            the zygote is gone or does not answer
├── SandboxError           the kernel refused a part of the sandbox
├── CgroupUnavailable      workers cannot have memory cgroups of their own
├── CountersError          the counters' segment is missing or not ours
└── DomainError            a pod domain cannot be made, found or used
    ├── DomainMissing      there is no such domain
    ├── DomainGone         the domain died while a command ran in it
    ├── AgentSilent        no agent in the domain answers, or it has gone
    ├── ExecutionCancelled  a signal came before the command had started; carries its number
    ├── BackEndSilent      no gpu-proxy serves the domain
    └── ToolFailed         xl, or a tool that makes an image, is missing or failed

A front end that gets no session is idm.errors.Refused.
"""

from __future__ import annotations


class GpuProxyError(Exception):
    """Base of all errors of this package; its text is one line for a person."""


class ConfigError(GpuProxyError):
    """Names the file, the line and the key."""


class StartError(GpuProxyError):
    """The daemon cannot start."""


class DriverMissing(StartError):
    """There is no CUDA driver, or it does not work."""


class AlreadyRunning(StartError):
    """Another daemon owns the runtime directory."""


class SocketError(StartError):
    """A zone's socket cannot be made."""


class QuotaExceeded(GpuProxyError):
    """The zone's ledger has no room for what was asked."""

    def __init__(self, kind: str, asked: int, used: int, limit: int) -> None:
        super().__init__(f"{kind}: {asked} asked, {used} of {limit} used")
        self.kind = kind


class WorkerProtocolError(GpuProxyError):
    """A worker said something that it may not say."""


class WorkerFailed(GpuProxyError):
    """A worker could not be started, or ended before it was ready."""


class ZygoteError(GpuProxyError):
    """The zygote is gone or does not answer."""


class SandboxError(GpuProxyError):
    """The kernel refused a part of the sandbox."""


class CgroupUnavailable(GpuProxyError):
    """Workers cannot have memory cgroups of their own; the text says why."""


class CountersError(GpuProxyError):
    """The counters' segment is missing or not ours."""


class DomainError(GpuProxyError):
    """A pod domain cannot be made, found or used."""


class DomainMissing(DomainError):
    """There is no such domain."""


class DomainGone(DomainError):
    """The domain died while a command ran in it."""


class AgentSilent(DomainError):
    """No agent in the domain answers, or it has gone."""


class ExecutionCancelled(DomainError):
    """A signal came before the command had started."""

    def __init__(self, number: int) -> None:
        super().__init__(f"cancelled by signal {number}")
        self.number = number


class BackEndSilent(DomainError):
    """No gpu-proxy serves the domain."""


class ToolFailed(DomainError):
    """A tool of the toolstack is missing or failed."""
