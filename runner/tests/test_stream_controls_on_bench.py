# SPDX-License-Identifier: GPL-2.0-only
"""What must fail, in QEMU: a stream on a kernel that does not carry it, and a rogue device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_run import ENVIRONMENT, BenchRun, variables_missing
from conftest import Run

pytestmark = pytest.mark.bench

_DRIVERS = ENVIRONMENT.with_name("drivers.yaml")


@pytest.fixture
def bench(tmp_path: Path) -> BenchRun:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    return BenchRun(tmp_path, _DRIVERS)


@pytest.fixture
def rogue(bench: BenchRun) -> BenchRun:
    """The first dmac goes past bus master and the IOMMU's rights."""
    memory = "-object memory-backend-memfd,id=ram,size=$CARRYOVER_MEMORY,share=on"
    bench.edit(
        "machine: q35,kernel-irqchip=split", "machine: q35,kernel-irqchip=split,memory-backend=ram"
    )
    bench.edit("-nodefaults ", f"-nodefaults {memory} ")
    bench.edit("models: {dmac: dmac,", "models: {dmac: rogue,")
    return bench


def device_log(run: Run) -> list[dict[str, Any]]:
    """What the first dmac did."""
    text = (run.out / "models" / "dmac.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def result_of(run: Run) -> dict[str, Any]:
    (result,) = [record for record in run.records if record["event"] == "result"]
    return result


def test_a_stream_stops_at_bus_master_off_and_that_is_told(bench: BenchRun) -> None:
    """On a kernel without our series, whatever it is said to claim."""
    bench.kernels("plain", "plain", ["memory", "stream"])
    run = bench.run("HiddenStream::IsNotPreserved")
    assert run.verdicts == {"HiddenStream.IsNotPreserved": "FAIL"}, run.output
    result = result_of(run)
    log = device_log(run)
    written = [event["t"] for event in log if event["event"] == "dma" and event["ok"]]
    stopped = int(result["notes"]["stream_lost_from_ns"])
    anew = int(result["notes"]["stream_silent_to_ns"])
    # The first that was refused, and what had gone before: bus master, and nothing else.
    refused = next(event["t"] for event in log if event["event"] == "dma" and not event["ok"])
    off = max(event["t"] for event in log if event["event"] == "master" and event["t"] < refused)
    before = next(event for event in log if event["event"] == "master" and event["t"] == off)
    assert before["on"] is False
    assert not any(event["event"] == "reset" for event in log if off <= event["t"] < refused)
    assert stopped <= off, "it went on without bus master"
    assert off - stopped < 0.1e9, "it had stopped before"
    # Silent until the device was opened anew: the whole kexec and boot.
    assert not any(off < at < anew - 50e6 for at in written)
    assert 0.5e9 < anew - stopped < 60e9
    assert "freeze or device shutdown" in result["reason"], result["reason"]
    assert "it did not go on" in result["reason"]


def test_a_rogue_is_caught_by_a_canary_in_preserved_memory(rogue: BenchRun) -> None:
    rogue.kernels("plain", "plain", ["memory"])
    run = rogue.run("HiddenRogue::WritesIntoPreservedMemory")
    assert run.verdicts == {"HiddenRogue.WritesIntoPreservedMemory": "FAIL"}, run.output
    log = device_log(run)
    written = [event["t"] for event in log if event["event"] == "dma" and event["ok"]]
    off = [event["t"] for event in log if event["event"] == "master" and not event["on"]]
    assert written, "the rogue never came to write"
    assert any(at < written[0] for at in off), "bus master was on"
    (damage,) = result_of(run)["damage"]
    assert (damage["what"], damage["map"]) == ("memory", [[5, 1, "foreign"]])
