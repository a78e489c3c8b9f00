# SPDX-License-Identifier: GPL-2.0-only
"""The gap of each kexec: what it consists of, on one time line, and what each device did in it.

The time line's clock is the processor's counter, which no kernel sets: what the program stamps has
it, what a kernel stamps is related to it, and so is the controller's clock, by which device models
stamp (clock_bounds.py). Every moment has an error; what is not known is None, and never 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from carryover.clock_bounds import ClockBounds, ClocksDisagree, Interval, Reading
from carryover.errors import BadInput
from carryover.saved_run import SavedRun

# The parts of a kexec, each from one step to the next one's begin: nothing is between them.
PARTS = (
    ("load", "load", "loaded"),
    ("sync", "loaded", "jump"),
    ("freeze", "jump", "shutdown"),
    ("shutdown", "shutdown", "new-kernel"),
    ("jump", "new-kernel", "kernel"),
    ("kernel init", "kernel", "init"),
    ("user init", "init", "ready"),
    ("connect", "ready", "program"),
    ("ledger", "program", "ledger"),
    ("retrieve", "ledger", "file"),
    ("attach", "file", "attached"),
    ("driver attach", "attached", "driver"),
)
BOUNDARIES = (*(begin for _, begin, _ in PARTS), PARTS[-1][2])
NO_USER_SPACE = ("jump", "init")
NO_DRIVER = ("jump", "driver")
_OUTGOING = ("load", "loaded", "jump", "shutdown", "new-kernel")
_OF_DEVICE = ("file", "attached", "driver")
_STAMP = 1e-6  # seconds: a kernel cuts off what is less
_WALL_LIMIT = 50e-6  # seconds: more is no rounding
_BINS = 10
WANTED_ERROR = 1.0  # milliseconds


@dataclass(frozen=True)
class Device:
    """What a device did over one kexec.

    Attributes:
        test: Whose device it was.
        address: Of its PCI function; None if that is not known.
        entries: That its stream should have.
        lost: Of these.
        longest_ms: Longest time without one, by the device's clock.
        begin_ms: When that began on the time line; None if the device's clock is not related to it.
        end_ms: And ended.
        during: Parts of the time line that it lies in.
    """

    test: str
    address: str | None
    entries: int | None
    lost: int | None
    longest_ms: float | None
    begin_ms: float | None = None
    end_ms: float | None = None
    during: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Clock:
    """How well the time line is one clock.

    Attributes:
        error_ms: Largest error of where a step lies, by the controller's clock; None: not known.
        step_ms: By how much the counter may have stepped at the kexec, least and most, as far as
            the controller can tell.
        rate_ppm: By how much the controller's clock is faster than the counter, likewise.
        remark: What is wrong with it; empty if nothing is.
    """

    error_ms: float | None = None
    step_ms: tuple[float, float] | None = None
    rate_ppm: tuple[float, float] | None = None
    remark: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it is one clock, within a millisecond."""
        return not self.remark and self.error_ms is not None and self.error_ms <= WANTED_ERROR


@dataclass(frozen=True)
class Kexec:
    """One kexec.

    Attributes:
        run: Folder of its run.
        cycle: Power cycle of the run, from 1.
        kexec: Kexec of the cycle, from 1.
        steps: When each step was, milliseconds from `jump`, the last moment of user space; None if
            that is not known.
        parts: How long each part was, milliseconds.
        whole_ms: From the first step that is known to the last one.
        no_user_space_ms: From the last moment of user space to the next one's first.
        no_driver_ms: Until the first device is in its driver's hands again.
        first_device: Whose steps are the last three.
        devices: What each device did.
        device_steps: When each step of each device was, by address.
        clock: How good the time line is.
    """

    run: str
    cycle: int
    kexec: int
    steps: dict[str, float | None]
    parts: dict[str, float | None]
    whole_ms: float
    no_user_space_ms: float | None
    no_driver_ms: float | None
    first_device: str | None
    devices: list[Device]
    device_steps: dict[str, dict[str, float]]
    clock: Clock

    @property
    def known_ms(self) -> float:
        """Sum of the parts that are known."""
        return math.fsum(length for length in self.parts.values() if length is not None)

    def as_dict(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "known_ms": self.known_ms}


@dataclass(frozen=True)
class Figure:
    """What a figure was over several kexecs.

    Attributes:
        count: Kexecs that have it.
        median: Of them.
        worst: The largest.
        histogram: From, to, and how many, ten of one width; one if all are alike.
    """

    count: int
    median: float
    worst: float
    histogram: list[tuple[float, float, int]]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Figure | None:
        """None if no value is known."""
        known = sorted(value for value in values if value is not None)
        if not known:
            return None
        return cls(len(known), statistics.median(known), known[-1], _histogram(known))


def _histogram(known: Sequence[float]) -> list[tuple[float, float, int]]:
    low, high = known[0], known[-1]
    if low == high:
        return [(low, high, len(known))]
    width = (high - low) / _BINS
    counts = [0] * _BINS
    for value in known:
        counts[min(_BINS - 1, int((value - low) / width))] += 1
    return [(low + i * width, low + (i + 1) * width, count) for i, count in enumerate(counts)]


@dataclass(frozen=True)
class Gaps:
    """All kexecs of some runs."""

    kexecs: list[Kexec]

    def longest(self) -> Kexec:
        """The one that was longest without user space."""
        return max(self.kexecs, key=lambda kexec: (kexec.no_user_space_ms or 0.0, kexec.whole_ms))

    def parts(self) -> dict[str, Figure | None]:
        """Of each part, of what they are of, and of the clock's error."""
        figures = {
            name: Figure.of(kexec.parts[name] for kexec in self.kexecs) for name, _, _ in PARTS
        }
        figures["whole"] = Figure.of(kexec.whole_ms for kexec in self.kexecs)
        figures["without user space"] = Figure.of(k.no_user_space_ms for k in self.kexecs)
        figures["without a driver"] = Figure.of(k.no_driver_ms for k in self.kexecs)
        figures["error of the clock"] = Figure.of(k.clock.error_ms for k in self.kexecs)
        return figures

    def devices(self) -> dict[tuple[str, str], DeviceFigures]:
        """Of each device, by test and address."""
        found: dict[tuple[str, str], list[Device]] = {}
        for kexec in self.kexecs:
            for device in kexec.devices:
                found.setdefault((device.test, device.address or ""), []).append(device)
        return {key: DeviceFigures.of(devices) for key, devices in found.items()}

    def as_dict(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "kexecs": [kexec.as_dict() for kexec in self.kexecs],
            "parts": {name: figure and asdict(figure) for name, figure in self.parts().items()},
            "devices": [
                {"test": test, "device": address or None, **asdict(figures)}
                for (test, address), figures in self.devices().items()
            ],
        }


@dataclass(frozen=True)
class DeviceFigures:
    """What a device did over several kexecs; `lost` is the sum, None if one is not known."""

    longest_ms: Figure | None
    lost: int | None
    entries: int | None

    @classmethod
    def of(cls, devices: Sequence[Device]) -> DeviceFigures:
        """The figures of one device."""

        def total(values: list[int | None]) -> int | None:
            known = [value for value in values if value is not None]
            return sum(known) if len(known) == len(values) else None

        return cls(
            Figure.of(device.longest_ms for device in devices),
            total([device.lost for device in devices]),
            total([device.entries for device in devices]),
        )


def gaps(runs: Sequence[SavedRun]) -> Gaps:
    """The kexecs of these runs.

    Raises:
        BadInput: A run has none, or none that says anything of its time.
    """
    found = []
    for run in runs:
        of_run = list(kexecs(run))
        if not of_run and _verified(run):
            raise BadInput(
                f"{run.directory}: the run has no clock of its target: that was not asked, or has "
                "no time stamp counter; console.log and the run's own words say more"
            )
        if not of_run:
            raise BadInput(
                f"{run.directory}: the run has no kexec that came to its verification; give one "
                "with continuity tests, e.g. of ci/bench --stream"
            )
        found += of_run
    return Gaps(found)


def kexecs(run: SavedRun) -> Iterable[Kexec]:
    """Those that the incoming kernel has verified, in order; none without a clock."""
    for cycle, number in sorted(_verified(run)):
        reader = _Reader(run, cycle, number)
        if reader.has_clock:
            yield reader.kexec()


def _verified(run: SavedRun) -> set[tuple[int, int]]:
    return {(r["cycle"], r["kexec"]) for r in run.target if r.get("what") == "program"}


class _Reader:
    """Puts together what is known of one kexec."""

    def __init__(self, run: SavedRun, cycle: int, number: int) -> None:
        self._run, self._cycle, self._number = run, cycle, number
        of_cycle = [record for record in run.target if record["cycle"] == cycle]
        here = [record for record in of_cycle if record["kexec"] == number]
        steps = [record for record in here if record["event"] == "step"]
        begun = max((i for i, step in enumerate(steps) if step["what"] == "load"), default=0)
        self._steps = steps[begun:]  # what is before it is of a kexec that was refused
        self._gaps = [record for record in here if record["event"] == "device-gap"]
        clocks = [record for record in of_cycle if record["event"] == "clock"]
        self._outgoing = [record for record in clocks if record["kexec"] == number - 1]
        self._incoming = [record for record in clocks if record["kexec"] == number]
        asked = [r for r in (*self._outgoing, *self._incoming) if r["clock"] == "controller"]
        self._tick = asked[0]["tick_ns"] * 1e-9 if asked else None
        stamps = [step["tsc"] for step in self._steps if step["tsc"] is not None]
        self._zero: int = stamps[0] if stamps else 0
        self._remarks: list[str] = []

    @property
    def has_clock(self) -> bool:
        """Whether it is known how fast the counter runs: without that, nothing is."""
        return self._tick is not None

    def kexec(self) -> Kexec:
        """All of it."""
        first = next((s["device"] for s in self._steps if s["what"] in _OF_DEVICE), None)
        seconds: dict[str, float] = {}
        errors: dict[str, float] = {}  # of a kernel's stamps on the counter
        kernels = {
            True: self._kernel_clock(self._outgoing),
            False: self._kernel_clock(self._incoming),
        }
        for step in self._steps:
            what = step["what"]
            if what in seconds or (what in _OF_DEVICE and step["device"] != first):
                continue
            at = self._counter(step, kernels[what in _OUTGOING])
            if at is not None and what in BOUNDARIES:
                seconds[what] = at
            if at is not None and step["tsc"] is None and (kernel := kernels[what in _OUTGOING]):
                errors[what] = kernel.error(step["kernel_us"] * 1e-6)
        if incoming := kernels[False]:
            seconds["kernel"], errors["kernel"] = incoming.line(0.0), incoming.error(0.0)
        self._drop_what_is_out_of_order(seconds)
        bounds, step_at_kexec = self._controller(seconds, kernels)
        place = bounds.line if bounds else _same
        zero = place(seconds.get("jump", min(seconds.values())))
        steps = {
            what: (place(seconds[what]) - zero) * 1e3 if what in seconds else None
            for what in BOUNDARIES
        }
        parts = {name: _between(steps, begin, end) for name, begin, end in PARTS}
        known = [at for at in steps.values() if at is not None]
        of_devices = self._device_steps(place, zero)
        clock = Clock(remark="; ".join(dict.fromkeys(self._remarks)))
        if bounds:
            error = max(bounds.error(at) + errors.get(what, 0.0) for what, at in seconds.items())
            step_ms = None
            if step_at_kexec:
                step_ms = (step_at_kexec.low * 1e3, step_at_kexec.high * 1e3)
            clock = Clock(
                error * 1e3,
                step_ms,
                (bounds.rate.low * 1e6, bounds.rate.high * 1e6),
                "; ".join(dict.fromkeys(self._remarks)),
            )
        return Kexec(
            run=str(self._run.directory),
            cycle=self._cycle,
            kexec=self._number,
            steps=steps,
            parts=parts,
            whole_ms=known[-1] - known[0],
            no_user_space_ms=_between(steps, *NO_USER_SPACE),
            no_driver_ms=_between(steps, *NO_DRIVER),
            first_device=first,
            devices=[
                self._device(gap, steps, of_devices, zero if bounds else None) for gap in self._gaps
            ],
            device_steps=of_devices,
            clock=clock,
        )

    def _counter(self, step: dict[str, Any], kernel: ClockBounds | None) -> float | None:
        """A step on the counter, seconds from its zero."""
        if step["tsc"] is not None:
            return None if self._tick is None else (step["tsc"] - self._zero) * self._tick
        if kernel is None:
            return None
        return kernel.line(step["kernel_us"] * 1e-6)

    def _kernel_clock(self, records: list[dict[str, Any]]) -> ClockBounds | None:
        """A kernel's stamps (seconds) on the counter."""
        if self._tick is None:
            return None
        readings = [
            Reading(
                us * 1e-6,
                (before - self._zero) * self._tick - _STAMP,
                (after - self._zero) * self._tick,
            )
            for record in records
            if record["clock"] == "kernel"
            for before, us, after in record["samples"]
        ]
        try:
            return ClockBounds(readings) if readings else None
        except ClocksDisagree:
            self._remarks.append("a kernel's stamps do not run as the processor's counter does")
            return None

    def _controller(
        self, seconds: dict[str, float], kernels: dict[bool, ClockBounds | None]
    ) -> tuple[ClockBounds | None, Interval | None]:
        """The controller's clock as a function of the counter, and how it may step at the kexec."""
        before, after = self._asked(self._outgoing), self._asked(self._incoming)
        arrived = self._arrived(kernels)
        if not before or not after:
            which = "before" if not before else "after"
            self._remarks.append(f"the target was not asked for its clock {which} the kexec")
            return None, None
        try:
            early, late = [*before, *arrived[True]], [*after, *arrived[False]]
            step = ClockBounds(early).step_to(
                ClockBounds(late), seconds.get("new-kernel", seconds.get("kernel", 0.0))
            )
            return ClockBounds([*early, *late]), step
        except ClocksDisagree:
            self._remarks.append(
                "no one clock fits what the target said before and after the kexec: its counter "
                "was set, or one of the clocks does not run evenly"
            )
            return None, None

    def _arrived(self, kernels: dict[bool, ClockBounds | None]) -> dict[bool, list[Reading]]:
        """What a kernel stamped was read after that: of the outgoing kernel, and of the other."""
        readings: dict[bool, list[Reading]] = {True: [], False: []}
        walls = [r["wall"] for r in (*self._outgoing, *self._incoming) if r["wall"] is not None]
        if not walls or max(walls) - min(walls) > _WALL_LIMIT:
            return readings  # the wall clock was set meanwhile
        for step in self._steps:
            is_outgoing = step["what"] in _OUTGOING
            if step["kernel_us"] is not None and (kernel := kernels[is_outgoing]):
                at = kernel.at(step["kernel_us"] * 1e-6).low
                latest = step["time"] - min(walls)
                readings[is_outgoing].append(Reading(at, None, latest))
        return readings

    def _asked(self, records: list[dict[str, Any]]) -> list[Reading]:
        tick = self._tick or 0.0
        return [
            Reading((tsc - self._zero) * tick, sent * 1e-9, received * 1e-9)
            for record in records
            if record["clock"] == "controller"
            for sent, tsc, received in record["samples"]
        ]

    def _drop_what_is_out_of_order(self, seconds: dict[str, float]) -> None:
        """Steps have one order; one that is not in it is not known."""
        last = -math.inf
        for what in BOUNDARIES:
            if what not in seconds:
                continue
            if seconds[what] < last - 10 * _STAMP:
                self._remarks.append(f"`{what}` comes before what it is the end of")
                del seconds[what]
            else:
                last = seconds[what]

    def _device(
        self,
        gap: dict[str, Any],
        steps: dict[str, float | None],
        of_devices: dict[str, dict[str, float]],
        zero: float | None,
    ) -> Device:
        longest = gap["longest_us"]
        begin = end = None
        during: list[str] = []
        if zero is not None and gap["begin_ns"] is not None and gap["end_ns"] is not None:
            begin = (gap["begin_ns"] * 1e-9 - zero) * 1e3
            end = (gap["end_ns"] * 1e-9 - zero) * 1e3
            if self._is_of_the_controller(begin, end, steps):
                during = [
                    name
                    for name, first, last in PARTS
                    if (a := steps[first]) is not None and (b := steps[last]) is not None
                    if begin < b and end > a
                ]
                own = of_devices.get(gap["device"] or "", {})
                if not during and {"file", "attached"} <= own.keys():
                    if begin < own["attached"] and end > own["file"]:
                        during = ["its own attach"]  # later than the first device's
            else:
                begin = end = None
        return Device(
            test=gap["name"],
            address=gap["device"],
            entries=gap["entries"],
            lost=gap["lost"],
            longest_ms=None if longest is None else longest / 1e3,
            begin_ms=begin,
            end_ms=end,
            during=during,
        )

    def _is_of_the_controller(
        self, begin: float, end: float, steps: dict[str, float | None]
    ) -> bool:
        """Whether a device's time can be the controller's: a stream ran all the time."""
        known = [at for at in steps.values() if at is not None]
        margin = 600e3
        return known[0] - margin < begin <= end < known[-1] + margin

    def _device_steps(self, place: Any, zero: float) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for step in self._steps:
            at = self._counter(step, None)
            if step["device"] is not None and at is not None:
                of_device = found.setdefault(step["device"], {})
                of_device.setdefault(step["what"], (place(at) - zero) * 1e3)
        return found


def _same(seconds: float) -> float:
    return seconds


def _between(steps: dict[str, float | None], begin: str, end: str) -> float | None:
    first, last = steps[begin], steps[end]
    return None if first is None or last is None else last - first


def is_whole(kexec: Kexec) -> bool:
    """Whether every part from the first known step to the last one is known."""
    known = [what for what in BOUNDARIES if kexec.steps[what] is not None]
    return all(
        BOUNDARIES.index(after) - BOUNDARIES.index(before) == 1 for before, after in pairwise(known)
    )
