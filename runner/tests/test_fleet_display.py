# SPDX-License-Identifier: GPL-2.0-only
"""What a person sees of a fleet that runs."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from rich.console import Console

from carryover.exit_codes import ExitCode
from carryover.fleet.display import FleetDisplay, Progress
from carryover.fleet.outcome import PlaceOutcome
from carryover.verdict import Verdict


def line(event: str, **fields: object) -> str:
    return json.dumps({"event": event, **fields}) + "\n"


def test_progress_is_what_is_written(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.read_on()
    assert (progress.step, dict(progress.verdicts)) == ("begins", {})
    with (tmp_path / "results.jsonl").open("w") as file:
        file.write(line("begin") + line("mark", what="arm") + line("result", verdict="PASS")[:-9])
        file.flush()
        progress.read_on()
        assert (progress.step, dict(progress.verdicts)) == ("arm", {})
        file.write(line("result", verdict="PASS")[-9:] + line("result", verdict="FAIL"))
        file.flush()
        progress.read_on()
        progress.read_on()
    assert dict(progress.verdicts) == {Verdict.PASS: 1, Verdict.FAIL: 1}


def test_an_earlier_run_is_no_progress(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text(line("result", verdict="PASS"))
    os.utime(tmp_path / "results.jsonl", (1, 1))
    progress = Progress(tmp_path)
    progress.read_on()
    assert not progress.verdicts


def test_a_terminal_shows_what_runs(tmp_path: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=20, color_system=None)
    places = [f"rack-{number:02}" for number in range(30)]
    with FleetDisplay(console, len(places)) as display:
        for place in places:
            (tmp_path / place).mkdir()
            display.begins(place, tmp_path / place)
        (tmp_path / "rack-00" / "results.jsonl").write_text(
            line("mark", what="verify") + line("result", verdict="PASS")
        )
        assert display._live is not None
        display._live.refresh()
        shown = screen.getvalue()
        assert "rack-00  verify  0 s  1 PASS" in shown
        assert "rack-15  begins" in shown
        assert "rack-16  " not in shown
        assert "0 of 30 places have ended, 30 run, 14 of them not shown" in shown
        display.ends(PlaceOutcome("rack-00", tmp_path, ExitCode.INFRA, -9, "x" * 300, seconds=2.0))
        assert f"rack-00  no results  2.0 s  {'x' * 200}..." in screen.getvalue().replace("\n", "")
