# SPDX-License-Identifier: GPL-2.0-only
"""Steps by the target's own clocks, from made-up consoles and events."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import FakeBench

from carryover.errors import Infrastructure
from carryover.events import Event
from carryover.observation import ConsoleLine, ProgramEvent
from carryover.timing.clock_exchange import Answer, closest, exchange, tick_of
from carryover.timing.steps import WORDS, ClockSamples, DeviceGap, Step, StepReader, TargetRecord
from carryover.timing.timeline import Timeline

ADDRESS = "0000:03:00.0"


def seen(*lines: str) -> list[tuple[str, int | None]]:
    """What the reader takes from a console."""
    reader = StepReader()
    steps = [reader.console(ConsoleLine(1.0, line, None), 1, 1) for line in lines]
    return [(step.what, step.kernel_us) for step in steps if step]


def test_the_lines_of_a_kexec() -> None:
    assert seen(
        "[    9.050000][   T81] carryover: loaded",
        "[    9.100000][   T81] carryover: jump",
        "[    9.200000][   T81] vfio-pci 0000:03:00.0: resetting",
        "[    9.300000][   T81] virtio-pci 0000:00:02.0: shutdown",
        "[    9.310000][   T81] pci_bus 0000:01: shutdown_pre",
        "[    9.557325][   T81] kexec_core: Starting new kernel",
        "[    0.000000][    T0] Linux version 7.3.4 (carryover@bench)",
        "[    4.341886] Run /init as init process",
        "carryover: user space is ready",
        "[    5.000001] carryover: user space is ready",
    ) == [
        ("loaded", 9_050_000),
        ("jump", 9_100_000),
        ("shutdown", 9_300_000),
        ("new-kernel", 9_557_325),
        ("init", 4_341_886),
        ("ready", 5_000_001),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "[    9.3] reboot: Power down",
        "[    9.3] systemd-shutdown[1]: shutdown",
        "[    9.3] usb 1-1: shutdown failed",
        "kexec_core: Starting new kernel",
        "",
    ],
)
def test_a_line_that_is_none(line: str) -> None:
    assert seen(line) == [] or "systemd" in line


def test_each_kexec_has_its_own_shutdown() -> None:
    reader = StepReader()
    line = ConsoleLine(1.0, "[    9.3] e1000e 0000:09:00.0: shutdown", None)
    found = [reader.console(line, 1, kexec) for kexec in (1, 1, 2, 2)]
    assert [step is not None for step in found] == [True, False, True, False]


def test_events_become_steps_of_their_kexec() -> None:
    records: list[TargetRecord] = []
    timeline = Timeline(lambda mark: None, write_record=records.append)
    timeline.power_on()
    timeline.kexec()
    for kind, fields in (
        ("hello", {"verb": "kexec"}),
        ("step", {"what": "load"}),
        ("loaded", {}),
        ("jump", {}),
        ("hello", {"verb": "verify"}),
        ("kernel-clock", {"before": 1, "time_us": 2, "after": 3}),
        ("ledger", {}),
        ("step", {"what": "file", "address": ADDRESS}),
        ("step", {"what": "of another version"}),
    ):
        timeline.observe(ProgramEvent(1, Event(kind, {"t": 1, "tsc": 7, **fields})))
    steps = [r for r in records if isinstance(r, Step)]
    assert [(s.what, s.device, s.tsc, s.kexec) for s in steps] == [
        ("load", None, 7, 1),
        ("loaded", None, 7, 1),
        ("jump", None, 7, 1),
        ("program", None, 7, 1),
        ("ledger", None, 7, 1),
        ("file", ADDRESS, 7, 1),
    ]
    (samples,) = (r for r in records if isinstance(r, ClockSamples))
    assert (samples.clock, samples.samples) == ("kernel", [[1, 2, 3]])
    assert all(step.what in WORDS for step in steps)


def test_an_event_without_the_counter_is_no_step() -> None:
    assert StepReader().program(Event("jump", {"t": 1}), 1.0, 1, 1) == []


def test_the_log_tells_what_the_console_lost() -> None:
    event = Event("kernel-message", {"text": "Run /init as init process", "time_us": 4_341_886})
    (found,) = StepReader().program(event, 1.0, 1, 1)
    assert isinstance(found, Step)
    assert (found.what, found.kernel_us) == ("init", 4_341_886)


def gap_of(*events: tuple[str, dict[str, object]]) -> list[DeviceGap]:
    reader = StepReader()
    events_told = (Event(kind, dict(fields)) for kind, fields in events)
    found = [record for event in events_told for record in reader.program(event, 1.0, 1, 2)]
    return [gap for gap in found if isinstance(gap, DeviceGap)]


def test_a_device_has_its_gap_once_its_test_has_ended() -> None:
    name = "DmacStream.GoesOn"
    (gap,) = gap_of(
        ("start", {"name": name, "half": "verify"}),
        ("uses", {"name": name, "address": ADDRESS}),
        ("uses", {"name": name, "address": "0000:04:00.0"}),
        ("note", {"name": name, "key": "stream_entries", "value": "8000"}),
        ("note", {"name": name, "key": "stream_lost", "value": "0"}),
        ("note", {"name": name, "key": "stream_longest_gap_us", "value": "7012"}),
        ("note", {"name": name, "key": "stream_gap_begin_ns", "value": "5000"}),
        ("note", {"name": name, "key": "stream_gap_end_ns", "value": "7017000"}),
        ("finish", {"name": name, "half": "verify"}),
        ("finish", {"name": name, "half": "carry"}),
    )
    assert (gap.name, gap.device, gap.kexec) == (name, ADDRESS, 2)
    assert (gap.entries, gap.lost, gap.longest_us) == (8000, 0, 7012)
    assert (gap.begin_ns, gap.end_ns) == (5000, 7_017_000)


def test_what_a_test_does_not_say_is_not_known() -> None:
    (gap,) = gap_of(
        ("start", {"name": "A.B", "half": "verify"}),
        ("note", {"key": "stream_longest_gap_us", "value": "7012"}),
        ("note", {"key": "stream_lost", "value": "some"}),
        ("finish", {}),
    )
    assert (gap.lost, gap.entries, gap.begin_ns, gap.device) == (None, None, None, None)


def verified(notes: dict[str, str]) -> list[DeviceGap]:
    """The gaps of a test of several devices that makes these notes."""
    name = "EightStreams.GoOn"
    noted: list[tuple[str, dict[str, object]]] = [
        ("note", {"name": name, "key": key, "value": value}) for key, value in notes.items()
    ]
    return gap_of(
        ("start", {"name": name, "half": "verify"}),
        ("uses", {"name": name, "address": ADDRESS}),
        *noted,
        ("finish", {"name": name, "half": "verify"}),
        ("finish", {"name": name, "half": "carry"}),
    )


SUMS = {"stream_entries": "16000", "stream_lost": "3", "stream_longest_gap_us": "9000"}


def test_each_device_of_a_test_has_its_gap() -> None:
    other = "0000:0d:00.0"
    found = verified(
        {
            f"stream_entries@{ADDRESS}": "8000",
            f"stream_entries@{other}": "8000",
            f"stream_lost@{ADDRESS}": "0",
            f"stream_lost@{other}": "3",
            f"stream_longest_gap_us@{other}": "9000",
            f"stream_longest_gap_us@{ADDRESS}": "7012",
            f"stream_gap_begin_ns@{other}": "5000",
            f"stream_gap_end_ns@{other}": "9005000",
            **SUMS,
        }
    )
    assert {gap.name for gap in found} == {"EightStreams.GoOn"}
    values = {gap.device: (gap.entries, gap.lost, gap.longest_us, gap.begin_ns) for gap in found}
    assert len(found) == len(values)
    assert values == {ADDRESS: (8000, 0, 7012, None), other: (8000, 3, 9000, 5000)}


@pytest.mark.parametrize(
    "suffix", ["@", "@0d:00.0", "@0000:0d:00", "@0000:0d:00.0 ", "@0000:0d:00.8", "@@", "@igb"]
)
def test_what_is_said_of_no_address_is_of_no_device(suffix: str) -> None:
    (gap,) = verified({**SUMS, **{f"{key}{suffix}": "1" for key in SUMS}})
    assert (gap.device, gap.entries, gap.lost, gap.longest_us) == (ADDRESS, 16000, 3, 9000)


def test_a_device_whose_gap_is_not_told_leaves_that_of_all() -> None:
    (gap,) = verified({"stream_lost@0000:0d:00.0": "1", **SUMS})
    assert (gap.device, gap.lost, gap.longest_us) == (ADDRESS, 3, 9000)


def test_a_test_without_a_stream_has_no_gap() -> None:
    notes: tuple[str, dict[str, object]] = (
        "note",
        {"key": "stream_longest_gap_us", "value": "7012"},
    )
    assert gap_of(("start", {"name": "A.B", "half": "arm"}), notes, ("finish", {})) == []
    assert gap_of(("start", {"name": "A.B", "half": "verify"}), ("finish", {})) == []


# --- the exchange


def talk(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )


ANSWERS = """
import json, sys, time
def say(event, **more):
    t = time.monotonic_ns()
    print(json.dumps({"event": event, "t": t, "tsc": 2 * t, **more}), flush=True)
say("hello", schema=1, verb="clock")
say("kernel-clock", before=1, time_us=2, after=3)
say("clock", echo=None)
for line in sys.stdin:
    say("clock", echo=line.strip())
say("end", exit_code=0)
"""


def test_answers_lie_between_their_questions_and_their_arrival() -> None:
    lines: list[str] = []
    found = exchange(lambda command: talk(ANSWERS), "", 20.0, lines.append)
    assert found.kernel == [[1, 2, 3]]
    assert found.tick_ns == pytest.approx(0.5)
    assert 2 <= len(found.answers) <= 6
    for answer in found.answers:  # of a process here: its clock is ours
        assert answer.sent <= answer.monotonic <= answer.received
        assert answer.tsc == 2 * answer.monotonic
    assert found.wall == pytest.approx(time.time() - time.monotonic(), abs=0.1)
    assert len(lines) == 1 + 1 + 1 + 40 + 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "the connection has ended"),
        ("print('Segmentation fault')", "no JSON"),
        ('print(\'{"event": "error", "message": "no such verb"}\')', "no such verb"),
        ('print(\'{"event": "clock", "t": 1, "echo": null}\')', "no counter"),
        ("import time; time.sleep(60)", "the connection has ended"),
        (ANSWERS.replace("line.strip()", '"7"'), "no answer to question"),
    ],
)
def test_no_answer_is_trouble_and_ends_in_time(code: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(Infrastructure, match=said):
        exchange(lambda command: talk(code), "", 2.0, lambda line: None)
    assert time.monotonic() - began < 30


def test_a_tick_is_known_in_spite_of_interruptions() -> None:
    pairs = [(n * 1_000_000, n * 2_300_000) for n in range(300)]
    for n in range(0, 300, 4):  # the counter was read 20 ms late
        pairs[n] = (pairs[n][0], pairs[n][1] + 46_000_000)
    assert tick_of(pairs) == pytest.approx(1 / 2.3, rel=1e-6)


def test_a_counter_that_stands_still_has_no_tick() -> None:
    with pytest.raises(Infrastructure, match="stands still"):
        tick_of([(1, 5), (2, 5)])


def test_the_counter_is_known_by_what_was_said_in_the_same_boot() -> None:
    timeline = Timeline(lambda mark: None)
    for boot, t in (("a", 1), ("a", 2), ("b", 3)):
        event = Event("hello", {"verb": "log", "boot_id": boot, "t": t, "tsc": 2 * t})
        timeline.observe(ProgramEvent(1, event))
    assert timeline.counter == [(3, 6)]


def test_the_closest_answers_are_kept() -> None:
    answers = [Answer(n * 100 - n, n * 100, n * 100, n * 100 + 50 - n) for n in range(20)]
    kept = closest(answers, 1.0)
    assert [a.tsc for a in kept] == [0, 100, 200, 1700, 1800, 1900]


# --- a run


def test_a_run_writes_steps_and_clocks(fake: FakeBench) -> None:
    run = fake.run_tests("Chain.Passes", "Igb.Passes")
    steps = [r for r in run.records if r["event"] == "step"]
    for kexec in (1, 2, 3):
        whats = {s["what"] for s in steps if s["kexec"] == kexec}
        assert {"loaded", "jump", "new-kernel", "init", "program", "ledger"} <= whats
    clocks = [(r["clock"], r["kexec"]) for r in run.records if r["event"] == "clock"]
    assert [kexec for clock, kexec in clocks if clock == "controller"] == [0, 1, 2, 3]
    (gap,) = (r for r in run.records if r["event"] == "device-gap")
    assert (gap["name"], gap["longest_us"]) == ("Igb.Passes", 2000)
    events = (run.out / "events.jsonl").read_text()
    assert events.count('"verb": "clock"') == 4


def test_a_target_that_answers_no_clock_costs_no_result(fake: FakeBench, tmp_path: Path) -> None:
    fake.variables["CARRYOVER_FAKE_NO_CLOCK"] = "yes"
    run = fake.run_tests("Memory.Passes")
    assert run.verdicts == {"Memory.Passes": "PASS"}
    assert run.status == 0, run.output
    assert "the time line has no common clock" in run.output
    assert [r for r in run.records if r["event"] == "clock"] == []
