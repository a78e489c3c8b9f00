# SPDX-License-Identifier: GPL-2.0-only
"""When each step of a boot and of a kexec was: marks, from all that is observed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from carryover.events import Event
from carryover.kernel.messages import Meaning
from carryover.observation import (
    ConsoleLine,
    ConsoleLines,
    Observation,
    ProgramEvent,
    Reached,
)
from carryover.timing.clock_exchange import Exchange
from carryover.timing.steps import ClockSamples, StepReader, TargetRecord

# What a mark may say, in the order in which a power cycle with one kexec has them.
WORDS = (
    "power-on",
    "firmware",
    "kernel",
    "init",
    "ready",
    "run",
    "arm",
    "armed",
    "kexec",
    "loaded",
    "jump",
    "outgoing-last",
    "verify",
    "retrieved",
    "verified",
    "off",
)
_OF_CONSOLE = {
    Meaning.FIRMWARE: "firmware",
    Meaning.KERNEL: "kernel",
    Meaning.INIT: "init",
    Meaning.TARGET_READY: "ready",
}

_MOST_PAIRS = 10_000

# What the program tells both by an event and on the console, as the event may be lost.
_LAST_WORDS = ("loaded", "jump")

# SSH may answer where the console does not tell that the target is ready.
_BEFORE_READY = ("power-on", "firmware", "kernel", "init", "kexec", "loaded", "jump")


@dataclass(frozen=True, slots=True)
class Mark:
    """One step.

    Attributes:
        time: The controller's wall clock (time.time()), where the line was read or the step begun.
        cycle: Power cycle of this run, from 1.
        kexec: Kexecs in this cycle, the one under way included; 0 is the cold boot.
        what: One of ``WORDS``.
        text: The line of the console; empty if it is no such line.
    """

    time: float
    cycle: int
    kexec: int
    what: str
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For results.jsonl."""
        return asdict(self)


class Timeline:
    """Makes marks. Its methods may be called from any thread, and raise what `write` raises."""

    def __init__(
        self,
        write: Callable[[Mark], None],
        cycles: int = 0,
        write_record: Callable[[TargetRecord], None] = lambda record: None,
    ) -> None:
        """A new one.

        Args:
            write: Gets the marks.
            cycles: Power cycles of this run that are over.
            write_record: Gets what the target says by its own clocks.
        """
        self._write = write
        self._write_record = write_record
        self._steps = StepReader()
        self._pairs: list[tuple[int, int]] = []
        self._boot = ""
        self._lock = threading.Lock()
        self._cycle = cycles
        self._kexec = 0
        self._what = ""  # of the latest mark
        self._is_jumping = False  # told to kexec, and no kernel has signed on
        self._outgoing_last: ConsoleLine | None = None
        self._last_words: set[str] = set()  # of the program in this kexec: told, or on the console

    def power_on(self) -> None:
        """Another power cycle begins."""
        with self._lock:
            self._cycle += 1
            self._kexec = 0
            self._is_jumping = False
            self._mark("power-on")

    def kexec(self) -> None:
        """The target is about to be told to kexec."""
        with self._lock:
            self._kexec += 1
            self._is_jumping, self._outgoing_last = True, None
            self._last_words.clear()
            self._mark("kexec")

    def kexec_was_refused(self) -> None:
        """The kernel runs on: it was none."""
        with self._lock:
            self._kexec -= 1
            self._is_jumping = False

    def power_off(self) -> None:
        """The machine is off, and all that it said has been observed."""
        with self._lock:
            self._end_of_outgoing()
            self._mark("off")

    def step(self, what: str) -> None:
        """A step of the runner's own begins or ends now."""
        with self._lock:
            self._mark(what)

    def observe(self, seen: Observation) -> None:
        """Called by whoever has just read it."""
        if isinstance(seen, ConsoleLine):
            with self._lock:
                self._console(seen)
        elif isinstance(seen, ConsoleLines):
            with self._lock:
                self._console(ConsoleLine(seen.time, seen.texts[-1], None))
        elif isinstance(seen, Reached):
            with self._lock:
                if self._what in _BEFORE_READY:
                    self._mark("ready", seen.time)
        elif isinstance(seen, ProgramEvent):
            with self._lock:
                self._mark_program(_of_program(seen.event), time.time())
                self._pair(seen.event)
                at = (time.time(), self._cycle, self._kexec)
                for record in self._steps.program(seen.event, *at):
                    self._write_record(record)

    @property
    def counter(self) -> list[tuple[int, int]]:
        """What the program read of CLOCK_MONOTONIC and the counter together, in this boot."""
        with self._lock:
            return list(self._pairs)

    def _pair(self, event: Event) -> None:
        if event.kind == "hello" and event.text("boot_id") != self._boot:
            self._boot, self._pairs = event.text("boot_id"), []
        if "tsc" in event.fields and len(self._pairs) < _MOST_PAIRS:
            self._pairs.append((event.number("t"), event.number("tsc")))

    def clocks(self, found: Exchange) -> None:
        """The target was asked for its clocks."""
        with self._lock:
            at = (time.time(), self._cycle, self._kexec)
            asked = [[a.sent, a.tsc, a.received] for a in found.answers]
            more = (found.tick_ns, found.wall)
            self._write_record(ClockSamples(*at, "controller", asked, *more))
            if found.kernel:
                self._write_record(ClockSamples(*at, "kernel", found.kernel))

    def _console(self, line: ConsoleLine) -> None:
        what = _OF_CONSOLE.get(line.message.meaning) if line.message else None
        if what == "kernel":
            self._end_of_outgoing()
        elif self._is_jumping and line.text.strip():
            self._outgoing_last = line
        if step := self._steps.console(line, self._cycle, self._kexec):
            self._write_record(step)
            if self._is_jumping and step.what in _LAST_WORDS:
                self._mark_program(step.what, line.time)
        if what in ("firmware", "ready") and self._what == what:
            return  # firmware says several things, and SSH may have told that it is ready
        if what:
            self._mark(what, line.time, line.text.strip())

    def _mark_program(self, what: str, at: float) -> None:
        if not what or what in self._last_words:
            return
        if what in _LAST_WORDS:
            self._last_words.add(what)
        self._mark(what, at)

    def _end_of_outgoing(self) -> None:
        if self._is_jumping and (last := self._outgoing_last):
            self._mark("outgoing-last", last.time, last.text.strip())
        self._is_jumping = False

    def _mark(self, what: str, at: float | None = None, text: str = "") -> None:
        self._what = what
        when = time.time() if at is None else at
        self._write(Mark(when, self._cycle, self._kexec, what, text))


def _of_program(event: Event) -> str:
    if event.kind == "holding":
        return "armed" if event.number("generation") == 0 else ""
    return {"loaded": "loaded", "jump": "jump", "ledger": "retrieved"}.get(event.kind, "")
