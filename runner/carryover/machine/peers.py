# SPDX-License-Identifier: GPL-2.0-only
"""Traffic peers: the far sides of NICs under test, which send numbered frames all the time.

Each is a ``carryover-peer`` (fixtures/traffic_peer, docs/peer.md). On the bench it sends through a
unix socket that QEMU connects to, in a lab through a NIC of the controller.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attr

from carryover.errors import Infrastructure
from carryover.machine.companion import Companion
from carryover.observation import ReaderFailed, Watch

# The variable that an environment names the folder of the sockets by.
PEERS = "CARRYOVER_PEERS"
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_INTERFACE = re.compile(r"[^\s/]{0,15}")
_LOST_THE_RATE = 1  # exit status: the rate was not held, which the report tells more of
# The NIC receives nothing for as long as a machine boots, and a kexec takes.
_PATIENCE = 24 * 3600


def _is_mac(_: object, attribute: Any, value: Any) -> None:
    """YAML takes 52:54:00:12:34:56 without quotes for a number."""
    if not (isinstance(value, str) and _MAC.fullmatch(value)):
        raise ValueError(
            f"{attribute.name}: {value!r} is no Ethernet address in quotes, such as "
            '"02:00:00:82:75:77"'
        )


@attr.s(auto_attribs=True, frozen=True)
class PeerSettings:
    """What a peer sends.

    Attributes:
        to: Ethernet address that the NIC under test listens to.
        rate: Frames a second.
        size: Bytes of a frame, without its check sequence.
        interface: NIC of the controller; empty: a unix socket of QEMU's.
    """

    to: str = attr.ib(validator=_is_mac)
    rate: int = attr.ib(
        default=1000, validator=[attr.validators.instance_of(int), attr.validators.ge(1)]
    )
    size: int = attr.ib(
        default=256,
        validator=[
            attr.validators.instance_of(int),
            attr.validators.ge(64),
            attr.validators.le(9014),
        ],
    )
    interface: str = attr.ib(default="", validator=attr.validators.matches_re(_INTERFACE))


def peer_settings(peers: Mapping[str, Any]) -> dict[str, PeerSettings]:
    """From an environment: ``{nic1: {to: "02:00:00:82:75:77", rate: 1000}}``.

    Raises:
        ValueError: It is none, or a value is out of range.
    """
    settings = {}
    known = [field.name for field in attr.fields(PeerSettings)]
    for name, words in peers.items():
        if unknown := set(words) - set(known):
            raise ValueError(
                f"peers: {name}: there is no {', '.join(sorted(unknown))}; there are "
                f"{', '.join(known)}"
            )
        try:
            settings[name] = PeerSettings(**words)
        except (TypeError, ValueError) as error:
            raise ValueError(f"peers: {name}: {error}") from error
    return settings


def planned(peers: Mapping[str, PeerSettings]) -> list[str]:
    """What starting them would do, in words."""
    return [
        f"start carryover-peer {name}{f' on {peer.interface}' if peer.interface else ''}: "
        f"{peer.rate} frames a second to {peer.to}"
        for name, peer in peers.items()
    ]


class TrafficPeers:
    """The peers of one power cycle of a machine, or of a run on a machine that is not ours.

    Attributes:
        notes: After close(), what a person has to know of them, such as a rate that was not held.

    Args:
        program: ``carryover-peer``.
        peers: What each sends, by its name.
        logs: Folder for their reports, NAME.json, and what they complain of, NAME.log.
    """

    def __init__(self, program: str, peers: Mapping[str, PeerSettings], logs: Path) -> None:
        self._program = program
        self._peers = dict(peers)
        self._logs = logs
        self._running: dict[str, Companion] = {}
        self._watch: Watch | None = None
        self._died: list[str] = []
        self.notes: list[str] = []
        # The name of a unix socket has 107 bytes at most: not below the output folder.
        self._folder = Path(tempfile.mkdtemp(prefix="carryover-peers-"))

    @property
    def folder(self) -> Path:
        """Where the sockets are, by name."""
        return self._folder

    def start(self, watch: Watch) -> None:
        """Starts all; frames are refused until somebody is there who takes them.

        Raises:
            BadInput: The program cannot be run, or does not take its words.
            Infrastructure: A peer does not start, such as one whose interface is in use.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        self._watch = watch
        for name, peer in self._peers.items():

            def died(how: str, name: str = name) -> None:
                self._died.append(f"the traffic peer {name} {how}")
                self._tell(self._died[-1])

            log = self._logs / f"{name}.log"
            self._running[name] = Companion(
                f"traffic peer {name}", self.command(name, peer), log, died
            )

    def hand_to(self, watch: Watch) -> None:
        """Who hears from now on of a peer that ends by itself; and now, of one that has."""
        self._watch = watch
        for how in list(self._died):
            self._tell(how)

    def _tell(self, how: str) -> None:
        if self._watch is not None:
            self._watch.post(ReaderFailed(Infrastructure(how)))

    def command(self, name: str, peer: PeerSettings) -> list[str]:
        """Its program and words."""
        way = ["--unix-stream-listen", str(self._folder / name)]
        if peer.interface:
            way = ["--interface", peer.interface]
        words = [self._program, "send", *way, "--to", peer.to, "--rate", str(peer.rate)]
        words += ["--size", str(peer.size), "--patience", str(_PATIENCE)]
        return [*words, "--report", str(self._report(name))]

    def _report(self, name: str) -> Path:
        return self._logs / f"{name}.json"

    def close(self) -> None:
        """Ends all, and reads their reports. Idempotent."""
        for running in self._running.values():
            running.ask_to_end()
        for name, running in self._running.items():
            status = running.end()
            if status == _LOST_THE_RATE:
                self.notes.append(self._what_was_held(name))
            elif status != 0:
                self.notes.append(f"traffic peer {name} ended with {status}: {self._said(name)}")
            elif self._read_report(name)["offered"] == 0:
                self.notes.append(f"traffic peer {name} sent nothing: {self._why_nobody(name)}")
        self._running.clear()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def _said(self, name: str) -> str:
        return (self._logs / f"{name}.log").read_text(errors="replace").strip()

    def _read_report(self, name: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self._report(name).read_text())
        return report

    def _why_nobody(self, name: str) -> str:
        interface = self._peers[name].interface
        if not interface:
            return "nobody connected to its socket"
        return f"{interface} had no carrier: is its cable in, and the NIC under test up?"

    def _what_was_held(self, name: str) -> str:
        report = self._read_report(name)
        worst = report["worst_second"] or {"offered": 0, "second": 0}
        return (
            f"traffic peer {name} did not hold {report['rate_hz']:g} frames a second: "
            f"{worst['offered']} in second {worst['second']}, {report['achieved_hz']:.1f} on "
            "average; no number was skipped for that, frames came late"
        )
