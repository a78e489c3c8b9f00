# SPDX-License-Identifier: GPL-2.0-only
"""Two bench machines as places: reserved by tags, driven at once, and given back by the keeper."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from bench_run import variables_missing
from lab_on_bench import bench_lab

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(bool(variables_missing()), reason="the bench is not set up"),
]


def test_another_card_in_its_place_is_not_touched(tmp_path: Path) -> None:
    """The bench's igb has no serial number."""
    with bench_lab(tmp_path, ("bench-1",), serial="00-1b-21-ff-ff-8a-3c-10") as lab:
        out = tmp_path / "out"
        run = lab.start("run", "--carryover-out", str(out), "--tag", "board=q35", "-k", "OneMiB")
        output, errors = run.communicate(timeout=120)
        assert json.loads(output)["exit_code"] == 2, errors
        assert "it has none: another card is in its place" in " ".join(errors.split())
        assert '"bound"' not in (out / "journal.jsonl").read_text()


def test_two_runs_at_once_and_one_that_is_killed(tmp_path: Path) -> None:
    with bench_lab(tmp_path, ("bench-1", "bench-2")) as lab:
        runs = []
        for number in (1, 2):
            out = ["--carryover-out", str(tmp_path / f"out-{number}")]
            time_scale = ["--carryover-time-scale", "2"]  # two at once on two processors
            selection = ["--tag", "board=q35", "-k", "IgbContinuity and OneMiB"]
            runs.append(lab.start("run", *out, *time_scale, *selection))
        outcomes = [run.communicate(timeout=120) for run in runs]
        said = [json.loads(output) for output, _ in outcomes]
        assert [one["exit_code"] for one in said] == [0, 0], outcomes
        assert {one["place"] for one in said} == {"bench-1", "bench-2"}
        assert all(one["verdicts"]["PASS"] >= 1 for one in said)

        killed = lab.start("run", "--place", "bench-1", "-k", "IgbContinuity")
        assert killed.stderr is not None
        next(line for line in killed.stderr if "s  arm" in line)
        assert ".carryover-" in lab.services.client("-p", "bench-1", "show")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        end = time.monotonic() + 15
        while "acquired: None" not in lab.services.client("-p", "bench-1", "show"):
            assert time.monotonic() < end
        again = lab.start("run", "--place", "bench-1", "-k", "IgbContinuity and OneMiB")
        output, errors = again.communicate(timeout=120)
        assert json.loads(output)["exit_code"] == 0, errors
