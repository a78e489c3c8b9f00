# SPDX-License-Identifier: GPL-2.0-only
"""The end of a run on a machine that goes on: its devices are back, or it is said that not."""

from __future__ import annotations

import json
from typing import Any

from conftest import FakeBench
from fake.world import World

from carryover import journal


def _steps(fake: FakeBench) -> list[dict[str, Any]]:
    lines = (fake.out / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def a_lab(fake: FakeBench) -> None:
    text = fake.environment.read_text()
    fake.environment.write_text(text.replace("- FakeMachine:", "- FakeLabMachine:"))


def test_devices_are_put_back_in_the_end(fake: FakeBench) -> None:
    a_lab(fake)
    assert fake.run("-k", "Igb").status == 0
    steps = [step["step"] for step in _steps(fake)]
    assert steps.index("verify") < steps.index("restored")
    assert journal.read(fake.out / "journal.jsonl").bound == {}


def test_the_journal_says_whose_machine_it_is_and_where(fake: FakeBench) -> None:
    a_lab(fake)
    assert fake.run("-k", "Igb").status == 0
    steps = {step["step"]: step for step in _steps(fake)}
    access = steps["access"]
    assert (access["address"], access["username"], access["port"]) == ("127.0.0.1", "root", 22)
    assert access["program"] == "/bin/program"
    assert f"run in {fake.out}, process {steps['open']['pid']}" in access["owner"]
    assert steps["bound"]["boot_id"] == "boot-1"


def test_a_device_that_is_left_is_no_good_run(fake: FakeBench) -> None:
    a_lab(fake)
    World(fake.folder).update(cannot_restore="0000:01:00.0 is bound to e1000e by now")
    run = fake.run("-k", "Igb")
    assert run.status != 0
    assert run.verdicts == {"Igb.Passes": "PASS"}
    assert "0000:01:00.0 is not put back: 0000:01:00.0 is bound to e1000e by now" in run.output
    path = fake.out / "journal.jsonl"
    assert f"`carryover restore {path}` puts that back" in run.output
    assert list(journal.read(path).bound) == ["0000:01:00.0"]
    # Which the next run there does not forget.
    again = fake.run("-k", "Igb")
    assert f"`carryover restore {path}` puts that back" in again.output
    assert list(journal.read(path).bound) == ["0000:01:00.0"]


def test_the_bench_is_not_asked(fake: FakeBench) -> None:
    """It ends with the run."""
    assert fake.run("-k", "Igb").status == 0
    assert "restored" not in [step["step"] for step in _steps(fake)]
