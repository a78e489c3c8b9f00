# SPDX-License-Identifier: GPL-2.0-only
"""LabMachineDriver: a machine that runs already, and goes on to run after this run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol

from carryover.console.lab import LabConsoleRecorder, RecordedConsole
from carryover.console.recorder import LineSink
from carryover.console.sysrq import send_sysrq
from carryover.errors import Infrastructure
from carryover.machine.machine import MachineProtocol
from carryover.machine.peers import PeerSettings, TrafficPeers, peer_settings, planned
from carryover.machine.power_ladder import Rung, rungs_of
from carryover.observation import Watch

OWN_KERNEL = "own-kernel"
AS_IS = "as-is"


@target_factory.reg_driver
@attr.s(eq=False)
class LabMachineDriver(Driver, MachineProtocol):  # type: ignore[misc]
    """A machine of a lab: reached by SSH, watched on its console, switched by its power.

    Console and power are what the target has a driver of: SerialConsoleDriver or
    IpmiSolConsoleDriver, and any that does labgrid's PowerProtocol. Without a console, it is known
    by SSH alone that the machine died.

    Args:
        boot_limit: Seconds that a boot through its firmware may take, before KexecStrategy's
            `time_scale`.
        delay: Seconds between off and on.
        leave: What becomes of it after the run: `own-kernel` reboots it, so that neither a kernel
            under test nor a device without its driver is left; `as-is` does nothing.
        peers: Traffic peers that run on this controller while a run lasts: NAME: {to: MAC, rate:
            HZ, size: BYTES, interface: NIC}.
        peer_program: ``carryover-peer``; may name environment variables.
    """

    bindings = {"console": {RecordedConsole, None}, "power": {PowerProtocol, None}}

    boot_limit: float = attr.ib(default=300.0, converter=float, validator=attr.validators.gt(0))
    delay: float = attr.ib(default=5.0, converter=float, validator=attr.validators.ge(0))
    leave: str = attr.ib(default=OWN_KERNEL, validator=attr.validators.in_([OWN_KERNEL, AS_IS]))
    peers: dict[str, PeerSettings] = attr.ib(factory=dict, converter=peer_settings)
    peer_program: str = attr.ib(
        default="carryover-peer", validator=attr.validators.instance_of(str)
    )

    is_ours = False
    ssh_port = 0

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.violations: list[str] = []  # its devices are no models, which would tell
        self._recorder: LabConsoleRecorder | None = None
        self._is_observed = False
        self._traffic_peers: TrafficPeers | None = None
        self._notes: list[str] = []
        for name, peer in self.peers.items():
            if not peer.interface:
                raise ValueError(f"peers: {name}: 'interface' is missing: a NIC of the controller")

    @property
    def pid(self) -> int:
        """None of this run's."""
        return 0

    def planned_boot(self, append: str) -> list[str]:
        """What makes it boot. Its own kernel's command line is its boot loader's."""
        rungs = self.rungs(lambda: None, self.sysrq)
        means = [rung.name for rung in rungs if rung.act is not None]
        console = [f"read its console, {self.console.place}"] if self.console is not None else []
        return [
            *planned(self.peers),
            *console,
            f"reboot it into its own kernel, by what works first: {', '.join(means)}",
        ]

    def planned_end(self) -> list[str]:
        """What end() and what comes before it do."""
        is_left = self.leave != OWN_KERNEL
        return ["leave it as it is" if is_left else "reboot it into its own kernel"]

    @property
    def is_observed(self) -> bool:
        return self._is_observed

    def power_on(self, watch: Watch, console: LineSink, error_log: Path, append: str) -> None:
        """Its console is read from now on; the machine itself is booted by rungs()."""
        for driver in (self.console, self.power):
            if driver is not None:
                try:
                    self.target.activate(driver)
                except Exception as error:  # labgrid's, of resources that are not there
                    raise Infrastructure(f"target {self.target.name}: {error}") from error
        if self._recorder is not None:
            self._recorder.hand_to(watch)
        elif self.console is not None:
            self._recorder = LabConsoleRecorder(self.console.open_link, console)
            self._recorder.hand_to(watch)
            self._recorder.start()
        self._is_observed = True
        if self._traffic_peers is not None:
            self._traffic_peers.hand_to(watch)
        elif self.peers:
            program = os.path.expandvars(self.peer_program)
            self._traffic_peers = TrafficPeers(program, self.peers, error_log.parent / "peers")
            self._traffic_peers.start(watch)

    def power_off(self) -> None:
        if self._recorder is not None:
            self._recorder.hand_to(None)

    def let_go(self) -> None:
        self.end()

    def end(self) -> None:
        self._is_observed = False
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.hand_to(None)
            recorder.stop()
        peers, self._traffic_peers = self._traffic_peers, None
        if peers is not None:
            peers.close()
            self._notes += peers.notes

    def take_notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes

    @property
    def has_console(self) -> bool:
        return self.console is not None

    @property
    def is_put_back(self) -> bool:
        return self.leave == OWN_KERNEL

    def rungs(
        self, ssh_reboot: Callable[[], object], sysrq: Callable[[str], object] | None
    ) -> list[Rung]:
        return rungs_of(ssh_reboot, sysrq, self.power, self.delay)

    @property
    def sysrq(self) -> Callable[[str], object] | None:
        if self.console is None or not self.console.can_break:
            return None
        return self._send_sysrq

    def _send_sysrq(self, key: str) -> None:
        link = self._recorder.link if self._recorder is not None else None
        if link is None:
            raise Infrastructure(f"{self.console.place}: the console is lost")
        send_sysrq(link, key)
