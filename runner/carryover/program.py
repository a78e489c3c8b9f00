# SPDX-License-Identifier: GPL-2.0-only
"""The program: its list of tests on the controller, and command lines for the target."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carryover.errors import BadInput, ProtocolError
from carryover.events import Event, TestInfo, parse
from carryover.program_options import NO_OPTIONS, ProgramOptions

_LIST_LIMIT = 30.0

# How memory is mapped for devices, and what the target's kernel must have for it.
IOMMU_MODES = {
    "iommufd": ("vfio_cdev", "iommufd"),
    "iommufd_compat": ("iommufd",),
    "type1v2": ("vfio_type1",),
    "type1": ("vfio_type1",),
}

# Verbs that take the machine: one run has it at a time.
_TAKING = ("run", "arm", "verify", "kexec", "release", "restore")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CANNOT = 3
EXIT_REFUSED = 4


def list_tests(program: Path, options: ProgramOptions = NO_OPTIONS) -> list[TestInfo]:
    """Asks the program which tests it holds; touches nothing.

    Raises:
        BadInput: The program cannot be run here, or lists no tests.
    """
    command = [str(program), "list", "--json", *options.words()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIST_LIMIT)
    except OSError as error:
        raise BadInput(
            f"{program}: {error.strerror}; give the path of a built carryover-selftests"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"{program} list --json does not end within {_LIST_LIMIT:g} s") from error
    try:
        events = [parse(line) for line in done.stdout.splitlines() if line]
        tests = [TestInfo.from_event(event) for event in events if event.kind == "test"]
    except ProtocolError as error:
        raise BadInput(f"{program} list --json: {error}") from error
    if done.returncode != 0 or not events or events[-1].kind != "end":
        said = next((e.text("message") for e in events if e.kind == "error"), done.stderr.strip())
        raise BadInput(f"{program} list --json ended with {done.returncode}: {said or 'no reason'}")
    if not tests:
        raise BadInput(f"{program} list --json names no tests; is it a carryover-selftests?")
    return tests


@dataclass(frozen=True)
class ProgramOnTarget:
    """Where the program is on the target, and what it is told about the target.

    Attributes:
        path: Absolute path on the target.
        devices: ``ADDRESS,VENDOR:DEVICE,DRIVER`` of each PCI function that may be used.
        claims: What this target's kernel claims to carry over.
        iommu_mode: One of ``IOMMU_MODES``.
        time_scale: Multiplies every deadline.
        options: What it is told of its tests.
        memory: MiB that must be available on the target.
        owner: Who has the machine meanwhile; empty: the program says who is logged in.
    """

    path: str
    devices: tuple[str, ...] = ()
    claims: tuple[str, ...] = ("memory",)
    iommu_mode: str = "iommufd"
    time_scale: float = 1.0
    options: ProgramOptions = NO_OPTIONS
    memory: int = 1024
    owner: str = ""

    def drivers(self) -> set[str]:
        """Those that a device is listed for."""
        return {device.split(",")[2] for device in self.devices}

    def command(self, verb: str, names: Iterable[str] = (), *extra: str) -> str:
        """A shell command line for the target that reports by JSON lines."""
        words = [self.path, verb, "--json"]
        if verb in ("run", "arm", "verify", "probe"):
            for device in self.devices:
                words += ["--device", device]
            for claim in self.claims:
                words += ["--claim", claim]
            words += ["--iommu-mode", self.iommu_mode, "--time-scale", f"{self.time_scale:g}"]
            words += ["--memory", str(self.memory)] if verb == "probe" else self.options.words()
        if verb in _TAKING and self.owner:
            words += ["--owner", self.owner]
        words += extra
        selection = ":".join(names)
        if selection:
            words.append(selection)
        return shlex.join(words)


def said(events: Iterable[Event]) -> str:
    """The ``error`` messages among these events, joined."""
    return "; ".join(event.text("message") for event in events if event.kind == "error")


def restore_words(entry: Mapping[str, Any]) -> list[str]:
    """What the program's verb `restore` is told of a journal's entry `bound`."""
    words = ["--device", f"{entry['address']},{entry['id']}"]
    if entry.get("from"):
        words += ["--driver", entry["from"]]
    if entry.get("driver_override"):
        words += ["--driver-override", entry["driver_override"]]
    return words
