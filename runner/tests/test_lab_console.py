# SPDX-License-Identifier: GPL-2.0-only
"""Consoles of a lab: read all the time, and again when they were lost."""

from __future__ import annotations

import contextlib
import os
import pty
import queue
import socket
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bmc.ipmi_bmc import ipmi_bmc
from bmc.machine import PASSWORD, USERNAME, PaperMachine
from lab.bench import free_port
from lab.console_server import ConsoleServer
from labgrid import Environment, Target
from labgrid.factory import target_factory
from labgrid.resource import NetworkSerialPort, RawSerialPort

from carryover.console.lab import LabConsoleRecorder
from carryover.console.serial_port import SerialConsoleDriver
from carryover.console.sol import IpmiSolConsoleDriver
from carryover.console.sysrq import send_sysrq
from carryover.errors import BadInput, Infrastructure, OutputFailed
from carryover.observation import ConsoleLine, ConsoleState, Watch

_LIMIT = 20.0
_BREAK = b"\xff\xf3"


class TelnetConsole:
    """As much of QEMU's telnet console as a console server sees."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._clients: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        self._client: socket.socket | None = None

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._clients.put(self._listener.accept()[0])

    @property
    def client(self) -> socket.socket:
        if self._client is None:
            self._client = self._clients.get(timeout=_LIMIT)
            self._client.settimeout(_LIMIT)
        return self._client

    def say(self, text: str) -> None:
        self.client.sendall(text.encode())

    def hear(self, wanted: bytes) -> None:
        heard = b""
        while wanted not in heard:
            heard += self.client.recv(4096)

    def close(self) -> None:
        self._listener.close()
        if self._client is not None:
            self._client.close()


@pytest.fixture
def machine() -> Iterator[TelnetConsole]:
    machine = TelnetConsole()
    yield machine
    machine.close()


class Recording:
    """A recorder, and what it wrote and posted."""

    def __init__(self, console: SerialConsoleDriver | IpmiSolConsoleDriver) -> None:
        self.written: list[str] = []
        self.watch = Watch()
        self.recorder = LabConsoleRecorder(console.open_link, self._write, again=0.05)
        self.recorder.hand_to(self.watch)
        self.recorder.start()

    def _write(self, when: float, *lines: str) -> None:
        self.written += lines

    def wait_for(self, text: str) -> None:
        """Until a line with this text is posted."""
        end = time.monotonic() + _LIMIT
        while True:
            seen = self.watch.next(end)
            if isinstance(seen, ConsoleLine) and text in seen.text:
                return

    def wait_for_state(self, *, lost: bool) -> str:
        end = time.monotonic() + _LIMIT
        while True:
            seen = self.watch.next(end)
            if isinstance(seen, ConsoleState) and bool(seen.lost) is lost:
                return seen.lost


@contextlib.contextmanager
def recording(console: SerialConsoleDriver | IpmiSolConsoleDriver) -> Iterator[Recording]:
    found = Recording(console)
    try:
        yield found
    finally:
        found.recorder.stop()


def make(target: Target, cls: str, arguments: dict[str, Any]) -> Any:
    return target_factory.make_driver(target, cls, None, arguments)


def over_network(port: int, protocol: str = "rfc2217") -> Any:
    target = Target("main")
    NetworkSerialPort(target, None, host="127.0.0.1", port=port, protocol=protocol)
    return make(target, "SerialConsoleDriver", {})


@pytest.fixture
def ser2net(machine: TelnetConsole) -> Iterator[ConsoleServer]:
    server = ConsoleServer(machine.port)
    yield server
    server.stop()


def test_rfc2217(machine: TelnetConsole, ser2net: ConsoleServer) -> None:
    with recording(over_network(ser2net.port)) as found:
        machine.say("Linux version 7.3.4 (x)\r\nlogin: ")
        found.wait_for("Linux version 7.3.4")
        assert found.watch.health.kernels == ["7.3.4"]
        assert found.recorder.link is not None
        send_sysrq(found.recorder.link, "b")
        machine.hear(_BREAK + b"b")


def test_a_lost_console_is_told_and_opened_again(
    machine: TelnetConsole, ser2net: ConsoleServer
) -> None:
    with recording(over_network(ser2net.port)) as found:
        machine.say("one\nhalf a line")
        found.wait_for("one")
        ser2net.cut()
        assert found.wait_for_state(lost=True)
        assert found.watch.health.console_lost
        assert found.recorder.link is None
        ser2net.listen()
        found.wait_for_state(lost=False)
        machine.say("two\n")
        found.wait_for("two")
    assert found.written[:2] == ["one", "half a line"]
    assert found.written[2].startswith("carryover: the console is lost: ")
    assert found.written[3].startswith("carryover: the console is back; what it said in ")
    assert found.written[4] == "two"


def test_who_watches_next_is_told_that_it_is_lost(
    machine: TelnetConsole, ser2net: ConsoleServer
) -> None:
    with recording(over_network(ser2net.port)) as found:
        ser2net.cut()
        found.wait_for_state(lost=True)
        following = Watch()
        found.recorder.hand_to(following)
        following.rest()
        assert following.health.console_lost


def test_between_power_cycles_lines_are_written_down(
    machine: TelnetConsole, ser2net: ConsoleServer
) -> None:
    with recording(over_network(ser2net.port)) as found:
        machine.say("one\n")
        found.wait_for("one")
        found.recorder.hand_to(None)
        machine.say("two\n")
        end = time.monotonic() + _LIMIT
        while found.written != ["one", "two"]:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert found.watch.rest() == []


def test_raw_tcp(machine: TelnetConsole) -> None:
    console = over_network(machine.port, "raw")
    assert not console.can_break
    with recording(console) as found:
        machine.say("one\n")
        found.wait_for("one")
        machine.client.close()
        found.wait_for_state(lost=True)


def test_a_local_port() -> None:
    ours, its = pty.openpty()
    tty.setraw(its)
    target = Target("main")
    RawSerialPort(target, None, port=os.ttyname(its))
    console = make(target, "SerialConsoleDriver", {})
    assert console.can_break
    try:
        with recording(console) as found:
            os.write(ours, b"one\r\n")
            found.wait_for("one")
            with pytest.raises(Infrastructure, match=r"target main: console /dev/pts/.*lock"):
                console.open_link()  # it has one reader
            os.close(its)
            its = -1
            os.close(ours)
            ours = -1
            assert found.wait_for_state(lost=True)
    finally:
        for fd in (ours, its):
            if fd >= 0:
                os.close(fd)


def test_nobody_listens() -> None:
    with pytest.raises(
        Infrastructure, match=r"target main: console 127.0.0.1:\d+ \(rfc2217\): .*re"
    ):
        over_network(free_port()).open_link()


def test_another_protocol() -> None:
    with pytest.raises(BadInput, match="protocol is to be rfc2217 or raw"):
        over_network(free_port(), "telnet").open_link()


def test_a_log_that_cannot_be_written(machine: TelnetConsole, ser2net: ConsoleServer) -> None:
    console = over_network(ser2net.port)

    def fail(when: float, *lines: str) -> None:
        raise OutputFailed("console.log: No space left on device")

    watch = Watch()
    recorder = LabConsoleRecorder(console.open_link, fail)
    recorder.start()
    recorder.hand_to(watch)
    machine.say("one\n")
    with pytest.raises(OutputFailed, match="No space left"):
        watch.next(time.monotonic() + _LIMIT)
    recorder.stop()


def sol(port: int, monkeypatch: pytest.MonkeyPatch, **more: str) -> Any:
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)
    target = Target("main")
    target_factory.make_resource(target, "IpmiBmc", None, {"host": "127.0.0.1", "port": port})
    arguments = {"username": USERNAME, "password_variable": "BMC_PASSWORD", "cipher_suite": 3}
    return make(target, "IpmiSolConsoleDriver", arguments | more)


def test_serial_over_lan(
    machine: TelnetConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ipmi_bmc(PaperMachine(), tmp_path, machine.port) as port:
        console = sol(port, monkeypatch)
        with recording(console) as found:
            machine.say("one\n")
            found.wait_for("one")
            command_lines = "".join(
                file.read_bytes().decode(errors="replace")
                for file in Path("/proc").glob("[0-9]*/cmdline")
                if file.exists()
            )
            assert "sol\0activate" in command_lines
            assert PASSWORD not in command_lines
            assert found.recorder.link is not None
            send_sysrq(found.recorder.link, "b")
            machine.hear(b"b")
        assert PASSWORD not in "".join(found.written)


def test_serial_over_lan_with_another_password(
    machine: TelnetConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ipmi_bmc(PaperMachine(), tmp_path, machine.port) as port:
        monkeypatch.setenv("WRONG", "not-this-one")
        console = sol(port, monkeypatch, password_variable="WRONG")
        with pytest.raises(Infrastructure, match=r"serial over LAN of IpmiBmc 127.0.0.1:.*") as bad:
            console.open_link()
        assert "not-this-one" not in str(bad.value)


SCRIPT = """#!/bin/sh
case "$*" in
*deactivate) touch {folder}/deactivated ;;
*activate)
  if [ -e {folder}/deactivated ]; then
    echo "[SOL Session operational.  Use ~? for help]"
    echo one
    exec sleep 60
  fi
  echo "Info: SOL payload already active on another session"
  exit 1 ;;
esac
"""


def scripted(folder: Path, script: str, **more: float) -> Any:
    tool = folder / "ipmitool"
    tool.write_text(script.format(folder=folder))
    tool.chmod(0o755)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    environment = folder / "environment.yaml"
    environment.write_text(f"tools: {{ipmitool: {tool}}}\ntargets: {{main: {{drivers: []}}}}\n")
    target = Environment(str(environment)).get_target()
    target_factory.make_resource(target, "IpmiBmc", None, {"host": "bmc"})
    password = str(folder / "password")
    arguments = {"username": "u", "password_file": password, **more}
    return make(target, "IpmiSolConsoleDriver", arguments)


def test_the_session_of_somebody_else_is_ended(tmp_path: Path) -> None:
    with recording(scripted(tmp_path, SCRIPT)) as found:
        found.wait_for("one")
    assert found.written == ["one"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho 'Error: Unable to establish IPMI v2 / RMCP+ session'\n", "Unable to est"),
        ("#!/bin/sh\nexit 1\n", "ipmitool failed silently"),
        (f"#!/bin/sh\necho it is {PASSWORD}\n", "it is \\*\\*\\*"),
        ("#!/bin/sh\nexec sleep 60\n", "no session within 0.5 s; is serial over LAN switched on"),
    ],
)
def test_no_session(tmp_path: Path, script: str, said: str) -> None:
    console = scripted(tmp_path, script, open_limit=0.5)
    with pytest.raises(Infrastructure, match=f"serial over LAN of IpmiBmc bmc:623: .*{said}"):
        console.open_link()


def test_no_ipmitool(tmp_path: Path) -> None:
    console = scripted(tmp_path, "")
    (tmp_path / "ipmitool").unlink()
    with pytest.raises(BadInput, match="ipmitool: No such file or directory; install ipmitool"):
        console.open_link()
