# SPDX-License-Identifier: Apache-2.0
"""Structured log lines on standard error: JSON, or readable text when a person is watching."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog

LEVELS = ("debug", "info", "warning", "error")
TEXT_MAX = 400


def configure(level: str = "info") -> None:
    """Set up the process's log; call once, before the first line."""
    console = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get(**fields: object) -> structlog.typing.FilteringBoundLogger:
    """Return a logger that adds `fields` to every line."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(**fields))


def printable(text: str, limit: int = TEXT_MAX) -> str:
    """Text from a zone or a worker, made safe for a terminal and short."""
    clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in text[:limit])
    return clean if len(text) <= limit else clean + "..."
