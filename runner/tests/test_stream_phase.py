# SPDX-License-Identifier: GPL-2.0-only
"""Where a stream was lost, by notes and marks."""

from __future__ import annotations

import pytest

from carryover.timing.stream_phase import lost_in
from carryover.timing.timeline import Mark

WALL = 1000.0  # the wall clock less the device's
TIMES = {
    "armed": 1.0,
    "kexec": 2.0,
    "loaded": 2.5,
    "jump": 3.0,
    "outgoing-last": 3.5,
    "kernel": 4.0,
    "init": 5.0,
    "verify": 6.0,
    "verified": 8.0,
}
MARKS = [Mark(WALL + at, 1, 1, what) for what, at in TIMES.items()]
SEEN = {"stream_at_bound_ns": str(7 * 10**9), "stream_at_attached_ns": str(7_500_000_000)}


def lost(begin: float, end: float | None = None) -> str:
    notes = {"stream_lost_from_ns": str(round(begin * 1e9)), **SEEN}
    if end is not None:
        notes["stream_lost_to_ns"] = str(round(end * 1e9))
    return lost_in(notes, MARKS, WALL)


@pytest.mark.parametrize(
    ("at", "phase"),
    [
        (1.5, "before the kexec"),
        (2.6, "load, 600 ms after `kexec`"),
        (2.96, "freeze or device shutdown, 40 ms before `jump`"),
        (3.1, "freeze or device shutdown, 100 ms after `jump`"),
        (3.9, "IOMMU shutdown or jump, 400 ms after `outgoing-last`"),
        (4.5, "kernel init, 500 ms after `kernel`"),
        (5.2, "user init, 200 ms after `init`"),
        (6.3, "vfio bind, 300 ms after `verify`"),
        (7.2, "attach"),
        (7.6, "after the attach"),
    ],
)
def test_the_phase_is_that_of_the_last_entry_before(at: float, phase: str) -> None:
    assert lost(at) == f"lost in the phase {phase}, and it did not go on"


def test_a_loss_that_ends_tells_until_when() -> None:
    told = lost(3.1, 7.3)
    assert told.startswith("lost in the phase freeze or device shutdown, 100 ms after `jump`, ")
    assert told.endswith(", until attach (4200.0 ms)")
    assert lost(7.1, 7.2) == "lost in the phase attach (100.0 ms)"


def test_a_stream_that_stood_still_when_it_was_bound_goes_on_by_the_attach() -> None:
    notes = {
        "stream_lost_from_ns": "4500000000",
        "stream_lost_to_ns": "7300000000",
        "stream_at_attached_ns": "7400000000",
    }
    assert ", until the attach (2800.0 ms)" in lost_in(notes, MARKS, WALL)


def test_nothing_lost_is_nothing_to_tell() -> None:
    assert lost_in({"stream_lost": "0"}, MARKS, WALL) == ""


def test_one_that_stood_still_and_lost_nothing_is_nothing_to_tell() -> None:
    assert lost_in({"stream_lost_from_ns": "3100000000", "stream_lost": "0"}, MARKS, WALL) == ""


def test_without_marks_steps_alone_tell() -> None:
    notes = {"stream_lost_from_ns": "3100000000", **SEEN}
    assert "kexec, boot or vfio bind" in lost_in(notes, [], WALL)
    assert "attach" in lost_in({**notes, "stream_lost_from_ns": "7200000000"}, [], WALL)


def test_marks_of_the_last_kexec_count() -> None:
    again = [*MARKS, *(Mark(WALL + 10 + at, 1, 2, what) for what, at in TIMES.items())]
    notes = {"stream_lost_from_ns": "14500000000"}
    assert "kernel init, 500 ms" in lost_in(notes, again, WALL)
    assert "before the kexec" in lost_in({"stream_lost_from_ns": "4500000000"}, again, WALL)
