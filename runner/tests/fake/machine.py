# SPDX-License-Identifier: GPL-2.0-only
"""labgrid drivers of the fake machine, in place of QEMU and SSH."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attr
from labgrid.factory import target_factory

from carryover.campaign.identity import NONCE
from carryover.console.recorder import ConsoleRecorder, LineSink
from carryover.machine.bench import BenchDriver
from carryover.machine.power_ladder import Attempt, MachineSick
from carryover.machine.remote import RemoteCommand, TargetSSHDriver
from carryover.observation import MachineEvent, MachineGone, Watch
from fake.recording import Recording
from fake.world import World

PROGRAM = Path(__file__).with_name("program.py")


def bind(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    return receiver


@target_factory.reg_driver
@attr.s(eq=False)
class FakeMachine(BenchDriver):
    """A machine whose console and monitor are whatever somebody sends to its sockets."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.world = World.of_this_process()
        self.is_on = False

    @property
    def pid(self) -> int:
        return os.getpid() if self.is_on else 0

    def power_on(self, watch: Watch, console: LineSink, error_log: Path, append: str) -> None:
        if why := os.environ.get("CARRYOVER_FAKE_SICK"):
            raise MachineSick(why, [Attempt("SSH reboot", "no route", 1.0)])
        self.is_on = True
        self.world.power_on()
        stream = bind(self.world.console_socket)
        self._recorder = ConsoleRecorder(stream, console, watch)
        self._recorder.start()
        monitor = bind(self.world.machine_socket)
        self.monitor = threading.Thread(target=self._watch_monitor, args=(monitor, watch))
        self.monitor.daemon = True
        self.monitor.start()
        self.world.reboot(nonce=append.split(NONCE)[-1], kexec=False)
        self.world.console("SeaBIOS (version fake)", "Booting from ROM..")
        time.sleep(Recording.of_this_process().boot)
        if not self.world.state.get("silent"):
            self.world.sign_on()

    def power_off(self) -> None:
        if not self.is_on:
            return
        self.is_on = False
        for path in (self.world.console_socket, self.world.machine_socket):
            self._end_of(path)
        assert self._recorder is not None
        assert self._recorder.join(5)
        self.monitor.join(5)  # what it still has to say belongs to this power cycle
        assert not self.monitor.is_alive()
        if forbidden := os.environ.get("CARRYOVER_FAKE_VIOLATION"):
            self.violations.append(forbidden)

    @staticmethod
    def _end_of(path: Path) -> None:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            contextlib.suppress(ConnectionRefusedError),  # it has ended before
        ):
            sender.sendto(b"", str(path))

    def _watch_monitor(self, monitor: socket.socket, watch: Watch) -> None:
        while data := monitor.recv(65536):
            said = json.loads(data)
            if "gone" in said:
                # As BenchDriver does: what the console said comes first.
                self._end_of(self.world.console_socket)
                assert self._recorder is not None
                assert self._recorder.join(5)
                watch.post(MachineGone(time.monotonic(), said["gone"]))
            else:
                watch.post(MachineEvent(time.monotonic(), said["event"], said.get("data", {})))


@target_factory.reg_driver
@attr.s(eq=False)
class FakeSSH(TargetSSHDriver):
    """Runs commands here."""

    def connect(self, port: int = 0) -> None:
        pass

    def drop(self) -> None:
        pass

    def run(self, command: str, **_: Any) -> tuple[list[str], list[str], int]:
        """Runs it to its end, and writes down that it was asked for."""
        with (World.of_this_process().folder / "commands").open("a") as commands:
            commands.write(f"{command}\n")
        words = [sys.executable, str(PROGRAM), *shlex.split(command)[1:]]
        done = subprocess.run(words, capture_output=True, text=True)
        return done.stdout.splitlines(), done.stderr.splitlines(), done.returncode

    def ask_once(self, command: str, limit: float = 10.0) -> str:
        """A shell of the target's."""
        answer: str = World.of_this_process().state.get("shell", "")
        return answer

    def stream(self, command, watch, raw):  # type: ignore[no-untyped-def]
        arguments = ["sh", "-c", f"exec {sys.executable} {PROGRAM} {command.split(' ', 1)[1]}"]
        return RemoteCommand(arguments, watch, raw)

    def talk(self, command: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, str(PROGRAM), *shlex.split(command)[1:]]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
