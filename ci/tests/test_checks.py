# SPDX-License-Identifier: GPL-2.0-only
import json
from pathlib import Path

import pytest

from carryover_ci.checks import SAMPLE_OF_MUTANTS, check_all_ran, count
from carryover_ci.program import ROOT
from carryover_ci.run import Failure


@pytest.mark.parametrize(
    ("output", "succeeded", "expected"),
    [
        ("", True, (1, 0)),
        ("some complaint", False, (0, 1)),
        ("31 passed in 0.14s\n", True, (31, 0)),
        ("1 failed, 30 passed in 0.18s\n", False, (30, 1)),
        ("==== 2 passed, 1 skipped, 1 error in 1.0s ====\n", False, (2, 1)),
        ("31 passed in 0.14s\nINTERNALERROR\n", False, (31, 1)),
        ("100% tests passed, 0 tests failed out of 42\n", True, (42, 0)),
        ("98% tests passed, 1 test failed out of 42\n", False, (41, 1)),
        ("a  killed  9.5 s  2 failed, 3 passed\n\n5 of 5 mutants killed\n", True, (5, 0)),
        ("3 of 5 mutants killed\n", False, (3, 2)),
        ("19 of 20 runs right\n", False, (19, 1)),
    ],
)
def test_count(output: str, succeeded: bool, expected: tuple[int, int]) -> None:
    assert count(output, succeeded) == expected


def test_the_sample_has_mutants_of_each_kind() -> None:
    there = {patch.stem for patch in (ROOT / "ci" / "kernel" / "mutants").glob("*.patch")}
    assert set(SAMPLE_OF_MUTANTS) <= there
    assert {name.partition("-")[0] for name in SAMPLE_OF_MUTANTS} == {
        "memfd",
        "session",
        "vfio",
        "pci",
    }


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [(["PASS", "PASS"], ""), (["PASS", "SKIP"], "skipped: A.1"), ([], "no test ran")],
)
def test_what_stands_for_a_figure_has_to_run(
    tmp_path: Path, verdicts: list[str], said: str
) -> None:
    lines = [
        {"event": "result", "name": f"A.{n}", "verdict": verdict, "claim": None}
        for n, verdict in enumerate(verdicts)
    ]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if not said:
        check_all_ran(tmp_path)
        return
    with pytest.raises(Failure, match=said):
        check_all_ran(tmp_path)
