# SPDX-License-Identifier: GPL-2.0-only
"""ci/bisect: one step, a whole bisection by git, and how it ends when it cannot work."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from kernel_repository import KernelRepository
from python_path import PYTHON_PATH

from carryover_ci import bisect
from carryover_ci.bisect_decision import BAD_VERDICTS, Answer, Rule, Run
from carryover_ci.bisect_judge import Question, Verdict, judge
from carryover_ci.bisect_kernel import NotBuilt
from carryover_ci.bisect_options import FAILED
from carryover_ci.bisect_record import Record
from carryover_ci.bisect_tree import checkout_of
from carryover_ci.kernel_config import OptionRefused
from carryover_ci.program import ROOT
from carryover_ci.run import Failure, exit_with

TESTS = ROOT / "ci" / "tests"


class Kernel:
    """One whose tests have these verdicts, one a run; None is a kill of ci/bisect."""

    def __init__(self, *verdicts: str | None, not_built: str = "") -> None:
        self.verdicts = list(verdicts)
        self.not_built = not_built
        self.builds = 0
        self.runs = 0
        self.said: list[str] = []

    def build(self) -> float:
        self.builds += 1
        if self.not_built:
            raise NotBuilt(self.not_built)
        return 1.5

    def run(self, number: int) -> Run:
        self.runs += 1
        verdict = self.verdicts.pop(0)
        if verdict is None:
            raise KeyboardInterrupt
        return Run({"A.One": verdict}, seconds=2.0)

    def judge(
        self, file: Path, rule: Rule, wanted: Sequence[str] = BAD_VERDICTS, *, fresh: bool = False
    ) -> Verdict:
        record = Record(file) if fresh else Record.read(file)
        question = Question(rule, ["A.One"], wanted)
        return judge(question, record, self.build, self.run, self.said.append)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def test_a_step_builds_once_and_runs_until_it_is_decided(file: Path) -> None:
    kernel = Kernel("PASS", "PASS", "PASS")
    verdict = kernel.judge(file, Rule(3))
    assert (verdict.answer, verdict.why, verdict.cached) == (
        Answer.GOOD,
        "3 of 3 runs good",
        False,
    )
    assert (kernel.builds, kernel.runs) == (1, 3)
    assert kernel.said == [
        "build        1.5 s",
        *(f"run {n}        2.0 s  good         1 PASS" for n in (1, 2, 3)),
    ]


def test_a_second_time_it_is_known(file: Path) -> None:
    Kernel("FAIL").judge(file, Rule(1))
    again = Kernel()
    verdict = again.judge(file, Rule(1))
    assert (verdict.answer, verdict.cached) == (Answer.BAD, True)
    assert (again.builds, again.runs) == (0, 0)
    assert again.said[-1].endswith("FAIL A.One  (before)")


def test_fresh_forgets(file: Path) -> None:
    Kernel("FAIL").judge(file, Rule(1))
    again = Kernel("PASS")
    assert again.judge(file, Rule(1), fresh=True).answer is Answer.GOOD
    assert again.builds == 1
    assert Kernel().judge(file, Rule(1)).answer is Answer.GOOD


def test_a_killed_step_goes_on_where_it_was(file: Path) -> None:
    killed = Kernel("PASS", "PASS", None)
    with pytest.raises(KeyboardInterrupt):
        killed.judge(file, Rule(4))
    again = Kernel("PASS", "PASS")
    verdict = again.judge(file, Rule(4))
    assert (verdict.answer, verdict.cached) == (Answer.GOOD, False)
    assert again.runs == 2


def test_more_runs_than_before_use_those_that_there_are(file: Path) -> None:
    Kernel("PASS", "PASS").judge(file, Rule(2))
    more = Kernel("FAIL", "PASS")
    assert more.judge(file, Rule(4)).answer is Answer.BAD
    assert more.runs == 1


def test_another_wanted_verdict_needs_no_run_again(file: Path) -> None:
    Kernel("PANIC").judge(file, Rule(1))
    again = Kernel()
    assert again.judge(file, Rule(1), ["FAIL"]).answer is Answer.CANNOT_TELL
    assert again.judge(file, Rule(1), ["PANIC"]).answer is Answer.BAD


def test_a_commit_that_does_not_build_is_known_too(file: Path) -> None:
    kernel = Kernel(not_built="a.c:1: error: no; see build.log")
    verdict = kernel.judge(file, Rule(1))
    assert verdict.answer is Answer.CANNOT_TELL
    assert verdict.why == "it does not build: a.c:1: error: no; see build.log"
    again = Kernel()
    assert again.judge(file, Rule(1)).answer is Answer.CANNOT_TELL
    assert again.builds == 0


def test_runs_that_the_infrastructure_spoilt_are_not_kept(file: Path) -> None:
    kernel = Kernel("INFRA", "INFRA", "INFRA")
    verdict = kernel.judge(file, Rule(1))
    assert verdict.answer is Answer.STOP
    assert kernel.builds == 1
    again = Kernel("PASS")
    assert again.judge(file, Rule(1)).answer is Answer.GOOD
    assert again.said[0] == "build        1.5 s  (before)"


def test_git_finds_the_culprit_by_itself(tmp_path: Path) -> None:
    repository = KernelRepository(tmp_path / "linux")
    states = ["PASS"] * 6 + ["does not compile"] + ["PASS"] * 2 + ["FAIL"] * 5
    commits = [
        repository.commit(f"change {n}", {"mm/a.c": f"{state}\n{n}"})
        for n, state in enumerate(states)
    ]
    log = tmp_path / "log"
    records = tmp_path / "records"
    command = [sys.executable, str(TESTS / "fake_bisect.py"), str(log), str(records)]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}

    def bisect_run() -> str:
        repository.git("bisect", "start", commits[-1], commits[0])
        done = subprocess.run(
            ["git", "bisect", "run", *command],
            cwd=repository.top,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    output = bisect_run()
    assert f"{commits[9]} is the first bad commit" in output
    assert repository.git("rev-parse", "refs/bisect/bad") == commits[9]
    assert repository.git("bisect", "log").count("git bisect skip") == 1
    done = log.read_text()
    assert "build change 6\n" in done  # the first that git tries
    assert "run change 6\n" not in done
    # Once more: every answer is known.
    repository.git("bisect", "reset")
    assert f"{commits[9]} is the first bad commit" in bisect_run()
    assert log.read_text() == done


def run_module(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "carryover_ci.bisect", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say which tests"),
        (("--test", "A.One", "-k", "B"), "--test is not for -k or -m"),
        (("-k", "A", "--runs", "0"), "--runs takes 1 or more"),
        (("-k", "A", "--bad-runs", "2"), "--bad-runs 1 to that"),
        (("-k", "A", "--verdict", "PASS"), "invalid choice: 'PASS'"),
        (("-k", "A", "--old-kernel", "a", "--new-kernel", "b"), "not allowed with argument"),
        (("-k", "A", "--kernel-source", "somewhere"), "unrecognized arguments"),
        (("-k", "A"), "not in a git repository"),
        (("-k", "A", "--tree", "nowhere"), "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_done_stops_git(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run_module(*words, folder=tmp_path)
    assert done.returncode == 129, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dirty_tree_stops_git(tmp_path: Path) -> None:
    repository = KernelRepository(tmp_path / "linux")
    (repository.top / "mm/a.c").write_text("changed")
    done = run_module("-k", "A", folder=repository.top)
    assert done.returncode == 129
    assert "tracked files differ" in done.stderr


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--kernel-config", "CONFIG_A=maybe\n", "given:1: not a line of a kernel configuration"),
        ("--kernel-config", None, "given: no such configuration fragment"),
        ("--kernel-patch", None, "given: no such patch"),
    ],
)
def test_a_bad_fragment_or_patch_stops_git(
    option: str, text: str | None, said: str, tmp_path: Path
) -> None:
    repository = KernelRepository(tmp_path / "linux")
    if text:
        (tmp_path / "given").write_text(text)
    done = run_module("-k", "A", option, str(tmp_path / "given"), folder=repository.top)
    assert done.returncode == 129
    assert said in done.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OptionRefused("CONFIG_A=y came out as n"), 129),
        (Failure("no such test"), 129),
        (OSError(28, "No space left on device"), 128),
    ],
)
def test_errors_on_the_way_stop_git(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        exit_with(main, "ci/bisect", failure=FAILED, broken=Answer.STOP.value)
    assert ended.value.code == status
    assert str(error.args[-1]) in capsys.readouterr().err


def test_an_option_that_does_not_take_is_not_a_commit_that_does_not_build(file: Path) -> None:
    def build() -> float:
        raise OptionRefused("CONFIG_A=y came out as n")

    with pytest.raises(OptionRefused):
        judge(Question(Rule(1), ["A.One"]), Record(file), build, Kernel().run, str)
    assert not file.exists()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (0, 0),
        (64, 1),
        (125, 125),
        (128, 128),
        (129, 129),
        (130, 130),
        (1, 128),
        (2, 128),
        (127, 128),
    ],
)
def test_git_is_told_bad_for_a_bad_commit_only(status: int, told: int, tmp_path: Path) -> None:
    """The shell script, with a Python that ends so: by itself, it ends with 1."""
    key = subprocess.run(
        ["bash", "-c", f'. "{ROOT}/ci/environment.sh" && basename "$(carryover_venv)"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    python = tmp_path / "carryover" / key / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexit {status}\n")
    python.chmod(0o755)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([ROOT / "ci" / "bisect", "-k", "A"], env=environment, check=False)
    assert done.returncode == told


@pytest.mark.parametrize(
    ("verdict", "status", "last"),
    [
        ("PASS", 0, "good         1 of 1 run good; "),
        ("FAIL", 64, "bad          1 of 1 run bad; "),
        ("SKIP", 125, "cannot tell  0 good, 0 bad, 1 cannot tell; wanted are 1 good and none bad"),
        ("INFRA", 128, "stop         the infrastructure spoilt all of 3 runs; "),
    ],
)
def test_a_step_from_its_arguments_to_its_end(
    verdict: str,
    status: int,
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    repository = KernelRepository(tmp_path / "linux")

    class Step(bisect.Bisection):
        def __init__(self, arguments: argparse.Namespace, for_pytest: list[str]) -> None:
            assert for_pytest == ["--carryover-soak", "5"]
            self.started = time.time()
            self.out = arguments.out
            self.checkout = checkout_of(arguments.tree)
            self.question = Question(Rule(arguments.runs), arguments.test)
            self.record_file = tmp_path / "record.json"

        def build(self) -> float:
            return 1.5

        def run(self, number: int) -> Run:
            return Run({"A.One": verdict}, seconds=2.0, folder=f"run-{number}")

    monkeypatch.setattr(bisect, "Bisection", Step)
    out = tmp_path / "out"
    words = ["--tree", str(repository.top), "--test", "A.One", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["ci/bisect", *words, "--", "--carryover-soak", "5"])
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            bisect._main()
        assert ended.value.code == status
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"bisect    {repository.git('rev-parse', 'HEAD')[:12]}  base"
    assert said[1] == "build        1.5 s"
    assert any(line.startswith(last) for line in said)
    known = "; all of it known before (--fresh does it again)" in said[-1].replace(" s, ", " s; ")
    assert known is (verdict != "INFRA")
    steps = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert [step["cached"] for step in steps] == [False, known]
    assert {step["exit_status"] for step in steps} == {1 if status == 64 else status}
    assert steps[0]["subject"] == "base"
    assert steps[0]["runs"][0]["verdicts"] == {"A.One": verdict}


def test_a_record_is_whole(file: Path) -> None:
    Kernel("FAIL", "PASS").judge(file, Rule(2))
    kept = json.loads(file.read_text())
    assert [run["verdicts"] for run in kept["runs"]] == [{"A.One": "FAIL"}]
    assert Record.read(file).runs == [Run({"A.One": "FAIL"}, seconds=2.0)]
