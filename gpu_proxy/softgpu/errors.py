# SPDX-License-Identifier: Apache-2.0
"""Errors of the PTX compiler. Each carries the CUresult that the driver above reports.

SoftGpuError
├── ImageError          the bytes are no image that we know (200)
├── NoBinaryError       an image without PTX that could run here (209)
├── PtxError            PTX text that is malformed (218)
├── UnsupportedError    correct PTX that the software GPU cannot run (218)
├── VersionError        PTX newer than this compiler (222)
└── LimitError          the image is larger, or compiling took longer, than allowed (2 or 304)
"""


class SoftGpuError(Exception):
    """A compile error with its CUresult number."""

    status = 999


class ImageError(SoftGpuError):
    """The bytes are no image that we know."""

    status = 200


class NoBinaryError(SoftGpuError):
    """The image holds no PTX that could run here."""

    status = 209


class PtxError(SoftGpuError):
    """Malformed PTX."""

    status = 218

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


class UnsupportedError(PtxError):
    """Correct PTX that the software GPU cannot run; the text names what."""


class VersionError(SoftGpuError):
    """PTX of a version that this compiler does not know."""

    status = 222


class LimitError(SoftGpuError):
    """A limit on size, memory or time was reached."""

    status = 2

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status
