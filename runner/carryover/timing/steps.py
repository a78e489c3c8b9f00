# SPDX-License-Identifier: GPL-2.0-only
"""Steps of a kexec by the target's own clocks, and what each device says of its gap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from carryover.events import Event
from carryover.kernel.messages import Meaning, look_up, stamped
from carryover.observation import ConsoleLine

# In the order in which a kexec has them; the incoming kernel begins between `new-kernel` and
# `init`, where its stamps are 0. Those of a device are `session` to `finished`.
WORDS = (
    "load",
    "loaded",
    "jump",
    "shutdown",
    "new-kernel",
    "init",
    "ready",
    "program",
    "ledger",
    "session",
    "vfio",
    "file",
    "bound",
    "attached",
    "driver",
    "finished",
)

# Lines of any kernel, but for those of the program's and the bench's own.
_LINES = (
    (re.compile(r"^carryover: loaded$"), "loaded"),
    (re.compile(r"^carryover: jump$"), "jump"),
    # device_shutdown() in drivers/base/core.c, if initcall_debug is on.
    (re.compile(r"^\S.* \S+: shutdown(_pre)?$"), "shutdown"),
    (re.compile(r"^kexec_core: Starting new kernel$"), "new-kernel"),
    (re.compile(r"^carryover: user space is ready$"), "ready"),
)
_EVENTS = {"loaded": "loaded", "jump": "jump", "ledger": "ledger"}
_CLOCK = "kernel-clock"
_GAP_KEYS = {
    "stream_entries": "entries",
    "stream_lost": "lost",
    "stream_longest_gap_us": "longest_us",
    "stream_gap_begin_ns": "begin_ns",
    "stream_gap_end_ns": "end_ns",
}
# Of a test of several devices each key is noted for each of them: KEY@ADDRESS.
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


@dataclass(frozen=True, slots=True)
class Step:
    """One step, by a clock of the target.

    Attributes:
        time: The controller's wall clock where it was read.
        cycle: Power cycle of this run, from 1.
        kexec: As a Mark has it.
        what: One of ``WORDS``.
        device: Address of the PCI function that it is about; None: the machine.
        tsc: The processor's counter at it; None if the kernel stamped it.
        kernel_us: The kernel's stamp, microseconds; None if the program told it.
    """

    event: ClassVar[str] = "step"

    time: float
    cycle: int
    kexec: int
    what: str
    device: str | None = None
    tsc: int | None = None
    kernel_us: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For results.jsonl."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ClockSamples:
    """One clock, read between two readings of another.

    Attributes:
        time: The controller's wall clock.
        cycle: Power cycle of this run, from 1.
        kexec: Kexecs in this cycle before it: which kernel.
        clock: `controller`: `samples` are [controller's CLOCK_MONOTONIC in ns, the target's TSC,
            the controller's again]; `kernel`: [TSC, the kernel's stamp in us, TSC].
        samples: Such triples.
        tick_ns: Nanoseconds of a tick, as the target's CLOCK_MONOTONIC has it; None if not known.
        wall: Of the controller, its wall clock less its CLOCK_MONOTONIC, seconds; likewise.
    """

    event: ClassVar[str] = "clock"

    time: float
    cycle: int
    kexec: int
    clock: str
    samples: list[list[int]]
    tick_ns: float | None = None
    wall: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For results.jsonl."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DeviceGap:
    """What a test found that its device did over a kexec.

    Attributes:
        time: The controller's wall clock.
        cycle: Power cycle of this run, from 1.
        kexec: The kexec.
        name: The test.
        device: Address of its PCI function; None if it is not known.
        entries: That the stream should have.
        lost: Of these.
        longest_us: Longest time between two entries, by the device's clock.
        begin_ns: When that began, likewise; None if the test does not say it.
        end_ns: And ended.
    """

    event: ClassVar[str] = "device-gap"

    time: float
    cycle: int
    kexec: int
    name: str
    device: str | None
    entries: int | None
    lost: int | None
    longest_us: int | None
    begin_ns: int | None = None
    end_ns: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For results.jsonl."""
        return asdict(self)


TargetRecord = Step | ClockSamples | DeviceGap


@dataclass
class StepReader:
    """Makes records of what is observed. Whoever calls knows cycle and kexec."""

    _test: str = ""
    _device: str | None = None
    # By address; None: noted without one, of the test's first device.
    _found: dict[str | None, dict[str, int]] = field(default_factory=dict)
    _shut_down: tuple[int, int] = (0, 0)

    def console(self, line: ConsoleLine, cycle: int, kexec: int) -> Step | None:
        """The step that a line of the console is; None for most lines."""
        taken = stamped(line.text)
        if not taken.stamp or not (what := _of_line(taken.text)):
            return None
        if what == "shutdown":
            if self._shut_down == (cycle, kexec):
                return None  # the first device says when that begins
            self._shut_down = (cycle, kexec)
        us = round(float(taken.stamp) * 1e6)
        return Step(line.time, cycle, kexec, what, kernel_us=us)

    def program(self, event: Event, now: float, cycle: int, kexec: int) -> Sequence[TargetRecord]:
        """The step or samples that an event is, or the gaps that are complete with it."""
        if event.kind == _CLOCK:
            triple = [event.number(key) for key in ("before", "time_us", "after")]
            return [ClockSamples(now, cycle, kexec, "kernel", [triple])]
        if event.kind == "kernel-message":
            what = _of_line(event.text("text"))
            stamp = event.number("time_us")
            # What the outgoing kernel was told is over by the time that its log is read.
            if what in ("init", "ready"):
                return [Step(now, cycle, kexec, what, kernel_us=stamp)]
            return []
        if what := _of_event(event):
            tsc = event.number("tsc") if "tsc" in event.fields else None
            device = event.text("address") or None
            return [Step(now, cycle, kexec, what, device, tsc)] if tsc is not None else []
        return self._gap(event, now, cycle, kexec)

    def _gap(self, event: Event, now: float, cycle: int, kexec: int) -> list[DeviceGap]:
        if event.kind == "start":
            self._test = event.text("name") if event.text("half") == "verify" else ""
            self._device, self._found = None, {}
        elif event.kind == "uses" and self._device is None:
            self._device = event.text("address")
        elif event.kind == "note":
            self._note(event.text("key"), event.text("value"))
        elif event.kind == "finish" and self._test:
            found, self._found = self._found, {}
            of_first = found.pop(None, {})
            of_each = {device: v for device, v in found.items() if "longest_us" in v}
            return [
                DeviceGap(
                    now,
                    cycle,
                    kexec,
                    self._test,
                    device,
                    **{key: values.get(key) for key in _GAP_KEYS.values()},
                )
                for device, values in (of_each or {self._device: of_first}).items()
                if "longest_us" in values
            ]
        return []

    def _note(self, key: str, value: str) -> None:
        what, at, address = key.partition("@")
        if (name := _GAP_KEYS.get(what)) is None or not value.isdecimal():
            return
        if at and not _ADDRESS.fullmatch(address):
            return
        self._found.setdefault(address or None, {})[name] = int(value)


def _of_line(text: str) -> str:
    text = text.strip()
    for pattern, what in _LINES:
        if pattern.match(text):
            return what
    known = look_up(text)
    return {Meaning.INIT: "init"}.get(known.meaning, "") if known else ""


def _of_event(event: Event) -> str:
    if event.kind == "hello":
        return "program" if event.text("verb") == "verify" else ""
    if event.kind == "step":
        what = event.text("what")
        return what if what in WORDS else ""
    return _EVENTS.get(event.kind, "")
