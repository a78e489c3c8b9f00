# SPDX-License-Identifier: GPL-2.0-only
"""A bench machine for a BMC to have in hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attr
from bench_run import ENVIRONMENT
from labgrid import Environment
from labgrid.factory import target_factory

from carryover.environment import check
from carryover.machine.bench import BenchDriver
from carryover.machine.remote import TargetSSHDriver
from carryover.observation import ConsoleLine, ConsoleLines, Observation, Watch
from carryover.outputs.journal import start_time

BOOT_LIMIT = 40.0


@target_factory.reg_driver
@attr.s(eq=False)
class RebootingBenchDriver(BenchDriver):
    """A bench machine that goes through a reset, as hardware does."""

    def get_qemu_base_args(self) -> list[str]:
        return [word for word in super().get_qemu_base_args() if word != "-no-reboot"]


class ConsoleAlone(Watch):
    """Hands on what can be seen of a machine that is not our process."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def post(self, seen: Observation) -> None:
        if isinstance(seen, ConsoleLine | ConsoleLines):
            self._watch.post(seen)


class BenchMachine:
    """What the BMC has in hand.

    Its QEMU dies with the thread that started it (prctl(2), PR_SET_PDEATHSIG): that is one of its
    own, not that of a request.
    """

    def __init__(self, folder: Path, text: str = "") -> None:
        """Prepares one that is off.

        Args:
            folder: For its files.
            text: Its environment; without it, that of the bench.
        """
        environment = folder / "bench.yaml"
        text = text or ENVIRONMENT.read_text().replace("- BenchDriver:", "- RebootingBenchDriver:")
        environment.write_text(text)
        check(environment, files=True)
        self.target = Environment(str(environment)).get_target()
        self.bench: RebootingBenchDriver = self.target.get_driver(BenchDriver, activate=False)
        self.ssh: TargetSSHDriver = self.target.get_driver(TargetSSHDriver, activate=False)
        self._folder = folder
        self._console = (folder / "console.log").open("w")
        self._thread = ThreadPoolExecutor(1)
        self.watch = Watch()

    @property
    def is_on(self) -> bool:
        return start_time(self.bench.pid) != 0

    def on(self) -> None:
        if not self.is_on:
            self._thread.submit(self._on).result()

    def _on(self) -> None:
        seen = ConsoleAlone(self.watch)
        self.bench.power_on(seen, self._write, self._folder / "qemu.log", "")

    def _write(self, when: float, *lines: str) -> None:
        self._console.writelines(f"{line}\n" for line in lines)

    def off(self) -> None:
        self._thread.submit(self.bench.power_off).result()

    def reset(self) -> None:
        self.bench.qmp.execute("system_reset")

    def hang(self) -> None:
        """No instruction is executed any more."""
        self.bench.qmp.execute("stop")

    def wait_until_ready(self) -> str:
        """The boot id of the kernel that is ready."""
        return self.watch.wait_until_ready(BOOT_LIMIT, "power-on").values["boot_id"]

    def connect(self) -> None:
        self.ssh.connect(self.bench.ssh_port)

    def run(self, command: str) -> None:
        self.connect()
        self.ssh.run(command)

    def end(self) -> None:
        self.ssh.drop()
        self.off()
        self._thread.shutdown()
        self._console.close()
