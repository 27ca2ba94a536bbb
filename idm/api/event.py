# SPDX-License-Identifier: Apache-2.0
"""Events."""

from __future__ import annotations

from .common import EVENT, STREAM
from .table import POSTED, call
from .types import c_float, c_uint, creates, drops, out

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

call(0x0700, "cuEventCreate", 2000, POSTED, fast=True, event=creates(EVENT), flags=c_uint)
call(0x0701, "cuEventDestroy", 2000, POSTED, fast=True, no_context=True, event=drops(EVENT))
call(0x0702, "cuEventDestroy_v2", 4000, POSTED, fast=True, no_context=True, event=drops(EVENT))
call(0x0703, "cuEventRecord", 2000, POSTED, fast=True, per_thread="_ptsz", event=EVENT,
     stream=STREAM)
call(0x0704, "cuEventRecordWithFlags", 11010, POSTED, fast=True, per_thread="_ptsz", event=EVENT,
     stream=STREAM, flags=c_uint)
call(0x0705, "cuEventQuery", 2000, unsafe=True, fast=True, no_context=True, event=EVENT)
call(0x0706, "cuEventSynchronize", 2000, unsafe=True, fast=True, lane=True, no_context=True,
     event=EVENT)
call(0x0707, "cuEventElapsedTime", 2000, no_context=True, milliseconds=out(c_float), start=EVENT,
     end=EVENT)
call(0x0708, "cuEventElapsedTime_v2", 12080, no_context=True, milliseconds=out(c_float),
     start=EVENT, end=EVENT)
