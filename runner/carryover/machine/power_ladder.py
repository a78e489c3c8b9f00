# SPDX-License-Identifier: GPL-2.0-only
"""The power ladder: gets a machine that does not answer back, by the mildest means that works.

The rungs: a reboot over SSH, sysrq over the console, a power cycle by the BMC, off and on. A
machine that comes back by none of them is sick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labgrid.protocol import PowerProtocol

from carryover.errors import Infrastructure
from carryover.observation import Crashed, Watch


@dataclass(frozen=True)
class Rung:
    """One way to make a machine boot.

    Attributes:
        name: As it is told.
        act: Does it, or raises. Has a deadline of its own. None: this target has no such way.
        lacks: What the target lacks for it.
    """

    name: str
    act: Callable[[], object] | None
    lacks: str = ""


@dataclass(frozen=True)
class Attempt:
    """What became of one rung.

    Attributes:
        rung: Its name.
        outcome: Why the machine is not back; empty if it is.
        seconds: How long that took.
    """

    rung: str
    outcome: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.rung}: {self.outcome or f'back after {self.seconds:.1f} s'}"


class MachineSick(Infrastructure):
    """No rung brought the machine back: nobody is to use it before a person has looked at it.

    Attributes:
        attempts: What was tried, and why it did not help.
    """

    def __init__(self, why: str, attempts: Sequence[Attempt]) -> None:
        tried = "".join(f"\n  {attempt}" for attempt in attempts)
        super().__init__(f"the machine is sick: {why}{tried}")
        self.attempts = list(attempts)


class PowerLadder:
    """Climbs from rung to rung until the machine is seen to come back.

    Args:
        rungs: The mildest first; see rungs_of().
        limit: Seconds from the end of a rung's action until a kernel is ready; with the action's
            own deadline that is the rung's.
        journal: Called before each action and at the end, as Sinks.journal.
        tell: Gets a line for each rung, and for each fault of a kernel that is given up.
    """

    def __init__(
        self,
        rungs: Sequence[Rung],
        limit: float,
        journal: Callable[..., object],
        tell: Callable[[str], object],
    ) -> None:
        self._rungs = rungs
        self._limit = limit
        self._journal = journal
        self._tell = tell

    def climb(self, watch: Watch, why: str, boot_id: str = "") -> str:
        """Brings the machine back, and returns the boot id of the kernel that is ready.

        Args:
            watch: What is seen of the machine; starts anew at each rung.
            why: What happened to the machine, for the journal and the reason.
            boot_id: Of the boot that is lost: a late word of it is not taken for the new one's.

        Raises:
            MachineSick: It did not come back. The journal has the reason, as step `sick`.
        """
        attempts: list[Attempt] = []
        for rung in self._rungs:
            begin = time.monotonic()
            came_back, outcome = "", f"left out: {rung.lacks}"
            if rung.act is not None:
                self._journal("recover", rung=rung.name, why=why)
                for fault in watch.begin_anew().faults:
                    self._tell(f"kernel fault: {fault}")
                came_back, outcome = self._try(rung.act, rung.name, watch, boot_id)
            attempts.append(Attempt(rung.name, outcome, time.monotonic() - begin))
            self._tell(str(attempts[-1]))
            if came_back:
                watch.health.is_recovering = False
                self._journal("recovered", rung=rung.name, boot_id=came_back)
                return came_back
        sick = MachineSick(why, attempts)
        self._journal("sick", reason=str(sick))
        raise sick

    def _try(
        self, act: Callable[[], object], name: str, watch: Watch, boot_id: str
    ) -> tuple[str, str]:
        """The new boot's id, or why there is none."""
        try:
            act()
        except Exception as error:  # whatever a rung fails by, the next is tried
            return "", str(error) or type(error).__name__
        try:
            ready = watch.wait_until_ready(self._limit, name, boot_id)
            return ready.values["boot_id"], ""
        except Crashed as crashed:
            return "", crashed.reason


def rungs_without_kernel(rungs: Sequence[Rung], *, returns_by_itself: bool) -> list[Rung]:
    """The rungs, if it is known that there is no kernel that an SSH reboot could ask.

    Args:
        rungs: Of rungs_of(); or none.
        returns_by_itself: The machine was reset, or its kernel reboots as it panics.
    """
    if not rungs:
        return []
    if returns_by_itself:
        return [Rung("by itself", lambda: None), *rungs]
    return [Rung(rungs[0].name, None, "its kernel has stopped"), *rungs[1:]]


def rungs_of(
    ssh_reboot: Callable[[], object] | None,
    sysrq: Callable[[str], object] | None,
    power: PowerProtocol | None,
    delay: float = 5.0,
) -> list[Rung]:
    """The rungs of a target, in order; those for which it lacks something are left out, and say so.

    Args:
        ssh_reboot: Starts an orderly reboot; TargetSSHDriver.reboot().
        sysrq: Sends a sysrq key over the console; see sysrq.py.
        power: Its power, by a BMC or a switched socket.
        delay: Seconds between off and on.
    """

    def off_and_on() -> None:
        assert power is not None
        power.off()
        time.sleep(delay)
        power.on()

    no_power = "the target has no driver of its power"
    return [
        Rung("SSH reboot", ssh_reboot, "the target has no SSH"),
        Rung(
            "sysrq",
            (lambda: sysrq("b")) if sysrq else None,
            "the target's console cannot send a break",
        ),
        Rung("power cycle", power.cycle if power else None, no_power),
        Rung("off and on", off_and_on if power else None, no_power),
    ]
