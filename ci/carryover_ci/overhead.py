# SPDX-License-Identifier: GPL-2.0-only
"""What the harness adds to each test: runner, SSH and the program's start, by a run's results."""

from collections.abc import Iterable, Mapping
from typing import Any

# Marks between which tests run.
_PHASES = (("arm", "armed"), ("run", "off"), ("verify", "verified"))


def overhead(records: Iterable[Mapping[str, Any]]) -> float:
    """Seconds a test: of the phases in which tests run, what the target did not measure itself."""
    spent, own, tests = 0.0, 0.0, 0
    began: dict[str, float] = {}
    for record in records:
        if record["event"] == "result":
            tests += 1
            own += record["duration"]
        elif record["event"] == "mark":
            began[record["what"]] = record["time"]
            for first, last in _PHASES:
                if record["what"] == last and first in began:
                    spent += record["time"] - began.pop(first)
    return (spent - own) / tests if tests else 0.0
