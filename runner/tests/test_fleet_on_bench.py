# SPDX-License-Identifier: GPL-2.0-only
"""A fleet of four bench machines at once, of as little memory as the tests need."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bench_run import variables_missing
from lab_on_bench import bench_lab

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(bool(variables_missing()), reason="the bench is not set up"),
]
PLACES = ("bench-1", "bench-2", "bench-3", "bench-4")
MEMORY = "512M"


def test_four_machines_at_once(tmp_path: Path) -> None:
    with bench_lab(tmp_path, PLACES) as lab:
        lab.variables["CARRYOVER_MEMORY"] = MEMORY
        text = lab.environment.read_text()
        assert "boot_limit: 20" in text
        lab.environment.write_text(
            text.replace("boot_limit: 20", "boot_limit: 20\n        memory: 96")
        )
        out = tmp_path / "out"
        scale = str(max(1.0, 4 / (os.cpu_count() or 1)) * 2)
        process = lab.start(
            "fleet",
            *("--tag", "board=q35", "--out", str(out)),
            *("--carryover-time-scale", scale, "-k", "IgbContinuity and OneMiB or IgbRings"),
        )
        output, errors = process.communicate(timeout=300)
        said = json.loads(output)
        assert said["exit_code"] == 0, errors
        assert {place["place"] for place in said["places"]} == set(PLACES)
        assert said["verdicts"]["PASS"] >= len(PLACES)
        assert said["differing"] == []
        assert "4 of 4 places good" in (out / "report.html").read_text()
        begins, ends = [], []
        for place in PLACES:
            lines = (out / place / "results.jsonl").read_text().splitlines()
            marks = [json.loads(line) for line in lines if '"mark"' in line]
            begins.append(marks[0]["time"])
            ends.append(marks[-1]["time"])
        assert max(begins) < min(ends)  # all four were on at the same time
