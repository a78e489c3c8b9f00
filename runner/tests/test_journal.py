# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from carryover.__main__ import main
from carryover.errors import BadInput, OutputFailed
from carryover.outputs import journal
from carryover.outputs.results import RunDescription, RunOutput


def write(path: Path, *entries: Mapping[str, object], cut_off: str = "") -> None:
    text = "".join(json.dumps({"time": 0, **entry}) + "\n" for entry in entries)
    path.write_text(text + cut_off)


ABOUT = RunDescription("main", "lab.yaml", ["memory"], "iommufd", [], [])
DEAD = {"step": "open", "pid": 4194304, "start_time": 1}


def test_steps_are_on_disk_when_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    log = journal.Journal(path)
    log.write("power-on", nonce="a")
    assert journal.read(path).last_step == "power-on"
    assert not journal.read(path).closed
    log.close("done")
    log.close("again")
    assert journal.read(path).closed


def test_close_ends_the_machine_of_a_dead_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    machine = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        started = journal.start_time(machine.pid)
        bound = {"step": "bound", "address": "0000:01:00.0", "from": "igb"}
        write(path, DEAD, {"step": "machine", "pid": machine.pid, "start_time": started}, bound)
        assert main(["close", str(path)]) == 0
        assert machine.wait(5) == -9
        assert journal.read(path).closed
    finally:
        machine.kill()
        machine.wait()


def test_close_says_which_driver_a_device_belongs_to(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, DEAD, {"step": "bound", "address": "0000:01:00.0", "from": "igb"})
    done = journal.close_left_over(path)
    assert "0000:01:00.0 belongs to driver igb" in done
    assert f"`carryover restore {path}` puts that back" in done
    assert list(journal.read(path).bound) == ["0000:01:00.0"]  # closed, and not put back


def test_a_machine_that_is_a_process_leaves_nothing_bound(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    machine = {"step": "machine", "pid": 4194304, "start_time": 1}
    bound = {"step": "bound", "address": "0000:01:00.0", "from": "igb"}
    write(path, DEAD, machine, bound, {"step": "power-off"})
    assert not journal.read(path).bound
    # One that is not goes on, or comes back: what it is like then, is asked of it.
    write(path, DEAD, bound, {"step": "power-off"}, {**bound, "from": "vfio-pci"})
    assert journal.read(path).bound["0000:01:00.0"]["from"] == "igb"


def test_a_journal_of_what_is_not_put_back_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    access = {"step": "access", "target": "rack3-07"}
    bound = {"step": "bound", "address": "0000:01:00.0", "from": "igb"}
    write(path, DEAD, access, bound, {"step": "closed", "how": "failed"})
    with pytest.raises(BadInput, match=r"left devices on rack3-07: .*carryover restore"):
        RunOutput(tmp_path, ABOUT)
    assert journal.read(path).bound
    write(path, DEAD, access, bound, {"step": "restored", "address": "0000:01:00.0"})
    journal.require_put_back(path)


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    other = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        write(path, DEAD, {"step": "machine", "pid": other.pid, "start_time": 1})
        assert "ended the machine" not in journal.close_left_over(path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_run_that_is_alive_is_not_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "journal.jsonl"
    parent = os.getppid()
    write(path, {"step": "open", "pid": parent, "start_time": journal.start_time(parent)})
    assert main(["close", str(path)]) == 2
    assert f"its run is alive (process {parent})" in capsys.readouterr().err


def test_a_cut_off_line_did_not_happen(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, DEAD, {"step": "arm"}, cut_off='{"step": "kex')
    assert journal.read(path).last_step == "arm"


@pytest.mark.parametrize("text", ["hello\n", "[1]\n", '{"time": 1}\n', '{"step": "open"}\n'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput, match="not a journal"):
        journal.read(path)


def test_no_file_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["close", str(tmp_path / "none")]) == 2
    assert "give the journal.jsonl of a run" in capsys.readouterr().err


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OutputFailed, match="No space left"):
        journal.Journal(Path("/dev/full"))
