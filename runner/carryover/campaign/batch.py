# SPDX-License-Identifier: GPL-2.0-only
"""One batch of tests on one power cycle: from the program's events to results. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from carryover.errors import ProtocolError
from carryover.events import Event, TestInfo
from carryover.verdict import TestResult, Verdict

# Key of the note that tells what is wrong with a memory; there is one a memory.
DAMAGE = "damage"
# What each half may end with, beside ARMED, and the verdict that it is.
FINAL = {
    "run": {
        "PASS": Verdict.PASS,
        "FAIL": Verdict.FAIL,
        "SKIP": Verdict.SKIP,
        "INFRA": Verdict.INFRA,
    },
    "arm": {"FAIL": Verdict.FAIL, "SKIP": Verdict.SKIP, "INFRA": Verdict.INFRA},
    "verify": {
        "PASS": Verdict.PASS,
        "FAIL": Verdict.FAIL,
        "SKIP": Verdict.SKIP,
        "LOST": Verdict.LOST,
        "INFRA": Verdict.INFRA,
    },
    "carry": {"FAIL": Verdict.FAIL, "SKIP": Verdict.SKIP},
}


@dataclass
class _Progress:
    info: TestInfo
    armed: bool = False
    halves_before: int = 0  # those that had ended when the last kexec was over
    halves: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    verify_notes: dict[str, Any] = field(default_factory=dict)  # of the last verify half alone
    device: str | None = None
    damage: list[dict[str, Any]] = field(default_factory=list)


class Batch:
    """Keeps, for each test of a batch, how far it has come; a test leaves it with its result.

    Attributes:
        running: Name and half of the test that has begun a half and not ended it.
        held: Names that the holder says are armed.
        remaining: Kexecs that armed tests still want.
        boot: Goes into every result: which kernels and boots.
    """

    def __init__(self, tests: Sequence[TestInfo]) -> None:
        self._open = {test.name: _Progress(test) for test in tests}
        self.running: tuple[str, str] | None = None
        self.held: set[str] = set()
        self.remaining = 0
        self.boot: dict[str, Any] = {}

    def undecided(self) -> list[TestInfo]:
        """Tests without a result."""
        return [progress.info for progress in self._open.values()]

    def names(self, *, continuity: bool) -> list[str]:
        """Undecided tests of one kind."""
        return [test.name for test in self.undecided() if test.is_continuity == continuity]

    def armed(self) -> list[str]:
        """Undecided tests that are armed for the next kexec."""
        return [name for name, progress in self._open.items() if progress.armed]

    def time_limit(self, name: str) -> float | None:
        """Seconds that one half of the test may take, before time_scale; None if it is not ours."""
        progress = self._open.get(name)
        return progress.info.time_limit if progress else None

    def observe(self, event: Event) -> TestResult | None:
        """Takes an event into account; a result if it was the test's last.

        Raises:
            ProtocolError: A half ended with a result that this half cannot have, or damage was told
            of in other words than those of docs/protocol.md.
        """
        if event.kind == "holding":
            self.held = set(event.fields.get("armed") or [])
            self.remaining = event.number("remaining")
            return None
        name = event.text("name")
        progress = self._open.get(name)
        if progress is None:
            return None
        if event.kind == "start":
            self.running = (name, event.text("half"))
        elif event.kind == "failure":
            where = f"{event.text('file')}:{event.number('line')}: "
            progress.failures.append(where + event.text("message"))
        elif event.kind == "note":
            is_verify = self.running == (name, "verify")
            notes = progress.verify_notes if is_verify else progress.notes
            self._note(progress, notes, event.text("key"), event.fields.get("value"))
        elif event.kind == "uses":
            progress.device = progress.device or event.text("address")
        elif event.kind == "finish":
            return self._finish(progress, event)
        return None

    @staticmethod
    def _note(progress: _Progress, notes: dict[str, Any], key: str, value: Any) -> None:
        if key != DAMAGE:
            notes[key] = value
        elif isinstance(value, dict):
            progress.damage.append(value)
        else:
            raise ProtocolError(f"{progress.info.name}: note {key}: {value!r} is no object")

    def _finish(self, progress: _Progress, event: Event) -> TestResult | None:
        self.running = None
        half, result = event.text("half"), event.text("result")
        duration = event.number("duration_us") / 1e6
        generation = event.number("generation")
        progress.halves.append(
            {"half": half, "generation": generation, "result": result, "duration": duration}
        )
        if half in ("arm", "carry") and result == "ARMED":
            progress.armed = True
            return None
        verdict = FINAL.get(half, {}).get(result)
        if verdict is None:
            raise ProtocolError(f"{progress.info.name}: half {half!r} cannot end with {result!r}")
        if half == "verify":
            progress.armed = False
            if verdict is Verdict.PASS and generation < progress.info.generations:
                return None  # its carry half comes next
        return self.decide(progress.info.name, verdict, event.text("reason"))

    def decide(self, name: str, verdict: Verdict, reason: str) -> TestResult:
        """Gives an undecided test its result."""
        progress = self._open.pop(name)
        if self.running is not None and self.running[0] == name:
            self.running = None
        if not reason and verdict is not Verdict.PASS:
            reason = progress.failures[0] if progress.failures else "no reason was given"
        return TestResult(
            name=name,
            verdict=verdict,
            reason=reason,
            duration=sum(half["duration"] for half in progress.halves),
            halves=progress.halves,
            failures=progress.failures,
            notes={**progress.notes, **progress.verify_notes},
            device=progress.device,
            damage=progress.damage,
            boot=dict(self.boot),
        )

    def decide_all(
        self, names: Iterable[str], verdict: Verdict, reason: str
    ) -> Iterator[TestResult]:
        """Gives several tests the same result."""
        for name in list(names):
            yield self.decide(name, verdict, reason)

    def end_of_run(self, said: str) -> Iterator[TestResult]:
        """The `run` verb is over: a test that it passed over in silence is INFRA."""
        reason = said or "the program ended without a result for it"
        yield from self.decide_all(self.names(continuity=False), Verdict.INFRA, reason)

    def end_of_arm(self, said: str) -> Iterator[TestResult]:
        """The `arm` verb is over: what is neither decided nor held is INFRA."""
        for name in self.names(continuity=True):
            if not self._open[name].armed:
                reason = said or "the program ended without arming it"
            elif name not in self.held:
                reason = said or "it was armed, but the holder does not hold it"
            else:
                continue
            yield self.decide(name, Verdict.INFRA, reason)

    def begin_verify(self) -> None:
        """A kexec is over: nobody holds anything until somebody says so again."""
        self.held = set()
        self.remaining = 0
        for progress in self._open.values():
            progress.halves_before = len(progress.halves)
            progress.verify_notes = {}  # what was seen after another kexec says nothing of this one

    def end_of_verify(self, said: str) -> Iterator[TestResult]:
        """The `verify` verb is over: an armed test that was not looked at is LOST."""
        for name in self.names(continuity=True):
            progress = self._open[name]
            last = [half["half"] for half in progress.halves[progress.halves_before :]][-1:]
            if last == ["carry"] and name in self.held:
                continue
            if last in (["carry"], ["verify"]):
                reason = said or "it was not armed for the next kexec"
                yield self.decide(name, Verdict.INFRA, reason)
            else:
                reason = "armed, and nothing of it was found in the incoming kernel"
                yield self.decide(name, Verdict.LOST, f"{reason}: {said}" if said else reason)
