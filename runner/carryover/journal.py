# SPDX-License-Identifier: GPL-2.0-only
"""The journal: what is about to happen, on disk before it does, so that it can be undone."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carryover.errors import BadInput, OutputFailed


class Journal:
    """One run's journal. Each entry is on disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputFailed(f"{path}: {error.strerror}") from error
        self._closed = False
        self.write("open", pid=os.getpid(), start_time=start_time(os.getpid()))

    def write(self, step: str, **fields: Any) -> None:
        """Writes one entry down. Raises OutputFailed if it cannot be on disk."""
        line = json.dumps({"step": step, "time": time.time(), **fields}) + "\n"
        try:
            data = line.encode()
            while data:
                data = data[os.write(self._fd, data) :]
            os.fsync(self._fd)
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
    bound: dict[str, dict[str, Any]] = field(default_factory=dict)


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
    elif step == "machine":
        state.machine = (entry["pid"], entry["start_time"])
    elif step in ("power-off", "recovered"):
        state.machine = None
        state.bound.clear()  # a boot through the firmware binds anew
    elif step == "bound":
        state.bound.setdefault(entry["address"], entry)
    elif step == "restored":
        state.bound.pop(entry["address"], None)
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
    if state.runner and is_alive(*state.runner) and state.runner[0] != os.getpid():
        raise BadInput(f"{path}: its run is alive (process {state.runner[0]}); end that first")
    done = [f"last step: {state.last_step}"]
    if state.machine and is_alive(*state.machine):
        os.kill(state.machine[0], signal.SIGKILL)
        done.append(f"ended the machine, process {state.machine[0]}")
    for address, entry in state.bound.items():
        done.append(f"{address} belongs to driver {entry.get('from')}; its machine is off")
    journal = Journal(path)
    journal.write("power-off")
    journal.close("by close")
    return "; ".join(done)


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
