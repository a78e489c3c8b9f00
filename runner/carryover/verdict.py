# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts, and the result of one test."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Literal

BAD = 3  # Verdict.severity
Outcome = Literal["passed", "failed", "skipped", "error"]


class Verdict(enum.Enum):
    """What became of one test. The words of docs and outputs."""

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"
    LOST = "LOST"
    REFUSED = "REFUSED"
    PANIC = "PANIC"
    HANG = "HANG"
    RESET = "RESET"
    ABI_MISMATCH = "ABI_MISMATCH"
    INFRA = "INFRA"

    @property
    def outcome(self) -> Outcome:
        """How pytest counts it. INFRA is an error: the test has neither passed nor failed."""
        if self is Verdict.PASS:
            return "passed"
        if self is Verdict.SKIP:
            return "skipped"
        return "error" if self is Verdict.INFRA else "failed"

    @property
    def severity(self) -> int:
        """How bad it is: 0 is PASS; from BAD on it is the kernel that did something wrong.

        INFRA lies before that: nothing is known. A machine that dies is worst.
        """
        if self.machine_is_gone:
            return BAD + 1
        return {Verdict.PASS: 0, Verdict.SKIP: 1, Verdict.INFRA: 2}.get(self, BAD)

    @property
    def letter(self) -> str:
        """One letter for pytest's progress line; all differ."""
        return _LETTERS[self]

    @property
    def style(self) -> str:
        """Colour on a terminal."""
        return _STYLES[self.outcome]

    @property
    def machine_is_gone(self) -> bool:
        """The machine died or stopped answering: other tests of the batch have no result."""
        return self in _MACHINE_IS_GONE


_LETTERS = {
    Verdict.PASS: ".",
    Verdict.FAIL: "F",
    Verdict.SKIP: "s",
    Verdict.LOST: "L",
    Verdict.REFUSED: "R",
    Verdict.PANIC: "P",
    Verdict.HANG: "H",
    Verdict.RESET: "Z",
    Verdict.ABI_MISMATCH: "A",
    Verdict.INFRA: "I",
}
_STYLES: dict[Outcome, str] = {
    "passed": "green",
    "skipped": "yellow",
    "failed": "bold red",
    "error": "bold magenta",
}
_MACHINE_IS_GONE = frozenset({Verdict.PANIC, Verdict.HANG, Verdict.RESET, Verdict.ABI_MISMATCH})


@dataclass
class TestResult:
    """The final result of one test.

    Attributes:
        name: ``Suite.Test``.
        verdict: What became of it.
        reason: One or more lines that say why; empty for PASS.
        duration: Seconds, all halves together, as the target measured them.
        halves: Each half that ended: half, generation, result, duration.
        failures: Assertions that failed, ``file:line: message``.
        notes: Figures that the test recorded.
        device: Address of the PCI function that it used first; None if it used none.
        damage: One object for each memory that differs, as the note `damage` of docs/protocol.md
            has it.
        boot: Which kernels and boots it ran on.
    """

    __test__ = False  # not a pytest class

    name: str
    verdict: Verdict
    reason: str = ""
    duration: float = 0.0
    halves: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    device: str | None = None
    damage: list[dict[str, Any]] = field(default_factory=list)
    boot: dict[str, Any] = field(default_factory=dict)
