# SPDX-License-Identifier: GPL-2.0-only
"""A run of the plugin on the real bench, with the program's hidden tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conftest import RUNNER, Run, heeding_interrupts

ENVIRONMENT = RUNNER.parent / "ci" / "bench.yaml"
_NEEDED = (
    "CARRYOVER_QEMU",
    "CARRYOVER_BOOT",
    "CARRYOVER_ACCEL",
    "CARRYOVER_CLOCK",
    "CARRYOVER_MEMORY",
    "CARRYOVER_SSH_KEY",
    "CARRYOVER_PROGRAM",
)


def variables_missing() -> list[str]:
    """Variables that the bench needs and that are not set."""
    return [name for name in _NEEDED if not os.environ.get(name)]


class BenchRun:
    """Runs hidden tests on QEMU; the environment may be edited first."""

    def __init__(self, folder: Path, environment: Path = ENVIRONMENT) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.options: list[str] = []
        self.incoming = ""
        self.environment = folder / environment.name
        self.environment.write_text(environment.read_text())
        (folder / "pytest.ini").write_text("[pytest]\n")

    def edit(self, old: str, new: str) -> None:
        """Changes the environment."""
        text = self.environment.read_text()
        assert old in text
        self.environment.write_text(text.replace(old, new))

    def kernels(self, outgoing: str, incoming: str, claims: Sequence[str]) -> None:
        """Boots and kexecs into other kernels: names of folders in $CARRYOVER_VERSIONS."""
        self.edit("$CARRYOVER_BOOT/bzImage", f"$CARRYOVER_VERSIONS/{outgoing}/bzImage")
        self.edit("$CARRYOVER_BOOT/initramfs", f"$CARRYOVER_VERSIONS/{outgoing}/initramfs")
        self.edit("path=$CARRYOVER_BOOT,", "path=$CARRYOVER_VERSIONS,")
        self.incoming = incoming
        self.options += ["--carryover-kernel", f"/boot/{incoming}/bzImage"]
        self.options += ["--carryover-initrd", f"/boot/{incoming}/initramfs"]
        self.options += [f"--carryover-claim={claim}" for claim in claims]

    def start(self, *tests: str, append: str = "") -> subprocess.Popen[str]:
        """Starts a run of these tests, of suite HiddenFault unless it is said ("Suite::Test")."""
        program = os.environ["CARRYOVER_PROGRAM"]
        command = [
            *(sys.executable, "-m", "pytest", "-p", "carryover.plugin"),
            *("--rootdir", str(self.folder), "-c", str(self.folder / "pytest.ini")),
            *("--lg-env", str(self.environment), "--carryover-out", str(self.out)),
            *("--carryover-hidden", "--carryover-append", append, *self.options),
            *(f"{program}::{t if '::' in t else f'HiddenFault::{t}'}" for t in tests),
        ]
        return subprocess.Popen(
            heeding_interrupts(command),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(RUNNER), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *tests: str, append: str = "") -> Run:
        """Runs them to the end."""
        process = self.start(*tests, append=append)
        output, _ = process.communicate(timeout=180)
        return Run(process.returncode, output, self.out)
