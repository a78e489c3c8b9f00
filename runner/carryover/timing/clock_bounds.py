# SPDX-License-Identifier: GPL-2.0-only
"""How two clocks are related, by bounds alone: nothing is averaged, and nothing is guessed.

What is known of two clocks is that one of them was read between two readings of the other: a
question and its answer. If both run evenly, their relation is a straight line, and each such
reading forbids the lines that pass outside of it. What is left is a polygon in the plane of offset
and rate; where it says that a moment lies is an interval, and the true moment is in it. If nothing
is left, no such line exists: a clock was set, stopped, or does not run evenly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# By how much a clock's rate may be another than it is said to be, which is far more than a crystal
# is off (below 50e-6) and than NTP makes up for at a time.
RATE_LIMIT = 100e-6
_EPSILON = 1e-10  # seconds: rounding


class ClocksDisagree(Exception):
    """No straight line fits what was read."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Seconds, or a number."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def error(self) -> float:
        """The true value is within `middle` plus or minus this."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Reading:
    """Clock A said `at` at a moment of clock B between `low` and `high`; all in seconds.

    None for a bound that is not known.
    """

    at: float
    low: float | None
    high: float | None


class ClockBounds:
    """Clock B as a function of clock A: every line that the readings allow.

    Args:
        readings: At least one has both bounds.
        rate_limit: Largest difference of the rates.

    Raises:
        ClocksDisagree: There is no such line.
    """

    def __init__(self, readings: Iterable[Reading], rate_limit: float = RATE_LIMIT) -> None:
        known = list(readings)
        first = next(r for r in known if r.low is not None and r.high is not None)
        assert first.low is not None
        assert first.high is not None
        # Seen from that one, so that nothing is lost to rounding: b = at + offset + rate * at.
        self._a, self._b = first.at, first.low
        width = first.high - first.low
        self._corners = [
            (0.0, -rate_limit),
            (width, -rate_limit),
            (width, rate_limit),
            (0.0, rate_limit),
        ]
        for reading in known:
            at = reading.at - self._a
            if reading.high is not None:
                self._clip(1.0, at, reading.high - self._b - at)
            if reading.low is not None:
                self._clip(-1.0, -at, at - (reading.low - self._b))
        if not self._corners:
            raise ClocksDisagree

    def at(self, a: float) -> Interval:
        """When clock A says `a`, clock B says this."""
        x = a - self._a
        ends = [self._b + x + offset + rate * x for offset, rate in self._corners]
        return Interval(min(ends), max(ends))

    def line(self, a: float) -> float:
        """The same by one line of those that are possible, so that spans of time add up."""
        count = len(self._corners)
        offset = sum(offset for offset, _ in self._corners) / count
        rate = sum(rate for _, rate in self._corners) / count
        return self._b + (a - self._a) * (1 + rate) + offset

    def error(self, a: float) -> float:
        """How far line() may be from the truth."""
        here, possible = self.line(a), self.at(a)
        return max(possible.high - here, here - possible.low)

    @property
    def rate(self) -> Interval:
        """By how much clock B is faster than clock A, as a part of it."""
        rates = [rate for _, rate in self._corners]
        return Interval(min(rates), max(rates))

    def step_to(self, other: ClockBounds, a: float) -> Interval | None:
        """By how much clock B seems to step, where this relation ends and `other` begins.

        Both are of the same clocks, which run at one rate before and after. None: at no one rate.
        """
        rates = sorted({rate for bounds in (self, other) for _, rate in bounds._corners})
        ends: list[float] = []
        for rate in rates:
            before, after = self._at_rate(a, rate), other._at_rate(a, rate)
            if before and after:
                ends += [after.low - before.high, after.high - before.low]
        return Interval(min(ends), max(ends)) if ends else None

    def _at_rate(self, a: float, rate: float) -> Interval | None:
        """Where the lines of one rate are at `a`."""
        offsets = []
        for (o1, r1), (o2, r2) in zip(
            self._corners, [*self._corners[1:], self._corners[0]], strict=True
        ):
            if r1 == rate:
                offsets.append(o1)
            elif (r1 - rate) * (r2 - rate) < 0:
                offsets.append(o1 + (o2 - o1) * (rate - r1) / (r2 - r1))
        if not offsets:
            return None
        x = a - self._a
        base = self._b + x + rate * x
        return Interval(base + min(offsets), base + max(offsets))

    def _clip(self, of_offset: float, of_rate: float, most: float) -> None:
        """Keeps what of_offset * offset + of_rate * rate <= most allows (Sutherland, Hodgman)."""
        kept: list[tuple[float, float]] = []
        corners = self._corners
        for here, there in zip(corners, [*corners[1:], *corners[:1]], strict=True):
            beyond = of_offset * here[0] + of_rate * here[1] - most
            beyond_next = of_offset * there[0] + of_rate * there[1] - most
            if beyond <= _EPSILON:
                kept.append(here)
            if (beyond > _EPSILON) != (beyond_next > _EPSILON):
                part = beyond / (beyond - beyond_next)
                kept.append(
                    (
                        here[0] + part * (there[0] - here[0]),
                        here[1] + part * (there[1] - here[1]),
                    )
                )
        self._corners = kept
