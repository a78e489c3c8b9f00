# SPDX-License-Identifier: GPL-2.0-only
"""A whole run of the plugin, in a process of its own, on a target that exists only in files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from results_schema import check_records
from saved_runs import every_verdict

from carryover import report

if TYPE_CHECKING:
    from browser import Browser

TESTS = Path(__file__).parent
RUNNER = TESTS.parent
FAKE = TESTS / "fake"


@dataclass
class Run:
    """How a run ended."""

    status: int
    output: str
    out: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        path = self.out / "results.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        check_records(records)  # so that whatever any test makes a run write is in the schema
        return records

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        return {r["name"]: r for r in self.records if r["event"] == "result"}

    @property
    def verdicts(self) -> dict[str, str]:
        return {name: result["verdict"] for name, result in self.results.items()}


def heeding_interrupts(command: list[str]) -> list[str]:
    """The command, with Ctrl-C as at a terminal: shells start background jobs without it."""
    return ["env", "--default-signal=INT", *command]


class FakeBench:
    """Runs the plugin on the fake target."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.environment = folder / "environment.yaml"
        self.program = folder / "program"
        shutil.copy(FAKE / "environment.yaml", self.environment)
        shutil.copy(FAKE / "program.py", self.program)
        (folder / "pytest.ini").write_text("[pytest]\n")
        self.variables = {
            **os.environ,
            "PYTHONPATH": f"{RUNNER}{os.pathsep}{TESTS}",
            "CARRYOVER_FAKE_WORLD": str(folder),
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-m", "pytest", "-p", "carryover.plugin", "-p", "fake.machine"),
            *("--rootdir", str(self.folder), "-c", str(self.folder / "pytest.ini")),
            *("--lg-env", str(self.environment), "--carryover-out", str(self.out)),
            *(str(self.program), *arguments),
        ]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            heeding_interrupts(self.command(*arguments)),
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> Run:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        return Run(process.returncode, output, self.out)

    def run_tests(self, *names: str, reruns: int = 8) -> Run:
        paths = [f"{self.program}::{name.replace('.', '::')}" for name in names]
        command = self.command("--carryover-reruns", str(reruns))
        command.remove(str(self.program))
        process = subprocess.run(
            [*command, *paths],
            cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return Run(process.returncode, process.stdout + process.stderr, self.out)


@pytest.fixture
def fake(tmp_path: Path) -> FakeBench:
    # Socket addresses are short: 108 bytes.
    folder = tmp_path
    return FakeBench(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=18m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here: not root, or not allowed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    from browser import Browser

    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser; whatever a test does, the page stays without errors and asks nobody else."""
    chromium.look()
    yield chromium
    assert chromium.messages() == []
    asked = {url for url in chromium.requests() if not url.startswith(("file://", "about:"))}
    assert asked == set()


@pytest.fixture(scope="session")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with every verdict."""
    return report.write(every_verdict(tmp_path_factory.mktemp("every")).end().write())
