# SPDX-License-Identifier: GPL-2.0-only
"""What the kernels of a power cycle said, by console and log: once each, and of which test."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from carryover.errors import ProtocolError
from carryover.events import Event
from carryover.kernel.messages import recognise
from carryover.kernel.oracle import KernelFault, KernelOracle
from carryover.kernel.taint import FLAGS, flags

WARNING = [
    "------------[ cut here ]------------",
    "WARNING: a.c:1 at f+0x1/0x2, CPU#1: x/412",
    "RIP: 0010:f+0x1/0x2",
    "Call Trace:",
    " <TASK>",
    " g+0x1/0x2",
    " </TASK>",
    "---[ end trace 0000000000000000 ]---",
]
FAULT = "DMAR: [DMA Read NO_PASID] Request device [0000:01:00.0] fault addr 0x7f00000000 [x] y"


class Machine:
    """Feeds an oracle."""

    def __init__(self) -> None:
        self.oracle = KernelOracle()
        self.clock = itertools.count(1)
        self.sequence = 0

    def console(self, *lines: str, at: float = 4.0) -> None:
        for number, line in enumerate(lines):
            text = f"[{at + number / 1e6:12.6f}] {line}" if at else line
            self.oracle.console(next(self.clock), text, recognise(text))

    def log(self, *lines: str, at: float = 4.0, caller: str = "") -> None:
        for number, line in enumerate(lines):
            self.event(
                "kernel-message",
                sequence=self.sequence,
                time_us=round(at * 1e6) + number,
                text=line,
                caller=caller,
            )
            self.sequence += 1

    def event(self, kind: str, **fields: Any) -> None:
        self.oracle.program(Event(kind, fields))

    def start(self, name: str, half: str = "run") -> None:
        self.event("start", name=name, half=half)

    def finish(self, name: str) -> None:
        self.event("finish", name=name)

    def boot(self, boot_id: str, verb: str = "arm", tainted: int = 0) -> None:
        self.sequence = 0
        self.console("Linux version 7.3.4 (x)", at=0.0)
        self.hello(boot_id, verb, tainted)

    def hello(self, boot_id: str, verb: str = "arm", tainted: int = 0) -> None:
        self.event("hello", verb=verb, boot_id=boot_id, tainted=tainted)


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.boot("a")
    return machine


def titles(faults: list[KernelFault]) -> list[str]:
    return [fault.report.title.split()[0] for fault in faults]


def test_what_is_on_the_console_and_in_the_log_is_told_once(machine: Machine) -> None:
    machine.console(*WARNING)
    machine.log(*WARNING)
    (fault,) = machine.oracle.faults()
    assert fault.report.lines == WARNING
    assert fault.banner == "Linux version 7.3.4 (x)"


def test_the_same_at_another_time_is_told_again(machine: Machine) -> None:
    machine.console(*WARNING)
    machine.console(*WARNING, at=9.0)
    machine.log(*WARNING)
    assert len(machine.oracle.faults()) == 2


@pytest.mark.parametrize("source", ["console", "log"])
def test_either_source_is_enough(machine: Machine, source: str) -> None:
    getattr(machine, source)(*WARNING)
    assert titles(machine.oracle.faults()) == ["WARNING:"]


@pytest.mark.parametrize("console", [WARNING[:3], [*WARNING[:3], WARNING[-1]]])
def test_lines_that_the_console_lost_are_in_the_log(machine: Machine, console: list[str]) -> None:
    machine.console(*console)
    machine.log(*WARNING)
    (fault,) = machine.oracle.faults()
    assert fault.report.lines == WARNING
    assert fault.report.whole


def test_a_console_without_time_stamps_tells_no_second_time(machine: Machine) -> None:
    machine.console(*WARNING, at=0.0)
    machine.log(*WARNING)
    assert len(machine.oracle.faults()) == 1


def test_control_characters_in_the_log(machine: Machine) -> None:
    machine.log(r"one\x0aBUG: KASAN: x in y\x1b[31m")
    (fault,) = machine.oracle.faults()
    assert fault.report.lines == ["BUG: KASAN: x in y"]


def test_it_is_of_the_test_that_ran_when_the_kernel_printed_it(machine: Machine) -> None:
    """The program is faster than a serial line: it has begun the next test."""
    machine.start("A.One")
    machine.finish("A.One")
    machine.start("A.Two")
    machine.console(*WARNING, at=4.5)
    machine.log("carryover: begin run A.One", at=4.0)
    machine.log(*WARNING, at=4.5)
    machine.log("carryover: end run A.One", at=5.0)
    machine.log("carryover: begin run A.Two", at=5.1)
    (fault,) = machine.oracle.faults()
    assert fault.test == "A.One"


def test_without_the_log_it_is_of_the_test_that_runs(machine: Machine) -> None:
    machine.log("carryover: begin run A.One", "carryover: end run A.One", at=3.0)
    machine.start("A.Two")
    machine.console(*WARNING)
    machine.finish("A.Two")
    (fault,) = machine.oracle.faults()
    assert fault.test == "A.Two"


@pytest.mark.parametrize(("at", "test"), [(3.0, None), (4.5, "A.One"), (6.0, None)])
def test_between_halves_it_is_of_none(machine: Machine, at: float, test: str | None) -> None:
    machine.log("carryover: begin run A.One", at=4.0)
    machine.log("carryover: end run A.One", at=5.0)
    machine.log("last", at=9.0)
    machine.start("A.Wrong")
    machine.console(FAULT, at=at)
    (fault,) = machine.oracle.faults()
    assert fault.test == test


def test_which_kernel_it_was(machine: Machine) -> None:
    machine.console(*WARNING)
    machine.hello("a", "kexec")
    machine.boot("b", "verify")
    machine.console(*WARNING)
    machine.hello("b", "kexec")
    machine.console(*WARNING, at=8.0)
    faults = machine.oracle.faults()
    assert [fault.kernel for fault in faults] == ["outgoing", "incoming", "outgoing"]


def test_a_lost_console_does_not_mix_kernels(machine: Machine) -> None:
    machine.log(*WARNING)
    machine.hello("b", "verify")
    assert machine.oracle.log_position == -1
    machine.log(*WARNING)
    assert [fault.kernel for fault in machine.oracle.faults()] == ["outgoing", "incoming"]


def test_faults_are_told_once(machine: Machine) -> None:
    machine.console(*WARNING)
    assert machine.oracle.faults()
    assert machine.oracle.faults() == []


class TestDeclared:
    """What a test declares is no fault, while that test runs."""

    def run(self, machine: Machine, pattern: str, at: float) -> list[KernelFault]:
        machine.start("A.One")
        machine.event("expect-message", name="A.One", pattern=pattern)
        machine.console(FAULT, at=at)
        machine.finish("A.One")
        machine.log("carryover: begin run A.One", at=4.0)
        machine.log("carryover: end run A.One", at=5.0)
        machine.log("carryover: begin run A.Two", at=5.1)
        machine.log("last", at=20.0)
        return machine.oracle.faults()

    def test_in_the_test(self, machine: Machine) -> None:
        assert self.run(machine, r"DMAR: \[DMA Read .* fault addr 0x7f00000000 ", 4.5) == []

    def test_a_little_late(self, machine: Machine) -> None:
        assert self.run(machine, "fault addr 0x7f00000000 ", 5.9) == []

    @pytest.mark.parametrize("at", [3.9, 6.1])
    def test_at_another_time(self, machine: Machine, at: float) -> None:
        assert titles(self.run(machine, "fault addr 0x7f00000000 ", at)) == ["DMAR:"]

    def test_another_message(self, machine: Machine) -> None:
        assert titles(self.run(machine, "fault addr 0x7f00001000 ", 4.5)) == ["DMAR:"]

    def test_in_another_kernel(self, machine: Machine) -> None:
        machine.event("expect-message", name="A.One", pattern="DMAR")
        machine.boot("b", "verify")
        machine.start("A.One", "verify")
        machine.console(FAULT)
        assert titles(machine.oracle.faults()) == ["DMAR:"]

    def test_by_what_is_no_pattern(self, machine: Machine) -> None:
        with pytest.raises(ProtocolError, match=r"A\.One expects .* no regular expression"):
            machine.event("expect-message", name="A.One", pattern="(")


class TestTaint:
    """A flag of which no report tells is a fault."""

    def test_in_silence(self, machine: Machine) -> None:
        machine.start("A.One")
        machine.hello("a", "log", tainted=512)
        machine.hello("a", "log", tainted=512)
        (fault,) = machine.oracle.faults()
        assert fault.report.title == "taint W: kernel issued warning; no report tells why"
        assert fault.report.severity.word == "fault"

    def test_with_a_report(self, machine: Machine) -> None:
        machine.console(*WARNING)
        machine.hello("a", "log", tainted=512)
        assert titles(machine.oracle.faults()) == ["WARNING:"]

    def test_with_a_report_that_was_declared(self, machine: Machine) -> None:
        machine.start("A.One")
        machine.event("expect-message", name="A.One", pattern="WARNING: a.c:1 ")
        machine.console(*WARNING)
        machine.hello("a", "log", tainted=512)
        assert machine.oracle.faults() == []

    def test_with_a_report_of_something_else(self, machine: Machine) -> None:
        machine.console(FAULT)
        machine.hello("a", "log", tainted=1 << 14)
        assert titles(machine.oracle.faults()) == ["DMAR:", "taint"]

    def test_of_the_machine_is_a_notice(self) -> None:
        machine = Machine()
        machine.boot("a", tainted=1 << 12)
        (fault,) = machine.oracle.faults()
        assert fault.report.severity.word == "notice"
        assert fault.report.title.startswith("taint O: ")

    def test_of_the_machine_that_comes_later_is_a_fault(self, machine: Machine) -> None:
        machine.hello("a", "log", tainted=1 << 12)
        (fault,) = machine.oracle.faults()
        assert fault.report.severity.word == "fault"

    def test_of_a_warning_before_the_first_test_is_a_fault(self) -> None:
        machine = Machine()
        machine.boot("a", tainted=512)
        (fault,) = machine.oracle.faults()
        assert fault.report.severity.word == "fault"

    def test_letters(self) -> None:
        assert "".join(flag.letter for flag in FLAGS) == "PFSRMBUDAWCIOELKXTNJ"
        assert [flag.letter for flag in flags(512 | 1 << 25)] == ["W", "#25"]


def test_a_kernel_that_stops_for_what_was_handed_over_has_no_fault(machine: Machine) -> None:
    machine.hello("a", "kexec")
    machine.boot("b", "verify")
    machine.console("luo: LUO state is incompatible with 'luo-v5'", "Kernel panic - not syncing: x")
    faults = machine.oracle.faults()
    assert [fault.report.severity.word for fault in faults] == ["notice", "notice"]


def test_what_firmware_left_running_is_a_notice() -> None:
    machine = Machine()
    machine.console("Linux version 7.3.4 (x)", at=0.0)
    machine.console(FAULT, at=2.0)
    machine.console("Run /init as init process", at=3.0)
    machine.console(FAULT, at=3.5)
    machine.hello("a", "kexec")
    machine.console("Linux version 7.3.4 (x)", at=0.0)
    machine.console(FAULT, at=2.0)
    machine.console("Run /init as init process", at=3.0)
    severities = [fault.report.severity.word for fault in machine.oracle.faults()]
    assert severities == ["notice", "fault", "fault"]


def test_records_that_were_overwritten_are_told(machine: Machine) -> None:
    machine.event("kernel-log-lost", records=7)
    (fault,) = machine.oracle.faults()
    assert fault.report.severity.word == "notice"
    assert fault.report.title.startswith("7 records of the kernel's log")


@pytest.mark.parametrize("read_before", [False, True])
def test_who_ran_then_is_told_by_what_runs_when_it_comes(
    machine: Machine, read_before: bool
) -> None:
    """The marks were overwritten, too: that there are none tells nothing."""
    if read_before:
        machine.log("carryover: begin run A.First", at=2.0)
        machine.log("carryover: end run A.First", at=3.0)
    machine.start("A.Second")
    machine.event("expect-message", name="A.Second", pattern="DMA Read")
    machine.console(FAULT, at=4.0)
    machine.console(*WARNING, at=4.5)
    machine.finish("A.Second")
    machine.event("kernel-log-lost", records=7)
    machine.log("last of what was overwritten in part", at=4.6)
    machine.log("carryover: begin run A.Third", at=5.0)
    machine.console(FAULT, at=6.0)
    machine.log(FAULT, at=6.0)
    machine.log("carryover: end run A.Third", at=7.0)
    faults = machine.oracle.faults()
    assert [fault.test for fault in faults if fault.report.severity.word != "notice"] == [
        "A.Second",
        "A.Third",
    ]


def test_who_ran_is_told_by_the_console_if_ssh_was_too_slow(machine: Machine) -> None:
    """A dying kernel prints what it has logged, and sends nothing more."""
    machine.start("A.First", "verify")
    machine.console(
        "carryover: begin verify A.First",
        "carryover: end verify A.First",
        "carryover: begin verify A.Second",
        "Kernel panic - not syncing: sysrq triggered crash",
    )
    (fault,) = machine.oracle.faults()
    assert fault.test == "A.Second"
    machine.boot("b")
    assert not machine.oracle.has_ended("verify", "A.First")


def test_the_console_tells_what_has_ended(machine: Machine) -> None:
    machine.console("carryover: begin verify A.First")
    assert not machine.oracle.has_ended("verify", "A.First")
    machine.console("carryover: end verify A.First")
    assert machine.oracle.has_ended("verify", "A.First")
    assert not machine.oracle.has_ended("arm", "A.First")
