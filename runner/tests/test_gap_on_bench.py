# SPDX-License-Identifier: GPL-2.0-only
"""The gap of a real kexec."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bench_run import ENVIRONMENT, BenchRun, variables_missing
from conftest import Run

from carryover.gap.gap import BOUNDARIES, PARTS, WANTED_ERROR, Kexec
from carryover.gap.reader import gaps
from carryover.outputs.saved_run import load

pytestmark = pytest.mark.bench

_STREAMS = ENVIRONMENT.with_name("streams.yaml")
_PERIOD = 1.0  # milliseconds between two entries of DmacStream.GoesOn


def bench_of(folder: Path, environment: Path = ENVIRONMENT) -> BenchRun:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    return BenchRun(folder, environment)


def kexec_of(run: Run) -> Kexec:
    (found,) = gaps([load(run.out)]).kexecs
    return found


def record_of(run: Run, event: str, **values: Any) -> dict[str, Any]:
    """The only record of results.jsonl that has these values."""
    records = [record for record in run.records if record["event"] == event]
    (found,) = (r for r in records if values.items() <= r.items())
    return found


def test_every_part_of_a_kexec_with_a_stream_is_known(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, _STREAMS)
    bench.kernels("stream", "stream", ["memory", "mapping", "stream"])
    run = bench.run("DmacStream::GoesOn")
    assert run.verdicts == {"DmacStream.GoesOn": "PASS"}, run.output
    found = kexec_of(run)
    assert None not in found.parts.values(), found.parts
    assert None not in found.steps.values(), found.steps
    at = {what: found.steps[what] or 0.0 for what in BOUNDARIES}
    assert all(at[before] <= at[after] for before, after in pairwise(BOUNDARIES)), at

    assert found.clock.remark == ""
    error = found.clock.error_ms
    assert error is not None
    assert 0 < error <= WANTED_ERROR
    assert found.clock.is_good
    assert found.clock.step_ms is not None
    low, high = found.clock.step_ms
    assert low <= 0 <= high

    # The controller's own clock, where it read what the program said: no counter is in it.
    begun = record_of(run, "step", what="load")["time"]
    ended = record_of(run, "step", what="driver")["time"]
    assert found.whole_ms == pytest.approx((ended - begun) * 1e3, rel=0.01)
    assert found.known_ms == pytest.approx(found.whole_ms, rel=0.01)

    (device,) = found.devices
    gap = record_of(run, "device-gap")
    assert (device.address, device.lost) == (found.first_device, 0)
    assert device.begin_ms is not None
    assert device.end_ms is not None
    assert device.longest_ms == pytest.approx(device.end_ms - device.begin_ms, abs=0.01)
    assert device.during

    # By its own clock the device wrote this between two steps of the program's.
    def placed(note: str) -> float:
        ns = int(record_of(run, "result")["notes"][note])
        return (ns - int(gap["begin_ns"])) / 1e6 + (device.begin_ms or 0.0)

    attached, driver = at["attached"], at["driver"]
    assert attached - error - _PERIOD <= placed("stream_at_attached_ns") <= driver + error


def test_a_kexec_without_a_device_ends_with_the_ledger(tmp_path: Path) -> None:
    found = memory_kexec(tmp_path, tell_shutdown=True)
    of_devices = ("retrieve", "attach", "driver attach")
    known = {name for name, length in found.parts.items() if length is not None}
    assert known == {name for name, _, _ in PARTS if name not in of_devices}
    assert found.clock.is_good, found.clock
    assert found.no_driver_ms is None


def memory_kexec(folder: Path, *, tell_shutdown: bool) -> Kexec:
    bench = bench_of(folder)
    if tell_shutdown:
        bench.edit(
            "        boot_limit: 20\n", "        boot_limit: 20\n        tell_shutdown: true\n"
        )
    run = bench.run("MemoryContinuity::OnePage")
    assert run.verdicts == {"MemoryContinuity.OnePage": "PASS"}
    return kexec_of(run)


def test_where_the_freeze_ends_is_not_known_unless_the_kernel_says_it(tmp_path: Path) -> None:
    found = memory_kexec(tmp_path, tell_shutdown=False)
    assert (found.parts["freeze"], found.parts["shutdown"]) == (None, None)
    assert found.parts["jump"] is not None
