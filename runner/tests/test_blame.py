# SPDX-License-Identifier: GPL-2.0-only
"""If the machine dies in a batch, the test that did it is found; the others get their results."""

from __future__ import annotations

import io

import pytest
from conftest import FakeBench, Run
from rich.console import Console

from carryover.campaign.batch import Batch
from carryover.campaign.blame import Blame, Results
from carryover.display import Display
from carryover.errors import Infrastructure
from carryover.events import TestInfo
from carryover.observation import Crashed
from carryover.verdict import TestResult, Verdict


def power_cycles(run: Run) -> int:
    return (run.out / "journal.jsonl").read_text().count('"step": "power-on"')


@pytest.mark.parametrize(
    ("culprit", "verdict"),
    [
        ("Memory.PanicsWhileArming", "PANIC"),
        ("Memory.PanicsInTheGap", "PANIC"),
        ("Memory.HangsInVerify", "HANG"),
        ("Memory.ResetsInTheGap", "RESET"),
    ],
)
def test_culprit_is_found(fake: FakeBench, culprit: str, verdict: str) -> None:
    run = fake.run_tests("Memory.Passes", "Memory.AlsoPasses", "Memory.Fails", culprit)
    assert run.verdicts == {
        "Memory.Passes": "PASS",
        "Memory.AlsoPasses": "PASS",
        "Memory.Fails": "FAIL",
        culprit: verdict,
    }, run.output


def test_two_culprits_are_found(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.PanicsInTheGap", "Memory.Passes", "Memory.ResetsInTheGap")
    assert run.verdicts["Memory.Passes"] == "PASS"
    assert run.verdicts["Memory.PanicsInTheGap"] == "PANIC"
    assert run.verdicts["Memory.ResetsInTheGap"] == "RESET"


def test_results_from_before_the_death_stand(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.Passes", "Memory.FailsToArm", "Memory.PanicsInTheGap")
    assert run.verdicts == {
        "Rules.Passes": "PASS",
        "Memory.FailsToArm": "FAIL",
        "Memory.PanicsInTheGap": "PANIC",
    }
    assert power_cycles(run) == 1


def test_a_death_that_does_not_come_back_is_not_forgotten(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.PanicsOnce", "Memory.Passes")
    assert set(run.verdicts.values()) == {"PANIC"}
    assert "did not happen again" in run.results["Memory.PanicsOnce"]["reason"]
    assert "unexplained" in run.output
    assert run.status == 1


def test_search_is_bounded(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.PanicsInTheGap", "Memory.Passes", "Memory.AlsoPasses", reruns=1)
    assert power_cycles(run) <= 2
    assert "PASS" not in run.verdicts.values()  # none earned it
    assert "no more runs" in run.results["Memory.AlsoPasses"]["reason"]


def test_program_that_dies_fails_its_test_only(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.Passes", "Rules.DiesOfSignal", "Rules.Skips", "Memory.Passes")
    assert run.verdicts == {
        "Rules.Passes": "PASS",
        "Rules.DiesOfSignal": "FAIL",
        "Rules.Skips": "SKIP",
        "Memory.Passes": "PASS",
    }


def test_two_kernels_that_do_not_understand_each_other_are_no_tests_doing(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.Passes", "Memory.Skips", "Memory.BreaksTheAbi")
    assert run.verdicts == {
        "Memory.Skips": "SKIP",
        "Memory.Passes": "ABI_MISMATCH",
        "Memory.BreaksTheAbi": "ABI_MISMATCH",
    }, run.output
    assert power_cycles(run) == 1


class DiesOnce:
    """Power cycles of a machine that dies in the verify half of A, the first time only."""

    def __init__(self, then: Exception | None = None) -> None:
        self._cycles = 0
        self._then = then
        self.blame = Blame(self._cycle, Display(Console(file=io.StringIO()), quiet=True), reruns=8)
        self.seen: list[TestResult] = []

    def _cycle(self, batch: Batch) -> Results:
        self._cycles += 1
        if self._cycles == 1:
            batch.running = ("Suite.A", "verify")
            raise Crashed(Verdict.PANIC, "it panicked")
        if self._cycles == 3 and self._then is not None:
            raise self._then
        for test in batch.undecided():
            yield batch.decide(test.name, Verdict.PASS, "")

    def verdicts(self) -> dict[str, Verdict]:
        names = ("Suite.A", "Suite.B", "Suite.C")
        tests = [TestInfo(name, "continuity", None, None, 1, 1.0, "", 0, "") for name in names]
        for result in self.blame.batch(Batch(tests)):
            self.seen.append(result)
        return {result.name: result.verdict for result in self.seen}


def test_who_ran_when_it_died_once_has_not_passed() -> None:
    machine = DiesOnce()
    passed = {"Suite.B": Verdict.PASS, "Suite.C": Verdict.PASS}
    assert machine.verdicts() == {"Suite.A": Verdict.PANIC, **passed}
    (reason,) = machine.blame.unexplained
    assert "it did not happen again with fewer tests" in reason


def test_what_is_known_is_told_before_the_harness_fails() -> None:
    machine = DiesOnce(then=Infrastructure("the machine is sick"))
    with pytest.raises(Infrastructure):
        machine.verdicts()
    assert {result.name: result.verdict for result in machine.seen} == {"Suite.A": Verdict.PANIC}


def test_a_verdict_does_not_wait_for_the_other_tests(fake: FakeBench) -> None:
    """The culprit dies alone: its result is there before the rest is run."""
    culprit = "Memory.PanicsWhileArming"
    run = fake.run_tests("Memory.Passes", culprit, "Memory.AlsoPasses")
    seen = [
        f"{record['event']} {record.get('what', record.get('name', ''))}"
        for record in run.records
        if record.get("what") == "power-on" or record["event"] == "result"
    ]
    assert seen[:4] == ["mark power-on", "mark power-on", f"result {culprit}", "mark power-on"]
