# SPDX-License-Identifier: GPL-2.0-only
"""Kexecs whose true times are known, told as a target and a controller tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saved_runs import START, RunBuilder

# When each step truly is, in seconds from `jump`.
TRUTH = {
    "load": -0.4,
    "loaded": -0.1,
    "jump": 0.0,
    "shutdown": 0.05,
    "new-kernel": 0.55,
    "kernel": 0.95,
    "init": 4.2,
    "ready": 5.1,
    "program": 6.0,
    "ledger": 6.1,
    "file": 6.4,
    "attached": 6.5,
    "driver": 6.52,
}
BY_KERNEL = ("shutdown", "new-kernel", "init", "ready")
DEVICE = "0000:03:00.0"
_TICK = 1 / 2.3e9  # seconds of the counter


@dataclass
class MadeUpKexec:
    """One kexec.

    Attributes:
        kexec: Its number.
        jump: When `jump` truly is, by the controller's CLOCK_MONOTONIC.
        truth: When each step is, from there.
        missing: Steps that nobody hears of.
        counter_step: What the counter is set forward by at the kexec, seconds.
        rate: By how much the controller's clock is faster than the counter.
        way: Seconds that each question and each answer is on its way.
        gap: From and to of the device's longest gap, from `jump`; none: no device says one.
        lost: That the device lost.
        late: Seconds until a line is read.
        age: Seconds since the outgoing kernel's stamps were 0.
    """

    kexec: int = 1
    jump: float = 5000.0
    truth: Mapping[str, float] = field(default_factory=lambda: dict(TRUTH))
    missing: Sequence[str] = ()
    counter_step: float = 0.0
    rate: float = 0.0
    way: float = 0.0004
    gap: tuple[float, float] | None = (1.0, 1.007)
    lost: int = 0
    age: float = 9.0
    late: float = 0.02
    cycle: int = 1

    def tell(self, run: RunBuilder) -> RunBuilder:
        """Adds all records of it to a run."""
        outgoing = self.jump - self.age
        incoming = self.jump + self.truth["kernel"]
        self._clocks(run, self.kexec - 1, outgoing, self.jump - 1.0)
        for what, after in self.truth.items():
            if what == "kernel" or what in self.missing:
                continue
            at = self.jump + after
            kernel = outgoing if after < self.truth["kernel"] else incoming
            is_kernel = what in BY_KERNEL
            run.time = START - 4000.0 + at + self.late
            run.record(
                "step",
                cycle=self.cycle,
                kexec=self.kexec,
                what=what,
                device=DEVICE if what in ("file", "attached", "driver") else None,
                tsc=None if is_kernel else self._counter(at),
                kernel_us=int((at - kernel) * 1e6) if is_kernel else None,
            )
        if "kernel" not in self.missing:
            self._kernel_clock(run, self.kexec, incoming, self.jump + 6.05)
        self._device(run)
        self._clocks(run, self.kexec, incoming, self.jump + 8.0)
        return run

    def _counter(self, at: float) -> int:
        step = self.counter_step if at > self.jump + self.truth["new-kernel"] else 0.0
        return round(((at - 4000.0) / (1 + self.rate) + step) / _TICK)

    def _clocks(self, run: RunBuilder, boot: int, kernel: float, at: float) -> None:
        samples = []
        for number in range(6):
            now = at + number * 0.01
            sent, received = now - self.way, now + self.way * (1 + number % 3)
            samples.append([int(sent * 1e9), self._counter(now), int(received * 1e9)])
        self._clock(run, boot, "controller", samples, _TICK * 1e9, START - 4000.0)
        if not (boot == self.kexec and "kernel" in self.missing):
            self._kernel_clock(run, boot, kernel, at)

    def _kernel_clock(self, run: RunBuilder, boot: int, kernel: float, at: float) -> None:
        before, after = self._counter(at - 5e-6), self._counter(at + 5e-6)
        self._clock(run, boot, "kernel", [[before, int((at - kernel) * 1e6), after]], None, None)

    def _clock(
        self,
        run: RunBuilder,
        boot: int,
        clock: str,
        samples: list[list[int]],
        tick: float | None,
        wall: float | None,
    ) -> None:
        more: dict[str, Any] = {"samples": samples, "tick_ns": tick, "wall": wall}
        run.record("clock", cycle=self.cycle, kexec=boot, clock=clock, **more)

    def _device(self, run: RunBuilder) -> None:
        if self.gap is None:
            return
        begin, end = (self.jump + at for at in self.gap)
        run.record(
            "device-gap",
            cycle=self.cycle,
            kexec=self.kexec,
            name="DmacStream.GoesOn",
            device=DEVICE,
            entries=8000,
            lost=self.lost,
            longest_us=round((end - begin) * 1e6),
            begin_ns=round(begin * 1e9),
            end_ns=round(end * 1e9),
        )
