# SPDX-License-Identifier: GPL-2.0-only
"""A run cut short leaves files that say so, no machine, and a journal that can be closed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from conftest import FakeBench, Run
from fake.world import World

from carryover.outputs import journal


def interrupt(fake: FakeBench, phase: str, *arguments: str) -> Run:
    process = fake.start(*arguments)
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if f"s  {phase}" in line and line.rstrip().endswith("..."):
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=30)
    return Run(process.returncode, "".join(lines) + rest, fake.out)


@pytest.mark.parametrize(
    ("phase", "selection"),
    [
        ("boot", "Memory and AlsoPasses"),
        ("run", "Rules and Hangs"),
        ("arm", "HangsWhileArming"),
        ("kexec", "HangsInTheGap"),
        ("verify", "HangsInVerify"),
    ],
)
def test_interrupt_in_each_phase(fake: FakeBench, phase: str, selection: str) -> None:
    World(fake.folder).update(silent=phase == "boot")  # each phase lasts until it is interrupted
    run = interrupt(fake, phase, "-k", selection)
    assert run.status == pytest.ExitCode.INTERRUPTED, run.output
    assert journal.read(run.out / "journal.jsonl").closed
    assert journal.read(run.out / "journal.jsonl").machine is None
    assert run.records[-1]["event"] == "end"
    assert "Traceback" not in run.output
    assert run.records[-1]["how"] == "cut short"
    assert 'name="run" value="cut short"' in (run.out / "junit.xml").read_text()
    assert set(run.verdicts.values()) <= {"PASS"}  # what had no result got none


def test_a_killed_run_is_closed_by_the_next(fake: FakeBench) -> None:
    process = fake.start("-k", "HangsInVerify")
    assert process.stdout is not None
    for line in process.stdout:
        if "verify" in line:
            process.kill()
    process.wait()
    results = (fake.out / "results.jsonl").read_text()
    assert '"event": "end"' not in results
    assert not (fake.out / "junit.xml").exists()
    assert not journal.read(fake.out / "journal.jsonl").closed
    run = fake.run("-k", "Rules and Passes")
    assert "an earlier run was cut short; closed it: last step: verify" in run.output
    assert run.status == 0


def test_a_disk_that_fills_up(fake: FakeBench, small_disk: Path) -> None:
    fake.out = small_disk
    fake.variables["CARRYOVER_FAKE_FILL"] = str(small_disk)
    run = fake.run("-k", "Memory and (FillsTheDisk or AlsoPasses)")
    assert run.status != 0
    assert "No space left on device" in run.output
    assert "Traceback" not in run.output
    assert "INTERNALERROR" not in run.output
    assert " passed" not in run.output
    assert "2 INFRA" in run.output
    assert not (run.out / "junit.xml").exists()
    assert '"PASS"' not in (run.out / "results.jsonl").read_text()


def test_a_disk_that_is_full_already(fake: FakeBench, small_disk: Path) -> None:
    fake.out = small_disk
    (small_disk / "filler").write_bytes(bytes(8 << 20))
    run = fake.run("-k", "Passes")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "MiB are free, a run needs" in run.output
    assert not (run.out / "results.jsonl").exists()
