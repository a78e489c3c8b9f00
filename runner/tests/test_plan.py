# SPDX-License-Identifier: GPL-2.0-only
"""The plan says what the campaign then does."""

from __future__ import annotations

import re

from conftest import FakeBench

from carryover.campaign.plan import Plan, power_cycles
from carryover.events import TestInfo


def info(generations: int, claim: str | None = "memory", *, own: bool = False) -> TestInfo:
    kind = "continuity" if generations else "run"
    return TestInfo("A.B", kind, claim, None, generations, 1.0, "f.cc", 1, "", own)


def test_a_whole_plan() -> None:
    tests = [info(0, None), info(0), info(1), info(1), info(2), info(2), info(3)]
    tests += [info(1, "file"), info(4, "file"), info(0, "file"), info(1, "stream")]
    plan = Plan.of(tests, ["memory"], "iommufd")
    assert plan.kexecs == 3
    assert plan.lines() == [
        "2 tests without a kexec",
        "5 tests for the first kexec, 2 for 1 more, 1 for 2 more: 3 kexecs",
        "3 tests skipped for want of a kernel that claims `file` (--carryover-claim file)",
        "1 test skipped for want of a kernel that claims `stream` (--carryover-claim stream)",
    ]


def test_a_claim_that_is_made_counts() -> None:
    assert Plan.of([info(1), info(4, "file")], ["memory", "file"], "iommufd").kexecs == 4


def test_those_that_share_their_kexecs_with_no_other() -> None:
    tests = [info(1), info(2, own=True), info(0), info(1, "stream", own=True)]
    assert power_cycles(tests, ["memory"], "iommufd") == [
        [tests[0], tests[2], tests[3]],  # what is skipped needs no power cycle
        [tests[1]],
    ]
    plan = Plan.of(tests, ["memory"], "iommufd")
    assert plan.kexecs == 1
    assert plan.lines()[2] == "1 test in a power cycle of its own"
    plan = Plan.of(tests, ["memory", "stream"], "iommufd")
    assert plan.lines()[2] == "2 tests in power cycles of their own"


def test_only_what_is_there_is_mentioned() -> None:
    assert Plan.of([info(1)], ["memory"], "iommufd").lines() == [
        "1 test for the first kexec: 1 kexec"
    ]
    assert Plan.of([info(0)], ["memory"], "iommufd").lines() == ["1 test without a kexec"]
    assert Plan.of([info(0)], ["memory"], "iommufd").kexecs == 0


def test_the_plan_comes_first_and_holds(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.Passes", "Memory.Passes", "Chain.Passes")
    plan = run.output.index("plan")
    assert plan < run.output.index("power on")
    assert "1 test without a kexec" in run.output
    assert "2 tests for the first kexec, 1 for 2 more: 3 kexecs" in run.output
    assert len(re.findall(r"s  verify +[\d.]+ s  kexec", run.output)) == 3


def test_a_test_with_its_own_kexec_has_it(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.Passes", "Own.Kexec", "Own.TwoKexecs")
    assert run.status == 0
    assert "2 tests in power cycles of their own" in run.output
    results = run.results
    cold = {name: result["cold_boot"]["boot_id"] for name, result in results.items()}
    assert len(set(cold.values())) == 3
    assert {name: len(result["kexecs"]) for name, result in results.items()} == {
        "Memory.Passes": 1,
        "Own.Kexec": 1,
        "Own.TwoKexecs": 2,
    }


def test_one_alone_needs_no_other_power_cycle(fake: FakeBench) -> None:
    run = fake.run_tests("Own.Kexec")
    assert run.status == 0
    assert run.output.count("power on ...") == 1


def test_device_files_cannot_be_preserved_in_the_mode_type1() -> None:
    plan = Plan.of([info(1), info(2, "file")], ["memory", "file"], "type1")
    assert plan.lines() == [
        "1 test for the first kexec: 1 kexec",
        "1 test skipped for want of --carryover-iommu-mode iommufd",
    ]


def test_what_is_left_out_for_want_of_a_device_is_said() -> None:
    plan = Plan.of([info(1)], ["memory"], "iommufd", {"nvme": 20, "dsa": 22})
    assert plan.lines()[-1] == (
        "42 tests left out for want of a device (PciTestDevice) of driver dsa, nvme"
    )
