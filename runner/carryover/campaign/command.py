# SPDX-License-Identifier: GPL-2.0-only
"""A verb of the program, run on the target to its end: deadlines, evidence, journal."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from carryover.campaign.batch import DAMAGE, Batch
from carryover.campaign.identity import BootIdentity, doubts
from carryover.campaign.strategy import KexecStrategy
from carryover.display import Display
from carryover.errors import Infrastructure
from carryover.events import Event
from carryover.kernel.messages import Meaning
from carryover.observation import (
    SETTLE,
    ConsoleLine,
    Crashed,
    DeadlineExpired,
    ProgramEvent,
    ProgramGone,
)
from carryover.outputs.results import RunOutput
from carryover.program import ProgramOnTarget, said
from carryover.verdict import TestResult

# Seconds before time_scale.
_SILENCE = 20.0  # a verb with no test running: devices are bound, ledgers written, images loaded
_GRACE = 3.0  # on top of a test's own limit, for the program to report that by itself
_SSH_LOST = 255
_NO_KERNEL = "the outgoing kernel was told to kexec, and no kernel signed on"
_OF_THE_ORACLE = ("expect-message", "kernel-message", "kernel-log-lost")
_OF_A_TEST = ("start", "uses", "failure", "note", "finish")


class ProgramDied(Exception):
    """The program ended in the middle of a test; the machine lives."""


@dataclass
class Ended:
    """How a verb ended."""

    exit_code: int = -1
    events: list[Event] = field(default_factory=list)  # those that belong to no test

    @property
    def said(self) -> str:
        """Its error messages."""
        return said(self.events)

    @property
    def loaded(self) -> bool:
        """A kernel was loaded for the kexec, and the jump is next."""
        return any(e.kind in ("loaded", "jump") for e in self.events)

    def has_error(self, kind: str) -> bool:
        return any(e.kind == "error" and e.text("kind") == kind for e in self.events)


# Yields results as they become known.
Running = Generator[TestResult, None, Ended]


class TargetCommands:
    """Runs verbs on one target, and keeps the evidence of which boot each ran on.

    Attributes:
        boot: The boot that the last verb ran on.
        boots: Every boot that a verb ran on.
        freeze_failures: What LUO said of files that it could not freeze, in the last verb.
    """

    def __init__(
        self,
        strategy: KexecStrategy,
        program: ProgramOnTarget,
        output: RunOutput,
        display: Display,
    ) -> None:
        self._strategy = strategy
        self._program = program
        self._output = output
        self._display = display
        self._armed_with = ""
        self._holder = 0
        self.boot: BootIdentity | None = None
        self.boots: list[BootIdentity] = []
        self.freeze_failures: list[str] = []

    def arm(self, batch: Batch) -> Running:
        """The verb `arm`; this boot's nonce goes into the ledger, and verify() asks for it.

        Tests that need no kexec run in the same process: opening a device costs seconds.
        """
        # A boot that has none has this one.
        self._armed_with = self._strategy.nonce or secrets.token_hex(8)
        names = [test.name for test in batch.undecided()]
        extra = ["--nonce", self._armed_with]
        if batch.names(continuity=False):
            extra.append("--with-run")
        return (yield from self.verb("arm", names, batch, *extra))

    def kexec(self, batch: Batch) -> Running:
        """The verb `kexec`, until a kernel signs on or the kexec is refused.

        The program's last events can be lost with the kernel that was to send them: the console
        decides.
        """
        self._strategy.expect_kernel()
        command = self._strategy.kexec_command(self._program, self._holder)
        ended = yield from self._command("kexec", command, batch, jumps=True)
        if ended.exit_code != 0:
            self._strategy.kexec_was_refused()
        return ended

    def verb(self, verb: str, names: Sequence[str], batch: Batch, *extra: str) -> Running:
        """Any other verb, until its last event.

        Raises:
            Crashed: The machine died, hangs, or is not on the boot that it should be on.
            ProgramDied: The program ended in the middle.
            Infrastructure: The connection was lost, or the program talks nonsense.
        """
        command = self._program.command(verb, names, *extra)
        return (yield from self._command(verb, command, batch))

    def read_kernel_log(self) -> None:
        """What the present kernel has logged since this was done the last time; for the oracle.

        Raises:
            Crashed: The machine has died.
            Infrastructure: The connection was lost.
        """
        position = self._strategy.watch.oracle.log_position
        extra = ("--after", str(position)) if position >= 0 else ()
        command = self._program.command("log", (), *extra)
        ended = finished(self._command("log", command, Batch([])))
        if ended.exit_code != 0:
            self._display.note(f"the kernel's log cannot be read: {ended.said}")

    def _command(self, verb: str, command: str, batch: Batch, *, jumps: bool = False) -> Running:
        """Runs a command on the target; yields results as its events decide tests.

        With `jumps` it has also ended, well, when one more kernel signs on.
        """
        watch = self._strategy.watch
        self.freeze_failures = []
        ended = Ended()
        kernels = len(watch.health.kernels)
        lost: ProgramGone | None = None
        has_ended = False
        running = self._strategy.start(command)
        deadline = self._deadline(_SILENCE)
        try:
            while not (jumps and len(watch.health.kernels) > kernels):
                try:
                    seen = watch.next(deadline)
                except DeadlineExpired:
                    if ended.loaded:
                        raise self._strategy.watch.silence(_NO_KERNEL) from None
                    if lost is not None:
                        raise Infrastructure(_connection_lost(verb, lost)) from None
                    self._check_connection(verb, batch)
                    raise self._hang(verb, batch) from None
                except Crashed:
                    for late in watch.late:
                        if late.command == running.number and late.event.kind in _OF_A_TEST:
                            if result := self._event(verb, late.event, batch, ended):
                                yield result
                    raise
                if isinstance(seen, ConsoleLine):
                    if seen.message and seen.message.meaning is Meaning.FREEZE_FAILED:
                        self.freeze_failures.append(seen.message.text)
                elif isinstance(seen, ProgramEvent) and seen.command == running.number:
                    event = seen.event
                    if event.kind == "end":
                        has_ended = True
                        ended.exit_code = event.number("exit_code")
                        return ended
                    if result := self._event(verb, event, batch, ended):
                        yield result
                    limit = self._strategy.boot_limit if ended.loaded else self._limit(batch)
                    deadline = self._deadline(limit)
                elif isinstance(seen, ProgramGone) and seen.command == running.number:
                    if not jumps or not _is_lost(seen):
                        self._gone(verb, seen)
                    lost = seen
                    deadline = self._deadline(self._strategy.boot_limit)
            ended.exit_code = 0
            return ended
        finally:
            running.stop(has_ended=has_ended)

    def _event(self, verb: str, event: Event, batch: Batch, ended: Ended) -> TestResult | None:
        if event.kind == "hello":
            self._hello(verb, event, batch)
        elif event.kind in ("bound", "restored"):
            boot_id = self.boot.boot_id if self.boot else ""
            self._output.journal.write(event.kind, **event.fields, boot_id=boot_id)
        elif event.kind == "ledger":
            self._ledger(event)
        elif event.kind == "holding":
            self._holder = event.number("pid")
        elif event.kind in _OF_THE_ORACLE:
            return None  # it has heard of it before
        elif event.kind in _OF_A_TEST:
            name = event.text("name")
            if event.kind == "start":
                self._output.running(name)
                self._display.doing(f"{event.text('half')} {name}")
            self._output.test_line(name, f"{event.kind}: {_shown(event)}")
        else:
            ended.events.append(event)
        result = batch.observe(event)
        if event.kind == "finish":
            self._output.running(None)
        return result

    def _ledger(self, event: Event) -> None:
        """What is verified must be what this run armed."""
        nonce = event.text("nonce")
        if nonce != self._armed_with:
            raise Infrastructure(
                f"the ledger in the incoming kernel has nonce {nonce or 'none'}, this run armed "
                f"with {self._armed_with}"
            )

    def _hello(self, verb: str, event: Event, batch: Batch) -> None:
        boot = BootIdentity.from_hello(event)
        if self._strategy.boot_id and boot.boot_id != self._strategy.boot_id:
            raise self._strategy.other_boot(boot.boot_id)
        if self.boot is not None and boot.boot_id == self.boot.boot_id:
            # The counts are in the kernel's log, and that may have been overwritten since.
            boot = self.boot
        if verb == "log":
            return
        if verb == "verify" and self.boot is not None:
            if doubt := doubts(self.boot, boot, self._strategy.nonce):
                raise Crashed(doubt.verdict, doubt.reason)
            batch.boot["kexecs"] = [*batch.boot.get("kexecs", []), boot.as_dict()]
        elif self.boot is None or boot.boot_id != self.boot.boot_id:
            if boot.nonce != self._strategy.nonce:
                given = self._strategy.nonce
                how = f"powered on with nonce {given}" if given else "booted by its boot loader"
                raise Infrastructure(
                    f"the machine was {how}, its kernel has {boot.nonce or 'none'}: see `append` "
                    "and the image"
                )
        if verb != "verify":
            batch.boot.setdefault("cold_boot", boot.as_dict())
        self.boot = boot
        if boot not in self.boots:
            self.boots.append(boot)

    def _limit(self, batch: Batch) -> float:
        if batch.running is None:
            return _SILENCE
        return (batch.time_limit(batch.running[0]) or _SILENCE) + _GRACE

    def _deadline(self, seconds: float) -> float:
        return time.monotonic() + seconds * self._strategy.time_scale

    def _hang(self, verb: str, batch: Batch) -> Crashed:
        limit = self._limit(batch) * self._strategy.time_scale
        if batch.running is not None:
            name, half = batch.running
            return self._strategy.hang(f"{half} of {name} did not end within {limit:g} s")
        return self._strategy.hang(f"nothing came from `{verb}` for {limit:g} s")

    def _check_connection(self, verb: str, batch: Batch) -> None:
        """A half that has ended by the console does not hang: its end was lost on the way."""
        if batch.running is not None:
            name, half = batch.running
            if self._strategy.watch.oracle.has_ended(half, name):
                raise Infrastructure(
                    f"the connection was lost during `{verb}`: by the console, {half} of {name} "
                    "has ended, and nothing of that came over SSH"
                )

    def _gone(self, verb: str, seen: ProgramGone) -> None:
        """The command ended without `end`: the machine, the program, or the connection died."""
        lost = _is_lost(seen)
        # A status of the program's own came from a machine that was alive to send it.
        end = time.monotonic() + (SETTLE if lost else SETTLE / 10)
        try:
            while True:
                self._strategy.watch.next(end)  # raises Crashed if the machine died
        except DeadlineExpired:
            pass
        if lost:
            self._strategy.connection_lost()
            raise Infrastructure(_connection_lost(verb, seen))
        what = f"`{verb}` ended with {seen.status} and without its last event"
        raise ProgramDied(f"{what}: {seen.detail}" if seen.detail else what)


def _is_lost(seen: ProgramGone) -> bool:
    """Whether the connection ended, rather than the program at its other end."""
    return seen.status == _SSH_LOST or seen.status < 0


def _connection_lost(verb: str, seen: ProgramGone) -> str:
    detail = f": {seen.detail}" if seen.detail else ""
    return f"the SSH connection was lost during `{verb}` while the kernel is alive{detail}"


def finished(command: Running) -> Ended:
    """Runs a command that has no tests to its end."""
    while True:
        try:
            next(command)
        except StopIteration as stop:
            ended: Ended = stop.value
            return ended


def _shown(event: Event) -> str:
    value = event.fields.get("value")
    if event.text("key") == DAMAGE and isinstance(value, dict):
        # The pages are in results.jsonl, and the failure says the rest in words.
        return f"key={DAMAGE} value={value.get('what')}: {value.get('damaged')}"
    keys = (
        "address",
        "half",
        "generation",
        "file",
        "line",
        "message",
        "key",
        "value",
        "result",
        "reason",
    )
    parts = [f"{key}={event.fields[key]}" for key in keys if event.fields.get(key) is not None]
    return " ".join(parts)
