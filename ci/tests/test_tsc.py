# SPDX-License-Identifier: GPL-2.0-only
"""The frequency of the time stamp counter."""

from carryover_ci.tsc import tsc_khz


def test_two_measurements_agree() -> None:
    first, second = tsc_khz(), tsc_khz()
    assert first > 100_000
    assert abs(first - second) < first / 1000
