# SPDX-License-Identifier: GPL-2.0-only
"""Cuts the kernel's reports (oopses, warnings, ...) whole out of the lines around them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from carryover.kernel.fingerprint import fingerprint
from carryover.kernel.messages import Ending, KernelMessage, Kind, Meaning, Severity, Stamped

CUT_HERE = "------------[ cut here ]------------"
# Bounds of a report: lines of it, characters of a line.
LONGEST = 400
WIDEST = 500
# Lines that may come before the first call trace, and that nobody expects after the last one,
# before it is said that the report has no trace, or has lost its end.
_TO_TRACE = 60
_STRAYS = 8
# Seconds: the kernel prints a report in one go.
_PAUSE = 5.0
_BEFORE = 20  # what a WARN() has to say, between "cut here" and "WARNING"

_END_TRACE = "---[ end trace"
_END_PANIC = "---[ end Kernel panic"
_BACKTRACE = "stack backtrace:"
_CALL_TRACE = "Call Trace:"
_NMI_REQUEST = "Sending NMI from CPU"
_NMI_BACKTRACE = "NMI backtrace for cpu"
_RULE = re.compile(r"={20,}$")
_TRACE_END = re.compile(r"\s*</(TASK|IRQ|NMI|SOFTIRQ|EXCEPTION|[A-Z_]+)>$")
_REGISTERS = re.compile(
    r"(RIP|Code|RSP|EFLAGS|R[A-Z0-9]{2}|FS|CS|CR\d|DR\d|PKRU|Tainted|CPU|Hardware name): "
)
# What is at home in a report, so that it belongs to the one before.
_BODY = re.compile(
    r"\s|$|(RIP|Code|RSP|EFLAGS|R[A-Z0-9]{2}|FS|CS|CR\d|DR\d|PKRU|Tainted|CPU|Hardware name): "
    r"|Call Trace:|Modules linked in:|Workqueue: |Stopper: |NMI backtrace for cpu|Sending NMI from"
    r"|rcu: |task:|irq event stamp: |(hard|soft)irqs last |Preemption disabled at:|\[<"
    r"|Showing all locks held|(\d+ locks?|no locks) held by|INFO: lockdep is turned off"
    r'|-{10,}$|.* (Not t|T)ainted\b|.* is leaving the kernel with locks|"echo 0 > /proc/sys'
    r"|Future hung task reports"
)
_OF_DEVICE = re.compile(r"\S+ [0-9a-f:.]+: (AER: )?(  |TLP Header)")


@dataclass
class KernelReport:
    """What the kernel said about one thing that went wrong.

    Attributes:
        kind: By its first line.
        severity: The worst of all its lines that the table knows.
        title: The line that the table knows.
        stamp: That line's time stamp; "" if lines have none.
        lines: All of it, without time stamps; at most LONGEST lines of WIDEST characters.
        whole: Its end was seen. Else it was cut short: by a panic, a reset, the next report.
    """

    kind: Kind
    severity: Severity
    title: str
    stamp: str
    lines: list[str]
    whole: bool = True

    @property
    def fingerprint(self) -> str:
        """What stays the same when the same thing goes wrong again, in any build of the kernel."""
        return fingerprint(self.kind.name, self.title, self.lines)


@dataclass
class _Open:
    """A report that has begun."""

    kind: Kind
    severity: Severity
    title: str
    stamp: str
    lines: list[str] = field(default_factory=list)
    last: str = ""  # time stamp of the last line
    has_backtrace: bool = False
    has_trace: bool = False
    is_after_trace: bool = False
    has_ended: bool = False  # only what may follow the end is still of it
    is_done: bool = False
    strays: int = 0

    def report(self) -> KernelReport:
        lines = self.lines[: len(self.lines) - self.strays]
        if not self.has_trace and not self._has_begun_as_lockdep(lines):
            if self.kind.ending in (Ending.TRACE, Ending.BACKTRACE):
                lines = _contiguous(lines, self.title)
        whole = self._is_whole()
        while lines and not lines[-1].strip():
            lines = lines[:-1]
        return KernelReport(self.kind, self.severity, self.title, self.stamp, lines, whole)

    def _has_begun_as_lockdep(self, lines: list[str]) -> bool:
        """All of it may be text, if its end is missing: which kernel it is comes second."""
        return self.kind.ending is Ending.BACKTRACE and any("ainted" in one for one in lines[:4])

    def _is_whole(self) -> bool:
        if self.kind.ending is Ending.TRACE:
            return self.is_after_trace or not self.has_trace
        if self.kind.ending is Ending.BACKTRACE:
            return self.is_after_trace
        # Nothing comes after a panic, and not even its last line if the machine is to be reset.
        ends_itself = self.kind.ending in (Ending.DEVICE, Ending.END_PANIC)
        return ends_itself or self.is_done or self.has_ended

    def takes(self, line: Stamped, kind: Kind | None) -> bool:
        """Adds the line if it belongs here."""
        if not self._belongs(line, kind):
            return False
        if kind is not None:
            self.severity = min(self.severity, kind.severity)
        self.lines.append(line.text[:WIDEST])
        self.last = line.stamp or self.last
        return True

    def _belongs(self, line: Stamped, kind: Kind | None) -> bool:
        if self.is_done or len(self.lines) >= LONGEST or _seconds(self.last, line.stamp) > _PAUSE:
            return False
        text, ending = line.text, self.kind.ending
        if ending is Ending.DEVICE:
            same = kind is not None and kind.name == self.kind.name
            # "error message received" comes first, and once, whoever sent it.
            return bool(_OF_DEVICE.match(text)) or (same and "Bus Error" in text)
        if self.has_ended:
            return bool(_REGISTERS.match(text))
        if kind is not None and (self.is_after_trace or self._is_without_end(kind)):
            return False
        self._follow(text)
        if ending is Ending.END_PANIC:
            self.is_done = text.startswith(_END_PANIC)
            return True
        if ending is Ending.RULE and _RULE.match(text):
            self.is_done = True
            return True
        if text.startswith(_END_TRACE):
            self.has_ended = True
            self.is_done = self.severity is not Severity.FATAL  # an oops ends in a summary
            return True
        if not self.is_after_trace or _BODY.match(text):
            self.strays = 0
            return self.has_trace or len(self.lines) < self._most_to_trace()
        if ending in (Ending.TRACE, Ending.BACKTRACE):
            return False
        if self.strays == _STRAYS:
            return False
        self.strays += 1
        return True

    def _is_without_end(self, kind: Kind) -> bool:
        """A second first line, of a report that is no part of this one."""
        waits = self.kind.ending in (Ending.TRACE, Ending.BACKTRACE)
        return waits and kind.name != "oops" and kind.severity is not Severity.NOTICE

    def _follow(self, text: str) -> None:
        """Where in the report we are, by its next line."""
        if text.startswith(_BACKTRACE):
            self.has_backtrace = True
        if self.kind.ending is Ending.BACKTRACE and not self.has_backtrace:
            return
        if text.startswith(_CALL_TRACE):
            self.has_trace, self.is_after_trace = True, False
        elif self.has_trace and (_TRACE_END.match(text) or not _BODY.match(text)):
            self.is_after_trace = True

    def _most_to_trace(self) -> int:
        # A chain of locks is told before its trace, with a trace of each.
        return _TO_TRACE if self.kind.ending is Ending.TRACE else LONGEST


class ReportCutter:
    """Takes lines as they come, of one source (a console, a kernel's log), and gives reports.

    Lines of different callers are kept apart where the kernel tells who prints.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._before: dict[str, list[Stamped]] = {}

    def feed(self, line: Stamped, message: KernelMessage | None) -> list[KernelReport]:
        """Takes a line, and what look_up() knows about it; returns the reports that it ended."""
        if message is not None and message.meaning in (Meaning.KERNEL, Meaning.FIRMWARE):
            return self.close()
        kind = message.kind if message is not None else None
        if kind is not None and kind.ending is Ending.LINE:
            return self._of_one_line(line, kind)
        ended: list[KernelReport] = []
        if kind is not None and kind.ending is Ending.END_PANIC:
            ended += self.close()  # nobody prints any more but who panics
        if line.text.startswith(CUT_HERE):
            ended += self._end(line.caller)
            self._before[line.caller] = [line]
            return ended
        if known := self._open.get(line.caller) or self._asked_by(line):
            if known.takes(line, kind):
                return ended + (self._end(line.caller) if known.is_done else [])
            ended += self._end(line.caller)
        if message is not None and kind is not None:
            self._begin(line, kind, message.text)
        else:
            self._remember(line)
        return ended

    @property
    def is_idle(self) -> bool:
        """Whether no report is open, or may turn out to have begun."""
        return not self._open and not self._before

    def close(self) -> list[KernelReport]:
        """Nothing more comes: the reports that have not ended."""
        ended = [report for caller in list(self._open) for report in self._end(caller)]
        self._before.clear()
        return ended

    def _begin(self, line: Stamped, kind: Kind, title: str) -> None:
        before = self._before.pop(line.caller, [])
        lines = [one.text[:WIDEST] for one in [*before, line] if one.text.strip()]
        title = title[:WIDEST]
        self._open[line.caller] = _Open(kind, kind.severity, title, line.stamp, lines, line.stamp)

    def _of_one_line(self, line: Stamped, kind: Kind) -> list[KernelReport]:
        """Does not end what another one is printing."""
        before = [] if line.caller in self._open else self._before.pop(line.caller, [])
        lines = [one.text[:WIDEST] for one in before if one.text.startswith("DMAR: DRHD:")]
        title = line.text.strip()[:WIDEST]
        return [KernelReport(kind, kind.severity, title, line.stamp, [*lines, title])]

    def _asked_by(self, line: Stamped) -> _Open | None:
        """Who has asked another processor for its backtrace: that is of the same report."""
        if line.text.startswith(_NMI_BACKTRACE):
            for known in self._open.values():
                if any(text.startswith(_NMI_REQUEST) for text in known.lines):
                    self._open[line.caller] = known
                    return known
        return None

    def _end(self, caller: str) -> list[KernelReport]:
        known = self._open.pop(caller, None)
        if known is None:
            return []
        self._open = {who: one for who, one in self._open.items() if one is not known}
        return [known.report()]

    def _remember(self, line: Stamped) -> None:
        """What may turn out to be the begin of a report: its title need not come first."""
        before = self._before.get(line.caller, [])
        if before and before[0].text.startswith(CUT_HERE):
            if len(before) < _BEFORE:
                before.append(line)
            else:
                del self._before[line.caller]
        elif _RULE.match(line.text) or line.text.startswith("DMAR: DRHD:"):
            self._before[line.caller] = [line]
        else:
            self._before.pop(line.caller, None)


def _contiguous(lines: list[str], title: str) -> list[str]:
    """Without a trace, what comes after the title is of the report as long as it looks so."""
    at = next((n for n, line in enumerate(lines) if line.strip() == title), 0)
    end = at + 1
    while end < len(lines) and _BODY.match(lines[end]):
        end += 1
    return lines[:end]


def _seconds(earlier: str, later: str) -> float:
    return float(later) - float(earlier) if earlier and later else 0.0
