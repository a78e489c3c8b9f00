# SPDX-License-Identifier: GPL-2.0-only
"""A run that was cut short goes on: what it knows is kept, what it does not know is run."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import FakeBench, Run

from carryover.outputs import journal, saved_run
from carryover.outputs.basis import basis, differences
from carryover.run_command import judge

TESTS = "Rules and (Passes or Fails) or Memory and (AlsoPasses or HangsInVerify)"
KNOWN = {"Rules.Passes": "PASS", "Rules.Fails": "FAIL", "Memory.AlsoPasses": "PASS"}


def kill_when(fake: FakeBench, text: str, *arguments: str) -> None:
    """The controller dies as soon as the run has printed that."""
    process = fake.start(*arguments)
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def resume(fake: FakeBench, selection: str = TESTS) -> Run:
    """Goes on with it, with less patience: a hang is waited for."""
    options = ("--carryover-resume", "--carryover-time-scale", "0.2")
    return fake.run("-k", selection, *options)


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def steps(out: Path) -> list[str]:
    lines = (out / "journal.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


@pytest.fixture
def cut_short(fake: FakeBench) -> FakeBench:
    """A run that was killed while one of four tests was running."""
    kill_when(fake, "PASS     Memory.AlsoPasses", "-k", TESTS)
    return fake


def test_what_has_a_result_keeps_it_and_the_rest_is_run(cut_short: FakeBench) -> None:
    before = records(cut_short.out)
    run = resume(cut_short)
    assert run.verdicts == {**KNOWN, "Memory.HangsInVerify": "HANG"}, run.output
    assert run.records[: len(before)] == before
    assert "resumed: 3 results are kept, 1 tests are left to run" in run.output
    assert run.status == 1
    assert steps(run.out).count("resumed") == 1
    assert run.records[-1]["how"] == "complete"
    assert run.records[-1]["counts"] == {"PASS": 2, "FAIL": 1, "HANG": 1}
    cases = ElementTree.parse(run.out / "junit.xml").getroot().iter("testcase")
    assert len(list(cases)) == 4
    ktap = (run.out / "results.ktap").read_text()
    assert all(name in ktap for name in run.verdicts)
    assert "Memory.AlsoPasses" in (run.out / "report.html").read_text()
    assert len(list((run.out / "logs").iterdir())) == 4


def test_the_target_is_told_of_the_same_owner(cut_short: FakeBench) -> None:
    """What the run that was killed holds there is its own."""
    before = journal.read(cut_short.out / "journal.jsonl").owner
    assert before
    resume(cut_short)
    assert journal.read(cut_short.out / "journal.jsonl").owner == before


def test_power_cycles_are_counted_on(cut_short: FakeBench) -> None:
    run = resume(cut_short)
    on = [r["cycle"] for r in run.records if r["event"] == "mark" and r["what"] == "power-on"]
    assert on == [1, 2]


def test_a_bad_verdict_of_before_makes_no_good_run(fake: FakeBench) -> None:
    tests = "Rules and (Passes or Fails) or Memory and AlsoPasses"
    kill_when(fake, "FAIL     Rules.Fails", "-k", tests)
    run = fake.run("-k", tests, "--carryover-resume")
    assert run.verdicts == KNOWN, run.output
    assert run.status == 1


def test_a_line_that_is_cut_off_did_not_happen(cut_short: FakeBench) -> None:
    file = cut_short.out / "results.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if '"event": "result"' in line)
    file.write_text("".join(lines[:last]) + lines[last][:50])
    run = resume(cut_short)
    assert "resumed: 2 results are kept, 2 tests" in run.output
    assert run.verdicts == {**KNOWN, "Memory.HangsInVerify": "HANG"}, run.output


def test_killed_again_and_again(fake: FakeBench) -> None:
    kill_when(fake, "PASS     Rules.Passes", "-k", TESTS)
    kill_when(fake, "PASS     Memory.AlsoPasses", "-k", TESTS, "--carryover-resume")
    run = resume(fake)
    assert run.verdicts == {**KNOWN, "Memory.HangsInVerify": "HANG"}, run.output
    assert steps(run.out).count("resumed") == 2
    assert [r["name"] for r in run.records if r["event"] == "result"] == list(run.verdicts)


def test_all_is_known_and_only_the_end_is_missing(fake: FakeBench) -> None:
    run = fake.run("-k", "Rules and Passes")
    file = run.out / "results.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    cycles = steps(run.out).count("power-on")
    run = fake.run("-k", "Rules and Passes", "--carryover-resume")
    assert run.status == 0, run.output
    assert run.records[-1]["how"] == "complete"
    assert steps(run.out).count("power-on") == cycles


def test_after_ctrl_c(fake: FakeBench) -> None:
    process = fake.start("-k", TESTS)
    assert process.stdout is not None
    for line in process.stdout:
        if "PASS     Memory.AlsoPasses" in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=30)
    assert records(fake.out)[-1]["how"] == "cut short"
    run = resume(fake)
    assert run.verdicts == {**KNOWN, "Memory.HangsInVerify": "HANG"}, run.output
    assert [record["event"] for record in run.records].count("end") == 1


def test_after_close(cut_short: FakeBench) -> None:
    journal.close_left_over(cut_short.out / "journal.jsonl")
    run = resume(cut_short)
    assert run.verdicts == {**KNOWN, "Memory.HangsInVerify": "HANG"}, run.output


def test_kernel_faults_that_were_written_down_count(fake: FakeBench) -> None:
    selection = "MakesTheKernelWarn or PanicsInVerify or HangsInVerify"
    kill_when(fake, "PANIC    Memory.PanicsInVerify", "-k", selection)
    run = resume(fake, selection)
    texts = [record["text"] for record in run.records if record["event"] == "kernel-fault"]
    assert any("recursive locking" in text for text in texts)
    assert "recursive locking" in run.output


def test_a_kernel_fault_of_the_cycle_that_was_cut_short_counts(fake: FakeBench) -> None:
    """A power cycle's faults are written down when it is over: this one never was."""
    selection = "MakesTheKernelWarn or Memory and AlsoPasses"
    kill_when(fake, "PASS     Memory.AlsoPasses", "-k", selection)
    assert not any(record["event"] == "kernel-fault" for record in records(fake.out))
    run = fake.run("-k", selection, "--carryover-resume")
    found = [r["text"] for r in run.records if r["event"] == "kernel-fault"]
    assert found == ["WARNING: possible recursive locking detected"], run.output
    assert run.status == 1
    assert set(run.verdicts.values()) == {"PASS"}
    assert judge(0, saved_run.load(run.out)) == 1


def test_a_message_that_is_declared_is_no_fault_of_a_cycle_cut_short(fake: FakeBench) -> None:
    selection = "WarnsAsDeclared or Memory and HangsWhileArming"
    kill_when(fake, "PASS     Rules.WarnsAsDeclared", "-k", selection)
    run = resume(fake, selection)
    assert not any(record["event"] == "kernel-fault" for record in run.records), run.output


def test_what_a_driver_did_in_the_cycle_that_was_cut_short_counts(cut_short: FakeBench) -> None:
    models = cut_short.out / "models"
    models.mkdir()
    said = {"event": "violation", "what": "the ring is not enabled"}
    (models / "dsa.jsonl").write_text(json.dumps(said) + "\n" + json.dumps(said)[:-5])
    run = resume(cut_short)
    texts = [record["text"] for record in run.records if record["event"] == "violation"]
    assert texts == ["model dsa: the ring is not enabled"]


def refused(run: Run, *said: str) -> None:
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert "Traceback" not in run.output
    for text in said:
        assert text in run.output


def test_nothing_to_resume(fake: FakeBench) -> None:
    said = "has no run that was cut short; leave --resume out"
    refused(fake.run("-k", "Rules and Passes", "--carryover-resume"), said)


def test_a_complete_run_is_not_resumed(fake: FakeBench) -> None:
    before = fake.run("-k", "Rules and Passes")
    written = (before.out / "results.jsonl").read_bytes()
    refused(fake.run("-k", "Rules and Passes", "--carryover-resume"), "the run is complete")
    assert (before.out / "results.jsonl").read_bytes() == written
    assert (before.out / "junit.xml").exists()


def test_a_run_that_is_alive_is_not_resumed(fake: FakeBench) -> None:
    process = fake.start("-k", "HangsInVerify")
    assert process.stdout is not None
    for line in process.stdout:
        if "verify" in line:
            break
    refused(fake.run("-k", "HangsInVerify", "--carryover-resume"), "another run writes there")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def test_another_selection(cut_short: FakeBench) -> None:
    written = (cut_short.out / "results.jsonl").read_bytes()
    run = cut_short.run("-k", "Rules and (Passes or Skips)", "--carryover-resume")
    refused(run, "the selection of tests (1 more: Rules.Skips; 3 fewer: Memory.AlsoPasses, ")
    assert (cut_short.out / "results.jsonl").read_bytes() == written
    assert "resumed" not in steps(cut_short.out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--carryover-iommu-mode", "type1"], "--carryover-iommu-mode (was iommufd, is type1)"),
        (["--carryover-append", "quiet"], "--carryover-append (was none, is quiet)"),
        (["--carryover-claim", "file"], "--carryover-claim (was memory, is file)"),
        (["--carryover-chain", "2"], "--carryover-chain (was 1, is 2)"),
    ],
)
def test_other_options(cut_short: FakeBench, options: list[str], said: str) -> None:
    refused(cut_short.run("-k", TESTS, "--carryover-resume", *options), said)


def test_another_program(cut_short: FakeBench) -> None:
    with cut_short.program.open("a") as program:
        program.write("# another one\n")
    refused(resume(cut_short), "the program changed")


def test_another_environment(cut_short: FakeBench) -> None:
    text = cut_short.environment.read_text()
    cut_short.environment.write_text(text.replace("memory: 1G", "memory: 2G"))
    run = resume(cut_short)
    refused(run, f"the environment {cut_short.environment} changed")


def test_a_variable_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "environment.yaml"
    file.write_text("kernel: $KERNEL_HERE, ${NOT_SET}")
    monkeypatch.setenv("KERNEL_HERE", "secret")
    before = basis([file], file, ["A.B"], {"target": "main"})
    assert "secret" not in json.dumps(before)
    monkeypatch.setenv("KERNEL_HERE", "other")
    now = basis([file], file, ["A.B"], {"target": "second"})
    assert differences(before, now) == [
        "the environment's variable KERNEL_HERE",
        "target (was main, is second)",
    ]


def test_without_resume_the_results_of_a_killed_run_are_put_aside(cut_short: FakeBench) -> None:
    before = records(cut_short.out)
    run = cut_short.run("-k", "Rules and Passes")
    aside = run.out / "cut-short-1"
    assert "its results are in" in run.output
    assert records(aside) == before
    assert {path.name for path in aside.iterdir()} >= {"logs", "console.log", "journal.jsonl"}
    assert run.verdicts == {"Rules.Passes": "PASS"}
    # There it can still be resumed.
    cut_short.out = aside
    resumed = resume(cut_short)
    assert resumed.verdicts == {**KNOWN, "Memory.HangsInVerify": "HANG"}, resumed.output


def test_each_killed_run_has_a_folder_of_its_own(cut_short: FakeBench) -> None:
    kill_when(cut_short, "PASS     Memory.AlsoPasses", "-k", TESTS)
    cut_short.run("-k", "Rules and Passes")
    assert (cut_short.out / "cut-short-1" / "results.jsonl").exists()
    assert (cut_short.out / "cut-short-2" / "results.jsonl").exists()
    cut_short.run("-k", "Rules and Passes")  # a run that came to its end is replaced
    assert not (cut_short.out / "cut-short-3").exists()


def test_a_killed_run_without_results_leaves_nothing(fake: FakeBench) -> None:
    kill_when(fake, "boot", "-k", TESTS)
    fake.run("-k", "Rules and Passes")
    assert not (fake.out / "cut-short-1").exists()


def test_after_a_full_disk(fake: FakeBench, small_disk: Path) -> None:
    fake.out = small_disk
    fake.variables["CARRYOVER_FAKE_FILL"] = str(small_disk)
    selection = "Rules and Passes or Memory and (FillsTheDisk or AlsoPasses)"
    run = fake.run("-k", selection)
    assert run.status != 0
    for path in small_disk.iterdir():
        if path.is_file() and path.stat().st_size > 1 << 20:
            os.truncate(path, 0)
    del fake.variables["CARRYOVER_FAKE_FILL"]
    run = fake.run("-k", selection, "--carryover-resume")
    assert run.verdicts == {
        "Rules.Passes": "PASS", "Memory.FillsTheDisk": "PASS", "Memory.AlsoPasses": "PASS",
    }, run.output  # fmt: skip
