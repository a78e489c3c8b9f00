# SPDX-License-Identifier: GPL-2.0-only
"""The keeper of a run's places, without a coordinator: what it does when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RUNNER

from carryover.errors import BadInput, Infrastructure
from carryover.place import coordinator, lease_keeper
from carryover.place.coordinator import CoordinatorRefused
from carryover.place.lease_keeper import LeaseKeeper, main


class PaperCoordinator:
    """Fails as often as it is told to."""

    troubles: list[Exception] = []
    given_back: list[str] = []

    def __init__(self, address: str, user: str) -> None:
        self.user = user
        if self.troubles and isinstance(self.troubles[0], BadInput):
            raise self.troubles.pop(0)

    def __enter__(self) -> PaperCoordinator:
        return self

    def __exit__(self, *unused: object) -> None:
        pass

    def give_all_back(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        self.given_back.append(self.user)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[PaperCoordinator]]:
    monkeypatch.setattr(coordinator, "Coordinator", PaperCoordinator)
    monkeypatch.setattr(lease_keeper, "_PAUSE", 0.01)
    monkeypatch.setattr(PaperCoordinator, "troubles", [])
    monkeypatch.setattr(PaperCoordinator, "given_back", [])
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield PaperCoordinator
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def keep(monkeypatch: pytest.MonkeyPatch, said: bytes) -> int:
    monkeypatch.setattr(os, "read", lambda fd, size: said)
    monkeypatch.setattr(os, "write", lambda fd, data: len(data))
    return main(["127.0.0.1:1", "bob.carryover-1"])


def test_a_run_that_has_given_back_itself(
    paper: type[PaperCoordinator], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keep(monkeypatch, b".") == 0
    assert paper.given_back == []


def test_it_goes_on_until_the_coordinator_takes_it(
    paper: type[PaperCoordinator], monkeypatch: pytest.MonkeyPatch
) -> None:
    paper.troubles += [BadInput("not there"), CoordinatorRefused("busy"), BadInput("not there")]
    assert keep(monkeypatch, b"") == 0
    assert (paper.given_back, paper.troubles) == (["bob.carryover-1"], [])


def test_it_does_not_go_on_for_ever(
    paper: type[PaperCoordinator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_keeper, "_LIMIT", 0.1)
    paper.troubles += [CoordinatorRefused("busy")] * 1000
    assert keep(monkeypatch, b"") == 1
    assert paper.given_back == []


def test_it_outlives_what_ends_its_run_and_loads_nothing_meanwhile() -> None:
    keeper = LeaseKeeper("127.0.0.1:1", "bob.carryover-1")
    process = Path(f"/proc/{keeper.pid}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(keeper.pid, number)
    assert os.getsid(keeper.pid) == keeper.pid
    assert "grpc" not in (process / "maps").read_text()
    time.sleep(0.2)
    assert "State:\tS" in (process / "status").read_text()
    keeper.dismiss()
    assert not process.exists()


def test_one_that_was_killed_is_no_trouble_of_the_run() -> None:
    keeper = LeaseKeeper("127.0.0.1:1", "bob.carryover-1")
    os.kill(keeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, keeper.pid, os.WEXITED | os.WNOWAIT)
    keeper.dismiss()


def test_one_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Infrastructure, match=r"does not start \(status 1\)"):
        LeaseKeeper("127.0.0.1:1", "bob.carryover-1")


def test_the_pipe_is_nobody_elses() -> None:
    """A child of the run that lived on with the pipe would keep the place."""
    script = (
        "import subprocess, sys, os\n"
        "from carryover.place.lease_keeper import LeaseKeeper\n"
        "keeper = LeaseKeeper('127.0.0.1:1', 'bob.carryover-1')\n"
        "child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)\n"
        "print(keeper._pipe.fileno(), child.pid)\n"
        "keeper.dismiss()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(RUNNER)},
        stdout=subprocess.PIPE, text=True, check=True, timeout=30,
    )  # fmt: skip
    fd, pid = done.stdout.split()
    try:
        assert fd not in [path.name for path in Path(f"/proc/{pid}/fd").iterdir()]
    finally:
        os.kill(int(pid), signal.SIGKILL)
