# SPDX-License-Identifier: GPL-2.0-only
"""What ci/bench tells the environments."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from python_path import PYTHON_PATH

from carryover_ci.bench import Bench, exports, runner_command
from carryover_ci.program import ROOT


@pytest.mark.parametrize(
    ("mode", "properties"),
    [
        ("legacy", ""),
        ("scalable", ",scalable-mode=on"),
        ("first-stage", ",scalable-mode=on,fsts=on"),
    ],
)
def test_the_iommu_has_a_mode(mode: str, properties: str) -> None:
    bench = Bench(Path("qemu"), Path("build/selftests/program"), Path("image"), "tcg", vtd=mode)
    assert bench.environment()["CARRYOVER_VTD"] == properties


@pytest.mark.parametrize("name", ["bench", "bridges", "drivers", "streams"])
def test_every_environment_has_the_iommu_in_the_mode_that_was_asked_for(name: str) -> None:
    text = (ROOT / "ci" / f"{name}.yaml").read_text()
    assert text.count("-device intel-iommu") == 1
    (line,) = (line for line in text.splitlines() if "-device intel-iommu" in line)
    assert line.endswith("$CARRYOVER_VTD")


def test_an_emulated_kernel_is_told_how_fast_its_clock_runs() -> None:
    bench = Bench(Path("qemu"), Path("build/selftests/program"), Path("image"), "tcg")
    clock = re.fullmatch(
        r"tsc=reliable tsc_early_khz=(\d+)", bench.environment()["CARRYOVER_CLOCK"]
    )
    assert clock
    assert 500_000 < int(clock[1]) < 10_000_000
    assert replace(bench, accelerator="kvm").environment()["CARRYOVER_CLOCK"] == "tsc=reliable"


@pytest.mark.parametrize("name", ["bench", "bridges", "drivers", "streams"])
def test_every_kernel_of_an_environment_is_told(name: str) -> None:
    lines = (ROOT / "ci" / f"{name}.yaml").read_text().splitlines()
    kernels = [line for line in lines if "liveupdate=on" in line]
    assert len(kernels) == 2
    assert all("$CARRYOVER_CLOCK" in line for line in kernels)


def test_a_shell_is_told_values_of_several_words() -> None:
    said = exports({"CLOCK": "tsc=reliable tsc_early_khz=1", "NAME": "it's"})
    command = ["bash", "-c", f'{said} printf "%s|%s" "$CLOCK" "$NAME"']
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == (
        "tsc=reliable tsc_early_khz=1|it's"
    )


def test_it_ends_in_carryover_run() -> None:
    bench = Bench(Path("qemu"), Path("build/selftests/program"), Path("image"), "tcg")
    command = runner_command(bench, ["-k", "Igb", "--json"])
    assert command[1:4] == ["-m", "carryover", "run"]
    assert command[command.index("--target") + 1] == str(ROOT / "ci" / "bench.yaml")
    assert command[-3:] == ["-k", "Igb", "--json"]


def test_a_bench_that_cannot_be_set_up_says_nothing_of_the_kernel() -> None:
    command = [sys.executable, "-m", "carryover_ci.bench", "--kernel-source", "/nowhere"]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    done = subprocess.run(
        [*command, "--qemu", "/nowhere/qemu"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "/nowhere" in done.stderr


@pytest.mark.parametrize("other", [["--repeat", "2"], ["--runner-tests"]])
def test_what_cannot_be_resumed(other: list[str]) -> None:
    command = [sys.executable, "-m", "carryover_ci.bench", "--resume", *other]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--resume is not for --repeat and --runner-tests" in done.stderr
