# SPDX-License-Identifier: GPL-2.0-only
"""Commands whose output is events."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from labgrid import Target
from labgrid.binding import BindingState
from labgrid.factory import target_factory
from labgrid.resource import NetworkService

from carryover.errors import Infrastructure
from carryover.machine.remote import RemoteCommand, TargetSSHDriver
from carryover.observation import ProgramEvent, ProgramGone, Watch


def test_a_shell_is_given_a_command_of_any_length() -> None:
    words = "x" * 100_000
    line = json.dumps({"event": "note", "t": 1, "value": words})
    watch = Watch()
    raw: list[str] = []
    command = RemoteCommand(["sh"], watch, raw.append, f"exec echo '{line}'\n")
    first = watch.next(time.monotonic() + 5)
    assert isinstance(first, ProgramEvent)
    assert first.event.fields["value"] == words
    second = watch.next(time.monotonic() + 5)
    assert isinstance(second, ProgramGone)
    assert second.status == 0
    command.stop()
    assert raw == [line]


def test_one_that_does_not_read_is_no_trouble() -> None:
    watch = Watch()
    command = RemoteCommand(["false"], watch, lambda line: None, "x" * 100_000)
    gone = watch.next(time.monotonic() + 5)
    assert isinstance(gone, ProgramGone)
    assert gone.status == 1
    command.stop()


# Stands in for OpenSSH: a master is a file, and what is to run on the target is done here.
SSH = """#!/bin/sh
case " $* " in
*" -O "*) exit 0 ;;
*" -MN "*)
    while [ "$1" != -S ]; do shift; done
    touch "$2" ;;
*)
    for last; do :; done
    echo "$last" >>{folder}/commands
    {does} ;;
esac
"""


def ssh_that(does: str, folder: Path) -> TargetSSHDriver:
    target = Target("main")
    where: dict[str, Any] = {"name": "net", "address": "127.0.0.1", "username": "root"}
    NetworkService(target, **where)
    driver: TargetSSHDriver = target_factory.make_driver(target, "TargetSSHDriver", "ssh", {})
    program = folder / "ssh"
    program.write_text(SSH.format(folder=folder, does=does))
    program.chmod(0o755)
    driver._ssh = str(program)
    return driver


def test_a_reboot_is_told_over_a_connection_that_is_dropped(tmp_path: Path) -> None:
    ssh = ssh_that("exit 0", tmp_path)
    ssh.reboot()
    told = (tmp_path / "commands").read_text()
    assert told == "(sleep 1; reboot) </dev/null >/dev/null 2>&1 &\n"
    assert ssh.state is BindingState.bound


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("echo 'Connection reset by peer' >&2; exit 255", "does not reboot: Connection reset"),
        ("exit 127", "does not reboot: status 127"),
        ("exec sleep 60", r"took no command within 0\.5 s"),
    ],
)
def test_a_target_that_does_not_take_it(tmp_path: Path, does: str, said: str) -> None:
    ssh = ssh_that(does, tmp_path)
    begin = time.monotonic()
    with pytest.raises(Infrastructure, match=f"SSH: the target {said}"):
        ssh.reboot(0.5)
    assert time.monotonic() - begin < 5
    assert ssh.state is BindingState.bound
