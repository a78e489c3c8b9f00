# SPDX-License-Identifier: GPL-2.0-only
"""When a measurement of the peer reaches its figure."""

from typing import Any

import pytest

from carryover_ci.peer import Try, Verdict, best_of, lateness_try, rate_try


def report(**changed: Any) -> dict[str, Any]:
    received = {"damaged": {}, "reordered": 0, "duplicates": 0, **changed.pop("received", {})}
    held = {
        "rate_hz": 100_000,
        "size": 256,
        "achieved_hz": 99_998.6,
        "held": True,
        "worst_second": {"second": 1, "offered": 99_990},
        "refused": 0,
        "lost": 0,
        "missed_ticks": 0,
        "cpu_ns_per_frame": 5100,
        "lateness": {"median_ns": 50_000, "p999_ns": 400_000, "worst_ns": 1_200_000},
        "received": received,
    }
    return {**held, **changed}


def test_a_rate_that_was_held_is_reached() -> None:
    held = rate_try(report())
    assert held.verdict is Verdict.REACHED
    assert "99,999 frames of 256 bytes a second" in held.measured
    assert "99,990 of 100,000" in held.measured
    assert "5.1 us" in held.measured


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"held": False}, "99,990 of 100,000"),
        # What the peer itself would call held: it leaves out seconds in which some were refused.
        ({"worst_second": {"second": 0, "offered": 98_999}}, "98,999 of 100,000"),
        ({"worst_second": None}, "0 of 100,000"),
        ({"refused": 7}, "7 refused"),
        ({"lost": 1}, "1 lost"),
        ({"missed_ticks": 2}, "2 given up"),
        ({"received": {"damaged": {"wrong payload": 3}}}, "3 damaged"),
        ({"received": {"reordered": 4}}, "4 out of order"),
        ({"received": {"duplicates": 5}}, "5 twice"),
    ],
)
def test_a_rate_that_was_not_is_missed(changed: dict[str, Any], said: str) -> None:
    missed = rate_try(report(**changed))
    assert missed.verdict is Verdict.MISSED
    assert said in missed.measured


@pytest.mark.parametrize(
    ("peer_ms", "sleeper_ms", "expected"),
    [
        (4.9, 0.2, Verdict.REACHED),
        (4.9, 20.0, Verdict.REACHED),
        (5.1, 3.9, Verdict.MISSED),
        (5.1, 4.1, Verdict.OPEN),
        (15.9, 8.0, Verdict.OPEN),
        (16.1, 8.0, Verdict.MISSED),
    ],
)
def test_lateness_is_judged_beside_a_sleeper(
    peer_ms: float, sleeper_ms: float, expected: Verdict
) -> None:
    late = report(lateness={"median_ns": 50_000, "worst_ns": peer_ms * 1e6})
    judged = lateness_try(late, sleeper_ms)
    assert judged.verdict is expected
    assert f"{peer_ms:.1f} ms" in judged.measured
    assert f"{sleeper_ms:.1f} ms" in judged.measured


@pytest.mark.parametrize(
    ("verdicts", "expected", "number"),
    [
        ("R", Verdict.REACHED, 1),
        ("MOR", Verdict.REACHED, 3),
        ("MMMR", Verdict.MISSED, 3),
        ("OMO", Verdict.MISSED, 3),
        ("OOO", Verdict.OPEN, 3),
    ],
)
def test_the_best_of_three_counts(verdicts: str, expected: Verdict, number: int) -> None:
    of = {"R": Verdict.REACHED, "M": Verdict.MISSED, "O": Verdict.OPEN}
    tries = iter([Try(of[letter], "") for letter in verdicts])
    best, tried = best_of(lambda: next(tries))
    assert (best.verdict, tried) == (expected, number)
