# SPDX-License-Identifier: GPL-2.0-only
"""The program on a bench machine that is nobody's child, asked by hand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench_run import variables_missing
from bmc.bench_machine import BenchMachine

PROGRAM = "/usr/bin/carryover-selftests"
DEVICE = ("0000:01:00.0", "8086:10c9")
KEXEC = ["--kernel", "/boot/bzImage", "--initrd", "/boot/initramfs", "--append"]
KEXEC.append("console=ttyS0 intel_iommu=on kho=on liveupdate=on panic=-1 no_timer_check")
_LIMIT = 60.0


@dataclass(frozen=True)
class Answer:
    """What the program said."""

    status: int
    events: list[dict[str, Any]]

    def only(self, kind: str) -> dict[str, Any]:
        found = [event for event in self.events if event["event"] == kind]
        assert len(found) == 1, self.events
        return found[0]

    @property
    def held(self) -> str:
        """Who has the machine, for which it refuses."""
        return self._refused("held")

    @property
    def device_refused(self) -> str:
        """Why it does not touch a device."""
        return self._refused("device")

    def _refused(self, kind: str) -> str:
        assert self.status == 3, self.events
        error = self.only("error")
        assert error["kind"] == kind
        return str(error["message"])


class Target:
    """The program on a machine that is on."""

    def __init__(self, machine: BenchMachine) -> None:
        self.machine = machine
        machine.on()
        self.boot_id = machine.wait_until_ready()
        machine.connect()

    def ask(self, verb: str, *words: str, owner: str = "") -> Answer:
        owners = ["--owner", owner] if owner else []
        return self.run(shlex.join([PROGRAM, verb, "--json", *owners, *words]))

    def run(self, command: str) -> Answer:
        out, _, status = self.machine.ssh.run(command, timeout=_LIMIT)
        return Answer(status, [json.loads(line) for line in out])

    def do(self, *commands: str) -> None:
        """Others than the program."""
        for command in commands:
            out, err, status = self.machine.ssh.run(command, timeout=_LIMIT)
            assert status == 0, (command, out, err)

    def arm(self, owner: str, test: str, *words: str) -> int:
        """Process id of the holder."""
        answer = self.ask("arm", test, *words, owner=owner)
        assert answer.status == 0, answer.events
        return int(answer.only("holding")["pid"])

    def kexec(self, owner: str) -> None:
        """The connection is cut by it: what the command came to is not asked."""
        self.machine.watch.begin_anew()
        words = [PROGRAM, "kexec", "--json", "--owner", owner, *KEXEC]
        self.machine.ssh.run(f"({shlex.join(words)}) >/dev/null 2>&1 </dev/null &", timeout=_LIMIT)
        self.wait_for_another_boot()

    def wait_for_another_boot(self) -> None:
        """Another kernel is no surprise to `machine.watch` since its begin_anew()."""
        self.machine.ssh.drop()
        while (boot_id := self.machine.wait_until_ready()) == self.boot_id:
            pass  # a late word of the old one
        self.boot_id = boot_id
        self.machine.connect()

    def driver(self, address: str = DEVICE[0]) -> tuple[str, str]:
        """Driver of a device, and its driver_override."""
        folder = f"/sys/bus/pci/devices/{address}"
        link, _, _ = self.machine.ssh.run(f"readlink {folder}/driver", timeout=_LIMIT)
        override, _, _ = self.machine.ssh.run(f"cat {folder}/driver_override", timeout=_LIMIT)
        return (link[0].rpartition("/")[2] if link else ""), override[0]


@contextmanager
def target_on_bench(folder: Path, text: str = "") -> Iterator[Target]:
    """A machine of this environment, the bench's unless it is said, until the end."""
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    machine = BenchMachine(folder, text)
    try:
        yield Target(machine)
    finally:
        machine.end()
