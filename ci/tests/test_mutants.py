# SPDX-License-Identifier: GPL-2.0-only
"""A mutant's fate, from the results of a run on it."""

from pathlib import Path
from typing import Any

import pytest

from carryover_ci.mutants import Fate, Mutant, Trial, judge, table
from carryover_ci.run import Failure


def result(verdict: str, *, ran: bool = True) -> dict[str, Any]:
    return {"name": "A.B", "verdict": verdict, "halves": [{"half": "arm"}] if ran else []}


@pytest.mark.parametrize(
    ("results", "fate", "killers"),
    [
        ([result("PASS"), result("FAIL")], Fate.KILLED, ["FAIL A.B"]),
        ([result("PASS"), result("PANIC")], Fate.KILLED, ["PANIC A.B"]),
        ([result("PASS"), result("SKIP", ran=False)], Fate.SURVIVED, []),
        ([result("PASS"), result("INFRA")], Fate.SURVIVED, []),
        ([result("HANG", ran=False)], Fate.NOT_BOOTED, []),
        ([], Fate.NOT_BOOTED, []),
    ],
)
def test_fate(results: list[dict[str, Any]], fate: Fate, killers: list[str]) -> None:
    assert judge(results) == (fate, killers)


def test_a_mutant_says_what_it_breaks(tmp_path: Path) -> None:
    patch = tmp_path / "page-lost.patch"
    patch.write_text("Subject: [PATCH] One page is lost\n\n--- a/x\n")
    assert Mutant.read(patch) == Mutant("page-lost", patch, "One page is lost")
    patch.write_text("--- a/x\n")
    with pytest.raises(Failure, match=r"page-lost\.patch: has no line"):
        Mutant.read(patch)


def test_survivors_come_last() -> None:
    trials = {
        "alive": Trial("", Fate.SURVIVED, "x", [], 12.0, "out/alive.log"),
        "dead": Trial("", Fate.KILLED, "x", ["FAIL A.B", "LOST A.C", "FAIL A.D"], 9.5, "out/d.log"),
    }
    lines = table(trials).splitlines()
    assert lines[0].startswith("dead")
    assert "FAIL A.B, LOST A.C and 1 more" in lines[0]
    assert lines[1].startswith("alive")
    assert "survived" in lines[1]
    assert "out/alive.log" in lines[1]
    assert lines[-1] == "1 of 2 mutants killed"
