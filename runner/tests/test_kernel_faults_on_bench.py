# SPDX-License-Identifier: GPL-2.0-only
"""What a real kernel complains of, in QEMU, by the tests that make it do so on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench_run import BenchRun, variables_missing
from conftest import Run

from carryover.kernel.report import CUT_HERE

pytestmark = pytest.mark.bench


@pytest.fixture
def bench(tmp_path: Path) -> BenchRun:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    return BenchRun(tmp_path)


def faults(run: Run) -> list[dict[str, Any]]:
    return [record for record in run.records if record["event"] == "kernel-fault"]


def test_a_warning_is_found_attributed_and_cut_out_whole(bench: BenchRun) -> None:
    run = bench.run("HiddenKernel::Warns", "HiddenKernel::SaysNothing")
    assert set(run.verdicts.values()) == {"PASS"}, run.output
    assert run.status == 1
    (fault,) = faults(run)
    assert fault["test"] == "HiddenKernel.Warns"
    assert (fault["kind"], fault["severity"], fault["kernel"]) == ("WARNING", "fault", "outgoing")
    assert fault["lines"][0] == CUT_HERE
    assert fault["lines"][-1].startswith("---[ end trace")
    assert fault["fingerprint"].startswith("WARNING: lkdtm_WARNING ")


def test_a_warning_of_the_incoming_kernel(bench: BenchRun) -> None:
    run = bench.run("HiddenKernelContinuity::WarnsInVerify", "IsSound")
    assert set(run.verdicts.values()) == {"PASS"}, run.output
    (fault,) = faults(run)
    assert fault["test"] == "HiddenKernelContinuity.WarnsInVerify"
    assert fault["kernel"] == "incoming"


def test_a_console_that_says_nothing(bench: BenchRun) -> None:
    """The kernel's log has it."""
    bench.edit("no_timer_check", "no_timer_check loglevel=1")
    run = bench.run("HiddenKernel::Warns", "IsSound")
    assert [fault["test"] for fault in faults(run)] == ["HiddenKernel.Warns"], run.output
    assert CUT_HERE not in (run.out / "console.log").read_text()


def test_a_warning_that_is_declared(bench: BenchRun) -> None:
    run = bench.run("HiddenKernel::WarnsAsDeclared", "HiddenKernel::DeclaresWhatDoesNotCome")
    assert run.verdicts == {
        "HiddenKernel.WarnsAsDeclared": "PASS",
        "HiddenKernel.DeclaresWhatDoesNotCome": "FAIL",
    }, run.output
    assert faults(run) == []
    reason = run.results["HiddenKernel.DeclaresWhatDoesNotCome"]["reason"]
    assert "expected kernel message 'the kernel says this on no occasion'" in reason


def test_a_taint_that_nothing_explains(bench: BenchRun) -> None:
    run = bench.run("HiddenKernel::IsTaintedInSilence", "IsSound")
    assert [fault["text"] for fault in faults(run)] == [
        "taint L: soft lockup occurred; no report tells why"
    ], run.output


def test_a_panic_is_told_whole(bench: BenchRun) -> None:
    run = bench.run("PanicsInVerify")
    (fault,) = faults(run)
    assert (fault["kind"], fault["severity"], fault["kernel"]) == ("panic", "fatal", "incoming")
    assert fault["fingerprint"] == "panic: Kernel panic - not syncing: sysrq triggered crash"
    assert fault["test"] == "HiddenFault.PanicsInVerify"
