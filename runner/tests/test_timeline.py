# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from pathlib import Path

import pytest
from conftest import FakeBench, Run

from carryover.events import Event
from carryover.kernel.messages import KernelMessage, Meaning, recognise
from carryover.observation import ConsoleLine, ProgramEvent, Reached
from carryover.outputs.results import RunDescription, RunOutput
from carryover.outputs.saved_run import load
from carryover.timing.timeline import Mark, Timeline


def words(run: Run, cycle: int = 1) -> list[tuple[int, str]]:
    marks = [record for record in run.records if record["event"] == "mark"]
    return [(mark["kexec"], mark["what"]) for mark in marks if mark["cycle"] == cycle]


COLD = [(0, word) for word in ("power-on", "firmware", "kernel", "init", "ready")]


def jump(number: int) -> list[tuple[int, str]]:
    steps = ("kexec", "loaded", "jump", "outgoing-last", "kernel", "init", "ready")
    return [(number, word) for word in (*steps, "verify", "retrieved", "verified")]


def test_a_chain_has_marks_of_each_kexec(fake: FakeBench) -> None:
    run = fake.run_tests("Chain.Passes")
    arm = [(0, "arm"), (0, "armed")]
    # The machine and the connection are two sources: what the one says can be read sooner.
    found = words(run)
    assert sorted(found) == sorted([*COLD, *arm, *jump(1), *jump(2), *jump(3), (3, "off")])
    for number in (1, 2, 3):
        of_console = ("outgoing-last", "kernel", "init", "ready", "verify", "verified")
        of_kexec = [word for kexec, word in found if kexec == number and word in of_console]
        assert of_kexec == list(of_console)
        of_program = ("kexec", "loaded", "jump", "verify", "retrieved", "verified")
        of_kexec = [word for kexec, word in found if kexec == number and word in of_program]
        assert of_kexec == list(of_program)
    texts = {m["what"]: m["text"] for m in run.records if m["event"] == "mark"}
    assert texts["outgoing-last"] == "[ 5.0] kexec_core: Starting new kernel"
    assert texts["kernel"].startswith("[    0.000000] Linux version 7.3.4-fake")
    assert texts["power-on"] == ""


def test_a_console_that_does_not_tell_when_the_target_is_ready() -> None:
    marks: list[Mark] = []
    timeline = Timeline(marks.append)
    timeline.power_on()
    line = "[    0.000000] Linux version 7.3.4 (x)"
    ready = "carryover: target ready boot_id=1 nonce=none"
    reached = Reached(5.0, KernelMessage(Meaning.TARGET_READY, "", {"boot_id": "1"}))
    timeline.observe(ConsoleLine(1.0, line, recognise(line)))
    timeline.observe(reached)
    timeline.observe(reached)
    timeline.observe(ConsoleLine(6.0, ready, recognise(ready)))
    assert [mark.what for mark in marks] == ["power-on", "kernel", "ready"]
    assert marks[-1].time == 5.0


def test_last_words_of_the_program_are_on_the_console_if_they_are_lost() -> None:
    marks: list[Mark] = []
    timeline = Timeline(marks.append)
    timeline.power_on()
    of_another = ConsoleLine(1.0, "[    0.900000][    T1] carryover: jump", None)
    loaded = ConsoleLine(3.0, "[    2.000000][   T81] carryover: loaded", None)
    jump = ConsoleLine(4.0, "[    2.100000][   T81] carryover: jump", None)
    told = ProgramEvent(1, Event("loaded", {"t": 1}))
    timeline.observe(of_another)
    timeline.kexec()
    for seen in (told, loaded, jump):
        timeline.observe(seen)
    assert [mark.what for mark in marks] == ["power-on", "kexec", "loaded", "jump"]
    assert marks[-1].time == 4.0
    timeline.kexec()
    for seen in (loaded, told, jump):
        timeline.observe(seen)
    assert [mark.what for mark in marks[4:]] == ["kexec", "loaded", "jump"]
    assert marks[-2].time == 3.0


def test_tests_without_a_kexec_have_run(fake: FakeBench) -> None:
    assert words(fake.run_tests("Rules.Passes")) == [*COLD, (0, "run"), (0, "off")]


def test_a_kexec_that_was_refused_is_none(fake: FakeBench) -> None:
    found = words(fake.run_tests("Memory.IsRefused"))
    assert found[-2:] == [(1, "jump"), (0, "off")]


def test_a_machine_that_dies_in_the_gap_has_a_last_line(fake: FakeBench) -> None:
    found = words(fake.run_tests("Memory.ResetsInTheGap", reruns=0))
    assert found[-2:] == [(1, "outgoing-last"), (1, "off")]


def test_each_power_cycle_has_its_number(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.PanicsWhileArming", "Memory.Passes")
    assert words(run, 2)[: len(COLD)] == COLD
    assert words(run, 2)[-1][1] == "off"


def test_a_fault_names_the_test_that_ran(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.MakesTheKernelWarn", "Memory.Passes")
    (fault,) = (record for record in run.records if record["event"] == "kernel-fault")
    assert fault["test"] == "Rules.MakesTheKernelWarn"
    ready = next(r["time"] for r in run.records if r.get("what") == "ready")
    off = next(r["time"] for r in run.records if r.get("what") == "off")
    assert ready < fault["time"] < off
    assert "(during Rules.MakesTheKernelWarn)" in run.output


def test_a_fault_before_any_test_names_none(fake: FakeBench) -> None:
    fake.variables["CARRYOVER_FAKE_BOOT_FAULT"] = "BUG: KASAN: use-after-free in boot"
    run = fake.run_tests("Memory.Passes")
    faults = [record for record in run.records if record["event"] == "kernel-fault"]
    assert [fault["test"] for fault in faults] == [None, None]  # two kernels booted


def test_the_console_log_has_seconds_since_the_run_began(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.Passes")
    lines = (run.out / "console.log").read_text().splitlines()
    stamps = [line.partition("] ")[0] for line in lines]
    assert all(stamp.startswith("[") and len(stamp.partition(".")[2]) == 3 for stamp in stamps)
    seconds = [float(stamp[1:]) for stamp in stamps]
    assert seconds == sorted(seconds)
    begin = run.records[0]["time"]
    for mark in (record for record in run.records if record.get("what") == "kernel"):
        assert any(
            line.endswith(f"] {mark['text']}")
            and float(line[1 : line.index("]")]) == pytest.approx(mark["time"] - begin, abs=0.001)
            for line in lines
        )


def test_times_are_those_of_the_line_not_of_the_mark() -> None:
    marks: list[Mark] = []
    timeline = Timeline(marks.append)
    timeline.power_on()
    timeline.kexec()
    for when, text in enumerate(("reboot: now", "", "[ 0.0] Linux version 7.3.4"), 1000):
        timeline.observe(ConsoleLine(when, text, recognise(text)))
    timeline.observe(ProgramEvent(1, Event("note", {})))
    assert [(mark.what, mark.time, mark.text) for mark in marks[2:]] == [
        ("outgoing-last", 1000, "reboot: now"),
        ("kernel", 1002, "[ 0.0] Linux version 7.3.4"),
    ]


def test_nothing_comes_after_the_end_of_a_run(tmp_path: Path) -> None:
    output = RunOutput(tmp_path, RunDescription("main", "e.yaml", ["memory"], "iommufd", [], []))
    output.mark(Mark(1.0, 1, 0, "power-on"))
    write_end, ended = output.journal.close, []

    def a_reader_is_late(how: str) -> None:
        output.mark(Mark(2.0, 1, 0, "off"))
        ended.append(how)
        write_end(how)

    output.journal.close = a_reader_is_late  # type: ignore[method-assign]
    output.close("complete", {})
    output.mark(Mark(3.0, 1, 0, "off"))
    assert ended == ["complete"]
    saved = load(tmp_path)
    assert [mark["what"] for mark in saved.marks] == ["power-on"]
    assert saved.remark == ""


def test_what_is_armed_again_within_a_chain_is_no_end_of_arming() -> None:
    marks: list[Mark] = []
    timeline = Timeline(marks.append)
    timeline.observe(ProgramEvent(1, Event("holding", {"generation": 0})))
    timeline.observe(ProgramEvent(2, Event("holding", {"generation": 1})))
    assert [mark.what for mark in marks] == ["armed"]
