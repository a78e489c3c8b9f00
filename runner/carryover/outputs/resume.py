# SPDX-License-Identifier: GPL-2.0-only
"""A run that was cut short, made ready to go on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carryover.errors import BadInput
from carryover.kernel import replay
from carryover.kernel.oracle import KernelFault
from carryover.outputs import journal, saved_run
from carryover.outputs.basis import differences
from carryover.verdict import TestResult, Verdict

_REMEDY = "leave --resume out to begin anew, or give another --carryover-out"


@dataclass(frozen=True)
class Kept:
    """What a run had written down when it was cut short.

    Attributes:
        began: When it began, time.time().
        cycles: Its power cycles.
        results: Of tests that need not be run again.
        faults: What kernels complained of.
        violations: What drivers did that is forbidden.
        unrecorded_faults: What kernels complained of in the power cycle that was cut short.
        unrecorded_violations: Likewise.
        owner: Who it told the target that it is: what it left there is this run's own.
    """

    began: float = 0.0
    cycles: int = 0
    results: list[TestResult] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    unrecorded_faults: list[KernelFault] = field(default_factory=list)
    unrecorded_violations: list[str] = field(default_factory=list)
    owner: str = ""


NOTHING_KEPT = Kept()


def require_run(directory: Path) -> None:
    """Raises BadInput if no run has begun there."""
    if not all((directory / name).exists() for name in ("journal.jsonl", "results.jsonl")):
        raise BadInput(f"--resume: {directory} has no run that was cut short; {_REMEDY}")


def take_up(directory: Path, basis: dict[str, Any]) -> Kept:
    """Ends what the run has left over, and cuts off its results behind the last whole one.

    Raises:
        BadInput: There is nothing to resume, the run is alive, or it is of something else than
            `basis`. Nothing was changed.
    """
    log, file = directory / "journal.jsonl", directory / "results.jsonl"
    state = journal.read(log)
    saved = saved_run.load(file)
    if state.runner and not state.closed and journal.is_alive(*state.runner):
        raise BadInput(f"--resume: {log}: the run is alive (process {state.runner[0]})")
    if not state.basis:
        raise BadInput(f"--resume: {log} does not say what the run is of; {_REMEDY}")
    if different := differences(state.basis, basis):
        raise BadInput(
            f"--resume: {directory} is a run of something else: {'; '.join(different)} changed; "
            f"say what that run was told, or {_REMEDY}"
        )
    names = {result["name"] for result in saved.results}
    if saved.end and saved.end["how"] == "complete" and names >= set(basis["tests"]):
        raise BadInput(f"--resume: {directory}: the run is complete; {_REMEDY}")
    journal.close_left_over(log)
    faults, violations = _unrecorded(saved)
    _cut_off(file, whole=not saved.end)
    return Kept(
        began=saved.begin["time"],
        cycles=max((mark["cycle"] for mark in saved.marks), default=0),
        results=[_result(record) for record in saved.results],
        faults=[fault["text"] for fault in saved.faults],
        violations=[violation["text"] for violation in saved.violations],
        unrecorded_faults=faults,
        unrecorded_violations=violations,
        owner=state.owner,
    )


def _unrecorded(saved: saved_run.SavedRun) -> tuple[list[KernelFault], list[str]]:
    recorded = [violation["text"] for violation in saved.violations]
    violations = replay.violations(saved.directory, recorded)
    on = [mark["time"] for mark in saved.marks if mark["what"] == "power-on"]
    if saved.end or not on:
        return [], violations
    found = replay.kernel_faults(saved.directory, saved.begin["time"], on[-1])
    known = {fault["text"] for fault in saved.faults if fault["time"] >= on[-1]}
    return [fault for fault in found if fault.report.title not in known], violations


def _result(record: dict[str, Any]) -> TestResult:
    boot = {key: record[key] for key in ("cold_boot", "kexecs") if record[key]}
    same = ("name", "reason", "duration", "halves", "failures", "notes", "device", "damage")
    return TestResult(
        verdict=Verdict(record["verdict"]), boot=boot, **{key: record[key] for key in same}
    )


def _cut_off(file: Path, *, whole: bool) -> None:
    """Behind the last whole line, and before the end record: the run goes on."""
    data = file.read_bytes()
    end = data.rfind(b"\n")
    if not whole:
        end = data.rfind(b"\n", 0, end)
    os.truncate(file, end + 1)
