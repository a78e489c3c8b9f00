# SPDX-License-Identifier: GPL-2.0-only
"""Each verdict, from what the target does, through the whole plugin."""

from __future__ import annotations

import re

import pytest
from conftest import FakeBench

from carryover.campaign.blame import Results
from carryover.session import CarryoverSession
from carryover.verdict import Verdict


@pytest.mark.parametrize(
    ("test", "verdict", "reason"),
    [
        ("Rules.Passes", "PASS", ""),
        ("Rules.Fails", "FAIL", "on purpose"),
        ("Rules.Skips", "SKIP", "on purpose"),
        ("Rules.DiesOfSignal", "FAIL", "`run` ended with 139"),
        ("Rules.Hangs", "HANG", "run of Rules.Hangs did not end within"),
        ("Memory.Passes", "PASS", ""),
        ("Memory.Fails", "FAIL", "on purpose"),
        ("Memory.IsCutOffInMidWord", "PASS", ""),
        ("Memory.FailsToArm", "FAIL", "on purpose"),
        ("Memory.Skips", "SKIP", "on purpose"),
        ("Memory.IsLost", "LOST", "on purpose"),
        ("Memory.CannotBeRead", "LOST", "No registered handler for compatible 'vfio-pci-v1'"),
        ("Memory.IsForgotten", "LOST", "nothing of it was found"),
        ("Memory.PanicsWhileArming", "PANIC", "sysrq triggered crash (in its arm half)"),
        ("Memory.PanicsInTheGap", "PANIC", "sysrq triggered crash"),
        ("Memory.PanicsInVerify", "PANIC", "sysrq triggered crash (in its verify half)"),
        ("Memory.ResetsInTheGap", "RESET", "host-qmp-system-reset"),
        ("Memory.BootsCold", "RESET", "KHO counts 0 kexecs, 1 were made"),
        ("Memory.HangsWhileArming", "HANG", "arm of Memory.HangsWhileArming did not end within"),
        ("Memory.HangsInVerify", "HANG", "verify of Memory.HangsInVerify did not end within"),
        ("Memory.HangsInTheGap", "HANG", "stuck here"),
        ("Memory.BreaksTheAbi", "ABI_MISMATCH", "LUO state is incompatible"),
        ("Memory.IsRefused", "REFUSED", "luo: Freeze failed for token[0x1]"),
        ("Memory.KillsMachine", "INFRA", "QEMU was killed by signal 9"),
        ("Memory.LosesSsh", "INFRA", "SSH connection was lost during `verify`"),
        ("Memory.LosesItsHolder", "INFRA", "process 1 is gone"),
        ("Memory.EndsUnheard", "INFRA", "by the console, verify of Memory.EndsUnheard has ended"),
        ("Memory.LosesSshInTheGap", "INFRA", "SSH connection was lost during `kexec`"),
        ("Memory.HasAStaleLedger", "INFRA", "has nonce of-another-run"),
        ("Memory.TalksNonsense", "INFRA", "no JSON: 'Segmentation fault"),
        ("Chain.Passes", "PASS", ""),
        ("Chain.FailsToCarry", "FAIL", "on purpose"),
    ],
)
def test_verdict(fake: FakeBench, test: str, verdict: str, reason: str) -> None:
    run = fake.run_tests(test)
    assert run.verdicts == {test: verdict}, run.output
    assert reason in run.results[test]["reason"]
    good = verdict in ("PASS", "SKIP")
    assert run.status == (0 if good else 1)
    assert verdict in run.output
    assert "Traceback" not in run.output
    junit = (run.out / "junit.xml").read_text()
    tags = {"PASS": None, "SKIP": "<skipped", "INFRA": "<error"}
    expected = tags.get(verdict, "<failure")
    assert [t for t in ("<skipped", "<error", "<failure") if t in junit] == (
        [expected] if expected else []
    )
    ktap = (run.out / "results.ktap").read_text().splitlines()
    assert ktap[-1].startswith(f"{'ok' if good else 'not ok'} 1 {test}")
    assert (
        (run.out / "logs" / f"{test}.log").read_text().rstrip().splitlines()[-1].startswith(verdict)
    )
    assert run.records[-1]["event"] == "end"


def nothing() -> Results:
    yield from ()


def test_a_campaign_that_ends_early_passes_nothing() -> None:
    session = CarryoverSession.__new__(CarryoverSession)
    session._known, session._items = {}, {}
    session._results = nothing()
    assert session._result("Memory.Passes").verdict is Verdict.INFRA


def test_letters_differ() -> None:
    assert len({verdict.letter for verdict in Verdict}) == len(Verdict)


def test_each_item_has_its_own_result_from_one_kexec(fake: FakeBench) -> None:
    run = fake.run_tests(
        "Memory.Passes", "Memory.AlsoPasses", "Memory.Fails", "Memory.IsLost", "Memory.FailsToArm"
    )
    assert run.verdicts == {
        "Memory.Passes": "PASS",
        "Memory.AlsoPasses": "PASS",
        "Memory.Fails": "FAIL",
        "Memory.IsLost": "LOST",
        "Memory.FailsToArm": "FAIL",
    }
    steps = (run.out / "journal.jsonl").read_text()
    assert steps.count('"step": "kexec"') == 1
    assert steps.count('"step": "power-on"') == 1


def test_tests_without_a_kexec_share_the_process_that_arms(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.Passes", "Rules.Fails", "Memory.Passes")
    assert run.verdicts == {
        "Rules.Passes": "PASS",
        "Rules.Fails": "FAIL",
        "Memory.Passes": "PASS",
    }
    steps = (run.out / "journal.jsonl").read_text()
    assert '"step": "run"' not in steps
    assert steps.count('"step": "arm"') == 1


def test_a_kernel_that_warns_is_not_a_good_run(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.MakesTheKernelWarn", "Memory.Passes")
    assert run.verdicts == {"Rules.MakesTheKernelWarn": "PASS", "Memory.Passes": "PASS"}
    assert run.status == 1
    assert "kernel fault" in run.output
    faults = [r["text"] for r in run.records if r["event"] == "kernel-fault"]
    assert faults == ["WARNING: possible recursive locking detected"]


def test_a_driver_that_does_what_is_forbidden_makes_no_good_run(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_VIOLATION"] = "model dsa: the ring is not enabled"
    run = fake.run_tests("Memory.Passes")
    assert run.verdicts == {"Memory.Passes": "PASS"}
    assert run.status == 1
    assert re.search(r"^forbidden +model dsa: the ring is not enabled", run.output, re.MULTILINE)
    violations = [r["text"] for r in run.records if r["event"] == "violation"]
    assert violations == ["model dsa: the ring is not enabled"]


@pytest.mark.parametrize(
    "oops", ["Rules.MakesTheKernelOops", "Memory.OopsesWhileArming", "Memory.MakesTheKernelOops"]
)
def test_a_kernel_that_kills_the_program_is_no_trouble_of_the_harness(
    fake: FakeBench, oops: str
) -> None:
    others = ["Rules.Passes", "Memory.Passes", "Chain.Passes"]
    run = fake.run_tests(oops, *others)
    reasons = {r["name"]: r["reason"] for r in run.records if r["event"] == "result"}
    assert "Oops: general protection fault" in reasons[oops]
    # The tests shared the program: those that it had not come to get another one.
    assert run.verdicts == {oops: "FAIL", **dict.fromkeys(others, "PASS")}
    assert run.status == 1


def test_one_that_dies_before_it_arms_costs_the_others_nothing(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.DiesOfSignal", "Rules.Passes", "Memory.Passes")
    assert run.verdicts == {
        "Rules.DiesOfSignal": "FAIL",
        "Rules.Passes": "PASS",
        "Memory.Passes": "PASS",
    }


def test_a_chain_takes_as_many_kexecs_as_it_wants(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.Passes", "Chain.Passes")
    assert run.verdicts == {"Memory.Passes": "PASS", "Chain.Passes": "PASS"}
    kexecs = run.results["Chain.Passes"]["kexecs"]
    assert [boot["kho_count"] for boot in kexecs] == [1, 2, 3]
    assert len({boot["boot_id"] for boot in kexecs}) == 3
    halves = run.results["Chain.Passes"]["halves"]
    assert [half["half"] for half in halves] == ["arm", *["verify", "carry"] * 2, "verify"]


def test_what_a_boot_said_of_itself_outlives_the_kernels_log(fake: FakeBench) -> None:
    """The counts of kexecs are in its first lines, which a test may cause to be overwritten."""
    run = fake.run_tests("Memory.FloodsTheKernelsLog")
    assert run.verdicts == {"Memory.FloodsTheKernelsLog": "PASS"}, run.output
    kexecs = run.results["Memory.FloodsTheKernelsLog"]["kexecs"]
    assert [boot["kho_count"] for boot in kexecs] == [1, 2, 3]
    assert len(re.findall("^kexec [0-9]", run.output, re.MULTILINE)) == 3
