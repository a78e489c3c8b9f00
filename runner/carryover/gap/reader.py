# SPDX-License-Identifier: GPL-2.0-only
"""Reads the gap of each kexec out of what a run has kept.

The time line's clock is the processor's counter, which no kernel sets: what the program stamps has
it, what a kernel stamps is related to it, and so is the controller's clock, by which device models
stamp (clock_bounds.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from carryover.errors import BadInput
from carryover.gap.gap import BOUNDARIES, PARTS, Clock, Device, Gaps, Kexec
from carryover.outputs.saved_run import SavedRun
from carryover.timing.clock_bounds import ClockBounds, ClocksDisagree, Interval, Reading

_NO_USER_SPACE = ("jump", "init")
_NO_DRIVER = ("jump", "driver")
_OUTGOING = ("load", "loaded", "jump", "shutdown", "new-kernel")
_OF_DEVICE = ("file", "attached", "driver")
_STAMP = 1e-6  # seconds: a kernel cuts off what is less
_WALL_LIMIT = 50e-6  # seconds: more is no rounding


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
                f"{run.name}: the run has no clock of its target: that was not asked, or has "
                "no time stamp counter; console.log and the run's own words say more"
            )
        if not of_run:
            raise BadInput(
                f"{run.name}: the run has no kexec that came to its verification; give one "
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
        first = self._first_device()
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
            run=self._run.name,
            cycle=self._cycle,
            kexec=self._number,
            steps=steps,
            parts=parts,
            whole_ms=known[-1] - known[0],
            no_user_space_ms=_between(steps, *_NO_USER_SPACE),
            no_driver_ms=_between(steps, *_NO_DRIVER),
            first_device=first,
            devices=[
                self._device(gap, steps, of_devices, zero if bounds else None) for gap in self._gaps
            ],
            device_steps=of_devices,
            clock=clock,
        )

    def _first_device(self) -> str | None:
        """Whose steps end the time line: the first that took all of them, or else any."""
        taken: dict[str, set[str]] = {}
        for step in self._steps:
            if step["what"] in _OF_DEVICE:
                taken.setdefault(step["device"], set()).add(step["what"])
        whole = (device for device, whats in taken.items() if whats.issuperset(_OF_DEVICE))
        return next(whole, next(iter(taken), None))

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
