# SPDX-License-Identifier: GPL-2.0-only
"""Memory that differs, made small enough for the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from carryover.report.excerpts import fair_limit


def within(budget: int, tests: Iterable[dict[str, Any]]) -> None:
    """Cuts the maps of damaged pages, so that all together have at most `budget` runs.

    Each map refers to its `classes` by number then, and `map_cut` says whether it was cut.
    """
    memories = [memory for test in tests for memory in test.get("damage") or []]
    limit = fair_limit([len(memory.get("map") or []) for memory in memories], budget)
    for memory in memories:
        whole = memory.get("map") or []
        classes = sorted({str(damage) for _, _, damage in whole})
        memory["classes"] = classes
        memory["map"] = [[first, pages, classes.index(str(d))] for first, pages, d in whole[:limit]]
        memory["map_cut"] = bool(memory.get("map_cut")) or len(whole) > limit
