# SPDX-License-Identifier: GPL-2.0-only
"""Reports of each kind are cut out whole.

kernel_reports/*.txt are consoles. Comments at their head say which reports are in them: number,
severity, `cut` if it was cut short, fingerprint. Each line begins with the number of the report it
belongs to, or a blank.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from carryover.console.recorder import ConsoleRecorder
from carryover.kernel.fingerprint import functions
from carryover.kernel.messages import TABLE, Severity, look_up, recognise, stamped
from carryover.kernel.report import LONGEST, WIDEST, KernelReport, ReportCutter
from carryover.observation import ConsoleLine, ConsoleLines, Watch

FOLDER = Path(__file__).parent / "kernel_reports"
SAMPLES = sorted(path.stem for path in FOLDER.glob("*.txt"))
HEAD = re.compile(r"# (?P<number>\d) (?P<severity>\w+) (?P<cut>cut )?(?P<fingerprint>.+)")


@dataclass
class Sample:
    console: list[str]
    heads: list[re.Match[str]]
    reports: list[list[str]]

    @classmethod
    def read(cls, name: str) -> Sample:
        lines = (FOLDER / f"{name}.txt").read_text().splitlines()
        tagged = [line for line in lines if not line.startswith("#")]
        heads = [head for line in lines if (head := HEAD.match(line))]
        reports = [
            [stamped(line[2:]).text for line in tagged if line[0] == head["number"]]
            for head in heads
        ]
        return cls([line[2:] for line in tagged], heads, reports)


def cut(console: list[str]) -> list[KernelReport]:
    cutter = ReportCutter()
    reports = [r for line in console for r in cutter.feed(stamped(line), recognise(line))]
    reports += cutter.close()
    return sorted(reports, key=lambda report: report.stamp)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_report_is_cut_out_whole(name: str) -> None:
    sample = Sample.read(name)
    reports = cut(sample.console)
    assert [report.lines for report in reports] == [
        [line for line in lines if line or line != lines[0]] for lines in sample.reports
    ]
    for report, head in zip(reports, sample.heads, strict=True):
        assert report.severity.word == head["severity"]
        assert report.fingerprint == head["fingerprint"]
        assert report.whole == (not head["cut"])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_report_is_the_same_by_whatever_reads_its_lines_come(name: str) -> None:
    sample = Sample.read(name)
    data = "".join(f"{line}\r\n" for line in sample.console).encode()
    for size in (1, 7, len(data)):
        reading, writing = socket.socketpair()
        watch = Watch()
        recorder = ConsoleRecorder(reading, lambda when, *lines: None, watch)
        recorder.start()
        for at in range(0, len(data), size):
            writing.sendall(data[at : at + size])
        writing.close()
        assert recorder.join(10)
        lines: list[str] = []
        for one in watch.rest():
            if isinstance(one, ConsoleLine):
                lines.append(one.text)
            elif isinstance(one, ConsoleLines):
                lines += one.texts
        assert [report.lines for report in cut(lines)] == [r.lines for r in cut(sample.console)]


def test_a_good_run_gives_no_alarm() -> None:
    """The console of a run on the bench, cold boot and kexec."""
    console = (FOLDER / "good-run.log").read_text().splitlines()
    assert sum("Linux version" in line for line in console) == 2
    assert cut(console) == []


def test_every_kind_has_a_sample_or_is_a_line() -> None:
    in_samples = {report.kind.name for name in SAMPLES for report in cut(Sample.read(name).console)}
    of_table = {row.kind.name for row in TABLE if row.kind is not None}
    assert {"oops", "KASAN", "lockdep", "RCU stall", "AER", "panic"} <= in_samples <= of_table


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.example[:40])
def test_every_row_knows_its_example(row) -> None:  # type: ignore[no-untyped-def]
    message = look_up(row.example)
    assert message is not None
    assert (message.meaning, message.kind) == (row.meaning, row.kind)


def test_another_build_has_the_same_fingerprint() -> None:
    console = Sample.read("warning").console
    other = [
        re.sub(r"\+0x[0-9a-f]+/0x[0-9a-f]+", "+0x7/0x9", line)
        .replace("luo_freeze.isra.0", "luo_freeze.constprop.0.cold")
        .replace("luo_file.c:412", "luo_file.c:398")
        for line in console
    ]
    assert other != console
    assert cut(other)[0].fingerprint == cut(console)[0].fingerprint


def test_where_a_warning_traps_makes_no_difference() -> None:
    """A WARN() with a text may be a call of __WARN_trap() (arch/x86/entry/entry.S)."""
    console = Sample.read("warning").console
    trap = [
        line.replace("RIP: 0010:luo_file_freeze+0x1b2/0x2f0", "RIP: 0010:__WARN_trap+0x0/0x10")
        for line in console
    ]
    at = next(n for n, line in enumerate(trap) if line.endswith("<TASK>"))
    trap.insert(at + 1, trap[at].replace("<TASK>", "luo_file_freeze+0x1b7/0x2f0"))
    assert cut(trap)[0].fingerprint == cut(console)[0].fingerprint


def test_another_place_has_another_fingerprint() -> None:
    console = Sample.read("warning").console
    other = [line.replace("luo_session_freeze+", "luo_session_finish+") for line in console]
    assert cut(other)[0].fingerprint != cut(console)[0].fingerprint


def test_functions_are_five_and_of_the_first_trace() -> None:
    frames = [f" f{n}+0x1/0x2" for n in range(9)]
    assert functions(["Call Trace:", " <TASK>", " ? guess+0x1/0x2", *frames]) == [
        "f0", "f1", "f2", "f3", "f4",
    ]  # fmt: skip
    two = ["Call Trace:", " first+0x1/0x2", "Call Trace:", " second+0x1/0x2"]
    assert functions(two) == ["first"]


def test_a_report_without_end_is_bounded() -> None:
    lines = [f"[   12.{n:06}] Call Trace:" for n in range(5000)]
    reports = cut(["[   12.0] BUG: kernel NULL pointer dereference, address: 0", *lines])
    assert len(reports) == 1
    assert len(reports[0].lines) == LONGEST
    assert not reports[0].whole


def test_an_end_far_behind_is_not_its_end() -> None:
    console = Sample.read("warning-without-its-end").console
    (report,) = cut([*console, "[   12.400000] ---[ end trace 0000000000000000 ]---"])
    assert not report.whole


def test_what_comes_much_later_is_of_no_report() -> None:
    console = Sample.read("warning").console[:10]
    reports = cut([*console, "[   99.000000][  T412] a line of another time"])
    assert not reports[0].whole
    assert "another time" not in "".join(reports[0].lines)


def test_a_worse_line_makes_a_report_worse() -> None:
    reports = cut(Sample.read("list-corruption").console)
    assert reports[0].kind.severity is Severity.FAULT
    assert reports[0].severity is Severity.FATAL


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00\x80 BUG: KASAN: x in y",
        b"[    1.0] \x1b[31mWARNING: a.c:1 at f+0x1/0x2\x1b[0m",
        b"------------[ cut here ]" + b"-" * 100_000,
        b"WARNING: " + b"A" * 1_000_000,
        b"[99999999999999999999.9] Oops: \x9b31m",
        b"[ 1.0][ T1] " + b"=" * 70,
    ],
)
def test_hostile_bytes(line: bytes) -> None:
    data = b"\n".join([line, os.urandom(4096), line])
    reports = cut(data.decode(errors="replace").split("\n"))
    assert all(len(text) <= WIDEST for report in reports for text in report.lines)
    assert all("\x1b" not in text for report in reports for text in report.lines)
