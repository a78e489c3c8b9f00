# SPDX-License-Identifier: GPL-2.0-only
"""`carryover restore`, and what it goes by; no target is asked."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from labgrid.driver import ExecutionError

from carryover import restore
from carryover.__main__ import main
from carryover.errors import BadInput, Infrastructure
from carryover.machine.access import Access
from carryover.outputs import journal
from carryover.program import ProgramOnTarget
from carryover.restore import put_back

DEAD = {"step": "open", "pid": 4194304, "start_time": 1}
BOUND = {
    "step": "bound",
    "address": "0000:01:00.0",
    "id": "8086:10c9",
    "from": "igb",
    "to": "vfio-pci",
    "driver_override": None,
    "boot_id": "boot-1",
}
ACCESS = {
    "step": "access",
    "target": "rack3-07",
    "address": "rack3-07.lab.example",
    "port": 22,
    "username": "root",
    "keyfile": "/nowhere/key",
    "program": "/usr/bin/carryover-selftests",
    "owner": "ann@desk, run in /out, process 4194304",
}
PROGRAM = ProgramOnTarget("/usr/bin/carryover-selftests", owner="ann")


def write(path: Path, *entries: Mapping[str, object]) -> Path:
    path.write_text("".join(json.dumps({"time": 0, **entry}) + "\n" for entry in entries))
    return path


class FakeTarget:
    """Answers the program's verb `restore`, and remembers what it was asked."""

    def __init__(self, was: str | None = "vfio-pci", boot_id: str = "boot-1") -> None:
        self.was = was
        self.boot_id = boot_id
        self.error = ""
        self.status = 0
        self.has_holder = False
        self.commands: list[list[str]] = []

    def run(self, command: str, timeout: float = 0) -> tuple[list[str], list[str], int]:
        words = shlex.split(command)
        self.commands.append(words)
        options = dict(pairwise(words))
        events: list[dict[str, Any]] = [{"event": "hello", "schema": 1, "boot_id": self.boot_id}]
        if words[1] == "release":
            error = {"event": "error", "kind": "holder", "message": "no holder: No such file"}
            events += [] if self.has_holder else [error]
            return [json.dumps(event) for event in events], [], 0 if self.has_holder else 3
        if self.error:
            events.append({"event": "error", "kind": "held", "message": self.error})
        elif not self.status:
            to = options.get("--driver")
            address = options["--device"].partition(",")[0]
            events.append({"event": "restored", "address": address, "to": to, "was": self.was})
        return [json.dumps(event) for event in events], [], 3 if self.error else self.status


def test_a_device_is_put_back_by_the_program() -> None:
    target = FakeTarget()
    entry = {**BOUND, "driver_override": "mine"}
    assert put_back(entry, PROGRAM, target.run) == "0000:01:00.0: back to igb, from vfio-pci"
    asked = "restore --json --owner ann --device 0000:01:00.0,8086:10c9 --driver igb"
    assert target.commands == [[PROGRAM.path, *asked.split(), "--driver-override", "mine"]]


@pytest.mark.parametrize(
    ("was", "driver", "said"),
    [
        ("igb", "igb", "is bound to igb already"),
        (None, "igb", "back to igb, from no driver"),
        ("vfio-pci", None, "unbound, as it was, from vfio-pci"),
        (None, None, "is bound to nothing, as it was"),
    ],
)
def test_after_a_power_cycle_it_says_what_it_found(
    was: str | None, driver: str | None, said: str
) -> None:
    target = FakeTarget(was, boot_id="boot-2")
    told = put_back({**BOUND, "from": driver}, PROGRAM, target.run)
    assert told == f"0000:01:00.0: {said}; the target has rebooted since"


def test_a_machine_that_is_held_is_left_alone() -> None:
    target = FakeTarget()
    target.error = "the machine is held by bob@desk"
    with pytest.raises(Infrastructure, match=r"0000:01:00\.0: the machine is held by bob@desk"):
        put_back(BOUND, PROGRAM, target.run)
    put_back(BOUND, PROGRAM, FakeTarget().run, take_over=True)


def test_take_over_is_told_to_the_program() -> None:
    target = FakeTarget()
    put_back(BOUND, PROGRAM, lambda command: target.run(command + " x"), take_over=True)
    assert "--take-over" in target.commands[0]


def test_a_program_that_is_not_there_is_said() -> None:
    target = FakeTarget()
    target.status = 127
    with pytest.raises(Infrastructure, match="is not on the target any more: copy"):
        put_back(BOUND, PROGRAM, target.run)


def test_a_connection_that_is_lost_is_said() -> None:
    def run(command: str) -> tuple[list[str], list[str], int]:
        raise ExecutionError("connection lost")

    with pytest.raises(Infrastructure, match=r"0000:01:00\.0: .*connection lost"):
        put_back(BOUND, PROGRAM, run)


@pytest.fixture
def reached(target: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> list[Access]:
    """How the target was reached, which answers instead of SSH."""
    accesses: list[Access] = []

    @contextlib.contextmanager
    def connected(access: Access) -> Iterator[FakeTarget]:
        accesses.append(access)
        yield target

    monkeypatch.setattr(Access, "connected", connected)
    return accesses


@pytest.fixture
def target() -> FakeTarget:
    return FakeTarget()


def test_the_journal_says_how_the_target_is_reached(
    tmp_path: Path,
    target: FakeTarget,
    reached: list[Access],
    capsys: pytest.CaptureFixture[str],
) -> None:
    second = {**BOUND, "address": "0000:02:00.0", "from": None}
    done = {"step": "restored", "address": "0000:03:00.0"}
    write(
        tmp_path / "journal.jsonl",
        *(DEAD, ACCESS, BOUND, second, {**BOUND, "address": "0000:03:00.0"}, done),
    )
    assert main(["restore", str(tmp_path)]) == 0
    assert str(reached[0]) == "rack3-07 (root@rack3-07.lab.example:22)"
    devices = [words[words.index("--device") + 1] for words in target.commands]
    assert devices == ["0000:01:00.0,8086:10c9", "0000:02:00.0,8086:10c9"]
    assert target.commands[0][4] == ACCESS["owner"]
    assert "0000:01:00.0: back to igb" in capsys.readouterr().out
    # It is written down, and not done again.
    assert not journal.read(tmp_path / "journal.jsonl").bound
    assert main(["restore", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "nothing is left to put back\n"
    assert [words[1] for words in target.commands] == ["restore", "restore", "release"]


@pytest.mark.usefixtures("reached")
def test_a_holder_that_has_bound_nothing_is_ended(
    tmp_path: Path, target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "journal.jsonl", DEAD, ACCESS)
    target.has_holder = True
    assert main(["restore", str(path)]) == 0
    assert capsys.readouterr().out == "its holder has ended: nothing is left\n"
    target.has_holder = False
    assert main(["restore", str(path)]) == 0
    assert capsys.readouterr().out == "nothing is left to put back\n"
    assert [words[1] for words in target.commands] == ["release", "release"]


@pytest.mark.usefixtures("reached")
def test_what_cannot_be_put_back_stays_in_the_journal(
    tmp_path: Path, target: FakeTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    target.error = "0000:01:00.0 is 8086:1533, and 8086:10c9 was listed"
    path = write(tmp_path / "journal.jsonl", DEAD, ACCESS, BOUND)
    assert main(["restore", str(path)]) == 3
    assert "not everything is put back" in capsys.readouterr().err
    assert list(journal.read(path).bound) == ["0000:01:00.0"]


@pytest.mark.usefixtures("reached")
def test_another_controller_is_not_the_run(tmp_path: Path, target: FakeTarget) -> None:
    """There, nobody can tell whether the run is alive: its lock on the target can."""
    parent = {"step": "open", "pid": os.getppid(), "host": "elsewhere"}
    parent["start_time"] = journal.start_time(os.getppid())
    path = write(tmp_path / "journal.jsonl", parent, ACCESS, BOUND)
    restore.restore(path, None, lambda text: None)
    assert "carryover restore" in target.commands[0][4]
    assert ACCESS["owner"] not in target.commands[0]


def test_a_run_that_is_alive_is_not_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = {"step": "open", "pid": os.getppid(), "host": socket.gethostname()}
    parent["start_time"] = journal.start_time(os.getppid())
    path = write(tmp_path / "journal.jsonl", parent, ACCESS, BOUND)
    assert main(["restore", str(path)]) == 2
    assert f"its run is alive (process {os.getppid()})" in capsys.readouterr().err


def test_a_machine_that_was_a_process_has_nothing_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = {"step": "machine", "pid": 4194304, "start_time": 1}
    path = write(tmp_path / "journal.jsonl", DEAD, machine, ACCESS, BOUND)
    assert main(["restore", str(path)]) == 0
    assert "the machine was a process, which has ended" in capsys.readouterr().out
    assert not journal.read(path).bound


def test_a_journal_without_access_wants_an_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "journal.jsonl", DEAD, BOUND)
    assert main(["restore", str(path)]) == 2
    assert "give --target ENVIRONMENT" in capsys.readouterr().err


def test_a_damaged_access_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "journal.jsonl", DEAD, {"step": "access", "target": "x"}, BOUND)
    assert main(["restore", str(path)]) == 2
    assert "its entry `access` is not this runner's" in capsys.readouterr().err


def test_an_environment_says_how_the_target_is_reached(tmp_path: Path) -> None:
    environment = tmp_path / "lab.yaml"
    environment.write_text(
        "targets:\n  main:\n    resources:\n"
        "    - NetworkService: {address: other.lab.example, username: root, port: 2222}\n"
        "    drivers:\n"
        "    - BenchDriver: {qemu_bin: qemu, machine: q35, cpu: max, memory: 1G}\n"
        "    - TargetSSHDriver: {keyfile: lab-key}\n"
        "    - KexecStrategy: {program: /opt/selftests, kernel: /boot/k, append: x}\n"
        "tools: {qemu: /bin/true}\n"
    )
    access = restore.access_in(environment)
    assert str(access) == "main (root@other.lab.example:2222)"
    assert access.program == "/opt/selftests"
    assert access.keyfile == str(tmp_path / "lab-key")
    environment.write_text("targets: {}\n")
    with pytest.raises(BadInput, match=r"lab\.yaml"):
        restore.access_in(environment)
