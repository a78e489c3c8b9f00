# SPDX-License-Identifier: GPL-2.0-only
"""The logs of a run, as much of them as fits into the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carryover.outputs.saved_run import SavedRun
from carryover.report.embed import script_json
from carryover.report.excerpts import Excerpt, clean, fair_limit, read_excerpt
from carryover.report.overview import GOOD, link

_WHOLE_LOG = 48 << 10
_FAULTS = 50
_LINES_OF_FAULT = 120
_LAST_LINES = 60
_LAST_BYTES = 16 << 10
_LONGEST_LINE = 300


def logs(run: SavedRun, budget: int) -> list[dict[str, Any] | None]:
    """Each test's log or its two ends, `budget` bytes of JSON in all; None if it left none.

    Those of tests that are neither PASS nor SKIP get what they need first.
    """
    paths = [_log_path(run.directory, result) for result in run.results]
    sizes = [min(_size(path), _WHOLE_LOG) for path in paths]
    good = [result.get("verdict") in GOOD for result in run.results]
    allowed = budget
    while True:
        limits = _limits(sizes, good, allowed)
        found = [_read(path, limit) for path, limit in zip(paths, limits, strict=True)]
        needed = len(script_json(found))
        if needed <= budget or allowed == 0:
            return found
        # JSON needs more for quotes and what is no ASCII.
        allowed = int(allowed * 0.95 * budget / needed)


def faults(run: SavedRun) -> list[dict[str, Any]]:
    """What kernels complained of, each report as far as the page has room for it."""
    return [
        {
            "text": fault["text"],
            "test": fault["test"] or "",
            "link": link(test=fault["test"] or ""),
            "kernel": fault["kernel"],
            "fingerprint": fault["fingerprint"],
            "lines": [clean(line)[:_LONGEST_LINE] for line in fault["lines"][:_LINES_OF_FAULT]],
            "cut": max(0, len(fault["lines"]) - _LINES_OF_FAULT),
        }
        for fault in run.faults[:_FAULTS]
    ]


def last_lines(run: SavedRun) -> list[str]:
    """The console's last lines; none if the run did not get as far as a console."""
    excerpt = _read(run.directory / "console.log", _LAST_BYTES)
    text = str(excerpt["tail"] or excerpt["head"]) if excerpt else ""
    return [line[:_LONGEST_LINE] for line in text.splitlines()[-_LAST_LINES:]]


def _limits(sizes: Sequence[int], good: Sequence[bool], budget: int) -> list[int]:
    bad = [size for size, is_good in zip(sizes, good, strict=True) if not is_good]
    of_bad = fair_limit(bad, budget)
    rest = budget - sum(min(size, of_bad) for size in bad)
    of_good = fair_limit([s for s, is_good in zip(sizes, good, strict=True) if is_good], rest)
    return [of_good if is_good else of_bad for is_good in good]


def _read(path: Path | None, limit: int) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        return read_excerpt(path, limit).as_dict()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Excerpt(f"(cannot be read: {error.strerror})").as_dict()


def _log_path(directory: Path, result: dict[str, Any]) -> Path | None:
    """None if the test left no log. Nothing outside of the run's directory is ever read."""
    path = Path(os.path.normpath(directory / str(result.get("log") or "")))
    return path if path.is_relative_to(directory) and path.is_file() else None


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0
