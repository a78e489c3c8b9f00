# SPDX-License-Identifier: GPL-2.0-only
"""Traffic peers as processes, and what an environment may say of them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake.peer import write_peer
from labgrid import Target

from carryover.errors import BadInput, Infrastructure
from carryover.machine.lab import LabMachineDriver
from carryover.machine.peers import TrafficPeers, peer_settings
from carryover.observation import Watch

TO = "02:00:00:82:75:77"


@pytest.fixture
def program(tmp_path: Path) -> str:
    return write_peer(tmp_path)


@pytest.fixture
def started(program: str, tmp_path: Path) -> Iterator[tuple[TrafficPeers, Watch]]:
    peers = TrafficPeers(
        program,
        peer_settings({"first": {"to": TO, "rate": 40, "size": 128}, "second": {"to": TO}}),
        tmp_path / "logs",
    )
    watch = Watch()
    peers.start(watch)
    yield peers, watch
    peers.close()


def _words(tmp_path: Path, name: str) -> dict[str, str]:
    report: dict[str, Any] = json.loads((tmp_path / "logs" / f"{name}.json").read_text())
    words: dict[str, str] = report["words"]
    return words


def test_each_is_told_what_to_send(started: tuple[TrafficPeers, Watch], tmp_path: Path) -> None:
    peers, _ = started
    folder = peers.folder
    peers.close()
    assert not folder.exists()
    words = _words(tmp_path, "first")
    assert words["--to"] == TO
    assert words["--rate"] == "40"
    assert words["--size"] == "128"
    assert words["--unix-stream-listen"] == str(folder / "first")
    assert _words(tmp_path, "second")["--rate"] == "1000"


def test_a_rate_that_was_not_held_is_told_with_what_was(
    started: tuple[TrafficPeers, Watch],
) -> None:
    peers, _ = started
    assert peers.notes == []
    peers.close()
    assert peers.notes == [
        "traffic peer second did not hold 1000 frames a second: 921 in second 7, 998.5 on average; "
        "no number was skipped for that, frames came late"
    ]


def test_one_that_dies_is_trouble_of_the_harness(
    started: tuple[TrafficPeers, Watch],
) -> None:
    peers, watch = started
    os.kill(peers._running["second"].pid, signal.SIGKILL)
    with pytest.raises(Infrastructure, match=r"traffic peer second was killed by signal 9"):
        watch.next(time.monotonic() + 5)


def test_one_that_died_is_told_to_who_watches_later(
    started: tuple[TrafficPeers, Watch],
) -> None:
    """In the next power cycle of a lab's machine."""
    peers, watch = started
    os.kill(peers._running["second"].pid, signal.SIGKILL)
    with pytest.raises(Infrastructure):
        watch.next(time.monotonic() + 5)
    later = Watch()
    peers.hand_to(later)
    with pytest.raises(Infrastructure, match=r"traffic peer second was killed by signal 9"):
        later.next(time.monotonic() + 5)


@pytest.mark.parametrize(
    ("interface", "why"),
    [
        ("", "nobody connected to its socket"),
        ("eth1", "eth1 had no carrier: is its cable in, and the NIC under test up?"),
    ],
)
def test_one_that_sent_nothing_is_told(
    program: str, tmp_path: Path, interface: str, why: str
) -> None:
    settings = peer_settings({"nic": {"to": TO, "rate": 7, "interface": interface}})
    peers = TrafficPeers(program, settings, tmp_path / "logs")
    peers.start(Watch())
    peers.close()
    assert peers.notes == [f"traffic peer nic sent nothing: {why}"]


def test_one_that_cannot_begin_says_why(program: str, tmp_path: Path) -> None:
    settings = peer_settings({"nic": {"to": TO, "rate": 3, "interface": "eth1"}})
    peers = TrafficPeers(program, settings, tmp_path / "logs")
    with pytest.raises(
        Infrastructure, match="traffic peer nic does not start: eth1 is the default"
    ):
        peers.start(Watch())
    peers.close()


def test_what_another_said_before_is_no_reason(program: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "nic.log").write_text("of an earlier power cycle\n")
    peers = TrafficPeers(program, peer_settings({"nic": {"to": TO, "rate": 3}}), tmp_path / "logs")
    with pytest.raises(Infrastructure, match="nic does not start: eth1 is"):
        peers.start(Watch())
    peers.close()


def test_an_interface_is_used_instead_of_a_socket(program: str, tmp_path: Path) -> None:
    settings = peer_settings({"nic": {"to": TO, "interface": "eth1"}})
    peers = TrafficPeers(program, settings, tmp_path / "logs")
    command = peers.command("nic", settings["nic"])
    assert command[command.index("--interface") + 1] == "eth1"
    assert "--unix-stream-listen" not in command
    peers.close()


def test_a_program_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    settings = peer_settings({"nic": {"to": TO}})
    peers = TrafficPeers(str(tmp_path / "none"), settings, tmp_path / "logs")
    with pytest.raises(BadInput, match=r"traffic peer nic.*/none: No such file"):
        peers.start(Watch())
    peers.close()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({}, "to"),
        ({"to": "02:00"}, "to"),
        ({"to": 41135085296}, "to: 41135085296 is no Ethernet address in quotes"),
        ({"to": TO, "rate": 0}, "rate"),
        ({"to": TO, "rate": "fast"}, "rate"),
        ({"to": TO, "size": 20}, "size"),
        ({"to": TO, "speed": 5}, "no speed; there are to, rate, size, interface"),
    ],
)
def test_settings_that_cannot_be_are_refused(words: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"peers: nic: .*{complaint}"):
        peer_settings({"nic": words})


def test_a_lab_has_no_sockets_of_qemu() -> None:
    with pytest.raises(ValueError, match="peers: nic: 'interface' is missing"):
        LabMachineDriver(Target("main"), "machine", peers={"nic": {"to": TO}})
    driver = LabMachineDriver(
        Target("main"), "machine", peers={"nic": {"to": TO, "interface": "eth1"}}
    )
    assert driver.peers["nic"].interface == "eth1"
