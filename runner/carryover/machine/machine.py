# SPDX-License-Identifier: GPL-2.0-only
"""What KexecStrategy and Campaign need of a machine, whoever switches it."""

from __future__ import annotations

import abc
from collections.abc import Callable
from pathlib import Path

from carryover.console.recorder import LineSink
from carryover.machine.power_ladder import Rung
from carryover.observation import Watch


class MachineProtocol(abc.ABC):
    """A machine under test. The bench's is a process of this run; a lab's was there before it.

    Attributes:
        is_ours: It begins with power_on() and ends with power_off(), or by a reset. One that is not
            ours runs on, and is booted by rungs().
        ssh_port: Where its SSH is; 0: where the NetworkService says.
        violations: What drivers did that a device's specification forbids, until somebody takes it.
        boot_limit: Seconds that one that is not ours may take to boot through its firmware.
    """

    is_ours: bool
    ssh_port: int
    violations: list[str]
    boot_limit: float = 0.0

    @property
    @abc.abstractmethod
    def pid(self) -> int:
        """Process id of the machine itself; 0 if it does not run, or is no process of this run."""

    @abc.abstractmethod
    def power_on(self, watch: Watch, console: LineSink, error_log: Path, append: str) -> None:
        """Whoever reads from it reads, and then a machine that is ours starts.

        Args:
            watch: Hears of console lines and of the machine's events, until power_off().
            console: Gets each line of the console.
            error_log: What the machine's own process says, if there is one.
            append: More words for the kernel's command line, of a machine that is ours.

        Raises:
            Infrastructure: That does not work.
            BadInput: It cannot work as the environment has it.
        """

    @abc.abstractmethod
    def power_off(self) -> None:
        """A machine that is ours ends; one that is not is only not watched any more. Idempotent."""

    @abc.abstractmethod
    def let_go(self) -> None:
        """The machine is somebody else's from now on: nothing is done to it, or read from it."""

    def take_notes(self) -> list[str]:
        """What a person has to know of what ran beside it, since it was asked last."""
        return []

    @abc.abstractmethod
    def planned_boot(self, append: str) -> list[str]:
        """What a cold boot would do to it, in words; nothing is done.

        Args:
            append: More words for the kernel's command line, of a machine that is ours.
        """

    @abc.abstractmethod
    def planned_end(self) -> list[str]:
        """What would become of it in the end."""

    @property
    def is_observed(self) -> bool:
        """Of a machine that is not ours: power_on() was done, and neither let_go() nor end()."""
        return False

    @property
    def is_put_back(self) -> bool:
        """One that is not ours boots its own kernel after the run."""
        return False

    @property
    def has_console(self) -> bool:
        """Whether what its kernels print is read."""
        return True

    def rungs(
        self, ssh_reboot: Callable[[], object], sysrq: Callable[[str], object] | None
    ) -> list[Rung]:
        """How a machine that is not ours is made to boot, the mildest way first.

        Args:
            ssh_reboot: Starts an orderly reboot.
            sysrq: Sends a sysrq key, and fails if the kernel says nothing to it; None if the
                property `sysrq` is.
        """
        return []

    @property
    def sysrq(self) -> Callable[[str], object] | None:
        """Sends a sysrq key over the console; None if there is no console that can."""
        return None

    def end(self) -> None:
        """The run is over: nothing is read from the machine any more. Idempotent."""
        self.power_off()
