# SPDX-License-Identifier: GPL-2.0-only
"""A machine that somebody has is not rebooted under him."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from fake.world import World
from lab_with_device import lab_with_device

from carryover.errors import Infrastructure
from carryover.machine.held import QUESTION, who_holds

RECORD = json.dumps({"owner": "ann@desk", "verb": "arm", "since": "2026-01-01", "pid": 57})
LOCKS = "1: POSIX  ADVISORY  WRITE 57 00:18:9 0 EOF\n2: FLOCK  ADVISORY  WRITE {} 00:19:4 0 EOF\n"
MARK = "-- carryover --\n"


def answer(
    record: str = RECORD, verified: str = "", pid: int = 57, command_line: str = "quiet"
) -> str:
    parts = (record, verified, LOCKS.format(pid), command_line, "boot-1")
    return "".join(f"{part}\n{MARK}" for part in parts)


def asked(text: str) -> str:
    return who_holds(lambda command: text)


def test_a_lock_says_who_has_it() -> None:
    assert asked(answer()) == "ann@desk, since 2026-01-01"


def test_a_record_without_a_lock_is_nobodys() -> None:
    assert asked(answer(pid=58)) == ""
    assert asked(answer(record="")) == ""
    assert asked(answer(record="{")) == ""


def test_an_unverified_kexec_says_whose_it_is() -> None:
    words = "quiet carryover.owner=ann%40desk%2C%20run"
    told = asked(answer(record="", command_line=words))
    assert told == "ann@desk, run, who has not verified his kexec yet"
    assert asked(answer(record="", verified="boot-1", command_line=words)) == ""
    assert asked(answer(record="", verified="boot-0", command_line=words)) != ""


def test_nonsense_is_not_nobody() -> None:
    with pytest.raises(Infrastructure, match="answers with nonsense"):
        asked("sh: cat: not found")


def test_any_shell_answers_the_question() -> None:
    done = subprocess.run(["sh", "-c", QUESTION], capture_output=True, text=True, check=True)
    assert done.stdout.count(MARK) == 5
    who_holds(lambda command: done.stdout)


def test_a_run_on_a_held_machine_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    lab = lab_with_device(tmp_path)
    World(lab.folder).update(shell=answer())
    run = lab.run("-k", "Igb")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "main: the machine is held by ann@desk, since 2026-01-01: wait" in run.output
    assert "boots" not in World(lab.folder).state  # it was not made to boot
    assert run.verdicts == {}


def test_what_the_run_itself_left_is_its_own() -> None:
    """It was cut short, and is resumed."""
    words = "quiet carryover.owner=ann%40desk"
    by_kexec = answer(record="", command_line=words)
    for ask in (lambda command: answer(), lambda command: by_kexec):
        assert who_holds(ask, "ann@desk") == ""
        assert who_holds(ask, "ann@des") != ""


def test_a_machine_that_does_not_answer_is_nobodys(tmp_path: Path) -> None:
    lab = lab_with_device(tmp_path)
    run = lab.run("-k", "Igb")
    assert run.status == 0
    assert "whether somebody holds the machine is not known: SSH: the target" in run.output
