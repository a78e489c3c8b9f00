# SPDX-License-Identifier: GPL-2.0-only
"""The table of bytes a second, by the results of a run."""

from typing import Any

import pytest

from carryover_ci.run import Failure
from carryover_ci.throughput import Rate, rates, table


def result(name: str, verdict: str = "PASS", **notes: str) -> dict[str, Any]:
    return {"event": "result", "name": name, "verdict": verdict, "reason": "why", "notes": notes}


BATCH = {
    "batch_MBps_64": "30.0",
    "one_at_a_time_MBps_64": "10.0",
    "batch_MBps_4096": "200.4",
    "one_at_a_time_MBps_4096": "100.2",
}


def test_rates_are_those_of_the_results() -> None:
    found = rates(
        [
            {"event": "run"},
            result("DsaBatch.CopiesAPageAlone", page_MBps="50.0"),
            result("DsaBatch.WinsOverOneAtATime", **BATCH),
            result("EduBatch.CopiesAPageAlone", page_MBps="0.041"),
            result("EduDevice.CopiesItsMaximum", "FAIL"),
        ]
    )
    assert found == [Rate("dsa", 50.0, (10.0, 100.2), (30.0, 200.4)), Rate("edu", 0.041, (), ())]
    rows = table(found).splitlines()
    assert rows[2] == "| dsa | 50 | 10 | 30 (3.0 times) | 100 | 200 (2.0 times) |"
    assert rows[3] == "| edu | 0.041 | no ring |  |  |  |"
    assert len({row.count("|") for row in rows}) == 1


def test_a_batch_that_does_not_win_is_no_figure() -> None:
    with pytest.raises(Failure, match=r"DsaBatch\.WinsOverOneAtATime: FAIL: why"):
        rates([result("DsaBatch.WinsOverOneAtATime", "FAIL", **BATCH)])


def test_a_run_of_half_the_tests_is_refused() -> None:
    with pytest.raises(Failure, match="dsa: the run has no result of CopiesAPageAlone"):
        rates([result("DsaBatch.WinsOverOneAtATime", **BATCH)])


def test_a_run_without_rates_is_refused() -> None:
    with pytest.raises(Failure, match="no results"):
        rates([result("DsaDevice.CopiesItsMaximum")])
