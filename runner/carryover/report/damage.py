# SPDX-License-Identifier: GPL-2.0-only
"""Memory that differs, made small enough for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carryover.report.excerpts import fair_limit


def with_small_maps(results: Sequence[dict[str, Any]], budget: int) -> list[dict[str, Any]]:
    """The results with maps of damaged pages that have at most `budget` runs in all.

    Each map refers to its memory's `classes` by number then, and `map_cut` says whether it was cut.
    Addresses become texts: JavaScript's numbers have 53 bits.
    """
    sizes = [len(memory["map"]) for result in results for memory in result["damage"]]
    limit = fair_limit(sizes, budget)
    return [
        {**result, "damage": [_with_small_map(memory, limit) for memory in result["damage"]]}
        for result in results
    ]


def _address(value: int | None) -> str:
    return "" if value is None else f"{value:#x}"


def _with_small_map(memory: dict[str, Any], limit: int) -> dict[str, Any]:
    whole = memory["map"]
    kept = whole[:limit]
    classes = sorted({str(damage) for _, _, damage in kept})
    return {
        **memory,
        "extents": [
            {**extent, "iova": _address(extent["iova"]), "physical": _address(extent["physical"])}
            for extent in memory["extents"]
        ],
        "classes": classes,
        "map": [[first, pages, classes.index(str(damage))] for first, pages, damage in kept],
        "map_cut": bool(memory.get("map_cut")) or len(whole) > limit,
    }
