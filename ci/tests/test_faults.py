# SPDX-License-Identifier: GPL-2.0-only
"""The fault matrix's own judgement: what is wrong is called wrong, and what is lost, lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from carryover_ci import console_fault
from carryover_ci.fault_run import FaultRun
from carryover_ci.fault_table import Fault, faults
from carryover_ci.faults import Judgement, Matrix, judge, run_once, table

HIT, OTHER = "HiddenFault.PanicsInVerify", "HiddenFault.IsSound"
FAULT = Fault("panic", "", {HIT: "PANIC", OTHER: "PASS"}, 1, lambda run: (1, 0.0), limit=5.0)
END = {"event": "end", "how": "complete"}


def result(name: str, verdict: str, time: float = 103.0) -> dict[str, Any]:
    return {"event": "result", "name": name, "verdict": verdict, "reason": "why", "time": time}


RIGHT = [result(HIT, "PANIC"), result(OTHER, "PASS"), END]


def judged(records: list[dict[str, Any]], status: int = 1) -> Judgement:
    return judge(FAULT, records, status, 100.0, 9.0)


def test_a_right_run() -> None:
    judgement = judged(RIGHT)
    assert judgement == Judgement("panic", 2, [], [], 3.0, 9.0)
    assert judgement.is_good


@pytest.mark.parametrize(
    ("records", "status", "wrong", "lost"),
    [
        ([result(HIT, "HANG"), *RIGHT[1:]], 1, [f"{HIT} is HANG, not PANIC: why"], []),
        ([RIGHT[0], result(OTHER, "INFRA"), END], 1, [f"{OTHER} is INFRA, not PASS: why"], []),
        ([RIGHT[0], END], 1, [], [OTHER]),
        (RIGHT, 0, ["exit status 0, not 1"], []),
        (RIGHT[:-1], 1, ["the results have no end"], []),
        ([RIGHT[1], *RIGHT], 1, ["a test has two results"], []),
        ([result("A.B", "PASS"), *RIGHT], 1, ["A.B was not selected"], []),
        (
            [result(HIT, "PANIC", 105.5), *RIGHT[1:]],
            1,
            ["the verdict came 5.5 s after the fault, not within 5 s"],
            [],
        ),
    ],
)
def test_what_is_not_right(
    records: list[dict[str, Any]], status: int, wrong: list[str], lost: list[str]
) -> None:
    judgement = judged(records, status)
    assert (judgement.wrong, judgement.lost) == (wrong, lost)
    assert not judgement.is_good


def test_the_table() -> None:
    late = judged([result(HIT, "PANIC", 109.0), *RIGHT[1:]])
    head, row = table([FAULT], [judged(RIGHT), judged([RIGHT[0], END]), late]).splitlines()
    assert head.split() == ["fault", "runs", "right", "wrong", "lost", "median", "s", "worst", "s"]
    assert row.split() == ["panic", "3", "5", "1", "1", "3.00", "9.00"]


def test_a_fault_that_cannot_be_done_is_wrong(tmp_path: Path) -> None:
    def cannot(run: FaultRun) -> tuple[int, float]:
        raise OSError(28, "No space left on device")

    judgement = run_once(Fault("x", "", {HIT: "PANIC"}, 1, cannot), tmp_path / "run")
    assert judgement.wrong == ["[Errno 28] No space left on device"]
    assert judgement.lost == [HIT]


@pytest.mark.parametrize(
    ("verdict", "short", "runs", "wrong"),
    [
        ("PANIC", 0, 1, []),
        ("PANIC", 2, 3, []),
        ("PANIC", 3, 3, ["too little"]),
        ("HANG", 3, 1, [f"{HIT} is HANG, not PANIC: why", "too little"]),
    ],
)
def test_a_fault_that_the_machine_fell_short_of_is_caused_again(
    tmp_path: Path, verdict: str, short: int, runs: int, wrong: list[str]
) -> None:
    done = 0

    def falls_short(run: FaultRun) -> tuple[int, float]:
        nonlocal done
        done += 1
        run.out.mkdir()
        records = [result(HIT, verdict), *RIGHT[1:]]
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        (run.out / "results.jsonl").write_text(lines)
        run.short = "too little" if done <= short else ""
        return 1, 100.0

    fault = Fault("x", "", FAULT.verdicts, 1, falls_short, limit=5.0)
    judgement = run_once(fault, tmp_path / "run")
    assert (done, judgement.wrong) == (runs, wrong)


def test_all_runs_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose program cannot even be started is no right one, and its folder is kept."""
    monkeypatch.setattr("carryover_ci.faults.OUT", tmp_path / "out")
    monkeypatch.setenv("CARRYOVER_PROGRAM", "/does/not/exist")
    matrix = Matrix([FAULT], runs=2, jobs=2)
    assert not matrix.run()
    assert len(matrix.judgements) == 2
    assert sorted(kept.name for kept in (tmp_path / "out" / "wrong").iterdir()) == [
        "panic-1",
        "panic-2",
    ]
    assert (tmp_path / "out" / "faults.json").exists()


def test_every_fault_says_what_has_to_come_of_it() -> None:
    known = faults()
    assert len({fault.name for fault in known}) == len(known)
    for fault in known:
        assert fault.what
        assert len(fault.verdicts) > 1, "without an innocent test, nothing shows that it is one"


def test_a_flood_is_measured(tmp_path: Path) -> None:
    report = tmp_path / "flood.json"
    report.write_text('{"bytes": 21000000, "seconds": 2.0}\n{"bytes": 9000000, "seconds": 1.0}\n')
    assert console_fault.rate(report) == 9.0
