# SPDX-License-Identifier: GPL-2.0-only
"""labgrid drivers of a fake machine that no run starts: its console, power and SSH."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol

from carryover.console.lab import RecordedConsole
from carryover.errors import Infrastructure
from carryover.machine.contact import Contact
from fake.machine import FakeSSH, bind
from fake.world import KERNEL, VARIABLE, World

# What does not work: any of ssh, power, power-again (more than once), console, sysrq.
BROKEN = "CARRYOVER_FAKE_BROKEN"
# How many boots through its firmware work, before the machine stays dead.
BOOTS = "CARRYOVER_FAKE_BOOTS"


def is_broken(what: str) -> bool:
    return what in os.environ.get(BROKEN, "").split()


class _Machine:
    """The one machine of this process."""

    def __init__(self) -> None:
        self.world = World(Path(os.environ[VARIABLE]))
        self.console: socket.socket | None = None  # lines that nobody reads stay in it
        self.over: list[socket.socket | None] = []
        self.boots = 0

    def boot(self) -> None:
        """Through its firmware, into its own kernel."""
        self.boots += 1
        if self.boots > int(os.environ.get(BOOTS, "100")):
            self.world.update(dead=True)
            return
        self.world.power_on()
        self.listen()
        self.world.update(dead=False, refuses_ssh=False)
        self.world.reboot(nonce=os.environ.get("CARRYOVER_FAKE_NONCE", ""), kexec=False)
        self.world.console("SeaBIOS (version fake)", "Booting from ROM..")
        self.world.sign_on()

    def listen(self) -> None:
        self.over.append(self.console)  # its reader may be waiting on it still
        self.console = bind(self.world.console_socket)

    @property
    def is_up(self) -> bool:
        return bool(self.world.state.get("boots")) and not self.world.state.get("dead")


_machines: list[_Machine] = []


def the_machine() -> _Machine:
    if not _machines:
        _machines.append(_Machine())
        _machines[0].boot()
    return _machines[0]


class _Link:
    def read(self) -> bytes:
        console = the_machine().console
        assert console is not None
        if the_machine().world.state.get("console_cut"):
            raise OSError("ser2net is gone")
        ready, _, _ = select.select([console], [], [], 0.05)
        return console.recv(65536) if ready else b""

    def write(self, data: bytes) -> None:
        machine = the_machine()
        if is_broken("sysrq") or not machine.is_up:
            return
        if data == b"h":
            machine.world.console("[ 9.0] sysrq: HELP : loglevel(0-9) reboot(b)")
        elif data == b"b":
            machine.world.console("[ 9.0] sysrq: Resetting")
            machine.boot()

    def send_break(self) -> None: ...
    def close(self) -> None: ...


@target_factory.reg_driver
@attr.s(eq=False)
class FakeConsole(RecordedConsole):
    place = "console of the fake machine"

    def open_link(self) -> _Link:
        if is_broken("console") or the_machine().world.state.get("console_cut"):
            raise Infrastructure("connection refused")
        return _Link()


@target_factory.reg_driver
@attr.s(eq=False)
class FakePower(Driver, PowerProtocol):  # type: ignore[misc]
    uses = 0

    def on(self) -> None:
        self.cycle()

    def off(self) -> None:
        self.uses += 1
        if is_broken("power") or (is_broken("power-again") and self.uses > 1):
            raise Infrastructure("the BMC does not answer")
        the_machine().world.update(dead=True)

    def cycle(self) -> None:
        self.off()
        the_machine().boot()

    def reset(self) -> None:
        self.cycle()


@target_factory.reg_driver
@attr.s(eq=False)
class FakeLabSSH(FakeSSH):
    def contact(self, limit: float) -> Contact:
        state = the_machine().world.state
        if not the_machine().is_up or state.get("refuses_ssh"):
            raise Infrastructure("SSH: connection refused")
        return Contact(state["boot_id"], KERNEL, 1e6)

    def reboot(self, limit: float = 10.0) -> None:
        state = the_machine().world.state
        if is_broken("ssh") or not the_machine().is_up or state.get("refuses_ssh"):
            raise Infrastructure("SSH: connection refused")
        the_machine().boot()
