# SPDX-License-Identifier: GPL-2.0-only
"""KexecStrategy: brings a target into a state, and watches all the way whether it gets there."""

from __future__ import annotations

import contextlib
import enum
import secrets
from collections.abc import Callable
from pathlib import Path

import attr
from labgrid.factory import target_factory
from labgrid.strategy import Strategy, StrategyError

from carryover.console import LineSink
from carryover.errors import PlaceLost
from carryover.identity import NONCE
from carryover.journal import start_time
from carryover.observation import ReaderFailed, Watch
from carryover.program import IOMMU_MODES, ProgramOnTarget
from carryover.program_options import NO_OPTIONS, ProgramOptions
from carryover.remote import RemoteCommand
from carryover.resources import PciTestDevice
from carryover.timeline import Timeline

CLAIMS = ["memory", "file", "mapping", "stream", "interrupt"]


class Status(enum.Enum):
    """States of a target. A power cycle leads from any of them to `off`."""

    unknown = 0
    off = 1
    booted = 2  # cold boot, SSH connected
    armed = 3  # a holder keeps sessions open for the kexec
    jumped = 4  # the kernel has been told to kexec; no connection
    kexeced = 5  # an incoming kernel is up, SSH connected


@attr.s(auto_attribs=True, frozen=True)
class Sinks:
    """Where everything that is observed goes.

    Attributes:
        console: Each line of the console.
        events: Each line of the program.
        machine_log: What the machine's own process (QEMU) says.
        journal: Called before each risky step, with what is about to happen.
        timeline: Sees all that is observed.
    """

    console: LineSink
    events: Callable[[str], None]
    machine_log: Path
    journal: Callable[..., None]
    timeline: Timeline


@target_factory.reg_driver
@attr.s(eq=False)
class KexecStrategy(Strategy):  # type: ignore[misc]
    """Cold boot, kexec and end of a target, observed.

    Args:
        program: Path of carryover-selftests on the target.
        kernel: Path on the target of the kernel to kexec into.
        initrd: Likewise its initial RAM file system; empty for none.
        append: Its command line; the runner adds a nonce.
        claims: What this kernel claims to carry over.
        time_scale: Multiplies every deadline: debug kernels, emulation.
        boot_limit: Seconds that a boot may take, before `time_scale`.
        iommu_mode: One of ``IOMMU_MODES``.
    """

    bindings = {"machine": "BenchDriver", "ssh": "TargetSSHDriver"}

    program: str = attr.ib(validator=attr.validators.instance_of(str))
    kernel: str = attr.ib(validator=attr.validators.instance_of(str))
    append: str = attr.ib(validator=attr.validators.instance_of(str))
    initrd: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    claims: list[str] = attr.ib(
        factory=lambda: ["memory"],
        validator=attr.validators.deep_iterable(
            attr.validators.in_(CLAIMS),
            attr.validators.instance_of(list),
        ),
    )
    time_scale: float = attr.ib(default=1.0, converter=float, validator=attr.validators.gt(0))
    boot_limit: float = attr.ib(default=30.0, converter=float, validator=attr.validators.gt(0))
    iommu_mode: str = attr.ib(default="iommufd", validator=attr.validators.in_(list(IOMMU_MODES)))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.status = Status.unknown
        self.watch = Watch()
        self.nonce = ""
        self.boot_id = ""
        self.extra_append = ""  # more words for incoming kernels
        self.boot_append = ""  # more words for all kernels, where we start the first one, too
        self._sinks: Sinks | None = None
        self._place_lost: PlaceLost | None = None

    def observe(self, sinks: Sinks) -> None:
        """From now on, everything observed goes there. Call it before power-on."""
        self._sinks = sinks

    def place_is_lost(self, error: PlaceLost) -> None:
        """From now on the machine is somebody else's; called from any thread."""
        self._place_lost = error
        self.watch.post(ReaderFailed(error))

    @property
    def sinks(self) -> Sinks:
        if self._sinks is None:
            raise StrategyError("observe() comes before power-on: nothing may go unseen")
        return self._sinks

    def devices(self) -> list[PciTestDevice]:
        """What tests may use, in the order of the environment."""
        return [r for r in self.target.resources if isinstance(r, PciTestDevice)]

    def on_target(self, options: ProgramOptions = NO_OPTIONS) -> ProgramOnTarget:
        """The program on this target, with the target's devices and claims."""
        return ProgramOnTarget(
            path=self.program,
            devices=tuple(device.option for device in self.devices()),
            claims=tuple(self.claims),
            iommu_mode=self.iommu_mode,
            time_scale=self.time_scale,
            options=options,
        )

    def transition(self, status: Status | str) -> None:
        """Brings the target to `off`, `booted` or `kexeced`.

        Raises:
            Crashed: The target died on the way.
            Infrastructure: The controller's side failed.
        """
        wanted = Status[status] if isinstance(status, str) else status
        if wanted is Status.off:
            self.power_off()
        elif wanted is Status.booted:
            self.cold_boot()
        elif wanted is Status.kexeced and self.status is Status.jumped:
            self.wait_for_incoming()
        else:
            raise StrategyError(f"cannot go from {self.status.name} to {wanted.name} by itself")

    def cold_boot(self) -> None:
        """Off, on, and connected: `booted`."""
        self._check_place()
        self.power_off()
        self.watch = Watch(self.sinks.timeline.observe)
        self.nonce = secrets.token_hex(8)
        self.sinks.journal("power-on", nonce=self.nonce)
        append = f"{self.boot_append} {NONCE}{self.nonce}".lstrip()
        self.sinks.timeline.power_on()
        self.machine.power_on(self.watch, self.sinks.console, self.sinks.machine_log, append)
        self.status = Status.unknown
        self.sinks.journal("machine", pid=self.machine.pid, start_time=start_time(self.machine.pid))
        self._connect_when_ready("power-on")
        self.watch.health.firmware_is_expected = False
        self.status = Status.booted

    def kexec_command(self, program: ProgramOnTarget, holder: int) -> str:
        """The command that makes the target kexec, with a new nonce, if `holder` lives."""
        self.nonce = secrets.token_hex(8)
        words = [self.append, self.boot_append, self.extra_append, NONCE + self.nonce]
        append = " ".join(filter(None, words))
        image = ["--kernel", self.kernel, "--append", append]
        if self.initrd:
            image += ["--initrd", self.initrd]
        if holder:
            image += ["--holder", str(holder)]
        return program.command("kexec", (), *image)

    def expect_kernel(self) -> None:
        """The kernel is about to be told to kexec: a new one is no surprise any more."""
        self.sinks.timeline.kexec()
        self.watch.health.kernel_is_expected = True
        self.status = Status.jumped

    def kexec_was_refused(self) -> None:
        """The kernel runs on: `armed`."""
        self.sinks.timeline.kexec_was_refused()
        self.watch.health.kernel_is_expected = False
        self.status = Status.armed

    def wait_for_incoming(self) -> None:
        """Until the incoming kernel is up and lets us in: `kexeced`."""
        self.ssh.drop()
        self._connect_when_ready("the kexec")
        self.status = Status.kexeced

    def start(self, command: str) -> RemoteCommand:
        """Starts a command on the target; its events come through `watch`."""
        self._check_place()
        running: RemoteCommand = self.ssh.stream(command, self.watch, self.sinks.events)
        return running

    def power_off(self) -> None:
        """Ends the machine; everything it said is recorded on return. Idempotent."""
        try:
            self.ssh.drop()
        finally:
            if self._place_lost is not None:
                self.machine.let_go()
                with contextlib.suppress(PlaceLost):  # as it is known by now
                    self.watch.rest()
            elif self.machine.pid:
                self.machine.power_off()
                self.sinks.journal("power-off")
                self.sinks.timeline.power_off()
        self.status = Status.off

    def _check_place(self) -> None:
        if self._place_lost is not None:
            raise self._place_lost

    def _connect_when_ready(self, since: str) -> None:
        ready = self.watch.wait_until_ready(self.boot_limit * self.time_scale, since)
        self.boot_id = ready.values.get("boot_id", "")
        self.ssh.connect(self.machine.ssh_port)
