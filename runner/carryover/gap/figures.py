# SPDX-License-Identifier: GPL-2.0-only
"""What each part and each device's gap was over several kexecs, as a picture, below the longest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import escape

from carryover.gap.gap import Figure, Gaps
from carryover.gap.picture import ROW, WIDTH, document, length, svg, time_line, time_line_height

_NAME, _COUNT, _MEDIAN, _WORST, _LEAST, _BARS, _LOST = 10, 395, 490, 585, 662, 668, 890  # x
_ROOM = 150  # for a histogram
_HIGH = 16
_HEAD = 46  # above the rows


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: of a part, or of a device.

    Attributes:
        name: The part, or the device's address.
        figure: How long it took, or was silent; None if that is not known of any kexec.
        test: Of a device, whose it was; else empty, as the following.
        lost: What it lost, for a person.
    """

    name: str
    figure: Figure | None
    test: str = ""
    lost: str = ""


def rows(gaps: Gaps) -> list[Row]:
    """All figures."""
    found = [Row(name, figure) for name, figure in gaps.parts().items()]
    for (test, address), device in gaps.devices().items():
        lost = "not known" if device.lost is None else f"{device.lost:,}"
        found.append(Row(address or "a device", device.longest_ms, test, lost))
    return found


def picture(gaps: Gaps) -> str:
    """Of one kexec its time line; of several that of the longest one, and figures of all."""
    longest, count = gaps.longest(), len(gaps.kexecs)
    if count == 1:
        return svg(longest)
    top, figures = time_line_height(longest) + 10, rows(gaps)
    lines = [*time_line(longest, f"The longest of {count} kexecs"), *_head(count, top)]
    y = top + _HEAD
    for row in (row for row in figures if not row.test):
        lines += _row(row, y)
        y += ROW
    if devices := [row for row in figures if row.test]:
        lines.append(f'<text x="{_NAME}" y="{y + 24}" font-weight="bold">Longest gaps</text>')
        y += 32
        for row in devices:
            lines += _row(row, y)
            y += ROW
    return document(lines, y + 8)


def _head(count: int, top: int) -> Iterator[str]:
    yield f'<path d="M{_NAME} {top - 4}H{WIDTH - _NAME}" stroke="#575d66"/>'
    yield f'<text x="{_NAME}" y="{top + 18}" font-weight="bold">All {count} kexecs</text>'
    columns = ("kexecs", _COUNT), ("median", _MEDIAN), ("worst", _WORST), ("from", _LEAST)
    for name, x in (*columns, ("lost", _LOST)):
        yield _right(x, top + 38, name, size=11)
    yield f'<text x="{_BARS}" y="{top + 38}" font-size="11">histogram, to the worst</text>'


def _row(row: Row, y: int) -> Iterator[str]:
    test = f' <tspan font-size="11">{escape(row.test)}</tspan>' if row.test else ""
    yield f'<text x="{_NAME}" y="{y + 15}">{escape(row.name)}{test}</text>'
    if row.lost:
        yield _right(_LOST, y + 15, row.lost)
    if row.figure is None:
        yield _right(_COUNT, y + 15, "0")
        yield _right(_MEDIAN, y + 15, length(None))
        return
    figure = row.figure
    yield _right(_COUNT, y + 15, str(figure.count))
    yield _right(_MEDIAN, y + 15, length(figure.median))
    yield _right(_WORST, y + 15, length(figure.worst))
    yield _right(_LEAST, y + 15, length(figure.histogram[0][0]), size=11)
    yield from _histogram(figure, y + 3)


def _histogram(figure: Figure, y: int) -> Iterator[str]:
    most = max(count for _, _, count in figure.histogram)
    step = _ROOM / len(figure.histogram)
    yield f'<path d="M{_BARS} {y + _HIGH}h{_ROOM}" stroke="#575d66"/>'
    for number, (low, high, count) in enumerate(figure.histogram):
        if not count:
            continue
        height = count / most * _HIGH
        yield (
            f'<rect x="{_BARS + number * step:.1f}" y="{y + _HIGH - height:.1f}" '
            f'width="{step - 1:.1f}" height="{height:.1f}" fill="#5b7fb5">'
            f"<title>{length(low)} to {length(high)}: {count}</title></rect>"
        )


def _right(x: int, y: int, text: str, size: int = 13) -> str:
    font = "" if size == 13 else f' font-size="{size}"'
    return f'<text x="{x}" y="{y}" text-anchor="end"{font}>{escape(text)}</text>'
