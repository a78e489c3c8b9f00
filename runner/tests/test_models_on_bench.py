# SPDX-License-Identifier: GPL-2.0-only
"""What devices did, by the logs of their models."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from bench_run import ENVIRONMENT, BenchRun

pytestmark = pytest.mark.bench

DRIVERS = ENVIRONMENT.with_name("drivers.yaml")


def longest_silence(log: Path) -> float:
    """Seconds between two things that the device did, one of which was the first DMA."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    first = next(i for i, event in enumerate(events) if event["event"] == "dma")
    times: list[float] = [
        event["t"] / 1e9
        for event in events[first:]
        if event["event"] in ("dma", "interrupt", "reset")
    ]
    return max(after - before for before, after in pairwise(times))


@pytest.mark.parametrize("driver", ["dmac", "dsa", "ioat"])
def test_a_quiesced_device_is_silent_for_a_second(tmp_path: Path, driver: str) -> None:
    bench = BenchRun(tmp_path, DRIVERS)
    name = f"{driver.capitalize()}Device"
    run = bench.run(f"{name}::QuiesceEndsDmaUntilResume")
    assert run.verdicts == {f"{name}.QuiesceEndsDmaUntilResume": "PASS"}, run.output
    assert run.status == 0
    assert longest_silence(run.out / "models" / f"{driver}.jsonl") >= 1


def test_a_device_that_goes_on_writing_is_not(tmp_path: Path) -> None:
    bench = BenchRun(tmp_path, DRIVERS)
    run = bench.run("DmacFaults::RogueWritesEndWithTheMapping")
    assert run.verdicts == {"DmacFaults.RogueWritesEndWithTheMapping": "PASS"}, run.output
    assert longest_silence(run.out / "models" / "dmac.jsonl") < 1
