# SPDX-License-Identifier: GPL-2.0-only
"""Device models as processes: one that does not start, and one that dies."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carryover.errors import BadInput, Infrastructure
from carryover.machine.models import DeviceModels
from carryover.observation import Crashed, Watch
from carryover.verdict import Verdict

# Says what it is told to, takes faults, and waits.
PROGRAM = """#!/usr/bin/env python3
import json, os, socket, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
device = arguments["--device"]
if device == "unknown":
    sys.stderr.write("--device: unknown not in {dmac}\\n")
    sys.exit(2)
if device == "broken":
    sys.stderr.write("cannot bind\\n")
    sys.exit(1)
control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
control.bind(arguments["--control"])
print("ready", flush=True)
while True:
    request, sender = control.recvfrom(4096)
    known = json.loads(request).keys() <= {"hung"}
    answer = {"ok": True} if known else {"error": "no such fault"}
    control.sendto(json.dumps(answer).encode(), sender)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "model"
    path.write_text(PROGRAM)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def models(program: str, tmp_path: Path) -> Iterator[DeviceModels]:
    models = DeviceModels(program, {"first": "dmac", "second": "dsa"}, tmp_path / "logs")
    yield models
    models.close()
    assert not models.folder.exists()


def test_all_are_ready_when_started(models: DeviceModels) -> None:
    models.start(Watch())
    assert models.pid("first") != models.pid("second")
    assert (models.folder / "first.control").is_socket()


def test_faults_are_asked_for(models: DeviceModels) -> None:
    models.start(Watch())
    models.request("second", hung=True)
    with pytest.raises(Infrastructure, match=r"model second refuses .*no such fault"):
        models.request("second", explode=True)


def test_one_that_dies_is_trouble_of_the_bench(models: DeviceModels) -> None:
    watch = Watch()
    models.start(watch)
    os.kill(models.pid("second"), signal.SIGKILL)
    with pytest.raises(
        Crashed, match=r"device model second was killed by signal 9 .*second\.log"
    ) as died:
        watch.next(time.monotonic() + 5)
    assert died.value.verdict is Verdict.INFRA


def test_what_a_device_forbids_is_told_once_all_have_ended(
    program: str, models: DeviceModels, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    old = '{"t":1,"event":"violation","what":"of an earlier power cycle"}\n'
    (logs / "first.jsonl").write_text(old)
    models.start(Watch())
    with (logs / "first.jsonl").open("a") as log:
        log.write('{"t":2,"event":"dma","address":"violation"}\n')
        log.write('{"t":3,"event":"violation","what":"the ring is not enabled"}\n')
        log.write('{"t":4,"event":"violation","wh')
    assert models.violations == []
    models.close()
    assert models.violations == ["model first: the ring is not enabled"]


def test_one_that_is_ended_is_none(models: DeviceModels) -> None:
    watch = Watch()
    models.start(watch)
    models.close()
    assert watch._queue.empty()


def test_options_follow_the_device(program: str, tmp_path: Path) -> None:
    models = DeviceModels(program, {"first": "ioat,bandwidth=4096"}, tmp_path / "logs")
    models.start(Watch())
    words = Path(f"/proc/{models.pid('first')}/cmdline").read_bytes().split(b"\0")
    assert words[words.index(b"--device") + 1] == b"ioat"
    assert words[words.index(b"--bandwidth") + 1] == b"4096"
    models.close()


def test_an_unknown_device_is_bad_input(program: str, tmp_path: Path) -> None:
    models = DeviceModels(program, {"first": "unknown"}, tmp_path / "logs")
    with pytest.raises(BadInput, match=r"model first \(unknown\) does not start: .*not in"):
        models.start(Watch())
    models.close()


def test_one_that_does_not_start_says_why(program: str, tmp_path: Path) -> None:
    models = DeviceModels(program, {"first": "broken"}, tmp_path / "logs")
    with pytest.raises(Infrastructure, match="does not start: cannot bind"):
        models.start(Watch())
    models.close()


def test_a_program_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    models = DeviceModels(str(tmp_path / "none"), {"first": "dmac"}, tmp_path / "logs")
    with pytest.raises(BadInput, match="none: No such file"):
        models.start(Watch())
    models.close()
