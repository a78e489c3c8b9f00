# SPDX-License-Identifier: GPL-2.0-only
"""The gap of kexecs: of made-up ones, whose truth is known, and what `carryover gap` prints."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from made_up_gap import DEVICE, TRUTH, MadeUpKexec
from results_schema import check_records
from saved_runs import RunBuilder

from carryover.__main__ import main
from carryover.errors import BadInput
from carryover.gap.gap import BOUNDARIES, PARTS, Figure, Gaps, Kexec
from carryover.gap.picture import bars
from carryover.gap.reader import gaps
from carryover.outputs.saved_run import load


def is_whole(kexec: Kexec) -> bool:
    """Whether every part from the first known step to the last one is known."""
    known = [what for what in BOUNDARIES if kexec.steps[what] is not None]
    return all(
        BOUNDARIES.index(after) - BOUNDARIES.index(before) == 1 for before, after in pairwise(known)
    )


def made_up(folder: Path, *kexecs: MadeUpKexec) -> Path:
    run = RunBuilder(folder).begin()
    for kexec in kexecs:
        kexec.tell(run)
    directory = run.end().write()
    check_records(run.records)
    return directory


def one(folder: Path, kexec: MadeUpKexec) -> Kexec:
    (found,) = gaps([load(made_up(folder, kexec))]).kexecs
    return found


def test_the_time_line_ends_with_a_device_that_was_taken_over_to_the_end(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path).begin()
    MadeUpKexec().tell(run)
    at = next(i for i, record in enumerate(run.records) if record.get("what") == "file")
    run.records.insert(at, {**run.records[at], "device": "0000:01:00.0"})
    (found,) = gaps([load(run.end().write())]).kexecs
    assert found.first_device == DEVICE
    assert is_whole(found)
    assert found.parts["driver attach"] is not None


def test_every_part_is_as_long_as_it_truly_was(tmp_path: Path) -> None:
    found = one(tmp_path, MadeUpKexec(rate=30e-6))
    for name, begin, end in PARTS:
        truth = (TRUTH[end] - TRUTH[begin]) * 1e3
        assert found.parts[name] == pytest.approx(truth, abs=0.5), name
    assert found.no_user_space_ms == pytest.approx(4200, abs=0.5)
    assert found.no_driver_ms == pytest.approx(6520, abs=0.5)
    assert found.first_device == DEVICE


def test_the_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    found = one(tmp_path, MadeUpKexec())
    assert is_whole(found)
    assert found.whole_ms == pytest.approx(6920, abs=0.5)
    assert found.known_ms == pytest.approx(found.whole_ms, rel=1e-9)


@pytest.mark.parametrize("way", [0.0001, 0.0004, 0.003])
@pytest.mark.parametrize("rate", [-60e-6, 0.0, 60e-6])
def test_each_step_is_within_the_error_that_is_stated(
    tmp_path: Path, way: float, rate: float
) -> None:
    found = one(tmp_path, MadeUpKexec(way=way, rate=rate))
    assert found.clock.error_ms is not None
    for what in BOUNDARIES:
        at = found.steps[what]
        assert at is not None
        # Both ends of it may be off by that.
        assert abs(at - TRUTH[what] * 1e3) <= 2 * found.clock.error_ms + 0.01, what
    assert found.clock.step_ms is not None
    low, high = found.clock.step_ms
    assert low <= 0 <= high


def test_a_line_that_is_read_soon_makes_the_error_smaller(tmp_path: Path) -> None:
    soon = one(tmp_path / "soon", MadeUpKexec(late=0.00005, way=0.001))
    late = one(tmp_path / "late", MadeUpKexec(late=0.05, way=0.001))
    assert soon.clock.error_ms is not None
    assert late.clock.error_ms is not None
    assert soon.clock.error_ms < 0.8 * late.clock.error_ms


def test_a_line_that_is_read_before_it_is_stamped_is_no_one_clock(tmp_path: Path) -> None:
    assert "no one clock fits" in one(tmp_path, MadeUpKexec(late=-0.01)).clock.remark


@pytest.mark.parametrize("step", [0.05, -0.05, -30.0])
def test_a_counter_that_is_set_at_the_kexec_is_said(tmp_path: Path, step: float) -> None:
    found = one(tmp_path, MadeUpKexec(counter_step=step))
    assert "no one clock fits" in found.clock.remark
    assert found.clock.error_ms is None
    assert not found.clock.is_good
    (device,) = found.devices
    assert device.begin_ms is None  # where it lies is not known, how long it was is
    assert device.longest_ms == pytest.approx(7)


@pytest.mark.parametrize("what", [w for w in BOUNDARIES if w not in ("load", "program", "kernel")])
def test_what_a_missing_step_ends_is_not_known_and_never_0(tmp_path: Path, what: str) -> None:
    found = one(tmp_path, MadeUpKexec(missing=[what]))
    unknown = {name for name, length in found.parts.items() if length is None}
    assert unknown == {name for name, begin, end in PARTS if what in (begin, end)}
    assert found.steps[what] is None
    if what in ("driver", "file"):
        return
    assert not is_whole(found)
    assert found.known_ms < found.whole_ms


def test_a_kernel_that_tells_no_time_leaves_its_parts_unknown(tmp_path: Path) -> None:
    kexec = MadeUpKexec(missing=["kernel"])
    run = RunBuilder(tmp_path).begin()
    kexec.tell(run)
    run.records = [
        r for r in run.records if (r.get("clock"), r.get("kexec")) != ("kernel", kexec.kexec)
    ]
    (found,) = gaps([load(run.end().write())]).kexecs
    unknown = [name for name, length in found.parts.items() if length is None]
    assert unknown == ["jump", "kernel init", "user init", "connect"]
    assert found.no_user_space_ms is None


def test_a_device_lies_where_its_clock_says(tmp_path: Path) -> None:
    (device,) = one(tmp_path, MadeUpKexec(gap=(0.94, 0.97), lost=3)).devices
    assert device.during == ["jump", "kernel init"]
    assert device.begin_ms == pytest.approx(940, abs=1)
    assert device.end_ms == pytest.approx(970, abs=1)
    assert (device.lost, device.entries, device.address) == (3, 8000, DEVICE)


def test_a_device_that_is_taken_over_later_lies_in_its_own_attach(tmp_path: Path) -> None:
    kexec = MadeUpKexec(gap=(7.0, 7.1))
    run = kexec.tell(RunBuilder(tmp_path).begin())
    other = "0000:05:00.0"
    for record in [r for r in run.records if r.get("what") in ("file", "attached")]:
        later = record["tsc"] + int(0.6 * 2.3e9)
        run.records.append({**record, "device": other, "tsc": later})
    for record in run.records:
        if record["event"] == "device-gap":
            record["device"] = other
    (found,) = gaps([load(run.end().write())]).kexecs
    assert found.devices[0].during == ["its own attach"]
    last = bars(found)[-1]
    assert last.begin is None  # it is behind the picture's end, and nothing is drawn elsewhere
    assert last.note.endswith("; after it, during its own attach")


def test_each_device_of_a_test_has_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = MadeUpKexec().tell(RunBuilder(tmp_path).begin())
    gap = next(record for record in run.records if record["event"] == "device-gap")
    other = "0000:0d:00.0"
    run.records.append({**gap, "device": other, "longest_us": 9000, "lost": 2})
    directory = str(run.end().write())
    main(["gap", directory])
    shown = capsys.readouterr().out.splitlines()
    (line,) = (line for line in shown if line.startswith(other))
    assert "9.000 ms" in line
    assert "2 of 8,000" in line
    main(["gap", "--json", directory])
    told = json.loads(capsys.readouterr().out)
    assert [device["address"] for device in told["kexecs"][0]["devices"]] == [DEVICE, other]
    assert [(device["device"], device["lost"]) for device in told["devices"]] == [
        (DEVICE, 0),
        (other, 2),
    ]
    main(["gap", "--svg", directory])
    picture = capsys.readouterr().out
    assert f"{DEVICE}, longest gap" in picture
    assert f"{other}, longest gap" in picture


def test_a_device_of_another_clock_lies_nowhere(tmp_path: Path) -> None:
    (device,) = one(tmp_path, MadeUpKexec(gap=(-4900.0, -4899.9))).devices
    assert (device.begin_ms, device.end_ms, device.during) == (None, None, [])
    assert device.longest_ms == pytest.approx(100)


def test_a_kexec_that_was_refused_before_is_none_of_it(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path).begin()
    for what in ("load", "loaded", "jump"):
        run.record("step", cycle=1, kexec=1, what=what, device=None, tsc=10**12, kernel_us=None)
    (found,) = gaps([load(MadeUpKexec().tell(run).end().write())]).kexecs
    assert found.parts["load"] == pytest.approx(300, abs=0.5)


def test_several_kexecs_have_median_worst_and_histogram(tmp_path: Path) -> None:
    kexecs = [
        MadeUpKexec(
            kexec=1 + n,
            jump=5000.0 + 20 * n,
            truth={**TRUTH, "load": -0.4 - 0.01 * n},
            age=20 - TRUTH["kernel"],
        )
        for n in range(11)
    ]
    found = gaps([load(made_up(tmp_path, *kexecs))])
    load_part = found.parts()["load"]
    assert load_part is not None
    assert load_part.count == 11
    assert load_part.median == pytest.approx(350, abs=1)
    assert load_part.worst == pytest.approx(400, abs=1)
    assert len(load_part.histogram) == 10
    assert sum(count for _, _, count in load_part.histogram) == 11
    jump = found.parts()["jump"]
    assert jump is not None
    assert jump.count == 11
    ((key, device),) = found.devices().items()
    assert key == ("DmacStream.GoesOn", DEVICE)
    assert (device.lost, device.entries) == (0, 88_000)


@pytest.mark.parametrize(
    ("values", "count"), [([1.0], 1), ([2.0, 2.0], 2), ([1.0, None, 3.0], 2), ([0.0, 1e-12], 2)]
)
def test_a_histogram_has_every_value(values: list[float | None], count: int) -> None:
    figure = Figure.of(values)
    assert figure is not None
    assert figure.count == count == sum(n for _, _, n in figure.histogram)
    assert figure.histogram[0][0] == min(v for v in values if v is not None)
    assert math.isclose(figure.histogram[-1][1], figure.worst)


def test_no_value_is_no_figure() -> None:
    assert Figure.of([None, None]) is None
    assert Figure.of([]) is None
    assert all(figure is None for figure in Gaps([]).parts().values())


def test_a_run_that_asked_for_no_clock_is_refused_as_such(tmp_path: Path) -> None:
    run = MadeUpKexec().tell(RunBuilder(tmp_path).begin()).end()
    run.records = [record for record in run.records if record["event"] != "clock"]
    with pytest.raises(BadInput, match="no clock of its target"):
        gaps([load(run.write())])


# --- the command


def test_one_kexec_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gap", str(made_up(tmp_path, MadeUpKexec(missing=["shutdown"])))]) == 0
    shown = capsys.readouterr().out
    lines = {line[:14].strip(): line for line in shown.splitlines()}
    assert "not known" in lines["freeze"]
    assert "400.0" in lines["jump"] or "399.9" in lines["jump"]
    assert "kernel init" in next(line for line in shown.splitlines() if DEVICE in line)
    assert "0 of 8,000" in shown
    assert "steps lie within 0." in shown
    assert "550.0" in next(line for line in shown.splitlines() if "are in parts" in line)


def test_an_error_above_a_millisecond_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["gap", str(made_up(tmp_path, MadeUpKexec(way=0.004)))])
    assert "that is above 1 ms" in capsys.readouterr().out


def test_several_runs_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = made_up(tmp_path / "a", MadeUpKexec())
    b = made_up(tmp_path / "b", MadeUpKexec(gap=(1.0, 1.2), lost=5))
    assert main(["gap", str(a), str(b)]) == 0
    shown = capsys.readouterr().out
    device = next(line for line in shown.splitlines() if DEVICE in line)
    assert "103.500 ms" in device
    assert "5 of 16,000" in device


def test_json_has_it_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["gap", "--json", str(made_up(tmp_path, MadeUpKexec()))])
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"kexecs", "parts", "devices"}
    (kexec,) = told["kexecs"]
    assert kexec["parts"].keys() == {name for name, _, _ in PARTS}
    assert kexec["clock"]["error_ms"] < 1
    assert told["parts"]["whole"]["count"] == 1
    assert told["devices"][0]["lost"] == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, ["No such file", "give the --carryover-out of a run"]),
        (
            lambda folder: RunBuilder(folder).begin().end().write(),
            ["the run has no kexec", "ci/bench --stream"],
        ),
        (
            lambda folder: (folder / "results.jsonl").write_text('{"event":"begin","schema":2}\n'),
            ["results.jsonl:1:", "schema version 2", "run again"],
        ),
    ],
)
def test_bad_input_is_refused_with_place_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, said: list[str]
) -> None:
    make(tmp_path)  # type: ignore[operator]
    assert main(["gap", str(tmp_path / "results.jsonl")]) == 2
    shown = capsys.readouterr().err
    assert str(tmp_path) in shown
    for text in said:
        assert text in shown
