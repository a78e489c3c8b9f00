# SPDX-License-Identifier: GPL-2.0-only
"""What kernels complain of makes no good run, and is told with all that is known of it."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import FakeBench, Run

from carryover.outputs.saved_run import load

WARNING = "WARNING: possible recursive locking detected"


def faults(run: Run) -> list[dict[str, Any]]:
    return [record for record in run.records if record["event"] == "kernel-fault"]


def test_a_fault_is_told_whole(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.MakesTheKernelWarn", "Memory.Passes")
    assert run.status == 1
    (fault,) = faults(run)
    assert fault.pop("time") > 0
    assert fault == {
        "event": "kernel-fault",
        "text": WARNING,
        "test": "Rules.MakesTheKernelWarn",
        "kind": "lockdep",
        "severity": "fault",
        "fingerprint": f"lockdep: {WARNING}",
        "kernel": "outgoing",
        "lines": [WARNING],
    }
    assert "kernel fault: WARNING" in run.output


def test_what_the_console_loses_is_read_in_the_log(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_LOSES"] = "recursive locking"
    run = fake.run_tests("Rules.MakesTheKernelWarn", "Memory.Passes")
    assert run.status == 1
    assert "recursive" not in (run.out / "console.log").read_text()
    assert [fault["text"] for fault in faults(run)] == [WARNING]


def test_of_a_test_without_a_kexec_too(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_LOSES"] = "recursive locking"
    run = fake.run_tests("Rules.MakesTheKernelWarn")
    assert [fault["text"] for fault in faults(run)] == [WARNING]


def test_what_a_test_declares_is_no_fault(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.WarnsAsDeclared", "Memory.Passes")
    assert faults(run) == []
    assert run.status == 0, run.output


def test_a_declaration_that_cannot_be_understood(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.DeclaresNonsense")
    assert run.status == 1
    reason = run.results["Rules.DeclaresNonsense"]["reason"]
    assert "Rules.DeclaresNonsense expects the message '(', which is no regular" in reason


def test_a_taint_without_a_report(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.TaintsInSilence", "Memory.Passes")
    assert run.status == 1
    (fault,) = faults(run)
    assert fault["text"] == "taint W: kernel issued warning; no report tells why"


def test_a_fault_of_the_incoming_kernel(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_BOOT_FAULT"] = "BUG: KASAN: use-after-free in f+0x1/0x2"
    run = fake.run_tests("Memory.Passes")
    assert [(fault["kernel"], fault["test"]) for fault in faults(run)] == [
        ("outgoing", None),
        ("incoming", None),
    ]


def test_a_notice_alone_makes_no_bad_run(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_BOOT_FAULT"] = "INFO: lockdep is turned off."
    run = fake.run_tests("Memory.Passes")
    assert {fault["severity"] for fault in faults(run)} == {"notice"}
    assert run.status == 0
    assert load(run.out).faults == []
    assert "kernel notice: INFO: lockdep is turned off." in run.output


def test_a_panic_is_told_whole(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.PanicsInVerify")
    assert run.verdicts == {"Memory.PanicsInVerify": "PANIC"}
    (fault,) = faults(run)
    assert (fault["kind"], fault["severity"]) == ("panic", "fatal")
    assert (fault["kernel"], fault["test"]) == ("incoming", "Memory.PanicsInVerify")
    assert len(fault["lines"]) == 2


@pytest.mark.parametrize("test", ["Rules.MakesTheKernelOops", "Memory.OopsesWhileArming"])
def test_the_log_is_read_when_the_program_has_died(fake: FakeBench, test: str) -> None:
    run = fake.run_tests(test)
    assert [fault["kind"] for fault in faults(run)] == ["oops"]
    events = (run.out / "events.jsonl").read_text()
    assert '"text": "Oops: general protection fault' in events


def test_a_failed_freeze_is_a_failure_of_handover(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.IsRefused")
    assert run.verdicts == {"Memory.IsRefused": "REFUSED"}
    assert [fault["severity"] for fault in faults(run)] == ["handover"]
