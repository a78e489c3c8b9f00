# SPDX-License-Identifier: GPL-2.0-only
"""Liveness: whether the kernel of a machine that is not ours lives, by SSH and by sysrq.

Silence alone is no death: a network can fail, and so can a console.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from carryover.errors import Infrastructure
from carryover.machine.contact import ContactSeeker
from carryover.machine.machine import MachineProtocol
from carryover.machine.remote import TargetSSHDriver
from carryover.observation import ConsoleLine, ConsoleLines, DeadlineExpired, Reached, Watch

_SYSRQ = "sysrq: "  # begins what a kernel says to a key
_HELP = "sysrq: HELP"
# Seconds before time_scale.
_SYSRQ_LIMIT = 3.0  # for a kernel to answer a key
_ASK = 5.0  # for one attempt by SSH


class Liveness:
    """Asks one machine.

    Args:
        machine: Its console.
        ssh: Its SSH.
        time_scale: Multiplies every deadline.
    """

    def __init__(self, machine: MachineProtocol, ssh: TargetSSHDriver, time_scale: float) -> None:
        self._machine = machine
        self._ssh = ssh
        self._time_scale = time_scale
        self._takes_sysrq = False

    def present_boot(self) -> str:
        """The boot id of what answers over SSH now; empty if nothing does."""
        try:
            return self._ssh.contact(_ASK * self._time_scale).boot_id
        except Infrastructure:
            return ""

    def learn(self, watch: Watch) -> None:
        """Finds out whether this kernel, which is well, answers sysrq: later silence tells then."""
        self._takes_sysrq = self._answers_sysrq(watch)

    def press(self, watch: Watch, key: str) -> None:
        """Sends a sysrq key, and raises Infrastructure if the kernel does not say it has it."""
        if not any(_SYSRQ in line for line in self._said_to(watch, key)):
            raise Infrastructure("the kernel says nothing to it: it is dead, or does not take it")

    def look(self, watch: Watch, boot_id: str, limit: float) -> None:
        """Looks what became of the machine, as the connection to this boot was lost.

        Returns if its kernel lives: then the connection alone is lost.

        Args:
            watch: What is seen of it.
            boot_id: Of the boot that was connected.
            limit: Seconds for it to answer over SSH.

        Raises:
            Crashed: It died, or has booted by itself.
            Infrastructure: It cannot be told.
        """
        deadline = time.monotonic() + limit
        seeker = ContactSeeker(self._ssh.contact, watch, any_boot=True)
        try:
            while time.monotonic() < deadline:
                seen = watch.next(deadline)
                if isinstance(seen, Reached) and seen.message.values["boot_id"] == boot_id:
                    return
        except DeadlineExpired:
            pass
        finally:
            seeker.stop()
        if not self._takes_sysrq or watch.health.console_lost:
            raise Infrastructure(
                "the target cannot be reached any more, and nothing else tells of it: "
                f"{seeker.last_error or 'no answer'}"
            )
        if not self._answers_sysrq(watch):
            raise watch.silence(
                f"neither SSH nor the console, which took sysrq, answers any more ({limit:g} s)"
            )

    def _answers_sysrq(self, watch: Watch) -> bool:
        try:
            return any(_HELP in line for line in self._said_to(watch, "h"))
        except Infrastructure:
            return False

    def _said_to(self, watch: Watch, key: str) -> Iterator[str]:
        """What comes on the console within some seconds after a sysrq key."""
        send = self._machine.sysrq
        if send is None:
            return
        send(key)
        deadline = time.monotonic() + _SYSRQ_LIMIT * self._time_scale
        while time.monotonic() < deadline:
            try:
                seen = watch.next(deadline)
            except DeadlineExpired:
                return
            if isinstance(seen, ConsoleLine):
                yield seen.text
            elif isinstance(seen, ConsoleLines):
                yield from seen.texts
