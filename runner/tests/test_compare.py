# SPDX-License-Identifier: GPL-2.0-only
"""What changed between two runs, and whether it is for the worse."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import FakeBench
from rich.console import Console

from carryover.__main__ import main
from carryover.outputs.compare import Comparison, Thresholds, compare, spans
from carryover.outputs.comparison_text import comparison_text
from carryover.outputs.saved_run import SavedRun


def result(name: str, verdict: str = "PASS", **fields: Any) -> dict[str, Any]:
    reason = "" if verdict == "PASS" else f"{name} is {verdict}"
    usual = {"duration": 1.0, "notes": {}, "cold_boot": None, "kexecs": []}
    return {"name": name, "verdict": verdict, "reason": reason, **usual, **fields}


def marks(number: int, **times: float) -> list[dict[str, Any]]:
    return [{"cycle": 1, "kexec": number, "what": w, "time": t} for w, t in times.items()]


def run(
    *results: dict[str, Any],
    faults: tuple[str, ...] = (),
    violations: tuple[str, ...] = (),
    marks: list[dict[str, Any]] | None = None,
    remark: str = "",
) -> SavedRun:
    said = [{"text": text} for text in faults]
    forbidden = [{"text": text} for text in violations]
    return SavedRun(Path("out"), {}, list(results), marks or [], said, forbidden, None, remark)


def shown(a: SavedRun, b: SavedRun, comparison: Comparison, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(comparison_text(a, b, comparison), soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_is_not_worse_than_itself() -> None:
    same = run(result("A.B"), result("A.C", "FAIL"), faults=("WARNING: x",))
    comparison = compare(same, same)
    assert not comparison.is_worse
    assert comparison.as_dict()["verdicts"] == []
    assert "B is not worse" in shown(same, same, comparison)


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [
        ("PASS", "FAIL", "worse"),
        ("PASS", "SKIP", "worse"),
        ("PASS", "INFRA", "worse"),
        ("SKIP", "LOST", "worse"),
        ("INFRA", "REFUSED", "worse"),
        ("FAIL", "PANIC", "worse"),
        ("FAIL", "LOST", "changed"),
        ("PANIC", "HANG", "changed"),
        ("FAIL", "INFRA", "changed"),
        ("FAIL", "PASS", "better"),
        ("SKIP", "PASS", "better"),
        ("INFRA", "PASS", "better"),
        ("HANG", "FAIL", "better"),
    ],
)
def test_verdicts(before: str, after: str, how: str) -> None:
    a, b = run(result("A.B", before)), run(result("A.B", after))
    comparison = compare(a, b)
    (change,) = comparison.verdicts
    assert (change.before, change.after, change.how) == (before, after, how)
    assert comparison.is_worse == (how == "worse")
    assert f"{before} -> {after}" in shown(a, b, comparison)


def test_a_test_that_passed_and_is_gone_is_for_the_worse() -> None:
    a = run(result("A.B"), result("A.C", "FAIL"))
    b = run(result("A.C", "FAIL"), result("A.D", "FAIL"))
    comparison = compare(a, b)
    assert comparison.only_in_a == {"A.B": "PASS"}
    assert comparison.only_in_b == {"A.D": "FAIL"}
    assert comparison.is_worse
    assert not compare(run(result("A.C", "FAIL")), b).is_worse  # nothing is known of A.D before
    assert not compare(run(result("A.C", "FAIL"), result("A.E", "SKIP")), b).is_worse


def test_times_change_by_both_thresholds() -> None:
    a = run(*(result(name, duration=1.0) for name in ("A.Slow", "A.Fast", "A.Same")))
    b = run(
        result("A.Slow", duration=1.51),
        result("A.Fast", duration=0.66),
        result("A.Same", duration=1.49),
    )
    assert [change.what for change in compare(a, b).times] == ["A.Slow", "A.Fast"]
    assert not compare(a, b).is_worse
    in_seconds = compare(a, b, Thresholds(relative=0.1, absolute=0.5)).times
    assert [change.what for change in in_seconds] == ["A.Slow"]
    text = shown(a, b, compare(a, b))
    assert "times that changed by more than 50% of the smaller and 0.1 s (2)" in text
    assert "1.000 s -> 1.510 s" in text
    failed = run(result("A.Slow", "FAIL", duration=9.0))
    assert compare(a, failed).times == []  # how long a failure takes says nothing


def test_times_of_the_kexec() -> None:
    a = run(marks=marks(1, kexec=1.0, kernel=1.5, ready=2.0) + marks(0, ready=0.5))
    b = run(marks=marks(1, kexec=1.0, kernel=2.5, ready=3.0) + marks(2, kexec=5.0, kernel=6.6))
    assert spans(b, "kexec", "kernel") == [1.5, pytest.approx(1.6)]
    changes = {change.what: change.after for change in compare(a, b).times}
    assert changes == {
        "a kexec, from `kexec` to `kernel`": pytest.approx(1.55),
        "a kexec, from `kexec` to `ready`": pytest.approx(2.0),
    }


def test_figures() -> None:
    a = run(result("A.B", notes={"MBps": "100.0", "mode": "fast", "same": "7", "gone": 1}))
    b = run(result("A.B", notes={"MBps": "40.0", "mode": "slow", "same": "8", "new": [1]}))
    comparison = compare(a, b)
    changed = {change.note: (change.before, change.after) for change in comparison.notes}
    assert changed == {
        "MBps": ("100.0", "40.0"),
        "mode": ("fast", "slow"),
        "gone": (1, None),
        "new": (None, [1]),
    }
    assert not comparison.is_worse
    assert "100.0 -> 40.0" in shown(a, b, comparison)


def test_kernel_messages() -> None:
    known = "WARNING: CPU: {} PID: {} at mm/slub.c:12 free+0x{:x}/0x80"
    a = run(faults=(known.format(0, 44, 0x1A), "BUG: gone"))
    b = run(faults=(known.format(1, 97, 0x2C), "BUG: [new]", "BUG: [new]"))
    comparison = compare(a, b)
    assert comparison.new_faults == ["BUG: [new]"]
    assert comparison.gone_faults == ["BUG: gone"]
    assert comparison.is_worse
    assert "BUG: [new]" in shown(a, b, comparison)
    assert not compare(b, run()).is_worse
    line = known.format(0, 1, 1)
    assert compare(run(faults=(line,)), run(faults=(line.replace(":12", ":13"),))).is_worse


def test_violations() -> None:
    assert compare(run(), run(violations=("dsa: off",))).is_worse
    assert compare(run(violations=("dsa: off",)), run()).gone_violations == ["dsa: off"]


def test_a_run_that_was_cut_short_is_said_to_be() -> None:
    a, b = run(result("A.B")), run(remark="the run was cut short")
    comparison = compare(a, b)
    assert comparison.is_worse
    assert "out: the run was cut short" in shown(a, b, comparison)


def test_no_name_is_cut() -> None:
    name = f"VfioIncomingRules.{'Quite' * 12}Long"
    a, b = run(result(name)), run(result(name, "FAIL"))
    assert name in shown(a, b, compare(a, b))
    narrow = shown(a, b, compare(a, b), width=60)
    assert "\u2026" not in narrow
    assert Counter(narrow)["Q"] >= 12  # folded


def test_the_command(fake: FakeBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake.out = tmp_path / "a"
    fake.run_tests("Memory.Passes", "Rules.MakesTheKernelWarn")
    fake.out = tmp_path / "b"
    fake.run_tests("Memory.Passes", "Rules.Passes")
    a, b = str(tmp_path / "a"), str(tmp_path / "b" / "results.jsonl")
    assert main(["compare", a, a]) == 0
    assert "1 kernel" not in capsys.readouterr().out
    assert main(["compare", b, a]) == 1
    text = capsys.readouterr().out
    assert "kernel messages only in B (1)" in text
    assert "tests only in A (1)" in text
    assert "Linux 7.3.4-fake" in text
    assert "WARNING: possible recursive locking detected" in text
    assert main(["compare", "--json", "--relative", "2", "--seconds", "3", a, b]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["only_in_b"] == {"Rules.Passes": "PASS"}
    assert said["gone_faults"] == ["WARNING: possible recursive locking detected"]
    assert said["thresholds"] == {"relative": 2.0, "absolute": 3.0}


def test_bad_input_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.jsonl").write_text('{"event": "begin", "schema": 1}\n')
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("carryover: ")
    assert "schema version 1, and this Carryover reads 3" in error
    assert main(["compare", str(tmp_path / "no"), str(tmp_path)]) == 2
    assert "No such file" in capsys.readouterr().err
    for wrong in (["--relative", "-1"], ["--relative", "x"], ["--seconds", "nan"], ["--rel", "1"]):
        with pytest.raises(SystemExit) as ended:
            main(["compare", "a", "b", *wrong])
        assert ended.value.code == 2
