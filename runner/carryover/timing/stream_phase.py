# SPDX-License-Identifier: GPL-2.0-only
"""In which phase of a kexec a stream was lost: from what its test noted, and from marks.

A test that misses entries notes when the last one before them was written
(fixtures/stream/stream_loss.h), by its device's clock; and one that takes a stream over, when it
saw it go on with the file bound, and attached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carryover.timing.timeline import Mark

_LOST_FROM = "stream_lost_from_ns"
_LOST_TO = "stream_lost_to_ns"

_BIND = "vfio bind"
# What begins with a mark; what others say does not matter.
_PHASES = {
    "kexec": "load",
    "jump": "freeze or device shutdown",
    "outgoing-last": "IOMMU shutdown or jump",
    "kernel": "kernel init",
    "init": "user init",
    "verify": _BIND,
}
# Seconds that a mark may be late: the program's last words come over SSH.
_LATE = {"jump": 0.1}
_BEFORE = "before the kexec"
# What began when the device was seen to write at that step, the latest first.
_SEEN = {"stream_at_attached_ns": "after the attach", "stream_at_bound_ns": "attach"}


def lost_in(notes: Mapping[str, Any], marks: Sequence[Mark], wall_less_device: float) -> str:
    """Tells a person where the first entries were lost; "" if the notes say nothing of a loss.

    Args:
        notes: Of the test.
        marks: Of the run so far, in order.
        wall_less_device: The wall clock of the marks less the device's, in seconds.
    """
    begin = _time(notes, _LOST_FROM)
    # One that stood still for long may have lost nothing, and its test fail for another reason.
    if begin is None or notes.get("stream_lost") == "0":
        return ""
    end = _time(notes, _LOST_TO)
    where = _phase(begin, notes, marks, wall_less_device)
    if end is None:
        return f"lost in the phase {where}, and it did not go on"
    # A stream that stood still when the file was bound, and went on before it was seen attached.
    by_attach = "stream_at_bound_ns" not in notes and "stream_at_attached_ns" in notes
    until = _phase(end, notes, marks, wall_less_device)
    if by_attach and until.startswith(_BIND):
        until = "the attach"
    more = "" if until == where else f", until {until}"
    return f"lost in the phase {where}{more} ({(end - begin) * 1e3:.1f} ms)"


def _phase(
    at: float, notes: Mapping[str, Any], marks: Sequence[Mark], wall_less_device: float
) -> str:
    for note, phase in _SEEN.items():
        seen = _time(notes, note)
        if seen is not None and at >= seen:
            return phase
    if not marks:
        return "kexec, boot or vfio bind"
    return _by_marks(at + wall_less_device, marks)


def _by_marks(at: float, marks: Sequence[Mark]) -> str:
    last = marks[-1]
    of_kexec = [m for m in marks if (m.cycle, m.kexec) == (last.cycle, last.kexec)]
    begun = [m for m in of_kexec if m.what in _PHASES and m.time - _LATE.get(m.what, 0) <= at]
    if not begun:
        return _BEFORE
    mark = max(begun, key=lambda m: m.time)
    distance = (at - mark.time) * 1e3
    side = "after" if distance >= 0 else "before"
    return f"{_PHASES[mark.what]}, {abs(distance):.0f} ms {side} `{mark.what}`"


def _time(notes: Mapping[str, Any], key: str) -> float | None:
    value = notes.get(key)
    return None if value is None else int(value) / 1e9
