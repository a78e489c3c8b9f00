# SPDX-License-Identifier: GPL-2.0-only
"""The time line of a kexec as a picture: each part a bar where it lies, and each device's gap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markupsafe import escape

from carryover.gap.gap import PARTS, Kexec

# Whose time each part is; the report has the same colours for its lanes.
WHOSE = {
    "load": "outgoing",
    "sync": "outgoing",
    "freeze": "freeze",
    "shutdown": "freeze",
    "jump": "silence",
    "kernel init": "incoming",
    "user init": "incoming",
    "connect": "runner",
    "ledger": "tests",
    "retrieve": "tests",
    "attach": "tests",
    "driver attach": "tests",
}
_COLOURS = {
    "outgoing": "#bcd4f2",
    "freeze": "#f5c892",
    "silence": "#3c4149",
    "incoming": "#b5dfd3",
    "runner": "#e6e6e0",
    "tests": "#d9cdf0",
    "device": "#b3202c",
}
_NAMES, _LENGTHS, _BARS = 10, 272, 285  # columns, x
WIDTH, ROW, _TOP = 900, 22, 40
_LEAST = 2.0  # a bar that is shorter cannot be seen


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the picture.

    Attributes:
        name: What it is.
        whose: Its colour.
        length_ms: How long it took; None if that is not known.
        begin: Where it begins, as a part of all; None: there is no bar.
        width: How wide it is, likewise.
        note: More of it, for a device: its test and what was lost.
    """

    name: str
    whose: str
    length_ms: float | None
    begin: float | None
    width: float
    note: str = ""


def bars(kexec: Kexec) -> list[Bar]:
    """The rows, from the first step that is known to the last one."""
    known = [at for at in kexec.steps.values() if at is not None]
    origin, whole = min(known), max(kexec.whole_ms, 1e-9)

    def place(at: float | None) -> float | None:
        return None if at is None else min(1.0, max(0.0, (at - origin) / whole))

    rows = []
    for name, first, last in PARTS:
        begin, end = place(kexec.steps[first]), place(kexec.steps[last])
        is_known = begin is not None and end is not None
        width = end - begin if begin is not None and end is not None else 0.0
        rows.append(Bar(name, WHOSE[name], kexec.parts[name], begin if is_known else None, width))
    for device in kexec.devices:
        begin, end, where = place(device.begin_ms), place(device.end_ms), ""
        width = end - begin if begin is not None and end is not None else 0.0
        if device.begin_ms is None or device.end_ms is None:
            where = "; where it lies is not known"
        elif device.end_ms < origin or device.begin_ms > origin + whole:
            begin, where = None, "; before all this" if device.end_ms < origin else "; after it"
            if device.during:
                where += f", during {device.during[0]}"
        lost = "" if device.lost is None else f", {device.lost:,} lost"
        of = "" if device.entries is None else f" of {device.entries:,}"
        name = f"{device.address or 'a device'}, longest gap"
        note = f"{device.test}{lost}{of if lost else ''}{where}"
        rows.append(Bar(name, "device", device.longest_ms, begin, width, note))
    return rows


def ticks(kexec: Kexec) -> list[tuple[float, str]]:
    """Where the axis is marked, as a part of all, and by what: seconds from the last user space."""
    known = [at for at in kexec.steps.values() if at is not None]
    origin, end = min(known), max(known)
    step = next((s for s in (10, 50, 100, 500, 1000, 5000) if (end - origin) / s <= 12), 10_000)
    first = -int(-origin // step) if origin > 0 else int(origin / step)
    marks = []
    while first * step <= end:
        at = (first * step - origin) / max(kexec.whole_ms, 1e-9)
        if 0 <= at <= 1:
            marks.append((at, f"{first * step / 1000:g} s"))
        first += 1
    return marks


def length(milliseconds: float | None) -> str:
    """For a person, with as many digits as fit."""
    if milliseconds is None:
        return "not known"
    return f"{milliseconds:.3f} ms" if milliseconds < 10 else f"{milliseconds:,.1f} ms"


def svg(kexec: Kexec) -> str:
    """A picture that stands alone."""
    return document(time_line(kexec, "One kexec"), time_line_height(kexec))


def time_line_height(kexec: Kexec) -> int:
    """Of the picture of one kexec."""
    return _TOP + ROW * len(bars(kexec)) + 46


def time_line(kexec: Kexec, which: str) -> Iterator[str]:
    """The picture of one kexec, which is told by `which`, without what is around it."""
    rows = bars(kexec)
    user = length(kexec.no_user_space_ms)
    title = f"{which}: {length(kexec.whole_ms)} in all, {user} without user space"
    yield f'<text x="{_NAMES}" y="22" font-weight="bold">{escape(title)}</text>'
    yield from _rows(rows)
    yield from _axis(kexec, len(rows))


def document(lines: Iterable[str], height: int) -> str:
    """An SVG with these lines."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13" fill="#1b1d21">',
        "<!-- SPDX-License-Identifier: GPL-2.0-only; made by carryover gap -->",
        f'<rect width="{WIDTH}" height="{height}" fill="#fcfcfa"/>',
    )
    return "\n".join([*head, *lines, "</svg>", ""])


def _rows(rows: list[Bar]) -> Iterator[str]:
    room = WIDTH - _BARS - 15
    for number, bar in enumerate(rows):
        y = _TOP + number * ROW
        yield f'<text x="{_NAMES}" y="{y + 15}">{escape(bar.name)}</text>'
        yield (
            f'<text x="{_LENGTHS}" y="{y + 15}" text-anchor="end">{length(bar.length_ms)}</text>'
        )
        if bar.begin is None:
            if bar.note:
                yield f'<text x="{_BARS}" y="{y + 15}" font-size="11">{escape(bar.note)}</text>'
            continue
        x, width = _BARS + bar.begin * room, max(_LEAST, bar.width * room)
        colour = _COLOURS[bar.whose]
        yield f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="16" fill="{colour}"/>'
        if bar.note:
            # On the side that has more room.
            before = bar.begin > 0.5
            at = x - 6 if before else x + width + 6
            anchor = "end" if before else "start"
            yield (
                f'<text x="{at:.1f}" y="{y + 15}" text-anchor="{anchor}" font-size="11">'
                f"{escape(bar.note)}</text>"
            )


def _axis(kexec: Kexec, count: int) -> Iterator[str]:
    room, y = WIDTH - _BARS - 15, _TOP + count * ROW + 4
    yield f'<path d="M{_BARS} {y}h{room}" stroke="#575d66"/>'
    for at, text in ticks(kexec):
        x = _BARS + at * room
        yield f'<path d="M{x:.1f} {y}v5" stroke="#575d66"/>'
        yield f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle" font-size="11">{text}</text>'
    error = kexec.clock.error_ms
    said = "not known" if error is None else f"{error:.2f} ms"
    yield (
        f'<text x="{_NAMES}" y="{y + 34}" font-size="11" fill="#575d66">'
        f"0 is the last moment of user space; error of the common clock: {said}</text>"
    )
