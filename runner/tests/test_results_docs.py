# SPDX-License-Identifier: GPL-2.0-only
"""docs/results.md names what a run leaves, and what its exit status says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import RUNNER, FakeBench

from carryover.__main__ import main
from carryover.exit_codes import ExitCode
from carryover.outputs.results import _FILES
from carryover.outputs.saved_run import SCHEMA

TEXT = (RUNNER.parent / "docs" / "results.md").read_text()


def keys_of_table(heading: str) -> set[str]:
    """The words in backquotes in the first column of the first table below a heading."""
    table = (
        TEXT.partition(f"\n## {heading}\n")[2].partition("\n|---|---|\n")[2].partition("\n\n")[0]
    )
    assert table, heading
    return {
        word for row in table.splitlines() for word in re.findall(r"`(.*?)`", row.split("|")[1])
    }


def test_every_file_is_told_of(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.Fails")
    named = keys_of_table("What a run leaves")
    assert {path.name for path in run.out.iterdir() if path.is_file()} <= named
    assert set(_FILES) <= named
    assert {path.name for path in (run.out / "logs").iterdir()} == {"Memory.Fails.log"}
    assert "logs/SUITE.TEST.log" in named


def test_every_exit_code_is_told_of() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", TEXT.partition("## For scripts")[0], re.MULTILINE)
    assert rows == [(str(code.value), code.meaning) for code in ExitCode]


def test_every_key_of_the_outcome_is_told_of(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target, program = str(tmp_path / "none.yaml"), str(tmp_path / "none")
    assert main(["run", "--target", target, "--program", program, "--json"]) == 2
    outcome = json.loads(capfd.readouterr().out)
    assert keys_of_table("For scripts: `carryover run`") == outcome.keys()


def test_every_key_of_a_comparison_is_told_of(
    fake: FakeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(fake.run_tests("Rules.Passes").out)
    assert main(["compare", "--json", out, out]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["a"] == out
    table = TEXT.partition("| key of `--json` |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert {word for row in rows for word in re.findall(r"`(.*?)`", row)} == said.keys()


def test_the_version_is_told() -> None:
    assert f"Schema version {SCHEMA}," in TEXT
