# SPDX-License-Identifier: GPL-2.0-only
"""From a run's marks to the timeline of each kexec."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from carryover.kernel.messages import Meaning, recognise

# What goes on from each mark to the next one: a word, and whose time it is.
_PHASES = {
    "power-on": ("power on", "firmware"),
    "firmware": ("firmware", "firmware"),
    "kernel": ("kernel", "incoming"),
    "init": ("init", "incoming"),
    "ready": ("connect", "runner"),
    "run": ("run", "tests"),
    "arm": ("arm", "tests"),
    "armed": ("armed", "runner"),
    "kexec": ("load", "outgoing"),
    "loaded": ("loaded", "outgoing"),
    "jump": ("freeze", "freeze"),
    "outgoing-last": ("silence", "silence"),
    "verify": ("retrieve", "tests"),
    "retrieved": ("verify", "tests"),
}
# The program's last words can be lost with the kernel that was to send them.
_WITHOUT_LAST_WORDS = {
    ("kexec", "outgoing-last"): ("load, freeze", "freeze"),
    ("loaded", "outgoing-last"): ("freeze", "freeze"),
}
_OF_ARMING = ("run", "arm", "armed")


@dataclass(frozen=True, slots=True)
class Segment:
    """The time between two marks.

    Attributes:
        phase: What goes on, in a word.
        whose: Colour: firmware, outgoing, freeze, silence, incoming, runner or tests.
        begin: The mark that begins it.
        end: The mark that ends it.
        start: Seconds since the lane's first mark.
        length: Seconds.
        text: The console line of the mark that begins it.
    """

    phase: str
    whose: str
    begin: str
    end: str
    start: float
    length: float
    text: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A kexec, with the arming before it, or a cold boot (`kexec` 0).

    Attributes:
        cycle: Power cycle of the run, from 1.
        kexec: Kexec of this cycle, from 1.
        time: When its first mark was, wall clock.
        length: Seconds in all.
        boot_id: Of the kernel that came up, if the console told it.
        last: The last mark, and the console line with it.
        segments: One between each two marks.
    """

    cycle: int
    kexec: int
    time: float
    length: float
    boot_id: str
    last: tuple[str, str]
    segments: list[Segment]

    def as_dict(self) -> dict[str, Any]:
        """For the page's data."""
        return asdict(self)


def lanes(marks: Iterable[dict[str, Any]]) -> list[Lane]:
    """The lanes of a run, in order; arming is part of the first kexec's lane."""
    grouped: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    in_order = sorted(marks, key=lambda mark: float(mark["time"]))
    with_kexec = {int(mark["cycle"]) for mark in in_order if int(mark["kexec"]) > 0}
    for mark in in_order:
        cycle, kexec = int(mark["cycle"]), int(mark["kexec"])
        if mark["what"] == "off":
            continue
        if kexec == 0 and mark["what"] in _OF_ARMING and cycle in with_kexec:
            kexec = 1
        grouped[cycle, kexec].append(mark)
    return [_lane(cycle, kexec, group) for (cycle, kexec), group in sorted(grouped.items())]


def _lane(cycle: int, kexec: int, marks: list[dict[str, Any]]) -> Lane:
    zero = float(marks[0]["time"])
    return Lane(
        cycle=cycle,
        kexec=kexec,
        time=zero,
        length=round(float(marks[-1]["time"]) - zero, 6),
        boot_id=_boot_id(marks),
        last=(str(marks[-1]["what"]), str(marks[-1].get("text") or "")),
        segments=[_segment(begin, end, zero) for begin, end in pairwise(marks)],
    )


def _segment(begin: dict[str, Any], end: dict[str, Any], zero: float) -> Segment:
    what = str(begin["what"])
    usual = _PHASES.get(what, (what, "runner"))
    phase, whose = _WITHOUT_LAST_WORDS.get((what, str(end["what"])), usual)
    return Segment(
        phase=phase,
        whose=whose,
        begin=what,
        end=str(end["what"]),
        start=round(float(begin["time"]) - zero, 6),
        length=round(float(end["time"]) - float(begin["time"]), 6),
        text=str(begin.get("text") or ""),
    )


def _boot_id(marks: list[dict[str, Any]]) -> str:
    for mark in marks:
        known = recognise(str(mark.get("text") or ""))
        if known is not None and known.meaning is Meaning.TARGET_READY:
            return known.values.get("boot_id", "")
    return ""
