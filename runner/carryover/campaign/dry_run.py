# SPDX-License-Identifier: GPL-2.0-only
"""What a run would do, action by action, in its order; nothing of it is done.

A target that is up already is asked for what it is like (`probe`, which only reads). The bench is
not: it would have to be started for that.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labgrid.driver import ExecutionError

from carryover.campaign.identity import NONCE
from carryover.campaign.plan import power_cycles, ready
from carryover.campaign.strategy import KexecStrategy
from carryover.errors import BadInput, Infrastructure, ProtocolError
from carryover.events import Event, TestInfo, parse
from carryover.outputs import journal
from carryover.outputs.results import left_behind
from carryover.program import ProgramOnTarget
from carryover.program_options import ProgramOptions
from carryover.resources import PciTestDevice

_LIMIT = 30.0  # seconds for `probe`
_VFIO = "vfio-pci"


@dataclass(frozen=True)
class Action:
    """One thing that would be done.

    Attributes:
        where: `controller`, `machine` or `target`.
        what: In words.
    """

    where: str
    what: str


@dataclass(frozen=True)
class Seen:
    """What the target says of itself now.

    Attributes:
        why_not: Why nothing is known; empty if it is.
        devices: Events `device` of `probe`, by address.
        held: Who has the machine; empty if nobody.
    """

    why_not: str = ""
    devices: dict[str, Event] = field(default_factory=dict)
    held: str = ""


def look(strategy: KexecStrategy, program: ProgramOnTarget) -> Seen:
    """Asks a target that is up what it is like; changes nothing on it."""
    if strategy.machine.is_ours:
        return Seen("the machine is not started for this")
    ssh = strategy.ssh
    try:
        ssh.connect()
        try:
            out, err, status = ssh.run(program.command("probe"), timeout=_LIMIT)
        finally:
            ssh.drop()
        events = [parse(line) for line in out if line.startswith("{")]
    except (Infrastructure, ProtocolError, ExecutionError, subprocess.TimeoutExpired) as error:
        return Seen(f"the target cannot be asked: {error}")
    if not any(event.kind == "device" for event in events):
        said = next((e.text("message") for e in events if e.kind == "error"), "; ".join(err))
        return Seen(f"the target cannot be asked: {said or f'`probe` ended with {status}'}")
    held = next((event for event in events if event.kind == "held"), None)
    return Seen(
        devices={event.text("address"): event for event in events if event.kind == "device"},
        held=f"{held.text('owner')}, since {held.text('since', 'its kexec')}" if held else "",
    )


def actions(
    strategy: KexecStrategy,
    tests: Sequence[TestInfo],
    options: ProgramOptions,
    directory: Path,
    seen: Seen,
) -> Iterator[Action]:
    """What a run of these tests would do."""
    yield from _before(directory)
    for cycle in power_cycles(tests, strategy.claims, strategy.iommu_mode):
        yield from _power_cycle(strategy, cycle, options, seen)
    yield Action("machine", "if it dies: again, for halves of the tests (--carryover-reruns)")
    yield Action("controller", f"write junit.xml, results.ktap and report.html into {directory}")


def _power_cycle(
    strategy: KexecStrategy, tests: Sequence[TestInfo], options: ProgramOptions, seen: Seen
) -> Iterator[Action]:
    program = strategy.on_target(options)
    run = ready(tests, strategy.claims, strategy.iommu_mode)
    alone = [test.name for test in run if not test.is_continuity]
    armed = [test.name for test in run if test.is_continuity]
    kexecs = max((test.generations for test in run if test.is_continuity), default=0)
    taken = [d for d in strategy.devices() if d.driver in {test.driver for test in run}]
    boot = f"{strategy.boot_append} {NONCE}...".lstrip()
    yield from _of_machine(strategy, boot)
    service = strategy.ssh.networkservice if strategy.ssh else None
    where = f"{service.username}@{service.address}" if service else "the target"
    yield Action("target", f"connect by SSH as {where}, to {strategy.program}")
    yield from _deploying(strategy)
    yield Action("target", "look at it (`probe`), and refuse it if it lacks what the tests need")
    yield Action("target", f"take its lock, as {program.owner}")
    for device in strategy.devices():
        yield Action("target", _taking(device, seen, is_taken=device in taken))
    if alone:
        yield Action("target", f"run {_named(alone)} without a kexec")
    if armed:
        yield Action("target", f"arm {_named(armed)}")
    for number in range(1, kexecs + 1):
        command = strategy.kexec_command(program, 0).replace(strategy.nonce, "...")
        yield Action("target", f"kexec {number} of {kexecs}: {command}")
        going_on = [t.name for t in run if t.is_continuity and t.generations >= number]
        yield Action("target", f"verify {_named(going_on)}")
    for device in taken:
        yield Action("target", _giving_back(device, seen))
    for what in strategy.machine.planned_end():
        yield Action("machine", what)


def _before(directory: Path) -> Iterator[Action]:
    verb = "remove"
    path = directory / journal.NAME
    if path.exists():
        try:
            if not journal.read(path).closed:
                verb = "put aside, if it had results, or remove, what is left"
                yield Action("controller", f"close {path}, whose run was cut short")
            journal.require_put_back(path)
        except BadInput as error:
            yield Action("controller", f"refuse to begin: {error}")
    if old := left_behind(directory):
        yield Action("controller", f"{verb} of an earlier run in {directory}: {' '.join(old)}")
    yield Action(
        "controller",
        f"write into {directory}: journal.jsonl (before each step), results.jsonl, console.log, "
        "events.jsonl, qemu.log, logs/",
    )


def _of_machine(strategy: KexecStrategy, append: str) -> Iterator[Action]:
    for what in strategy.machine.planned_boot(append):
        yield Action("machine", what)


def _deploying(strategy: KexecStrategy) -> Iterator[Action]:
    if strategy.deployer is not None:
        for what in strategy.deployer.planned():
            yield Action("target", what)
        command = strategy.deployed_command().replace(strategy.nonce, "...")
        yield Action("target", f"kexec into the kernel that was copied: {command}")


def _taking(device: PciTestDevice, seen: Seen, *, is_taken: bool) -> str:
    name = f"{device.address} ({device.id})"
    if not is_taken:
        return f"leave {name} alone: no selected test wants {device.driver}"
    found = seen.devices.get(device.address)
    if found is None:
        why = seen.why_not or "there is no such device now"
        return f"unbind {name} from its driver ({why}), bind it to {_VFIO} by driver_override"
    if refused := found.text("refused"):
        return f"refuse to begin: {name} is not touched: {refused}"
    if found.text("id") != device.id:
        return f"refuse to begin: {name} is {found.text('id')}"
    driver = found.text("driver")
    unbind = f"unbind {name} from {driver}" if driver else f"take {name}, which has no driver"
    scratch = f"; overwrite its blocks {device.scratch}" if device.scratch else ""
    return f"{unbind}, bind it to {_VFIO} by driver_override{scratch}"


def _giving_back(device: PciTestDevice, seen: Seen) -> str:
    found = seen.devices.get(device.address)
    if found is None:
        driver = "the driver and driver_override that it had"
    elif not found.text("driver"):
        driver = "no driver, and the driver_override that it had"
    else:
        driver = f"{found.text('driver')}, and the driver_override that it had"
    return f"put {device.address} back: {driver}"


def _named(names: Sequence[str]) -> str:
    count = f"{len(names)} test{'' if len(names) == 1 else 's'}"
    return f"{count}: {' '.join(names)}" if names else count
