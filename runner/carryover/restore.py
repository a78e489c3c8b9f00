# SPDX-License-Identifier: GPL-2.0-only
"""Puts devices back as they were, from the journal of a run that could not do it itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labgrid import Environment
from labgrid.driver import ExecutionError

from carryover import environment
from carryover.errors import BadInput, Infrastructure, ProtocolError
from carryover.events import Event, parse
from carryover.machine.access import Access, access_of
from carryover.machine.owner import someone
from carryover.outputs import journal
from carryover.program import ProgramOnTarget, restore_words, said

# Runs a shell command on the target: lines of its standard output and error, and its status.
Run = Callable[[str], tuple[list[str], list[str], int]]

# Seconds for one device: its holder ends, and its drivers let it go and probe it.
_LIMIT = 90.0
_NOT_FOUND = 127  # the shell's status


def restore(
    place: Path,
    environment_file: Path | None,
    tell: Callable[[str], object],
    *,
    take_over: bool = False,
) -> None:
    """Ends the run's holder, puts back all that its journal says is not, and writes that into it.

    Works again and again, after a reboot or a power cycle of the target, and on another controller.

    Args:
        place: The journal, or the directory of its run.
        environment_file: How the target is reached; None: as the journal says.
        tell: Gets a line for each device.
        take_over: Even if somebody has the machine.

    Raises:
        BadInput: It is no journal, its run is alive, or it does not say how to reach the target.
        Infrastructure: The target is not reached, or a device could not be put back; what could,
            was.
    """
    path = journal.path_of(place)
    state = journal.read(path)
    journal.require_dead(state, path)
    is_over = state.closed or state.access is None
    if not state.bound and is_over:
        tell("nothing is left to put back")
        return
    if state.machine_has_ended:
        journal.append(path, "power-off")
        tell("the machine was a process, which has ended: nothing is left to put back")
        return
    access = access_in(environment_file) if environment_file else _access(state, path)
    # The run itself cannot be asked on another controller whether it is alive. Its lock can.
    owner = state.owner if state.is_of_this_host else f"{someone()}, carryover restore"
    program = ProgramOnTarget(access.program, owner=owner)
    with access.connected() as ssh:

        def run(command: str) -> tuple[list[str], list[str], int]:
            out, err, status = ssh.run(command, timeout=_LIMIT)
            return out, err, status

        if not state.bound:
            tell(release(program, run, take_over=take_over))
            return
        failures = []
        for address, entry in list(state.bound.items()):
            try:
                tell(put_back(entry, program, run, take_over=take_over))
                journal.append(path, "restored", address=address)
            except Infrastructure as error:
                failures.append(str(error))
    if failures:
        raise Infrastructure(f"{access}: not everything is put back:\n  " + "\n  ".join(failures))


def release(program: ProgramOnTarget, run: Run, *, take_over: bool = False) -> str:
    """Ends a holder that has bound nothing, and says whether there was one.

    Raises:
        Infrastructure: It could not be done, and why.
    """
    words = ["--take-over"] if take_over else []
    events, status, err = _ask(run, program.command("release", (), *words))
    if status == 0:
        return "its holder has ended: nothing is left"
    kinds = {event.text("kind") for event in events if event.kind == "error"}
    if kinds != {"holder"} or "no holder" not in said(events):
        raise Infrastructure(said(events) or err or f"the program ended with {status}")
    return "nothing is left to put back"


def put_back(
    entry: Mapping[str, Any], program: ProgramOnTarget, run: Run, *, take_over: bool = False
) -> str:
    """Puts one device back, and says how it was found.

    Args:
        entry: The journal's, `bound`.
        program: That on the target.
        run: Runs a command there.
        take_over: Even if somebody has the machine.

    Raises:
        Infrastructure: It could not be done, and why.
    """
    address = entry["address"]
    words = [*restore_words(entry), *(["--take-over"] if take_over else [])]
    try:
        events, status, err = _ask(run, program.command("restore", (), *words))
    except Infrastructure as error:
        raise Infrastructure(f"{address}: {error}") from error
    if status == _NOT_FOUND:
        raise Infrastructure(
            f"{address}: {program.path} is not on the target any more: copy carryover-selftests "
            "there, or name its place by --target ENVIRONMENT"
        )
    restored = next((event for event in events if event.kind == "restored"), None)
    if status != 0 or restored is None:
        why = said(events) or err or f"the program ended with {status}"
        raise Infrastructure(f"{address}: {why}")
    return _told(entry, events, restored)


def _ask(run: Run, command: str) -> tuple[list[Event], int, str]:
    """Events of a verb, its status, and what it said on standard error."""
    try:
        out, err, status = run(command)
        return [parse(line) for line in out if line.startswith("{")], status, "; ".join(err)
    except (ExecutionError, subprocess.TimeoutExpired, ProtocolError, OSError) as error:
        raise Infrastructure(str(error)) from error


def access_in(path: Path) -> Access:
    """How a labgrid environment reaches its target.

    Raises:
        BadInput: It is malformed, or its target cannot be had.
    """
    environment.check(path, files=False)
    try:
        target = Environment(str(path)).get_target()
        strategy = target.get_driver("KexecStrategy", activate=False)
    except Exception as error:  # labgrid's have no common class
        raise BadInput(f"{path}: {error}") from error
    return Access.from_entry(access_of(strategy.ssh, strategy.program, ""))


def _told(entry: Mapping[str, Any], events: list[Event], restored: Event) -> str:
    booted = next((event.text("boot_id") for event in events if event.kind == "hello"), "")
    had, has = restored.text("was"), restored.text("to")
    if had == has:
        what = f"is bound to {has} already" if has else "is bound to nothing, as it was"
    else:
        what = f"back to {has}" if has else "unbound, as it was"
        what += f", from {had}" if had else ", from no driver"
    before = entry.get("boot_id")
    rebooted = "; the target has rebooted since" if before and booted != before else ""
    return f"{entry['address']}: {what}{rebooted}"


def _access(state: journal.JournalState, path: Path) -> Access:
    if state.access is None:
        raise BadInput(
            f"{path}: it does not say how its target is reached: give --target ENVIRONMENT"
        )
    try:
        return Access.from_entry(state.access)
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path}: its entry `access` is not this runner's: {error!r}") from error
