# SPDX-License-Identifier: GPL-2.0-only
"""What came of one place of a fleet, and of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from carryover.exit_codes import ExitCode
from carryover.verdict import Verdict

# Worst first. That a place could not be had, or its run said nothing, is trouble of the harness.
_ORDER = (ExitCode.INTERRUPTED, ExitCode.BAD, ExitCode.INFRA, ExitCode.BAD_INPUT, ExitCode.GOOD)


@dataclass(frozen=True)
class PlaceOutcome:
    """What came of one place.

    Attributes:
        place: Its name.
        directory: Of its run, whether that got so far or not.
        code: What its run comes to.
        status: The exit status of its run; a signal's number, negative, if it was killed by one.
        reason: Why its run has no or not all results; empty if it has.
        seconds: From its start to its end.
        results: Its results.jsonl; None if it wrote none.
        verdicts: How many tests have each.
        complaints: How many kernel faults there are, and things that are forbidden to drivers.
    """

    place: str
    directory: Path
    code: ExitCode
    status: int
    reason: str = ""
    seconds: float = 0.0
    results: Path | None = None
    verdicts: dict[Verdict, int] = field(default_factory=dict)
    complaints: int = 0

    @property
    def rank(self) -> tuple[int, int, str]:
        """For sorting: the worst first."""
        bad = sum(n for verdict, n in self.verdicts.items() if verdict.severity > 1)
        return _ORDER.index(self.code), -bad, self.place

    def as_dict(self, out: Path) -> dict[str, Any]:
        """For scripts; paths are seen from `out`."""
        worst = max(self.verdicts, key=lambda verdict: verdict.severity, default=None)
        return {
            "place": self.place,
            "exit_code": self.code.value,
            "meaning": self.code.meaning,
            "worst": worst.value if worst else None,
            "verdicts": {v.value: self.verdicts[v] for v in Verdict if self.verdicts.get(v)},
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "results": str(self.results.relative_to(out)) if self.results else None,
        }


def unreadable(outcome: PlaceOutcome, why: str) -> PlaceOutcome:
    """The same, of results that cannot be read: whatever its run said, that is no good one."""
    code = ExitCode.INFRA if outcome.code is ExitCode.GOOD else outcome.code
    return replace(outcome, code=code, reason=why, results=None)


def worst(outcomes: Sequence[PlaceOutcome]) -> ExitCode:
    """The exit status of a fleet: that of its worst place.

    That no place at all took what it was given is bad input, as it is for one run.
    """
    if outcomes and all(outcome.status == ExitCode.BAD_INPUT for outcome in outcomes):
        return ExitCode.BAD_INPUT
    return min((outcome.code for outcome in outcomes), key=_ORDER.index)
