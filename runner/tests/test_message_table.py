# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from pathlib import Path

from carryover.kernel.message_table import markdown
from carryover.kernel.messages import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "kernel-messages.md"


def test_every_row_is_in_the_table() -> None:
    text = markdown()
    for row in TABLE:
        assert row.example in text
        assert row.kind is None or f"| {row.kind.name} |" in text


def test_the_page_has_the_table() -> None:
    assert markdown() in PAGE.read_text(), "run ci/docs"
