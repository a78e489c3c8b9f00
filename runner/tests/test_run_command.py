# SPDX-License-Identifier: GPL-2.0-only
"""`carryover run`: what scripts rely on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import FakeBench, heeding_interrupts

from carryover.__main__ import main
from carryover.exit_codes import ExitCode
from carryover.outputs.saved_run import SavedRun
from carryover.run_command import judge


def start(
    fake: FakeBench, *arguments: str, program: bool = True, stdin: bool = False
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "carryover", "run", "--target", str(fake.environment)]
    command += ["-p", "fake.machine", "--carryover-out", str(fake.out)]
    if program:
        command += ["--program", str(fake.program)]
    return subprocess.Popen(
        heeding_interrupts([*command, *arguments]),
        cwd=fake.folder,
        env=fake.variables,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(fake: FakeBench, *arguments: str) -> tuple[int, dict[str, Any], str]:
    process = start(fake, "--json", *arguments)
    output, errors = process.communicate(timeout=120)
    return process.returncode, json.loads(output), errors


def test_resume(fake: FakeBench) -> None:
    selection = ("-k", "Rules and Passes or Memory and AlsoPasses")
    process = start(fake, *selection)
    assert process.stdout is not None
    for line in process.stdout:
        if "PASS     Rules.Passes" in line:
            process.kill()
    process.communicate()
    status, said, errors = run(fake, *selection, "--resume")
    assert status == said["exit_code"] == 0, errors
    assert said["verdicts"] == {"PASS": 2}
    status, said, errors = run(fake, *selection, "--resume")
    assert status == 2
    assert "the run is complete" in errors


@pytest.mark.parametrize(
    ("selection", "code", "worst"),
    [
        ("Memory and (Passes or Skips)", 0, "SKIP"),
        ("Rules and (Passes or Fails)", 1, "FAIL"),
        ("Memory and IsLost", 1, "LOST"),
        ("Memory and IsRefused", 1, "REFUSED"),
        ("PanicsInVerify", 1, "PANIC"),
        ("BreaksTheAbi", 1, "ABI_MISMATCH"),
        ("MakesTheKernelWarn", 1, "PASS"),
        ("LosesItsHolder", 3, "INFRA"),
        ("Rules and Fails or LosesItsHolder", 1, "FAIL"),
    ],
    ids=range(9),  # pytest's -k looks at names of folders, too
)
def test_exit_codes(fake: FakeBench, selection: str, code: int, worst: str) -> None:
    status, said, errors = run(fake, "-k", selection)
    assert status == said["exit_code"] == code, errors
    assert said["meaning"] == ExitCode(code).meaning
    assert said["worst"] == worst
    assert said["verdicts"][worst] >= 1
    assert said["results"] == str(fake.out / "results.jsonl")
    assert said["remark"] == ""
    assert "verdicts " in errors  # what a person sees
    complains = ("Memory and IsRefused", "PanicsInVerify", "MakesTheKernelWarn")
    assert len(said["kernel_faults"]) == (selection in complains)


def test_what_is_forbidden_to_drivers_is_no_good_run(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_VIOLATION"] = "model dsa: the ring is not enabled"
    status, said, _ = run(fake, "-k", "AlsoPasses")
    assert (status, said["violations"]) == (1, ["model dsa: the ring is not enabled"])


def test_without_json_there_is_only_what_a_person_sees(fake: FakeBench) -> None:
    process = start(fake, "-k", "AlsoPasses")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "PASS     Memory.AlsoPasses" in output
    assert "exit_code" not in output


def test_tests_can_be_named_by_the_program(fake: FakeBench) -> None:
    process = start(fake, "--json", f"{fake.program}::Memory::AlsoPasses", program=False)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert json.loads(output)["verdicts"] == {"PASS": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-k", "NoSuchTest"), "deselected"),
        (("--no-such-option",), "unrecognized arguments"),
        (("--carryover-time-scale", "-1"), "must be above 0"),
    ],
)
def test_bad_arguments(fake: FakeBench, arguments: tuple[str, ...], said: str) -> None:
    status, outcome, errors = run(fake, *arguments)
    assert status == outcome["exit_code"] == 2
    assert outcome["results"] is None
    assert outcome["worst"] is None
    assert said in errors


def test_bad_files(fake: FakeBench) -> None:
    fake.program.write_text("#!/bin/sh\necho hello\n")
    status, _, errors = run(fake)
    assert status == 2  # for pytest that is a run that was interrupted
    assert "the program wrote a line that is no JSON: 'hello'" in errors
    fake.environment.unlink()
    status, _, errors = run(fake)
    assert status == 2
    assert "No such file" in errors


def test_no_program(fake: FakeBench) -> None:
    fake.variables.pop("CARRYOVER_PROGRAM", None)
    process = start(fake, "--json", program=False)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert "carryover: no program: give --program FILE" in errors
    fake.variables["CARRYOVER_PROGRAM"] = str(fake.program)
    process = start(fake, "-k", "AlsoPasses", program=False)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_results_of_an_earlier_run_are_none_of_this(fake: FakeBench) -> None:
    assert run(fake, "-k", "Rules and Fails")[0] == 1
    status, outcome, _ = run(fake, "-k", "NoSuchTest")
    assert (status, outcome["results"]) == (2, None)
    status, outcome, _ = run(fake, "--collect-only", "-q")
    assert (status, outcome["results"]) == (0, None)


def test_interrupt(fake: FakeBench) -> None:
    process = start(fake, "--json", "-k", "HangsInVerify or (Rules and Fails)")
    assert process.stderr is not None
    for line in process.stderr:
        if "s  verify" in line:
            process.send_signal(signal.SIGINT)
            break
    output, errors = process.communicate(timeout=60)
    outcome = json.loads(output)
    assert process.returncode == outcome["exit_code"] == 130, errors
    assert outcome["verdicts"] == {"FAIL": 1}
    assert outcome["remark"] == "the run did not come to its end: cut short"


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1])
def test_two_interrupts_leave_no_complete_run(fake: FakeBench, pause: float) -> None:
    process = start(fake, "--json", "-k", "HangsInVerify or (Rules and Fails)")
    assert process.stderr is not None
    next(line for line in process.stderr if "s  verify" in line)
    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    last = json.loads((fake.out / "results.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last.get("how")) != ("end", "complete")


def test_a_run_that_ends_with_its_standard_input(fake: FakeBench) -> None:
    process = start(fake, "--json", "--ends-with-stdin", "-k", "HangsInVerify", stdin=True)
    assert process.stderr is not None
    assert process.stdin is not None
    next(line for line in process.stderr if "s  verify" in line)
    process.stdin.close()
    assert process.stdout is not None
    outcome = json.loads(process.stdout.read())
    assert process.wait(60) == outcome["exit_code"] == 130
    assert outcome["remark"] == "the run did not come to its end: cut short"


def test_a_disk_that_fills_up_says_nothing_of_the_kernel(fake: FakeBench, small_disk: Path) -> None:
    fake.out = small_disk
    fake.variables["CARRYOVER_FAKE_FILL"] = str(small_disk)
    status, outcome, errors = run(fake, "-k", "FillsTheDisk")
    assert status == 3, errors
    assert outcome["worst"] is None


def saved(*verdicts: str, remark: str = "", faults: int = 0) -> SavedRun:
    results = [{"verdict": verdict} for verdict in verdicts]
    return SavedRun(Path(), {}, results, [], [{"text": "BUG"}] * faults, [], None, remark)


@pytest.mark.parametrize(
    ("status", "run", "code"),
    [
        (0, saved("PASS", "SKIP"), 0),
        (0, saved("PASS", remark="cut off"), 3),
        (0, saved(), 2),
        (0, None, 2),
        (1, saved("PASS"), 3),  # pytest knows of something that could not be written down
        (1, saved("PASS", faults=1), 1),
        (1, saved("INFRA", "PASS"), 3),
        (1, saved("INFRA", "FAIL"), 1),
        (2, None, 2),
        (2, saved("PASS", remark="cut off"), 3),
        (3, saved("PASS"), 3),
        (3, saved("LOST"), 1),
        (3, None, 3),
        (4, saved("PASS"), 2),
        (5, None, 2),
        (99, saved("PASS"), 3),
    ],
)
def test_judge(status: int, run: SavedRun | None, code: int) -> None:
    assert judge(status, run) == code


def test_interrupted_is_what_it_is() -> None:
    assert judge(2, saved("FAIL"), interrupted=True) == 130
    assert judge(0, None, only_shows=True) == 0


def test_help_tells_all_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = capsys.readouterr().out
    for code in ExitCode:
        assert f"{code.value:<3}  {code.meaning}" in said
