# SPDX-License-Identifier: Apache-2.0
"""Rows and handlers fit together."""

from __future__ import annotations

import pytest

from gpu_proxy import handlers
from idm.api.table import Call, Mode, load

SENT = [row for row in load().calls if row.mode in (Mode.SYNC, Mode.POSTED) and not row.elsewhere]


@pytest.mark.parametrize("row", SENT, ids=lambda row: row.symbol)
def test_every_row_that_is_sent_has_its_handler(row: Call) -> None:
    assert handlers.find(row)


def test_rows_that_are_never_sent_name_no_handler() -> None:
    assert not [row.symbol for row in load().calls if row.elsewhere and row.handler]


def test_a_missing_handler_is_named() -> None:
    row = Call(0x0FFE, "vgpuNothing", 0, Mode.SYNC, (), handler="nothing")
    with pytest.raises(handlers.MissingHandler, match="^vgpuNothing: no handler nothing$"):
        handlers.find(row)
