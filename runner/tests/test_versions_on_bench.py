# SPDX-License-Identifier: GPL-2.0-only
"""An outgoing and an incoming kernel that differ, on QEMU: each verdict says what was really lost.

The kernels, folders in $CARRYOVER_VERSIONS: `plain` preserves memfds only, `reference` vfio-pci's
files too, `another-abi` is `reference` with another version of LUO's data (ci/kernel/variants).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bench_run import BenchRun
from conftest import Run

pytestmark = pytest.mark.bench

NO_KEXEC = "LiveUpdateRules.TokenInUseIsRefused"
MEMORY = ("MemoryContinuity.OwnerClosedIt", "IgbContinuity.ScatteredPages")
CHAIN = "SessionContinuity.KexecAfterKexec"
FILE = ("IgbFileContinuity.IsTheSameDevice", "IgbFileContinuity.DmaGoesOn")
ALL = (NO_KEXEC, *MEMORY, CHAIN, *FILE)


@pytest.fixture
def bench(tmp_path: Path) -> BenchRun:
    if "CARRYOVER_VERSIONS" not in os.environ:
        pytest.fail(
            'CARRYOVER_VERSIONS is not set; eval "$(ci/bench --runner-tests --setup-only)" sets it'
        )
    return BenchRun(tmp_path)


def run(bench: BenchRun, tests: tuple[str, ...]) -> Run:
    done = bench.run(*(test.replace(".", "::") for test in tests))
    power_cycles = (done.out / "journal.jsonl").read_text().count('"step": "power-on"')
    assert power_cycles == 1, done.output
    jumps = [json.loads(line) for line in (done.out / "events.jsonl").read_text().splitlines()]
    kernels = {event["kernel"] for event in jumps if event["event"] == "loaded"}
    assert kernels == {f"/boot/{bench.incoming}/bzImage"}
    return done


def console(run: Run) -> str:
    return (run.out / "console.log").read_text(errors="replace")


def test_a_file_that_the_incoming_kernel_has_no_handler_for_loses_all(bench: BenchRun) -> None:
    bench.kernels("reference", "plain", ["memory", "file"])
    done = run(bench, ALL)
    lost = dict.fromkeys((*MEMORY, CHAIN, *FILE), "LOST")
    assert done.verdicts == {NO_KEXEC: "PASS", **lost}, done.output
    assert "No registered handler for compatible" in console(done)
    for name in lost:
        reason = done.results[name]["reason"]
        assert "open /dev/liveupdate: Input/output error" in reason
        assert "No registered handler for compatible" in reason


def test_what_the_incoming_kernel_has_a_handler_for_is_not_lost(bench: BenchRun) -> None:
    bench.kernels("reference", "plain", ["memory", "file"])
    done = run(bench, (*MEMORY, CHAIN))
    assert done.verdicts == dict.fromkeys((*MEMORY, CHAIN), "PASS"), done.output


def test_a_kernel_that_learns_to_preserve_files(bench: BenchRun) -> None:
    bench.kernels("plain", "reference", ["memory"])
    done = run(bench, ALL)
    assert done.verdicts == {
        **dict.fromkeys((NO_KEXEC, *MEMORY, CHAIN), "PASS"),
        **dict.fromkeys(FILE, "SKIP"),
    }, done.output


def test_data_of_another_abi_version(bench: BenchRun) -> None:
    bench.kernels("reference", "another-abi", ["memory", "file"])
    done = run(bench, ALL)
    armed = dict.fromkeys((*MEMORY, CHAIN, *FILE), "ABI_MISMATCH")
    assert done.verdicts == {NO_KEXEC: "PASS", **armed}, done.output
    assert "LUO state is incompatible with 'luo-v0'" in console(done)
    for name in armed:
        assert "LUO state is incompatible with 'luo-v0'" in done.results[name]["reason"]
