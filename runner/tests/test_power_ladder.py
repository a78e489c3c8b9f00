# SPDX-License-Identifier: GPL-2.0-only
"""The power ladder: which rungs are taken, and what is told of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from carryover.errors import Infrastructure, OutputFailed
from carryover.kernel.messages import recognise
from carryover.machine.power_ladder import MachineSick, PowerLadder, rungs_of
from carryover.observation import ConsoleLine, ReaderFailed, Watch

LIMIT = 0.1
LOST = "11111111-old"


class Machine:
    """One that comes back by some of the rungs only."""

    def __init__(self, *cures: str) -> None:
        self.watch = Watch()
        self.cures = cures
        self.done: list[str] = []
        self.says = ["Linux version 7.3.4", "carryover: target ready boot_id=22-new nonce=x"]

    def say(self, *lines: str) -> None:
        for line in lines:
            self.watch.post(ConsoleLine(time.monotonic(), line, recognise(line)))

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.cures:
            self.say(*self.says)

    def ssh_reboot(self) -> None:
        self._do("ssh")

    def sysrq(self, key: str) -> None:
        self._do(f"sysrq {key}")

    def cycle(self) -> None:
        self._do("cycle")

    def off(self) -> None:
        self._do("off")

    def on(self) -> None:
        self._do("on")


class Log:
    def __init__(self) -> None:
        self.steps: list[tuple[str, dict[str, Any]]] = []
        self.told: list[str] = []

    def journal(self, step: str, **fields: Any) -> None:
        self.steps.append((step, fields))


def ladder_of(machine: Machine, log: Log, **lacking: None) -> PowerLadder:
    given: dict[str, Any] = {"ssh_reboot": machine.ssh_reboot, "sysrq": machine.sysrq}
    rungs = rungs_of(**({**given, "power": machine} | lacking), delay=0)
    return PowerLadder(rungs, LIMIT, log.journal, log.told.append)


ALL = ["ssh", "sysrq b", "cycle", "off", "on"]


@pytest.mark.parametrize(
    ("cure", "done", "rung"),
    [
        ("ssh", ALL[:1], "SSH reboot"),
        ("sysrq b", ALL[:2], "sysrq"),
        ("cycle", ALL[:3], "power cycle"),
        ("on", ALL, "off and on"),
    ],
)
def test_the_mildest_rung_that_works(cure: str, done: list[str], rung: str) -> None:
    machine, log = Machine(cure), Log()
    assert ladder_of(machine, log).climb(machine.watch, "it hangs", LOST) == "22-new"
    assert machine.done == done
    taken = [fields["rung"] for step, fields in log.steps if step == "recover"]
    assert taken[-1] == rung
    assert log.steps[-1] == ("recovered", {"rung": rung, "boot_id": "22-new"})
    assert log.told[-1].startswith(f"{rung}: back after 0.")
    assert len(log.told) == len(taken)


def test_each_action_is_in_the_journal_before_it_is_done() -> None:
    machine, log = Machine(), Log()
    seen = []
    machine.ssh_reboot = lambda: seen.append(list(log.steps))  # type: ignore[method-assign]
    with pytest.raises(MachineSick):
        ladder_of(machine, log).climb(machine.watch, "it hangs")
    assert seen == [[("recover", {"rung": "SSH reboot", "why": "it hangs"})]]


def test_a_machine_that_does_not_come_back_is_sick() -> None:
    machine, log = Machine(), Log()
    machine.cures = ("off",)  # a machine that is going off says a last word
    machine.says = ["going down"]
    begin = time.monotonic()
    with pytest.raises(MachineSick) as sick:
        ladder_of(machine, log).climb(machine.watch, "panicked in Suite.Test")
    assert 4 * LIMIT <= time.monotonic() - begin < 4 * LIMIT + 1
    assert machine.done == ALL
    said = str(sick.value).splitlines()
    assert said[0] == "the machine is sick: panicked in Suite.Test"
    silent = "no kernel was ready within 0.1 s of {}; the console is silent"
    assert [line.strip() for line in said[1:4]] == [
        f"SSH reboot: {silent.format('SSH reboot')}",
        f"sysrq: {silent.format('sysrq')}",
        f"power cycle: {silent.format('power cycle')}",
    ]
    assert "the console's last line: 'going down'" in said[4]
    assert log.steps[-1] == ("sick", {"reason": str(sick.value)})
    assert isinstance(sick.value, Infrastructure)


def test_rungs_that_a_target_lacks_are_left_out_and_told() -> None:
    machine, log = Machine("ssh"), Log()
    nothing = {"ssh_reboot": None, "sysrq": None, "power": None}
    with pytest.raises(MachineSick):
        ladder_of(machine, log, **nothing).climb(machine.watch, "it hangs")
    assert machine.done == []
    assert log.told == [
        "SSH reboot: left out: the target has no SSH",
        "sysrq: left out: the target's console cannot send a break",
        "power cycle: left out: the target has no driver of its power",
        "off and on: left out: the target has no driver of its power",
    ]
    assert [step for step, _ in log.steps] == ["sick"]


def failing(error: Exception) -> Callable[..., None]:
    def act(*_: object) -> None:
        raise error

    return act


@pytest.mark.parametrize("error", [Infrastructure("not reachable"), TimeoutError("not reachable")])
def test_a_rung_that_fails_is_not_waited_for(error: Exception) -> None:
    machine, log = Machine("cycle"), Log()
    machine.ssh_reboot = failing(error)  # type: ignore[method-assign]
    machine.sysrq = failing(error)  # type: ignore[method-assign]
    begin = time.monotonic()
    ladder_of(machine, log).climb(machine.watch, "it hangs")
    assert time.monotonic() - begin < LIMIT
    assert log.told[:2] == ["SSH reboot: not reachable", "sysrq: not reachable"]


def test_a_boot_that_panics_is_not_waited_for() -> None:
    machine, log = Machine(*ALL), Log()
    machine.says = ["Kernel panic - not syncing: x", "---[ end Kernel panic - not syncing: x ]---"]
    with pytest.raises(MachineSick) as sick:
        ladder_of(machine, log).climb(machine.watch, "it hangs")
    assert str(sick.value).count("Kernel panic - not syncing: x") == 4


@pytest.mark.parametrize(
    "stale", ["Kernel panic - not syncing: x", "carryover: target ready boot_id=33-stale nonce=x"]
)
def test_what_was_seen_before_a_rung_does_not_count(stale: str) -> None:
    machine, log = Machine("ssh"), Log()
    machine.say(stale)
    assert ladder_of(machine, log).climb(machine.watch, "it hangs", LOST) == "22-new"


def test_faults_of_the_lost_boot_are_told() -> None:
    machine, log = Machine("ssh"), Log()
    machine.say("BUG: KASAN: use-after-free in x", "Kernel panic - not syncing: x")
    ladder_of(machine, log).climb(machine.watch, "it hangs", LOST)
    assert log.told[0] == "kernel fault: BUG: KASAN: use-after-free in x"


def test_a_late_word_of_the_lost_boot_does_not_count() -> None:
    machine, log = Machine("ssh", "cycle"), Log()
    machine.says = [f"carryover: target ready boot_id={LOST} nonce=x"]
    with pytest.raises(MachineSick):
        ladder_of(machine, log).climb(machine.watch, "it hangs", LOST)
    assert machine.done == ALL


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_console_log_that_cannot_be_written_ends_it(when: str) -> None:
    machine, log = Machine(), Log()

    def fill() -> None:
        machine.watch.post(ReaderFailed(OutputFailed("console.log: No space left on device")))

    if when == "before":
        fill()
    else:
        machine.ssh_reboot = fill  # type: ignore[method-assign]
    with pytest.raises(OutputFailed):
        ladder_of(machine, log).climb(machine.watch, "it hangs")
    assert machine.done == []


def test_a_kernel_that_writes_a_crash_dump_comes_first() -> None:
    machine, log = Machine("sysrq b"), Log()
    machine.says = ["Linux version 6.1 (kdump)", "SeaBIOS (version 1)", *machine.says]
    assert ladder_of(machine, log).climb(machine.watch, "it hangs", LOST) == "22-new"
    machine.say("Linux version 7.3.4")
    machine.watch.rest()
    assert machine.watch.health.crash is not None  # from now on it is a surprise again
