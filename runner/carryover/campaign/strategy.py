# SPDX-License-Identifier: GPL-2.0-only
"""KexecStrategy: brings a target into a state, and watches all the way whether it gets there."""

from __future__ import annotations

import contextlib
import enum
import os
import re
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attr
from labgrid.factory import target_factory
from labgrid.strategy import Strategy, StrategyError

from carryover.campaign.identity import NONCE
from carryover.console.recorder import LineSink
from carryover.errors import BadInput, Infrastructure, PlaceLost
from carryover.kernel.oracle import KernelOracle
from carryover.machine.access import access_of
from carryover.machine.contact import ContactSeeker
from carryover.machine.deployer import INITRD, KERNEL, PROGRAM, KernelDeployer
from carryover.machine.liveness import Liveness
from carryover.machine.machine import MachineProtocol
from carryover.machine.power_ladder import PowerLadder, Rung, rungs_without_kernel
from carryover.machine.remote import RemoteCommand
from carryover.observation import (
    Crashed,
    Observation,
    ProgramEvent,
    ReaderFailed,
    Watch,
)
from carryover.outputs.journal import start_time
from carryover.program import IOMMU_MODES, ProgramOnTarget
from carryover.program_options import NO_OPTIONS, ProgramOptions
from carryover.resources import PciTestDevice
from carryover.timing.clock_exchange import exchange
from carryover.timing.timeline import Timeline
from carryover.verdict import Verdict

CLAIMS = ["memory", "file", "mapping", "stream", "interrupt"]


class Status(enum.Enum):
    """States of a target. A power cycle leads from any of them to `off`."""

    unknown = 0
    off = 1  # or, one that is not ours: not watched
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
        tell: Gets a line for a person now and then.
    """

    console: LineSink
    events: Callable[[str], None]
    machine_log: Path
    journal: Callable[..., None]
    timeline: Timeline
    tell: Callable[[str], object] = lambda text: None


# By which a kernel that has panicked boots the machine itself.
_PANIC_REBOOTS = re.compile(r"(?:^|\s)panic=-?[1-9]")
_CLOCK_LIMIT = 5.0  # seconds, before `time_scale`, for the questions of ask_clocks()
# Deaths after which nobody answers over SSH, for certain.
_KERNEL_IS_GONE = (Verdict.RESET, Verdict.PANIC, Verdict.ABI_MISMATCH)


@target_factory.reg_driver
@attr.s(eq=False)
class KexecStrategy(Strategy):  # type: ignore[misc]
    """Cold boot, kexec and end of a target, observed.

    Args:
        program: Path of carryover-selftests on the target.
        kernel: Path on the target of the kernel to kexec into.
        initrd: Likewise its initial RAM file system; empty for none.
        append: Its command line, with environment variables put in; the runner adds a nonce.
        claims: What this kernel claims to carry over.
        time_scale: Multiplies every deadline: debug kernels, emulation.
        boot_limit: Seconds that a boot may take, before `time_scale`.
        iommu_mode: One of ``IOMMU_MODES``.
        tell_shutdown: The outgoing kernel says on its console which device it shuts down, so that
            the time line knows where the freeze ends; costs what the console needs for that.
        memory: MiB that must be available there: 1024 for the whole suite, less for a few tests.
    """

    bindings = {
        "machine": MachineProtocol,
        "ssh": "TargetSSHDriver",
        "deployer": {KernelDeployer, None},
    }

    program: str = attr.ib(validator=attr.validators.instance_of(str))
    kernel: str = attr.ib(validator=attr.validators.instance_of(str))
    append: str = attr.ib(validator=attr.validators.instance_of(str), converter=os.path.expandvars)
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
    memory: int = attr.ib(
        default=1024, validator=[attr.validators.instance_of(int), attr.validators.gt(0)]
    )

    tell_shutdown: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.status = Status.unknown
        self.watch = Watch()
        self.nonce = ""
        self.boot_id = ""
        self.extra_append = ""  # more words for incoming kernels
        self.boot_append = ""  # more words for all kernels, where we start the first one, too
        self.owner = ""  # of the machine, while this run has it
        self._sinks: Sinks | None = None
        self._death: Crashed | None = None  # of the power cycle before this one
        self._seeker: ContactSeeker | None = None
        self._liveness: Liveness | None = None
        self._is_touched = False  # it was made to boot, or more
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
            memory=self.memory,
            options=options,
            owner=self.owner,
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

    def check(self) -> None:
        """Checks what is on the controller; nothing is done to the target. Raises BadInput."""
        if self.deployer is not None:
            self.deployer.check()
        if self.boot_append and not self.machine.is_ours and self.deployer is None:
            raise BadInput(
                f"words for every kernel's command line ({self.boot_append}): this target boots "
                "what its boot loader says; give it a KernelDeployer"
            )

    def cold_boot(self) -> None:
        """A boot through the firmware, and connected: `booted`.

        A machine that is ours is switched off and on. Another is booted by the mildest means that
        works, and into the kernel under test if that is deployed.

        Raises:
            MachineSick: No means works.
            Crashed: It died on the way.
            Infrastructure: The controller's side failed.
        """
        self._check_place()
        self.power_off()
        self.watch = Watch(self.sinks.timeline.observe)
        # A boot loader adds no nonce: there the boot is proved by its boot id.
        self.nonce = secrets.token_hex(8) if self.machine.is_ours else ""
        self.sinks.journal("power-on", nonce=self.nonce)
        append = f"{self.boot_append} {NONCE}{self.nonce}".lstrip()
        self.sinks.timeline.power_on()
        self.machine.power_on(self.watch, self.sinks.console, self.sinks.machine_log, append)
        self.status = Status.unknown
        if self.machine.is_ours:
            self.sinks.journal(
                "machine", pid=self.machine.pid, start_time=start_time(self.machine.pid)
            )
            self._connect_when_ready("power-on")
        else:
            if not self.machine.has_console:
                self.watch.health.console_lost = "the target has none"
            death, self._death = self._death, None
            self._boot_again(death)
            self._connect()
            self.watch.health.firmware_is_expected = False
            if self.deployer is not None:
                self._boot_deployed()
            self.liveness.learn(self.watch)
        self.watch.health.firmware_is_expected = False
        self.status = Status.booted

    def died(self, death: Crashed) -> None:
        """What ended this power cycle; the next one begins with it."""
        self._death = death

    def finish(self, *, put_back: bool = True) -> None:
        """The run is over: a machine that is not ours boots its own kernel, and is let alone.

        Idempotent.

        Args:
            put_back: False: it is only let alone.

        Raises:
            MachineSick: It does not come back.
        """
        if not self.machine.is_observed:
            return
        try:
            if put_back and self._is_touched and self.machine.is_put_back:
                self.watch = Watch()
                sinks = self.sinks
                self.machine.power_on(self.watch, sinks.console, sinks.machine_log, "")
                death, self._death = self._death, None
                sinks.tell("the run is over; the target boots its own kernel")
                self._boot_again(death, "the run is over")
        finally:
            self._stop_seeking()
            self.ssh.drop()
            self.machine.end()

    def _boot_again(self, death: Crashed | None, why: str = "a run is to begin") -> None:
        """A machine that is not ours boots through its firmware."""
        if death is not None:
            why = f"{death.verdict.value}: {death.reason}"
        if not self.boot_id:
            self.boot_id = self.liveness.present_boot()
        self._is_touched = True
        limit = self.machine.boot_limit * self.time_scale
        rungs = self._rungs(death)
        ladder = PowerLadder(rungs, limit, self.sinks.journal, self.sinks.tell)
        self._seek(self.boot_id)
        self.boot_id = ladder.climb(self.watch, why, self.boot_id)
        self._stop_seeking()

    def _rungs(self, death: Crashed | None) -> list[Rung]:
        press = partial(self.liveness.press, self.watch) if self.machine.sysrq else None
        rungs: list[Rung] = self.machine.rungs(self.ssh.reboot, press)
        if death is None or death.verdict not in _KERNEL_IS_GONE:
            return rungs
        words = " ".join([self.append, self.boot_append, self.extra_append])
        returns = death.verdict is Verdict.RESET or _PANIC_REBOOTS.search(words) is not None
        return rungs_without_kernel(rungs, returns_by_itself=returns)

    def deployed_command(self) -> str:
        """The command that makes the target boot the deployed kernel, with a new nonce."""
        kernel, initrd = self.deployer.on_target(KERNEL), self.deployer.on_target(INITRD)
        program = self.deployer.on_target(PROGRAM) or self.program
        self.nonce = secrets.token_hex(8)
        words = [self.deployer.append or self.append, self.boot_append, NONCE + self.nonce]
        image = ["--kernel", kernel, "--append", " ".join(filter(None, words))]
        if initrd:
            image += ["--initrd", initrd]
        return ProgramOnTarget(path=program, owner=self.owner).command("kexec", (), *image)

    def _boot_deployed(self) -> None:
        """From the machine's own kernel into the one that is deployed, which has a nonce."""
        command = self.deployed_command()
        self.sinks.journal("deploy", nonce=self.nonce)
        self.watch.rest()
        self.watch.oracle = KernelOracle()  # the machine's own kernel is not under test
        self.watch.health.kernel_is_expected = True
        self._seek(self.boot_id)
        running = self.start(command)

        def heed(seen: Observation) -> None:
            if isinstance(seen, ProgramEvent) and seen.event.kind in ("refused", "error"):
                said = seen.event.text("message")
                raise Infrastructure(f"the target's own kernel does not boot the deployed: {said}")

        try:
            limit = self.boot_limit * self.time_scale
            since = "the kexec into the deployed kernel"
            ready = self.watch.wait_until_ready(limit, since, self.boot_id, heed)
        finally:
            running.stop()
        self.ssh.drop()
        self.boot_id = ready.values["boot_id"]
        self._connect()

    def connection_lost(self) -> None:
        """The SSH connection has ended unasked. Returns if the connection alone is lost.

        Raises:
            Crashed: A machine that is not ours died, or has booted by itself.
            Infrastructure: It cannot be told.
        """
        if self.machine.is_ours:
            return  # a reset would have ended it
        self._stop_seeking()
        is_heard = not self.watch.health.console_lost
        limit = self.boot_limit if is_heard else self.machine.boot_limit
        self.liveness.look(self.watch, self.boot_id, limit * self.time_scale)

    @property
    def liveness(self) -> Liveness:
        """Whether the kernel of a machine that is not ours lives."""
        if self._liveness is None:
            self._liveness = Liveness(self.machine, self.ssh, self.time_scale)
        return self._liveness

    def hang(self, reason: str) -> Crashed:
        """What it is that a command on the target does not end in time."""
        if self.watch.health.console_lost and not self.machine.is_ours:
            if self.liveness.present_boot() == self.boot_id:
                return Crashed(Verdict.HANG, f"{reason}; its kernel answers over SSH")
        return self.watch.silence(reason)

    def other_boot(self, boot_id: str) -> Exception:
        """What it means that SSH leads to another boot than the one that was ready."""
        if self.machine.is_ours:
            return Infrastructure(
                f"the console shows boot {self.boot_id}, SSH leads to {boot_id}: "
                "another machine answers"
            )
        return Crashed(
            Verdict.RESET, f"the machine has booted by itself: {self.boot_id}, then {boot_id}"
        )

    def kexec_command(self, program: ProgramOnTarget, holder: int) -> str:
        """The command that makes the target kexec, with a new nonce, if `holder` lives."""
        self.nonce = secrets.token_hex(8)
        words = [self.append, self.boot_append, self.extra_append, NONCE + self.nonce]
        append = " ".join(filter(None, words))
        image = ["--kernel", self.kernel, "--append", append]
        if self.initrd:
            image += ["--initrd", self.initrd]
        if self.tell_shutdown:
            image.append("--tell-shutdown")
        if holder:
            image += ["--holder", str(holder)]
        return program.command("kexec", (), *image)

    def expect_kernel(self) -> None:
        """The kernel is about to be told to kexec: a new one is no surprise any more."""
        self.sinks.timeline.kexec()
        self.watch.health.kernel_is_expected = True
        self._is_touched = True
        self.status = Status.jumped
        if not self.machine.is_ours:
            self._seek(self.boot_id)

    def kexec_was_refused(self) -> None:
        """The kernel runs on: `armed`."""
        self.sinks.timeline.kexec_was_refused()
        self.watch.health.kernel_is_expected = False
        self._stop_seeking()
        self.status = Status.armed

    def wait_for_incoming(self) -> None:
        """Until the incoming kernel is up and lets us in: `kexeced`."""
        self.ssh.drop()
        self._connect_when_ready("the kexec")
        if not self.machine.is_ours:
            self.liveness.learn(self.watch)
        self.status = Status.kexeced

    def start(self, command: str) -> RemoteCommand:
        """Starts a command on the target; its events come through `watch`."""
        self._check_place()
        running: RemoteCommand = self.ssh.stream(command, self.watch, self.sinks.events)
        return running

    def ask_clocks(self) -> None:
        """Relates the target's clocks to ours, for the time line; costs no run if it fails."""
        self._check_place()
        command = self.on_target().command("clock")
        try:
            found = exchange(
                self.ssh.talk,
                command,
                _CLOCK_LIMIT * self.time_scale,
                self.sinks.events,
                self.sinks.timeline.counter,
            )
        except Infrastructure as error:
            self.sinks.tell(f"the time line has no common clock here: {error}")
        else:
            self.sinks.timeline.clocks(found)

    def power_off(self) -> None:
        """Ends the power cycle; everything the machine said is recorded on return. Idempotent.

        A machine that is ours is off then; another runs on.
        """
        try:
            self._stop_seeking()
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
            elif self.machine.is_observed and self.status is not Status.off:
                self.machine.power_off()
                self.sinks.timeline.power_off()
        self.status = Status.off

    def _check_place(self) -> None:
        if self._place_lost is not None:
            raise self._place_lost

    def _connect_when_ready(self, since: str) -> None:
        limit = self.boot_limit * self.time_scale
        over = "" if self.machine.is_ours else self.boot_id
        ready = self.watch.wait_until_ready(limit, since, over)
        self.boot_id = ready.values.get("boot_id", "")
        self._connect()

    def _connect(self) -> None:
        self._stop_seeking()
        try:
            self.ssh.connect(self.machine.ssh_port)
            if self._wants_files():
                self.deployer.copy(self.time_scale)
        except Infrastructure:
            self.connection_lost()
            raise
        self.sinks.journal("access", **access_of(self.ssh, self.program, self.owner))

    def _wants_files(self) -> bool:
        """Whether this boot needs what is deployed; its file system may be one that forgets."""
        if self.deployer is None:
            return False
        deployed = {self.deployer.on_target(name) for name in self.deployer.files}
        is_own = not self.nonce
        return is_own or not deployed.isdisjoint({self.program, self.kernel, self.initrd})

    def _seek(self, known: str, *, any_boot: bool = False) -> None:
        self._stop_seeking()
        self._seeker = ContactSeeker(self.ssh.contact, self.watch, known, any_boot=any_boot)

    def _stop_seeking(self) -> None:
        seeker, self._seeker = self._seeker, None
        if seeker is not None:
            seeker.stop()
