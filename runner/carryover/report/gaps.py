# SPDX-License-Identifier: GPL-2.0-only
"""The gap of a run's kexecs, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from carryover.gap.figures import rows
from carryover.gap.gap import WANTED_ERROR, Clock, Figure, Gaps, Kexec
from carryover.gap.picture import Bar, bars, length, ticks
from carryover.gap.reader import kexecs
from carryover.outputs.saved_run import SavedRun


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A figure over several kexecs.

    Attributes:
        name: What it is.
        count: Kexecs that have it.
        median: For a person, as the following two.
        best: The smallest.
        worst: The largest.
        heights: Of the bars of its histogram, as parts of the highest one.
        lost: Entries that were lost; empty if it is none of a device.
    """

    name: str
    count: int
    median: str
    best: str
    worst: str
    heights: list[float]
    lost: str = ""


@dataclass(frozen=True, slots=True)
class GapView:
    """What the page shows.

    Attributes:
        kexec: The one that was longest without user space.
        title: Which it is.
        bars: Its time line.
        ticks: Of its axis: where, and what is there.
        clock: How good the time line is, a sentence.
        is_good: Whether it is one clock within a millisecond.
        figures: Over all kexecs; empty if there is one.
    """

    kexec: Kexec
    title: str
    bars: list[Bar]
    ticks: list[tuple[float, str]]
    clock: str
    is_good: bool
    figures: list[FigureRow]


def gap_view(run: SavedRun) -> GapView | None:
    """None if the run has no kexec that was looked at."""
    found = list(kexecs(run))
    if not found:
        return None
    worst = Gaps(found).longest()
    title = f"kexec {worst.kexec}"
    if any(kexec.cycle != 1 for kexec in found):
        title = f"cycle {worst.cycle}, {title}"
    if len(found) > 1:
        title += f", the longest of {len(found)}"
    return GapView(
        kexec=worst,
        title=title,
        bars=bars(worst),
        ticks=ticks(worst),
        clock=clock_sentence(worst.clock),
        is_good=worst.clock.is_good,
        figures=_figures(Gaps(found)) if len(found) > 1 else [],
    )


def clock_sentence(clock: Clock) -> str:
    """How far steps may be from where they are drawn."""
    if clock.error_ms is None:
        why = clock.remark or "the target was not asked"
        return f"How the controller's clock is related to it is not known: {why}."
    above = "" if clock.error_ms <= WANTED_ERROR else f", which is above {WANTED_ERROR:g} ms"
    text = f"Each step lies within {clock.error_ms:.3f} ms on the controller's clock{above}."
    return f"{text} But {clock.remark}." if clock.remark else text


def _figures(gaps: Gaps) -> list[FigureRow]:
    return [
        _row(
            f"{row.name}, longest gap ({row.test})" if row.test else row.name, row.figure, row.lost
        )
        for row in rows(gaps)
        if row.figure
    ]


def _row(name: str, figure: Figure, lost: str = "") -> FigureRow:
    most = max(count for _, _, count in figure.histogram)
    return FigureRow(
        name=name,
        count=figure.count,
        median=length(figure.median),
        best=length(figure.histogram[0][0]),
        worst=length(figure.worst),
        heights=[count / most for _, _, count in figure.histogram],
        lost=lost,
    )
