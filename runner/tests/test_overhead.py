# SPDX-License-Identifier: GPL-2.0-only
"""What the runner itself costs: a batch of tests that take no time of their own."""

from __future__ import annotations

import time

from conftest import FakeBench

TESTS = 300
MOST = 0.1  # seconds a test


def test_the_runner_adds_little_to_a_test(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_MANY"] = str(TESTS)
    began = time.monotonic()
    run = fake.run("-k", "Many")
    took = time.monotonic() - began
    results = list(run.results.values())
    assert run.status == 0, run.output
    assert len(results) == TESTS
    own = sum(result["duration"] for result in results)
    # All of it: the start, the collection, and every file of the run, too.
    each = (took - own) / TESTS
    assert each < MOST, f"{each * 1000:.1f} ms a test"
