# SPDX-License-Identifier: GPL-2.0-only
"""A lab of bench machines: places of a real coordinator, each with a QEMU of its run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from bench_run import ENVIRONMENT
from conftest import heeding_interrupts
from lab_on_fakes import export
from lab_services import LabServices, lab_services

_RESOURCES = re.compile(r"^    resources:\n.*?(?=^    drivers:)", re.MULTILINE | re.DOTALL)


class BenchLab:
    """Runs `carryover` on places, with the drivers of ci/bench.yaml."""

    def __init__(self, folder: Path, services: LabServices) -> None:
        self.folder = folder
        self.services = services
        self.variables = {**services.variables, "LG_COORDINATOR": services.address}
        self.environment = folder / "bench.yaml"
        place = "    resources:\n    - RemotePlace: {name: !template $LG_PLACE}\n"
        text, count = _RESOURCES.subn(place, ENVIRONMENT.read_text())
        assert count == 1
        self.environment.write_text(text)

    def start(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        """`carryover run` or `fleet`."""
        command = [sys.executable, "-m", "carryover", verb, "--target", str(self.environment)]
        return subprocess.Popen(
            heeding_interrupts([*command, "--json", *arguments]),
            cwd=self.folder, env=self.variables, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


@contextmanager
def bench_lab(folder: Path, places: Sequence[str], **more: str) -> Iterator[BenchLab]:
    """A lab whose places have `carryover=ready` and `board=q35`; `more` is as of export()."""
    with lab_services(folder / "services") as services:
        exports = services.folder / "exporter.yaml"
        exports.write_text(yaml.safe_dump(export(places, **more)))
        services.start_exporter("bench", exports, *places)
        services.add_places("bench", places, carryover="ready", board="q35")
        yield BenchLab(folder, services)
