# SPDX-License-Identifier: GPL-2.0-only
"""Runs for ci/bisect, by the runner itself on its fake machine: what they say of the kernel."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from carryover_ci.bench import Bench
from carryover_ci.bisect_decision import Outcome, Run, outcome_of
from carryover_ci.bisect_run import Selection, chosen_tests, read_run, run_tests
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress
from carryover_ci.run import Failure

FAKE = ROOT / "runner" / "tests" / "fake"


class FakeTarget:
    """The runner's fake machine as a target of ci/bisect."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.environment = Path(shutil.copy(FAKE / "environment.yaml", folder))
        program = Path(shutil.copy(FAKE / "program.py", folder / "carryover-selftests"))
        self.bench = Bench(folder / "qemu", program, folder, "tcg")

    def selection(
        self, *tests: str, arguments: tuple[str, ...] = (), deploy: str = ""
    ) -> Selection:
        plugin = ("-p", "fake.machine")
        return Selection(tests, (*plugin, *arguments), self.environment, deploy)

    def run(self, *tests: str, deploy: str = "") -> Run:
        selection = self.selection(*tests, deploy=deploy)
        return run_tests(self.bench, selection, {"CARRYOVER_INCOMING": "k"}, self.out, Progress())

    def outcome(self, *tests: str, deploy: str = "") -> tuple[Outcome, str]:
        return outcome_of(self.run(*tests, deploy=deploy), tests)


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTarget:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = [ROOT / "ci", ROOT / "runner", ROOT / "runner" / "tests"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    monkeypatch.setenv("CARRYOVER_FAKE_WORLD", str(tmp_path))
    return FakeTarget(tmp_path)


def test_tests_are_selected_as_pytest_does(target: FakeTarget) -> None:
    names = chosen_tests(target.bench, target.selection(arguments=("-k", "Chain or IsLost")))
    assert names == ["Chain.Passes", "Chain.FailsToCarry", "Memory.IsLost"]
    assert chosen_tests(target.bench, target.selection("Memory.Fails")) == ["Memory.Fails"]


@pytest.mark.parametrize(
    ("tests", "arguments", "said"),
    [
        ((), ("-k", "NoSuch"), r"no test is selected by: .*-k NoSuch.*--collect-only"),
        (("Memory.Fail",), (), r"--test Memory\.Fail: there is no such test; was Memory\.Fails"),
        ((), ("--carryover-nonsense",), r"(?s)pytest cannot select tests:.*--carryover-nonsense"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(
    tests: tuple[str, ...], arguments: tuple[str, ...], said: str, target: FakeTarget
) -> None:
    with pytest.raises(Failure, match=said):
        chosen_tests(target.bench, target.selection(*tests, arguments=arguments))


@pytest.mark.parametrize(
    ("test", "outcome", "why"),
    [
        ("Memory.Passes", Outcome.GOOD, "1 PASS"),
        ("Memory.Fails", Outcome.BAD, "FAIL Memory.Fails"),
        ("Memory.IsLost", Outcome.BAD, "LOST Memory.IsLost"),
        ("Memory.PanicsInVerify", Outcome.BAD, "PANIC Memory.PanicsInVerify"),
        ("Memory.PanicsWhileArming", Outcome.BAD, "PANIC Memory.PanicsWhileArming"),
        ("Memory.Skips", Outcome.UNKNOWN, "SKIP Memory.Skips"),
        ("Memory.BreaksTheAbi", Outcome.UNKNOWN, "ABI_MISMATCH Memory.BreaksTheAbi, which is not"),
        ("Memory.LosesSsh", Outcome.INFRA, "INFRA Memory.LosesSsh"),
    ],
)
def test_what_a_run_says(test: str, outcome: Outcome, why: str, target: FakeTarget) -> None:
    found, said = target.outcome(test)
    assert found is outcome, (target.out / "bench.log").read_text()
    assert said.startswith(why)


def test_one_bad_test_is_enough_and_the_run_is_kept(target: FakeTarget) -> None:
    run = target.run("Memory.Passes", "Memory.Fails")
    assert run.verdicts == {"Memory.Passes": "PASS", "Memory.Fails": "FAIL"}
    assert run.folder == str(target.out)
    assert run.seconds > 0


def test_a_kernel_that_does_not_come_up_is_not_blamed(target: FakeTarget, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"silent": true}')
    run = target.run("Memory.Passes")
    assert run.verdicts == {"Memory.Passes": "HANG"}
    assert outcome_of(run, ["Memory.Passes"]) == (
        Outcome.UNKNOWN,
        "the kernel does not boot: HANG",
    )


def test_a_kernel_that_lacks_something_is_not_blamed(target: FakeTarget, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"no_kho": true}')
    outcome, why = target.outcome("Memory.Passes")
    assert outcome is Outcome.UNKNOWN
    assert why.startswith("the target's kernel lacks what the tests need: kho")
    assert "boot with kho=on" in why


def test_what_the_kernel_complains_of_is_there(target: FakeTarget) -> None:
    run = target.run("Rules.MakesTheKernelWarn")
    assert run.faults == ["WARNING: possible recursive locking detected"]
    assert outcome_of(run, ["Rules.MakesTheKernelWarn"])[0] is Outcome.GOOD
    assert outcome_of(run, ["Rules.MakesTheKernelWarn"], ["FAULT"])[0] is Outcome.BAD


def test_the_kernel_is_deployed_before_each_run(target: FakeTarget, tmp_path: Path) -> None:
    note = tmp_path / "deployed"
    command = f'echo "$CARRYOVER_BOOT $CARRYOVER_INCOMING" >> {note}'
    for _ in range(2):
        assert target.outcome("Memory.Passes", deploy=command)[0] is Outcome.GOOD
    assert note.read_text() == f"{tmp_path}/boot k\n" * 2


def test_a_place_that_takes_no_kernel_spoils_the_run(target: FakeTarget) -> None:
    outcome, why = target.outcome("Memory.Passes", deploy="echo no route to host; false")
    assert outcome is Outcome.INFRA
    assert why == f"--deploy ended with 1: no route to host; see {target.out}/deploy.log"


def test_an_environment_that_is_none_is_no_infrastructure(target: FakeTarget) -> None:
    target.environment.write_text("targets: {main: {drivers: []}}\n")
    with pytest.raises(Failure, match=r"(?s)refuses to run.*KexecStrategy is needed.*bench\.log"):
        target.run("Memory.Passes")


def read(folder: Path, *lines: dict[str, Any], powered: bool) -> Run:
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    step = {"step": "power-on" if powered else "open"}
    (folder / "journal.jsonl").write_text(json.dumps(step) + "\n")
    (folder / "bench.log").write_text("ERROR: e.yaml: unknown key")
    return read_run(folder, folder / "bench.log")


BEGIN = {"event": "begin"}


def test_a_run_that_was_killed_is_spoilt(tmp_path: Path) -> None:
    outcome, why = outcome_of(read(tmp_path, BEGIN, powered=True), ["A.One"])
    assert outcome is Outcome.INFRA
    assert why == f"the run was cut off; see {tmp_path}/bench.log"


def test_what_the_runner_refuses_stops_it_all(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"(?s)the runner refuses.*unknown key"):
        read(tmp_path, BEGIN, {"event": "end", "how": "refused"}, powered=False)
