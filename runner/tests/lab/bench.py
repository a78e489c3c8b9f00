# SPDX-License-Identifier: GPL-2.0-only
"""The lab bench: a QEMU machine that a run does not start, behind a BMC, SSH and a console."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import attr
from bench_run import ENVIRONMENT
from bmc.bench_machine import BenchMachine, RebootingBenchDriver
from conftest import RUNNER, Run, heeding_interrupts
from labgrid.factory import target_factory

from carryover.errors import Infrastructure
from carryover.machine.contact import Contact

EXAMPLE = RUNNER.parent / "docs" / "examples" / "lab" / "machine.yaml"
_LIMIT = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@target_factory.reg_driver
@attr.s(eq=False)
class LabBenchDriver(RebootingBenchDriver):
    """Its console is a telnet server: for whoever the lab's console server is."""

    console_port: int = attr.ib(default=0)

    def _command(self, append: str, console: str) -> list[str]:
        chardev = f"socket,id=serialsocket,host=127.0.0.1,port={self.console_port}"
        chardev += ",server=on,wait=off,telnet=on"
        words = super()._command(append, console)
        return [chardev if word.startswith("file,id=serialsocket") else word for word in words]


class LabBenchMachine(BenchMachine):
    """A machine on fixed ports, which outlives every run."""

    def __init__(self, folder: Path) -> None:
        self.ssh_port, self.console_port = free_port(), free_port()
        text = ENVIRONMENT.read_text()
        text = text.replace("tcp:127.0.0.1:0-:22", f"tcp:127.0.0.1:{self.ssh_port}-:22")
        text = text.replace(
            "- BenchDriver:", f"- LabBenchDriver:\n        console_port: {self.console_port}"
        )
        super().__init__(folder, text)

    def contact(self) -> Contact:
        """Who answers over SSH, as soon as somebody does."""
        self.ssh.networkservice.port = self.ssh_port
        end = time.monotonic() + _LIMIT
        while True:
            try:
                return self.ssh.contact(5.0)
            except Infrastructure:
                assert time.monotonic() < end, "nobody answers over SSH"

    def said_over_ssh(self, command: str) -> str:
        """What a command on the machine prints."""
        self.ssh.connect(self.ssh_port)
        try:
            return self.ssh.run_to_end(command, _LIMIT)
        finally:
            self.ssh.drop()


class LabRun:
    """`carryover run` on the example of docs/lab.md, with the lab bench in place of its machine."""

    def __init__(self, folder: Path, machine: LabBenchMachine) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.environment = folder / "machine.yaml"
        self.environment.write_text(EXAMPLE.read_text())
        self.edit(
            "address: rack3-07.lab.example",
            f"address: 127.0.0.1\n        port: {machine.ssh_port}",
        )
        self.edit("boot_limit: 300", "boot_limit: 45\n        delay: 0.1")
        self.edit("boot_limit: 60", "boot_limit: 20")
        # What an emulated machine needs (bench.yaml).
        clock = os.environ["CARRYOVER_CLOCK"]
        self.edit("liveupdate=on", f"liveupdate=on no_timer_check {clock}")
        self.edit("keyfile: $", "connection_timeout: 4.0\n        keyfile: $")

    def edit(self, old: str, new: str) -> None:
        """Changes the environment."""
        text = self.environment.read_text()
        assert old in text
        self.environment.write_text(text.replace(old, new))

    def command(self, program: str, *tests: str, options: tuple[str, ...] = ()) -> list[str]:
        named = [f"{program}::{t if '::' in t else f'HiddenFault::{t}'}" for t in tests]
        return [
            *(sys.executable, "-m", "carryover", "run", "--target", str(self.environment)),
            *("--carryover-out", str(self.out), "--carryover-hidden", *options, *named),
        ]

    def start(self, *words: str, variables: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            heeding_interrupts(list(words)),
            cwd=self.folder,
            env={**variables, "PYTHONPATH": str(RUNNER), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end_of(self, process: subprocess.Popen[str], limit: float = 240.0) -> Run:
        output, _ = process.communicate(timeout=limit)
        return Run(process.returncode, output, self.out)
