# SPDX-License-Identifier: GPL-2.0-only
"""What the harness adds to a test."""

from typing import Any

import pytest

from carryover_ci.overhead import overhead


def mark(what: str, time: float) -> dict[str, Any]:
    return {"event": "mark", "what": what, "time": time}


def result(duration: float) -> dict[str, Any]:
    return {"event": "result", "duration": duration}


def test_boots_and_the_tests_own_time_are_none_of_it() -> None:
    records = [
        *(mark("power-on", 0.0), mark("arm", 10.0), result(1.0), mark("armed", 12.0)),
        *(mark("kexec", 13.0), mark("verify", 20.0), result(0.5), mark("verified", 21.0)),
        *(mark("off", 30.0), mark("run", 40.0), result(0.5), mark("off", 41.0)),
    ]
    assert overhead(records) == pytest.approx(2.0 / 3)


def test_a_run_without_tests() -> None:
    assert overhead([mark("power-on", 0.0), mark("off", 1.0)]) == 0.0
