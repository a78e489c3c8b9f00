# SPDX-License-Identifier: GPL-2.0-only
"""A lab of fake machines: places of a real coordinator, whose machines exist only in files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml
from conftest import FakeBench, heeding_interrupts
from lab_services import LabServices, lab_services

DEVICE = {"cls": "PciTestDevice", "address": "0000:01:00.0", "id": "8086:10c9", "driver": "igb"}


SERIAL = "00-1b-21-ff-ff-8a-3c-10"


def export(places: Sequence[str], **more: str) -> dict[str, Any]:
    """What an exporter offers for such places; `more` is said of the first device."""
    return {
        place: {
            "NetworkService": {"address": "127.0.0.1", "username": "root"},
            "igb0": {**DEVICE, **more},
            "igb1": {**DEVICE, "address": "0000:02:00.0"},
        }
        for place in places
    }


class FakeLab:
    """Runs `carryover` on places."""

    def __init__(self, fake: FakeBench, services: LabServices) -> None:
        self.fake = fake
        self.services = services
        self.variables = {**fake.variables, "LG_COORDINATOR": services.address}
        environment = yaml.safe_load(fake.environment.read_text())
        environment["targets"]["main"]["resources"] = [{"RemotePlace": {"name": "PLACE"}}]
        text = yaml.safe_dump(environment, sort_keys=False)
        fake.environment.write_text(text.replace("name: PLACE", "name: !template $LG_PLACE"))

    def start(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        """`carryover VERB`; `run` and `fleet` on the fake machine."""
        command = [sys.executable, "-m", "carryover", verb, *arguments]
        if verb in ("run", "fleet"):
            command += ["--target", str(self.fake.environment), "-p", "fake.machine"]
            command += ["--program", str(self.fake.program)]
        return subprocess.Popen(
            heeding_interrupts(command),
            cwd=self.fake.folder, env=self.variables, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def start_run(self, *arguments: str, out: str = "out") -> subprocess.Popen[str]:
        """A run, with a directory of its own."""
        folder = self.fake.folder / out
        return self.start("run", "--carryover-out", str(folder), "--json", *arguments)

    def run(self, *arguments: str, out: str = "out") -> tuple[int, dict[str, Any], str]:
        """Its exit status, what it printed as JSON, and what it said to a person."""
        process = self.start_run(*arguments, out=out)
        output, errors = process.communicate(timeout=60)
        return process.returncode, json.loads(output or "{}"), errors

    def said(self, verb: str, *arguments: str, status: int = 0) -> str:
        """What another command prints."""
        process = self.start(verb, *arguments)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == status, output + errors
        return output + errors

    def show(self, place: str) -> str:
        """What labgrid-client shows of a place."""
        return self.services.client("-p", place, "show")


@contextmanager
def fake_lab(
    fake: FakeBench, places: Sequence[str], spare: Sequence[str] = ()
) -> Iterator[FakeLab]:
    """A lab whose places have `carryover=ready` and `board=fake`; the spare ones are no places."""
    with lab_services(fake.folder / "services") as services:
        exports = services.folder / "exporter.yaml"
        exports.write_text(yaml.safe_dump(export([*places, *spare], serial=SERIAL)))
        services.start_exporter("rack", exports, *places, *spare)
        services.add_places("rack", places, carryover="ready", board="fake")
        yield FakeLab(fake, services)
