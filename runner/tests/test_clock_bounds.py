# SPDX-License-Identifier: GPL-2.0-only
"""Bounds of made-up clocks, of which the truth is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from carryover.timing.clock_bounds import RATE_LIMIT, ClockBounds, ClocksDisagree, Reading

Clock = Callable[[float], float]


def even(offset: float, rate: float) -> Clock:
    """What clock B says when clock A says that."""
    return lambda a: offset + a * (1 + rate)


def ask(clock: Clock, chance: random.Random, begin: float, count: int = 30) -> list[Reading]:
    """Questions one after another: ways there and back of 0.2 to 6 ms, each for itself."""
    readings, a = [], begin
    for _ in range(count):
        there, back = (0.0002 + chance.expovariate(1000) for _ in range(2))
        readings.append(Reading(a, clock(a) - min(there, 0.006), clock(a) + min(back, 0.006)))
        a += 0.005
    return readings


@pytest.mark.parametrize("seed", range(40))
def test_the_truth_is_within_the_bounds(seed: int) -> None:
    chance = random.Random(seed)
    clock = even(chance.uniform(-1e6, 1e6), chance.uniform(-0.9, 0.9) * RATE_LIMIT)
    readings = [*ask(clock, chance, 10.0), *ask(clock, chance, 24.0)]
    bounds = ClockBounds(readings)
    for a in (0.0, 10.0, 13.7, 20.0, 24.0, 30.0):
        possible = bounds.at(a)
        assert possible.low - 1e-7 <= clock(a) <= possible.high + 1e-7
        assert possible.low - 1e-7 <= bounds.line(a) <= possible.high + 1e-7
        assert abs(clock(a) - bounds.line(a)) <= bounds.error(a) + 1e-7
    rate = (clock(1e6) - clock(0.0)) / 1e6 - 1
    assert bounds.rate.low - 1e-9 <= rate <= bounds.rate.high + 1e-9
    assert bounds.at(12.0).error < 0.001  # and that says something


@pytest.mark.parametrize("seed", range(20))
def test_a_bound_on_one_side_alone_narrows_it_and_keeps_the_truth(seed: int) -> None:
    chance = random.Random(seed)
    clock = even(1000.0, 20e-6)
    readings = [*ask(clock, chance, 10.0), *ask(clock, chance, 24.0)]
    late = [Reading(17.0, None, clock(17.0) + 0.00001)]
    alone, more = ClockBounds(readings).at(17.0), ClockBounds([*readings, *late]).at(17.0)
    assert more.high < alone.high
    assert more.low - 1e-7 <= clock(17.0) <= more.high + 1e-7


@pytest.mark.parametrize("step", [0.02, -0.02, 3600.0, -7.0])
def test_a_clock_that_is_set_is_found_out(step: float) -> None:
    chance = random.Random(1)
    before, after = even(50.0, 0.0), even(50.0 + step, 0.0)
    with pytest.raises(ClocksDisagree):
        ClockBounds([*ask(before, chance, 10.0), *ask(after, chance, 22.0)])


@pytest.mark.parametrize("rate", [500e-6, -500e-6])
def test_a_clock_that_drifts_more_than_any_crystal_is_found_out(rate: float) -> None:
    chance = random.Random(2)
    clock = even(50.0, rate)
    with pytest.raises(ClocksDisagree):
        ClockBounds([*ask(clock, chance, 10.0), *ask(clock, chance, 40.0)])


def test_a_clock_that_stops_for_a_while_is_found_out() -> None:
    chance = random.Random(3)

    def stops(a: float) -> float:
        return a if a < 15 else max(15.0, a - 0.05)

    with pytest.raises(ClocksDisagree):
        ClockBounds([*ask(stops, chance, 10.0), *ask(stops, chance, 22.0)])


@pytest.mark.parametrize("step", [0.0, 0.0004, -0.0004, 0.01, -2.0])
@pytest.mark.parametrize("seed", range(10))
def test_a_step_is_within_what_is_said_of_it(step: float, seed: int) -> None:
    chance = random.Random(seed)
    rate = chance.uniform(-0.5, 0.5) * RATE_LIMIT
    before, after = even(50.0, rate), even(50.0 + step, rate)
    found = ClockBounds(ask(before, chance, 10.0)).step_to(
        ClockBounds(ask(after, chance, 18.0)), 12.0
    )
    assert found is not None
    assert found.low - 1e-7 <= step <= found.high + 1e-7
    assert found.error < 0.0025


def test_an_answer_before_its_question_is_no_clock() -> None:
    with pytest.raises(ClocksDisagree):
        ClockBounds([Reading(1.0, 5.0, 5.001), Reading(1.0, 5.002, 5.003)])
