# SPDX-License-Identifier: GPL-2.0-only
"""What can be seen of a machine, in one stream, and what it says about the machine's health.

Every source (console, QMP, a command's output) has one reader, which posts here. One consumer
waits, always with a deadline.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from carryover.events import Event
from carryover.kernel.messages import KernelMessage, Meaning
from carryover.kernel.oracle import KernelOracle
from carryover.verdict import Verdict

# How long a dying machine may take to say the rest, once it has begun.
SETTLE = 2.0
# Seconds for what a machine that is dead for certain had sent before.
_ON_THE_WAY = 0.2


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A whole line of the console, and the wall clock (time.time()) when it was read."""

    time: float
    text: str
    message: KernelMessage | None


@dataclass(frozen=True, slots=True)
class ConsoleLines:
    """Several lines at once, none of which tells anything by itself: of a console in a flood."""

    time: float
    texts: list[str]


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """An event of the machine itself, by QMP's name (RESET, SHUTDOWN, ...)."""

    time: float
    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MachineGone:
    """The machine's process has ended."""

    time: float
    detail: str


@dataclass(frozen=True, slots=True)
class ProgramEvent:
    """An event of a command on the target."""

    command: int
    event: Event


@dataclass(frozen=True, slots=True)
class ProgramGone:
    """A command's connection has ended."""

    command: int
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class ReaderFailed:
    """A reader cannot go on: its output cannot be written, or its input is nonsense."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Reached:
    """The target answers over SSH; `message` is as if its console said that it is ready."""

    time: float
    message: KernelMessage


@dataclass(frozen=True, slots=True)
class ConsoleState:
    """The console is lost, and why; or it is there again, with an empty `lost`."""

    time: float
    lost: str


Observation = (
    ConsoleLine
    | ConsoleLines
    | ConsoleState
    | MachineEvent
    | MachineGone
    | ProgramEvent
    | ProgramGone
    | Reached
    | ReaderFailed
)


class Crashed(Exception):
    """The machine has died. `verdict` says how."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


class DeadlineExpired(Exception):
    """Nothing came before the deadline."""


class Health:
    """Folds observations into one answer: is the machine alive, and if not, what killed it?"""

    def __init__(self) -> None:
        self.crash: Crashed | None = None
        self.settled = False
        self.faults: list[str] = []  # first lines of what it survived; the oracle has them whole
        self.kernels: list[str] = []
        self.kernel_is_expected = True  # a kernel's sign-on is no surprise
        self.firmware_is_expected = True
        self.is_recovering = False  # kernels come and go: that of a crash dump, a rescue system
        self.incompatible = ""  # what the kernel said of data that it does not understand
        self.boot_id = ""  # of the kernel that was ready last
        self.console_lost = ""  # why nothing can be heard of it now
        self._is_booting = False  # a kernel has signed on, and is not ready yet
        self._owes_sign_on = False  # a kernel was known by SSH before its console showed it
        self._shutdown: str | None = None

    def observe(self, seen: Observation) -> None:
        """Takes one observation into account."""
        if isinstance(seen, ConsoleLine) and seen.message is not None:
            self._observe_message(seen.message)
        elif isinstance(seen, MachineEvent):
            if seen.name == "SHUTDOWN":
                self._shutdown = str(seen.data.get("reason", "unknown"))
            elif seen.name == "RESET" and not self.firmware_is_expected:
                self._die(Verdict.RESET, f"the machine was reset ({seen.data.get('reason')})")
        elif isinstance(seen, MachineGone):
            self._observe_end(seen)
        elif isinstance(seen, Reached):
            self._observe_contact(seen.message)
        elif isinstance(seen, ConsoleState):
            self.console_lost = seen.lost

    def _observe_contact(self, message: KernelMessage) -> None:
        """SSH tells of kernels that the console has lost."""
        boot_id = message.values["boot_id"]
        if boot_id == self.boot_id:
            return
        if self.kernel_is_expected:
            self.kernels.append(message.values["release"])
            self.kernel_is_expected = False
            self._owes_sign_on = True
        elif not self._is_booting and self.boot_id and not self.is_recovering:
            self._die(Verdict.RESET, f"the machine has booted by itself: {message.text}")
        self.boot_id = boot_id
        self._is_booting = False

    def _observe_message(self, message: KernelMessage) -> None:
        meaning = message.meaning
        if meaning is Meaning.ABI:
            self.incompatible = message.text
        elif meaning in (Meaning.PANIC, Meaning.ABI_PANIC):
            of_abi = self.incompatible or meaning is Meaning.ABI_PANIC
            verdict = Verdict.ABI_MISMATCH if of_abi else Verdict.PANIC
            text = (
                message.text
                if not self.incompatible or self.incompatible in message.text
                else (f"{self.incompatible}; {message.text}")
            )
            self._die(verdict, text)
        elif meaning is Meaning.PANIC_END:
            self.settled = self.crash is not None
        elif meaning is Meaning.FAULT:
            self.faults.append(message.text)
        elif meaning is Meaning.FIRMWARE and not self.firmware_is_expected:
            self._die(Verdict.RESET, f"the firmware started again: {message.text}")
        elif meaning is Meaning.KERNEL:
            if self._owes_sign_on and not self.kernel_is_expected:
                self._owes_sign_on = False  # SSH was faster than the console
                return
            self.kernels.append(message.values["release"])
            if not self.kernel_is_expected and not self.is_recovering:
                self._die(Verdict.RESET, f"a kernel started that nobody asked for: {message.text}")
            self.kernel_is_expected = self._owes_sign_on = False
            self._is_booting = True
        elif meaning is Meaning.TARGET_READY:
            self.boot_id = message.values["boot_id"]
            self._is_booting = False

    def _observe_end(self, seen: MachineGone) -> None:
        if self._shutdown in ("guest-reset", "host-qmp-system-reset", "subsystem-reset"):
            self._die(Verdict.RESET, f"the machine was reset (QEMU says {self._shutdown})")
        elif self._shutdown in ("guest-shutdown", "guest-panic"):
            self._die(Verdict.RESET, f"the machine went down (QEMU says {self._shutdown})")
        else:
            why = f", {self._shutdown}" if self._shutdown else ""
            self._die(Verdict.INFRA, f"the machine is gone: {seen.detail}{why}")
        self.settled = True

    def _die(self, verdict: Verdict, reason: str) -> None:
        if self.crash is None:  # the first sign is the cause; what follows are consequences
            if self.faults and verdict in (Verdict.PANIC, Verdict.RESET):
                reason = f"{reason} (before it: {self.faults[-1]})"
            self.crash = Crashed(verdict, reason)


class Watch:
    """The stream of observations of one power cycle.

    Attributes:
        health: What all that was taken from it amounts to.
        oracle: What the kernels complained of.
        late: What programs had said by the time their machine died, and was read after that: the
            console and the network are not equally fast.
    """

    def __init__(self, witness: Callable[[Observation], None] = lambda seen: None) -> None:
        """A new one.

        Args:
            witness: Sees each observation before it is posted, in its reader's thread.
        """
        self.health = Health()
        self.oracle = KernelOracle()
        self._witness = witness
        self.late: list[ProgramEvent] = []
        self._queue: queue.SimpleQueue[Observation] = queue.SimpleQueue()

    def post(self, seen: Observation) -> None:
        """Called by readers, from any thread. Raises what the witness raises."""
        self._witness(seen)
        self._queue.put(seen)

    def next(self, deadline: float) -> Observation:
        """The next observation.

        Args:
            deadline: time.monotonic() at which to give up.

        Raises:
            Crashed: The machine died; what it still had to say has been read.
            DeadlineExpired: Nothing came in time.
        """
        seen = self._take(deadline)
        if self.health.crash is not None:
            self.settle()
            raise self.health.crash
        return seen

    def _take(self, deadline: float) -> Observation:
        try:
            seen = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise DeadlineExpired from None
        if isinstance(seen, ReaderFailed):
            raise seen.error
        self.health.observe(seen)
        if isinstance(seen, ConsoleLine):
            self.oracle.console(seen.time, seen.text, seen.message)
        elif isinstance(seen, ConsoleLines):
            self.oracle.several(seen.texts)
        elif isinstance(seen, ProgramEvent):
            self.oracle.program(seen.event)
        return seen

    def rest(self) -> list[Observation]:
        """What was posted and nobody waits for any more, taken into account."""
        taken: list[Observation] = []
        while True:
            try:
                taken.append(self._take(0.0))
            except DeadlineExpired:
                return taken

    def wait_until_ready(
        self,
        limit: float,
        since: str,
        over: str = "",
        heed: Callable[[Observation], object] = lambda seen: None,
    ) -> KernelMessage:
        """Waits until a kernel says that the target can be reached, and returns that message.

        Args:
            limit: Seconds from now on.
            since: What the machine is coming back from, for the reason.
            over: Boot id of the boot that is over: a late word of it does not count.
            heed: Sees all that comes meanwhile, and may raise.

        Raises:
            Crashed: It died, or `limit` has passed.
        """
        deadline = time.monotonic() + limit
        last = ""
        while time.monotonic() < deadline:  # a flooded console has always more to say
            try:
                seen = self.next(deadline)
            except DeadlineExpired:
                break
            heed(seen)
            if isinstance(seen, ConsoleLines):
                last = seen.texts[-1].strip() or last
            elif isinstance(seen, ConsoleLine):
                last = seen.text.strip() or last
            if not isinstance(seen, ConsoleLine | Reached):
                continue
            message = seen.message
            if message is None or message.meaning is not Meaning.TARGET_READY:
                continue
            if not over or message.values["boot_id"] != over:
                return message
        said = f"; the console's last line: {last!r}" if last else "; the console is silent"
        raise self.silence(f"no kernel was ready within {limit:g} s of {since}{said}")

    def silence(self, reason: str) -> Crashed:
        """What a machine died of that says nothing: HANG, if all that it says is heard.

        A panic may have been on a console that is lost: then nothing is known, which is INFRA.
        """
        if not self.health.console_lost:
            return Crashed(Verdict.HANG, reason)
        lost = f"{reason}; the console is lost, so why is not known: {self.health.console_lost}"
        return Crashed(Verdict.INFRA, lost)

    def begin_anew(self) -> Health:
        """The boot that was watched is over, and the machine recovers; returns what it amounted to.

        What was posted up to now belongs to it, and does not count for the next. Whoever takes the
        machine for recovered says so (Health.is_recovering).
        """
        for _ in range(self._queue.qsize()):
            self._take(0.0)
        over, self.health = self.health, Health()
        self.health.console_lost = over.console_lost
        self.health.is_recovering = True
        return over

    def settle(self) -> None:
        """Reads on until a dying machine has said the rest."""
        end = time.monotonic() + 2 * SETTLE
        while (now := time.monotonic()) < end:
            patience = _ON_THE_WAY if self.health.settled else SETTLE
            try:
                seen = self._take(min(end, now + patience))
            except DeadlineExpired:
                return
            if isinstance(seen, ProgramEvent):
                self.late.append(seen)
