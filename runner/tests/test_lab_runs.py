# SPDX-License-Identifier: GPL-2.0-only
"""Whole runs on a fake machine that runs already: what it dies of, and how it comes back."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import FAKE, FakeBench, Run
from fake.lab import BOOTS, BROKEN
from fake.peer import write_peer


class FakeLab(FakeBench):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        shutil.copy(FAKE / "lab.yaml", self.environment)

    def command(self, *arguments: str) -> list[str]:
        return [word.replace("fake.machine", "fake.lab") for word in super().command(*arguments)]

    def edit(self, old: str, new: str) -> None:
        text = self.environment.read_text()
        assert old in text
        self.environment.write_text(text.replace(old, new))

    @property
    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "journal.jsonl").read_text().splitlines()]

    @property
    def recovered(self) -> list[str]:
        return [entry["rung"] for entry in self.journal if entry["step"] == "recovered"]


@pytest.fixture
def lab(tmp_path: Path) -> FakeLab:
    return FakeLab(tmp_path)


def reason(run: Run, name: str) -> str:
    return str(run.results[name]["reason"])


def test_a_good_run_begins_and_ends_with_an_orderly_reboot(lab: FakeLab) -> None:
    run = lab.run_tests("Rules.Passes", "Memory.Passes", "Chain.Passes")
    assert set(run.verdicts.values()) == {"PASS"}, run.output
    assert run.status == 0
    assert lab.recovered == ["SSH reboot", "SSH reboot"]
    assert not [entry for entry in lab.journal if entry["step"] in ("machine", "power-off")]


def test_it_may_be_left_as_it_is(lab: FakeLab) -> None:
    lab.edit("delay: 0", "delay: 0, leave: as-is")
    assert lab.run_tests("Memory.Passes").status == 0
    assert lab.recovered == ["SSH reboot"]


def test_what_a_peer_did_not_hold_is_told_in_the_end(lab: FakeLab) -> None:
    program = write_peer(lab.folder)
    peers = 'peers: {nic: {to: "02:00:00:82:75:77", interface: eth1}}'
    lab.edit("delay: 0", f"delay: 0, {peers}, peer_program: {program}")
    run = lab.run_tests("Memory.Passes")
    assert run.status == 0, run.output
    assert "traffic peer nic did not hold 1000 frames a second" in run.output


def test_a_peer_that_dies_is_trouble_of_the_harness(lab: FakeLab) -> None:
    program = write_peer(lab.folder)
    peers = 'peers: {nic: {to: "02:00:00:82:75:77", rate: 9, interface: eth1}}'
    lab.edit("delay: 0", f"delay: 0, {peers}, peer_program: {program}")
    run = lab.run_tests("Memory.Passes")
    assert run.verdicts == {"Memory.Passes": "INFRA"}, run.output
    assert "the traffic peer nic ended with 9" in reason(run, "Memory.Passes")


def test_a_boot_loaders_boot_must_have_no_nonce(lab: FakeLab) -> None:
    """A kernel that some run has started is not the machine's own."""
    lab.variables["CARRYOVER_FAKE_NONCE"] = "of-another-run"
    run = lab.run_tests("Rules.Passes")
    assert run.verdicts == {"Rules.Passes": "INFRA"}
    assert "booted by its boot loader, its kernel has of-another-run" in reason(run, "Rules.Passes")


@pytest.mark.parametrize(
    ("test", "verdict", "why", "rungs"),
    [
        ("PanicsInVerify", "PANIC", "sysrq triggered crash", ["power cycle"]),
        ("BootsInSilence", "RESET", "booted by itself", ["by itself"]),
        ("HangsInVerify", "HANG", "did not end within", ["SSH reboot"]),
        ("HangsInTheGap", "HANG", "no kernel was ready within", ["SSH reboot"]),
        ("DiesInSilence", "HANG", "neither SSH nor the console", ["power cycle"]),
        ("RefusesSsh", "INFRA", "while the kernel is alive", ["sysrq"]),
        ("LosesSsh", "INFRA", "while the kernel is alive", ["SSH reboot"]),
        ("CutsTheConsole", "PASS", "", ["SSH reboot"]),
        ("CutsTheConsoleAndHangs", "INFRA", "the console is lost", ["power cycle"]),
    ],
)
def test_what_it_died_of_and_how_it_came_back(
    lab: FakeLab, test: str, verdict: str, why: str, rungs: list[str]
) -> None:
    run = lab.run_tests(f"Memory.{test}")
    assert run.verdicts == {f"Memory.{test}": verdict}, run.output
    assert why in reason(run, f"Memory.{test}")
    assert lab.recovered == ["SSH reboot", *rungs], run.output


def test_the_run_goes_on_with_the_others(lab: FakeLab) -> None:
    run = lab.run_tests(
        "Rules.Passes", "Memory.Passes", "Memory.DiesInSilence", "Memory.AlsoPasses"
    )
    assert run.verdicts == {
        "Rules.Passes": "PASS",
        "Memory.Passes": "PASS",
        "Memory.DiesInSilence": "HANG",
        "Memory.AlsoPasses": "PASS",
    }, run.output
    assert run.status == 1


def test_no_rung_helps(lab: FakeLab) -> None:
    lab.variables[BROKEN] = "power"
    run = lab.run_tests("Memory.DiesInSilence", "Chain.Passes")
    assert set(run.verdicts.values()) == {"INFRA"}, run.output
    said = reason(run, "Chain.Passes")
    assert said.startswith("the machine is sick: HANG: neither SSH nor the console")
    assert "\n  power cycle: the BMC does not answer\n  off and on: " in said
    assert [entry for entry in lab.journal if entry["step"] == "sick"]
    assert run.status != 0


def test_what_was_known_before_the_machine_fell_sick_stands(lab: FakeLab) -> None:
    lab.variables[BROKEN] = "power-again"
    run = lab.run_tests("Memory.DiesInSilence", "Chain.Passes")
    assert run.verdicts == {"Memory.DiesInSilence": "HANG", "Chain.Passes": "INFRA"}, run.output


def test_what_was_known_before_the_search_was_cut_short_stands(lab: FakeLab) -> None:
    lab.variables[BOOTS] = "3"
    run = lab.run_tests("Memory.Passes", "Memory.HangsInTheGap")
    assert run.verdicts == {"Memory.Passes": "PASS", "Memory.HangsInTheGap": "INFRA"}, run.output


def test_a_machine_that_does_not_come_back_in_the_end_costs_no_result(lab: FakeLab) -> None:
    lab.variables[BROKEN] = "power"
    run = lab.run_tests("Memory.DiesInSilence", reruns=0)
    assert run.verdicts == {"Memory.DiesInSilence": "HANG"}
    assert "ERROR: the machine is sick: HANG" in run.output
    assert run.status != 0


def test_ctrl_c_while_it_is_put_back_costs_no_result(lab: FakeLab) -> None:
    lab.variables[BOOTS] = "2"
    process = lab.start("-k", "Rules and Passes")
    assert process.stdout is not None
    printed = ""
    while "the run is over" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    run = Run(process.returncode, output, lab.out)
    assert run.verdicts == {"Rules.Passes": "PASS"}
    assert "ERROR: interrupted while the target was to boot its own kernel" in output
    assert run.records[-1]["event"] == "end"
    assert run.status != 0


def test_a_console_that_cannot_be_opened(lab: FakeLab) -> None:
    lab.variables[BROKEN] = "console"
    run = lab.run_tests("Rules.Passes")
    assert run.verdicts == {"Rules.Passes": "INFRA"}
    assert "connection refused" in reason(run, "Rules.Passes")


@pytest.mark.parametrize(
    ("test", "verdict"),
    [("Passes", "PASS"), ("BootsInSilence", "RESET"), ("DiesInSilence", "INFRA")],
)
def test_without_a_console_ssh_decides(lab: FakeLab, test: str, verdict: str) -> None:
    lab.edit("    - FakeConsole: {}\n", "")
    run = lab.run_tests(f"Memory.{test}")
    assert run.verdicts == {f"Memory.{test}": verdict}, run.output


def test_words_for_a_boot_loader(lab: FakeLab) -> None:
    run = lab.run("--carryover-boot-append", "quiet")
    assert run.status == 4
    assert "(quiet): this target boots what its boot loader says" in run.output
    assert not (lab.out / "journal.jsonl").exists()
