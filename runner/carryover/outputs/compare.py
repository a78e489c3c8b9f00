# SPDX-License-Identifier: GPL-2.0-only
"""What changed between two runs: verdicts, times, figures, kernel messages."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from carryover.outputs.saved_run import SavedRun
from carryover.verdict import Verdict

# What differs between two prints of one complaint: where in memory, on which processor, for whom.
_ACCIDENTAL = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\b(CPU|PID|UID|pid)([:#]? ?)\d+|\b\d+(\.\d+)?(?= ?m?s\b)"
)


@dataclass(frozen=True)
class Thresholds:
    """By how much a time or a figure must differ to count as changed.

    Attributes:
        relative: Of the smaller of the two; 0.5 is half of it.
        absolute: In seconds; for times only.
    """

    relative: float = 0.5
    absolute: float = 0.1

    def exceeded(self, before: float, after: float, *, absolute: float = 0.0) -> bool:
        """Whether both thresholds are."""
        difference = abs(after - before)
        smaller = min(abs(before), abs(after))
        return difference > absolute and difference > self.relative * smaller


@dataclass(frozen=True)
class VerdictChange:
    """A test whose verdict is another one. `how` is "worse", "better" or "changed"."""

    name: str
    before: str
    after: str
    how: str
    reason: str


@dataclass(frozen=True)
class TimeChange:
    """Seconds of a test, or of a span of the kexec (`what`)."""

    what: str
    before: float
    after: float


@dataclass(frozen=True)
class NoteChange:
    """A figure or finding that a test recorded."""

    name: str
    note: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Comparison:
    """All that changed from run A to run B.

    Attributes:
        verdicts: Those that are other ones.
        only_in_a: Tests, with their verdicts, that B has no result of.
        only_in_b: The reverse.
        times: Of tests that passed in both, and of the kexec.
        notes: Of tests that are in both.
        new_faults: What kernels complained of in B only; likewise the following ones.
        gone_faults: In A only.
        new_violations: What drivers did in B only that their device's specification forbids.
        gone_violations: In A only.
        thresholds: What counted as changed.
        remarks: What is missing of the runs themselves.
    """

    verdicts: list[VerdictChange]
    only_in_a: dict[str, str]
    only_in_b: dict[str, str]
    times: list[TimeChange]
    notes: list[NoteChange]
    new_faults: list[str]
    gone_faults: list[str]
    new_violations: list[str]
    gone_violations: list[str]
    thresholds: Thresholds
    remarks: list[str] = field(default_factory=list)

    @property
    def is_worse(self) -> bool:
        """Whether B is worse than A in what a test or a kernel says; times do not decide.

        A test that passed in A and has no result in B counts: it proves nothing any more.
        """
        lost = any(verdict == Verdict.PASS.value for verdict in self.only_in_a.values())
        worse = any(change.how == "worse" for change in self.verdicts)
        return lost or worse or bool(self.new_faults or self.new_violations)

    def as_dict(self) -> dict[str, Any]:
        """For scripts."""
        return {"worse": self.is_worse, **asdict(self)}


def compare(a: SavedRun, b: SavedRun, thresholds: Thresholds | None = None) -> Comparison:
    """What changed from A to B."""
    limits = thresholds or Thresholds()
    before = {result["name"]: result for result in a.results}
    after = {result["name"]: result for result in b.results}
    both = [(before[name], after[name]) for name in before if name in after]
    new_faults, gone_faults = _differences(a.faults, b.faults)
    new_violations, gone_violations = _differences(a.violations, b.violations)
    return Comparison(
        verdicts=[_verdict(x, y) for x, y in both if x["verdict"] != y["verdict"]],
        only_in_a={name: r["verdict"] for name, r in before.items() if name not in after},
        only_in_b={name: r["verdict"] for name, r in after.items() if name not in before},
        times=[*_test_times(both, limits), *_kexec_times(a, b, limits)],
        notes=list(_notes(both, limits)),
        new_faults=new_faults,
        gone_faults=gone_faults,
        new_violations=new_violations,
        gone_violations=gone_violations,
        thresholds=limits,
        remarks=[f"{run.name}: {run.remark}" for run in (a, b) if run.remark],
    )


def _verdict(before: dict[str, Any], after: dict[str, Any]) -> VerdictChange:
    old, new = Verdict(before["verdict"]), Verdict(after["verdict"])
    how = "changed"
    if new.severity > old.severity:
        how = "worse"
    elif new.severity < old.severity and new is not Verdict.INFRA:
        how = "better"
    reason = (after["reason"] or before["reason"]).partition("\n")[0]
    return VerdictChange(after["name"], old.value, new.value, how, reason)


def _test_times(
    both: Iterable[tuple[dict[str, Any], dict[str, Any]]], limits: Thresholds
) -> list[TimeChange]:
    passed = Verdict.PASS.value
    return [
        TimeChange(x["name"], x["duration"], y["duration"])
        for x, y in both
        if x["verdict"] == y["verdict"] == passed
        if limits.exceeded(x["duration"], y["duration"], absolute=limits.absolute)
    ]


# Spans of a kexec, each from one mark to another.
_SPANS = (("kexec", "kernel"), ("kernel", "ready"), ("kexec", "ready"), ("ready", "verified"))


def _kexec_times(a: SavedRun, b: SavedRun, limits: Thresholds) -> Iterator[TimeChange]:
    for first, last in _SPANS:
        before, after = spans(a, first, last), spans(b, first, last)
        if not before or not after:
            continue
        x, y = statistics.median(before), statistics.median(after)
        if limits.exceeded(x, y, absolute=limits.absolute):
            yield TimeChange(f"a kexec, from `{first}` to `{last}`", x, y)


def spans(run: SavedRun, first: str, last: str) -> list[float]:
    """Seconds between two marks, of each kexec that has both."""
    times: dict[tuple[int, int], dict[str, float]] = {}
    for mark in run.marks:
        if mark["kexec"] > 0:
            times.setdefault((mark["cycle"], mark["kexec"]), {})[mark["what"]] = mark["time"]
    return [of[last] - of[first] for of in times.values() if first in of and last in of]


def _notes(
    both: Iterable[tuple[dict[str, Any], dict[str, Any]]], limits: Thresholds
) -> Iterator[NoteChange]:
    for x, y in both:
        old, new = x["notes"], y["notes"]
        for note in [*old, *(note for note in new if note not in old)]:
            if _differ(old.get(note), new.get(note), limits):
                yield NoteChange(x["name"], note, old.get(note), new.get(note))


def _differ(before: Any, after: Any, limits: Thresholds) -> bool:
    try:
        return limits.exceeded(float(before), float(after))
    except (TypeError, ValueError):
        return bool(before != after)


def _differences(
    before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """Texts that are new, and those that are gone: each once, as it was first printed."""
    old, new = _by_essence(before), _by_essence(after)
    return [new[key] for key in new if key not in old], [old[key] for key in old if key not in new]


def _by_essence(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for record in records:
        essence = record.get("fingerprint") or _ACCIDENTAL.sub("…", record["text"])
        texts.setdefault(essence, record["text"])
    return texts
