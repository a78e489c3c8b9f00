# SPDX-License-Identifier: GPL-2.0-only
"""All that the kernels of one power cycle say, from the console and from their logs.

A report that is in both is told once. It is of the test whose half had begun, and not ended, when
the kernel printed it: the program writes into the kernel's log where each begins and ends.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from carryover.errors import ProtocolError
from carryover.events import Event
from carryover.kernel import taint
from carryover.kernel.messages import (
    INCOMPATIBLE,
    MARK,
    Ending,
    KernelMessage,
    Kind,
    Meaning,
    Severity,
    Stamped,
    look_up,
    plain,
    stamped,
)
from carryover.kernel.report import KernelReport, ReportCutter

Role = Literal["outgoing", "incoming"]

_MARK = re.compile(MARK + r"(?P<what>begin|end) (?P<half>\w+) (?P<test>\S+)$")
# Seconds: what a test has caused may be told a little after its end.
_LATE = 1.0
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
_TAINT = Kind("taint", Severity.FAULT, Ending.LINE)
_OF_IOMMU = ("DMAR fault", "AMD-Vi event")
_LOST = Kind("lost messages", Severity.NOTICE, Ending.LINE)
_INHERITED = Kind("taint", Severity.NOTICE, Ending.LINE)


@dataclass(frozen=True, slots=True)
class KernelFault:
    """A report, and what is known beside it.

    Attributes:
        report: What the kernel said.
        time: Wall clock (time.time()) when its first line was read.
        test: The test that was running when the kernel printed it; None between halves.
        kernel: Whether a kexec was yet to come for its kernel, or it came up by one.
        banner: The kernel's first line, "Linux version ..."; "" if that was not seen.
    """

    report: KernelReport
    time: float
    test: str | None
    kernel: Role
    banner: str


@dataclass(frozen=True, slots=True)
class _Arrival:
    time: float
    test: str | None
    role: Role


@dataclass
class _Expected:
    """What a test declares that it makes the kernel say."""

    test: str
    half: str
    pattern: re.Pattern[str]

    def fits(self, report: KernelReport) -> bool:
        return any(map(self.pattern.search, report.lines))


@dataclass
class _Found:
    report: KernelReport
    arrival: _Arrival

    def is_of(self, other: KernelReport) -> bool:
        """Whether both sources tell of the same; a line without time stamp is known by its text."""
        mine, its = self.report.stamp, other.stamp
        is_then = not mine or not its or float(mine) == float(its)
        return is_then and self.report.title == other.title


@dataclass
class _Boot:
    """One kernel, from its first line to its last."""

    role: Role
    is_cold: bool = False
    init: str = ""  # stamp of the line by which it starts user space
    boot_id: str = ""
    banner: str = ""
    console: ReportCutter = field(default_factory=ReportCutter)
    log: ReportCutter = field(default_factory=ReportCutter)
    arrivals: dict[tuple[str, str], _Arrival] = field(default_factory=dict)
    found: list[_Found] = field(default_factory=list)
    expected: list[_Expected] = field(default_factory=list)
    # Stamp, half, and the test that ran from then on: "" for none, None for nobody knows.
    marks: list[tuple[float, str, str | None]] = field(default_factory=list)
    on_console: list[tuple[str, str, str]] = field(default_factory=list)  # begin or end, half, test
    read_to: float = -1.0  # stamp of the last record of the log that was read
    sequence: int = -1  # ... and its number
    taints: list[tuple[int, _Arrival]] = field(default_factory=list)

    def add(self, reports: list[KernelReport], now: _Arrival) -> None:
        for report in reports:
            arrival = self.arrivals.get((report.stamp, report.title), now)
            for known in self.found:
                if known.is_of(report):
                    # One of the sources may have lost lines.
                    if len(report.lines) > len(known.report.lines):
                        known.report = report
                    break
            else:
                self.found.append(_Found(report, arrival))

    def test_at(self, stamp: str) -> str | None:
        """The test that ran then, "" for none; None if the log does not tell."""
        if not stamp or not self.marks or float(stamp) > self.read_to:
            return None
        at = bisect_right(self.marks, float(stamp), key=lambda mark: mark[0])
        return self.marks[at - 1][2] if at else ""


class KernelOracle:
    """Takes what is observed in one power cycle, and tells what the kernels complained of."""

    def __init__(self) -> None:
        self._boots = [_Boot("outgoing", is_cold=True)]
        self._running: str | None = None
        self._half = ""

    @property
    def log_position(self) -> int:
        """Number of the last record of the present kernel's log that was read; -1 if none was."""
        return self._boots[-1].sequence

    def console(self, when: float, line: str, message: KernelMessage | None) -> None:
        """A line of the console.

        Args:
            when: Wall clock when it was read.
            line: Without its end.
            message: What the table knows about it.
        """
        one = stamped(line)
        if message is not None and message.meaning is Meaning.KERNEL:
            self._sign_on(one.text, when)
        boot = self._boots[-1]
        if message is not None and message.meaning is Meaning.INIT:
            boot.init = one.stamp
        now = self._arrival(when, by_console=True)
        if message is not None and message.kind is not None:
            boot.arrivals.setdefault((one.stamp, one.text.strip()), now)
        boot.add(boot.console.feed(one, message), now)
        if match := _MARK.match(one.text):
            boot.on_console.append((match["what"], match["half"], match["test"]))

    def several(self, lines: Sequence[str]) -> None:
        """Lines of the console that are no begin of a report, and no mark."""
        boot = self._boots[-1]
        if not boot.console.is_idle:
            for line in lines:
                boot.add(boot.console.feed(stamped(line), None), self._arrival(time.time()))

    def has_ended(self, half: str, test: str) -> bool:
        """Whether the console tells that the test's half has ended, on the present kernel."""
        return ("end", half, test) in self._boots[-1].on_console

    def program(self, event: Event) -> None:
        """An event of the program.

        Raises:
            ProtocolError: It declares a message by what is no regular expression.
        """
        if event.kind == "start":
            self._running, self._half = event.text("name"), event.text("half")
        elif event.kind == "finish":
            self._running = None
        elif event.kind == "hello":
            self._hello(event)
        elif event.kind == "expect-message":
            self._expect(event)
        elif event.kind == "kernel-message":
            self._log(event)
        elif event.kind == "kernel-log-lost":
            self._lost(event.number("records"))

    def faults(self) -> list[KernelFault]:
        """All that was not declared, in the order in which it came. It is told once."""
        found = [fault for boot in self._boots for fault in self._of_boot(boot)]
        self._boots = [_Boot("outgoing", is_cold=True)]
        return found

    def _arrival(self, when: float, *, by_console: bool = False) -> _Arrival:
        boot, test = self._boots[-1], self._running
        if by_console and boot.on_console:  # SSH may be slower, and lose the last
            what, _, marked = boot.on_console[-1]
            test = marked if what == "begin" else None
        return _Arrival(when, test, boot.role)

    def _sign_on(self, banner: str, when: float) -> None:
        boot = self._boots[-1]
        if boot.banner or boot.boot_id:
            boot.add(boot.console.close(), self._arrival(when))
            boot = self._next_boot()
        boot.banner = banner[banner.find("Linux version") :].strip()

    def _next_boot(self) -> _Boot:
        self._running = None
        self._boots.append(_Boot("incoming"))
        return self._boots[-1]

    def _hello(self, event: Event) -> None:
        self._running = None
        boot = self._boots[-1]
        boot_id = event.text("boot_id")
        if boot.boot_id and boot_id and boot_id != boot.boot_id:
            boot = self._next_boot()  # the console has lost where it began
        boot.boot_id = boot_id
        if event.text("verb") == "kexec":
            boot.role = "outgoing"
        if event.fields.get("tainted") is not None:
            boot.taints.append((event.number("tainted"), self._arrival(time.time())))

    def _expect(self, event: Event) -> None:
        pattern = event.text("pattern")
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ProtocolError(
                f"{event.text('name')} expects the message {pattern!r}, which is no regular "
                f"expression: {error}"
            ) from error
        expected = _Expected(event.text("name"), self._half, compiled)
        self._boots[-1].expected.append(expected)

    def _lost(self, records: int) -> None:
        boot = self._boots[-1]
        boot.marks.append((boot.read_to, "", None))  # that of a test may have been among them
        title = f"{records} records of the kernel's log were overwritten before they were read"
        report = KernelReport(_LOST, _LOST.severity, title, "", [title])
        boot.add([report], self._arrival(time.time()))

    def _log(self, event: Event) -> None:
        boot = self._boots[-1]
        boot.sequence = max(boot.sequence, event.number("sequence"))
        microseconds = event.number("time_us")
        boot.read_to = max(boot.read_to, microseconds / 1e6)
        stamp = f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06}"
        text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), event.text("text"))
        for line in plain(text).split("\n"):
            if match := _MARK.match(line):
                is_begin = match["what"] == "begin"
                mark = (microseconds / 1e6, match["half"], match["test"] if is_begin else "")
                boot.marks.append(mark)
            now = self._arrival(time.time())
            one = Stamped(stamp, event.text("caller"), line)
            boot.add(boot.log.feed(one, look_up(line)), now)

    def _of_boot(self, boot: _Boot) -> Iterator[KernelFault]:
        now = self._arrival(time.time())
        boot.add(boot.console.close(), now)
        boot.add(boot.log.close(), now)
        if any(found.report.kind.name == INCOMPATIBLE for found in boot.found):
            for found in boot.found:
                if found.report.kind.ending is Ending.END_PANIC:
                    found.report.severity = Severity.NOTICE  # it stops on purpose
        for found in boot.found:
            if _is_of_firmware(boot, found.report):
                found.report.severity = Severity.NOTICE
        for found in sorted(boot.found, key=lambda one: float(one.report.stamp or 0)):
            by_log = boot.test_at(found.report.stamp)
            test = found.arrival.test if by_log is None else by_log or None
            if not _is_expected(boot, found.report, test):
                role = found.arrival.role
                yield KernelFault(found.report, found.arrival.time, test, role, boot.banner)
        for report, arrival in _unexplained_taint(boot):
            yield KernelFault(report, arrival.time, arrival.test, arrival.role, boot.banner)


def _is_of_firmware(boot: _Boot, report: KernelReport) -> bool:
    """DMA that firmware has left running is refused until the device's driver resets it."""
    if report.kind.name not in _OF_IOMMU or not boot.is_cold or not report.stamp:
        return False
    return bool(boot.init) and float(report.stamp) < float(boot.init)


def _is_expected(boot: _Boot, report: KernelReport, test: str | None) -> bool:
    is_timed = boot.test_at(report.stamp) is not None
    return any(
        expected.fits(report)
        and (
            test == expected.test
            or (is_timed and _ended_just_before(boot, expected, float(report.stamp)))
        )
        for expected in boot.expected
    )


def _ended_just_before(boot: _Boot, expected: _Expected, stamp: float) -> bool:
    for mark, following in zip(boot.marks, boot.marks[1:], strict=False):
        if mark[2] == expected.test and mark[1] == expected.half:
            return following[0] <= stamp <= following[0] + _LATE
    return False


def _unexplained_taint(boot: _Boot) -> Iterator[tuple[KernelReport, _Arrival]]:
    """A flag that came up and that no report tells why."""
    before = 0
    for number, (mask, arrival) in enumerate(boot.taints):
        for flag in taint.flags(mask & ~before):
            if any(
                one.report.kind.name in flag.kinds
                or (flag.letter == "D" and one.report.severity is Severity.FATAL)
                for one in boot.found
            ):
                continue
            is_of_machine = number == 0 and not flag.kinds
            kind = _INHERITED if is_of_machine else _TAINT
            title = f"taint {flag.letter}: {flag.meaning}; no report tells why"
            yield KernelReport(kind, kind.severity, title, "", [title]), arrival
        before |= mask
