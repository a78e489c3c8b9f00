# SPDX-License-Identifier: GPL-2.0-only
"""Runs are read as they were written, and what is no whole run is said to be none."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import FakeBench

from carryover.errors import BadInput
from carryover.outputs.saved_run import load

BEGIN = {
    "event": "begin",
    "schema": 3,
    "time": 1.0,
    "carryover": "0",
    "target": "main",
    "environment": "e.yaml",
    "claims": ["memory"],
    "iommu_mode": "iommufd",
    "devices": [],
    "arguments": [],
}
MARK = {"event": "mark", "time": 2.0, "cycle": 1, "kexec": 0, "what": "power-on", "text": ""}
END = {"event": "end", "how": "complete", "counts": {}, "time": 3.0}


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def test_a_run(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_VIOLATION"] = "model dsa: the ring is not enabled"
    run = fake.run_tests("Rules.MakesTheKernelWarn", "Memory.IsDamaged")
    for given in (run.out, run.out / "results.jsonl"):
        saved = load(given)
        assert saved.directory == run.out
        assert saved.begin["schema"] == 3
        assert [result["name"] for result in saved.results] == list(run.verdicts)
        assert len(saved.marks) > 10
        assert [fault["test"] for fault in saved.faults] == ["Rules.MakesTheKernelWarn"]
        assert [violation["text"] for violation in saved.violations] == [
            "model dsa: the ring is not enabled"
        ]
        assert saved.end == run.records[-1]
        assert saved.remark == ""


def test_a_run_that_was_killed(fake: FakeBench) -> None:
    process = fake.start("-k", "Memory and (HangsInVerify or AlsoPasses)")
    assert process.stdout is not None
    for line in process.stdout:
        if "verify" in line:
            process.send_signal(signal.SIGKILL)
    process.wait()
    saved = load(fake.out)
    assert saved.end is None
    assert saved.remark.startswith("the run was cut short: nothing came after line ")
    assert "verify" in [mark["what"] for mark in saved.marks]


@pytest.mark.parametrize("kept", [1, 20, -2, -1])
def test_a_last_line_that_is_cut_off_is_left_out(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(lines(BEGIN, MARK) + lines(END)[:kept])
    saved = load(tmp_path)
    assert saved.marks == [MARK]
    assert saved.end is None
    assert saved.remark == "the run was cut short: line 3 is cut off, and was left out"


def test_a_run_that_was_interrupted_says_so(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(lines(BEGIN, {**END, "how": "cut short"}))
    assert load(tmp_path).remark == "the run did not come to its end: cut short"


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        (b"", ["results.jsonl: it is empty", "--carryover-out"]),
        (b'{"event": "beg', ["its first line is cut off"]),
        (lines({**BEGIN, "schema": 4}), [":1: ", "schema version 4, and this Carryover reads 3"]),
        (lines({"event": "begin", "time": 1.0}), [":1: ", "schema version 1"]),
        (lines(MARK), [":1: ", "a run begins with `begin`, not `mark`"]),
        (lines(BEGIN, MARK).replace(b'"mark"', b'"mark'), [":2: the line is damaged"]),
        (lines(BEGIN) + b"\0\0\0\n" + lines(END), [":2: the line is damaged"]),
        (lines(BEGIN) + b'{"event": "\xff"}\n', [":2: the line is damaged"]),
        (lines(BEGIN) + b"\n" + lines(END), [":2: the line is damaged"]),
        (lines(BEGIN) + b"[]\n", [":2: the line is no record"]),
        (lines(BEGIN, {"event": "surprise"}), [":2: a record `surprise` does not belong there"]),
        (lines(BEGIN, BEGIN), [":2: a record `begin` does not belong there"]),
        (lines(BEGIN, {"event": "mark"}), [":2: the record `mark` lacks `cycle`"]),
        (lines(BEGIN, END, MARK), [":3: there is more after the end of the run"]),
    ],
)
def test_what_is_no_run(tmp_path: Path, written: bytes, parts: list[str]) -> None:
    (tmp_path / "results.jsonl").write_bytes(written)
    with pytest.raises(BadInput) as refused:
        load(tmp_path)
    assert str(refused.value).startswith(str(tmp_path / "results.jsonl"))
    for part in parts:
        assert part in str(refused.value)


def test_no_such_file(tmp_path: Path) -> None:
    for given in (tmp_path, tmp_path / "nothing", tmp_path / "results.jsonl"):
        with pytest.raises(BadInput, match=r"No such file.*give the --carryover-out of a run"):
            load(given)


def test_a_file_of_something_else(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_text("<testsuites>\n</testsuites>\n")
    with pytest.raises(BadInput, match=r"junit.xml:1: the line is damaged"):
        load(file)


def test_one_of_many_runs_in_a_folder_is_named_by_its_file(tmp_path: Path) -> None:
    for name, told in (("results.jsonl", tmp_path), ("run-7.jsonl", tmp_path / "run-7.jsonl")):
        (tmp_path / name).write_bytes(lines(BEGIN, END))
        assert load(tmp_path / name).name == str(told)
