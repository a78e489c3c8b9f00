# SPDX-License-Identifier: GPL-2.0-only
"""The end of a run on a machine that goes on: its devices are back, or it is said that not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import FakeBench
from fake.world import World
from lab_with_device import lab_with_device
from test_lab_runs import FakeLab

from carryover.outputs import journal


@pytest.fixture
def lab(tmp_path: Path) -> FakeLab:
    return lab_with_device(tmp_path)


def test_devices_are_put_back_in_the_end(lab: FakeLab) -> None:
    assert lab.run("-k", "Igb").status == 0
    steps = [step["step"] for step in lab.journal]
    assert steps.index("verify") < steps.index("restored")
    assert journal.read(lab.out / "journal.jsonl").bound == {}


def test_the_journal_says_whose_machine_it_is_and_where(lab: FakeLab) -> None:
    assert lab.run("-k", "Igb").status == 0
    steps = {step["step"]: step for step in lab.journal}
    access = steps["access"]
    assert (access["address"], access["username"], access["port"]) == ("127.0.0.1", "root", 22)
    assert access["program"] == "/bin/program"
    assert f"run in {lab.out}, process {steps['open']['pid']}" in access["owner"]
    assert steps["bound"]["boot_id"].startswith("boot-")


def test_a_device_that_is_left_is_no_good_run(lab: FakeLab) -> None:
    World(lab.folder).update(cannot_restore="0000:01:00.0 is bound to e1000e by now")
    run = lab.run("-k", "Igb")
    assert run.status != 0
    assert run.verdicts == {"Igb.Passes": "PASS"}
    assert "0000:01:00.0 is not put back: 0000:01:00.0 is bound to e1000e by now" in run.output
    path = lab.out / "journal.jsonl"
    assert f"`carryover restore {path}` puts that back" in run.output
    assert list(journal.read(path).bound) == ["0000:01:00.0"]
    # Which the next run there does not forget.
    again = lab.run("-k", "Igb")
    assert f"`carryover restore {path}` puts that back" in again.output
    assert list(journal.read(path).bound) == ["0000:01:00.0"]


def test_the_bench_is_not_asked(fake: FakeBench) -> None:
    """It ends with the run."""
    assert fake.run("-k", "Igb").status == 0
    lines = map(json.loads, (fake.out / "journal.jsonl").read_text().splitlines())
    assert "restored" not in [step["step"] for step in lines]
