# SPDX-License-Identifier: GPL-2.0-only
"""The gap of each kexec: what it consists of, on one time line, and what each device did in it.

Where it comes from: gap_reader.py. Every moment has an error; what is not known is None, and never
0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

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
        run: Folder or file of its run.
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
