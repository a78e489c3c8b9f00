# SPDX-License-Identifier: GPL-2.0-only
"""The journal: what is about to happen, on disk before it does, so that it can be undone."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carryover.errors import BadInput, OutputFailed

NAME = "journal.jsonl"


class Journal:
    """One run's journal. Each entry is on disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputFailed(f"{path}: {error.strerror}") from error
        self._closed = False
        pid = os.getpid()
        self.write("open", pid=pid, start_time=start_time(pid), host=socket.gethostname())

    def write(self, step: str, **fields: Any) -> None:
        """Writes one entry down. Raises OutputFailed if it cannot be on disk."""
        try:
            _write(self._fd, step, fields)
        except OSError as error:
            raise OutputFailed(f"{self.path}: {error.strerror}") from error

    def close(self, how: str) -> None:
        """The run has put everything back. Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            self.write("closed", how=how)
        finally:
            os.close(self._fd)


@dataclass
class JournalState:
    """What a journal says is still to be put back."""

    closed: bool = False
    runner: tuple[int, int] | None = None
    machine: tuple[int, int] | None = None
    last_step: str = ""
    host: str = ""
    access: dict[str, Any] | None = None
    basis: dict[str, Any] = field(default_factory=dict)
    bound: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_of_this_host(self) -> bool:
        """Whether its run was one of this controller, where its processes can be looked for."""
        return self.host in ("", socket.gethostname())

    @property
    def owner(self) -> str:
        """Who had the machine, as the program was told."""
        return str((self.access or {}).get("owner", ""))

    @property
    def machine_has_ended(self) -> bool:
        """The machine was a process of the run, as the bench is, and is no more."""
        return self.machine is not None and self.is_of_this_host and not is_alive(*self.machine)


def path_of(place: Path) -> Path:
    """The journal of a run: `place` is that, or the run's directory."""
    return place / NAME if place.is_dir() else place


def append(path: Path, step: str, **fields: Any) -> None:
    """Writes one entry into the journal of a run that is over.

    Raises:
        OutputFailed: It cannot be on disk.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            _write(fd, step, fields)
        finally:
            os.close(fd)
    except OSError as error:
        raise OutputFailed(f"{path}: {error.strerror}") from error


def _write(fd: int, step: str, fields: dict[str, Any]) -> None:
    data = (json.dumps({"step": step, "time": time.time(), **fields}) + "\n").encode()
    while data:
        data = data[os.write(fd, data) :]
    os.fsync(fd)


def read(path: Path) -> JournalState:
    """Reads a journal; a last line that is cut off did not happen.

    Raises:
        BadInput: There is none, or it is no journal.
    """
    try:
        lines = path.read_text().splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}; give the journal.jsonl of a run") from error
    state = JournalState()
    for line in lines:
        if not line.endswith("\n"):
            break
        try:
            entry = json.loads(line)
            step = entry["step"]
            _apply(state, step, entry)
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}: not a journal of this runner: {line[:80]!r}") from error
    return state


def _apply(state: JournalState, step: str, entry: dict[str, Any]) -> None:
    state.last_step = step
    if step == "open":
        state.closed = False
        state.runner = (entry["pid"], entry["start_time"])
        state.host = entry.get("host", "")
    elif step == "machine":
        state.machine = (entry["pid"], entry["start_time"])
    elif step == "power-off":
        if state.machine is not None:
            state.bound.clear()  # a machine that is a process of ours is gone for ever
        state.machine = None
    elif step == "recovered":
        state.bound.clear()  # a boot through the firmware binds anew
    elif step == "access":
        state.access = entry
    elif step == "bound":
        state.bound.setdefault(entry["address"], entry)
    elif step == "restored":
        state.bound.pop(entry["address"], None)
    elif step == "basis":
        state.basis = entry["of"]
    elif step == "closed":
        state.closed = True


def close_left_over(path: Path) -> str:
    """Closes what a dead run left, and says what was done.

    Raises:
        BadInput: The run is alive, or the file is no journal.
    """
    state = read(path)
    if state.closed:
        return "closed already"
    require_dead(state, path)
    done = [f"last step: {state.last_step}"]
    if state.machine and is_alive(*state.machine):
        os.kill(state.machine[0], signal.SIGKILL)
        done.append(f"ended the machine, process {state.machine[0]}")
    if state.machine is None:
        done += left_over(state, path)
    journal = Journal(path)
    if state.machine is not None:
        journal.write("power-off")
    journal.close("by close")
    return "; ".join(done)


def require_dead(state: JournalState, path: Path) -> None:
    """Raises BadInput if the run is alive on this controller."""
    if not state.runner or not state.is_of_this_host or state.runner[0] == os.getpid():
        return
    if is_alive(*state.runner):
        raise BadInput(f"{path}: its run is alive (process {state.runner[0]}); end that first")


def _driver(entry: dict[str, Any]) -> str:
    return f"driver {entry['from']}" if entry.get("from") else "no driver"


def left_over(state: JournalState, path: Path) -> list[str]:
    """What is still to be put back, and how."""
    left = [f"{address} belongs to {_driver(entry)}" for address, entry in state.bound.items()]
    return [*left, f"`carryover restore {path}` puts that back"] if left else []


def require_put_back(path: Path) -> None:
    """Raises BadInput if the journal says what is not put back yet: it must not be overwritten."""
    state = read(path)
    if state.machine is None and (left := left_over(state, path)):
        raise BadInput(
            f"{path}: a run has left devices on {(state.access or {}).get('target')}: "
            f"{'; '.join(left)}"
        )


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if there is none. proc(5), field 22."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def is_alive(pid: int, started: int) -> bool:
    """Whether exactly this process still runs; its id alone may have been given to another."""
    return started != 0 and start_time(pid) == started
