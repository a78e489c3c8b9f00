# SPDX-License-Identifier: GPL-2.0-only
"""A run on the bench into which somebody breaks: watched from outside, by what it writes."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carryover_ci.program import ROOT
from carryover_ci.results import json_lines
from carryover_ci.run import Failure

_POLL = 0.01
_LIMIT = 120.0  # seconds for anything that is waited for; a whole run takes some 20
_STAMP = "] "


@dataclass(frozen=True)
class Seen:
    """An event of the program, and time.time() when it was there to be read."""

    time: float
    fields: Mapping[str, Any]

    def has(self, **fields: object) -> bool:
        """Whether it has these."""
        return all(self.fields.get(key) == value for key, value in fields.items())


class FaultRun:
    """A run of hidden tests in a folder of its own.

    Attributes:
        out: What the run writes.
        seen: Events of the program, so far.
        printed: What it has printed, after finish().
        short: How the machine fell short of the fault, having too much else to do; empty if not.
    """

    def __init__(self, folder: Path, tests: Sequence[str], options: Sequence[str]) -> None:
        """Prepares; nothing runs yet.

        Args:
            folder: It is emptied.
            tests: Their names, Suite.Test.
            options: More for `carryover run`.
        """
        self.folder = folder
        self.out = folder / "out"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # The name of a unix socket has 107 bytes at most.
        self._sockets = Path(tempfile.mkdtemp(prefix="carryover-fault-"))
        self._tests, self._options = tests, list(options)
        self.variables: dict[str, str] = {}
        self.environment = folder / "bench.yaml"
        text = (ROOT / "ci" / "bench.yaml").read_text()
        monitor = f"-qmp unix:{self._sockets}/monitor,server=on,wait=off"
        self.environment.write_text(text.replace("-nodefaults", f"-nodefaults {monitor}"))
        self.seen: list[Seen] = []
        self.printed = ""
        self.short = ""
        self._machines: dict[int, int] = {}  # pidfd of each power cycle's, by process id
        self._process: subprocess.Popen[str] | None = None
        self._tail: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self, *more: str) -> None:
        """Starts the run; `more` options for this start alone."""
        program = os.environ["CARRYOVER_PROGRAM"]
        command = [
            *(sys.executable, "-m", "carryover", "run", "--target", str(self.environment)),
            *("--carryover-out", str(self.out), "--carryover-hidden", *self._options, *more),
            *(f"{program}::{test.replace('.', '::')}" for test in self._tests),
        ]
        self._log = (self.folder / "run.log").open("a")
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **self.variables, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._stop.clear()
        self._tail = threading.Thread(target=self._follow, name="tail", daemon=True)
        self._tail.start()

    def finish(self) -> int:
        """Waits for its end; returns its exit status."""
        assert self._process is not None
        try:
            status = self._process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            raise Failure(f"the run did not end within {_LIMIT:g} s") from None
        finally:
            self._end_of_tail()
        return status

    def kill(self) -> float:
        """The controller dies; returns when."""
        assert self._process is not None
        when = time.time()
        self._process.kill()
        self._process.wait()
        self._end_of_tail()
        return when

    def kill_ssh(self) -> float:
        """The SSH connection to the machine dies, at this end of it; returns when."""
        assert self._process is not None
        words = {pid: _words_of(pid) for pid in _processes()}
        ssh = {pid: w for pid, w in words.items() if w and Path(w[0]).name == "ssh" and "-p" in w}
        ours = {w[w.index("-p") + 1] for pid, w in ssh.items() if _parent(pid) == self._process.pid}
        if not ours:
            raise Failure("the run has no SSH connection")
        when = time.time()
        for pid, w in ssh.items():
            if w[w.index("-p") + 1] in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return when

    def close(self) -> None:
        """Ends what is left, whatever has become of the run. Idempotent."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)
        for fd in self._machines.values():
            os.close(fd)
        self._machines.clear()

    def keep(self, folder: Path) -> None:
        """What the run wrote goes on to be there, when its disk is gone."""
        shutil.copytree(self.out, folder)
        self.out = folder

    def left_running(self) -> list[int]:
        """Process ids of machines that are alive after the run's end."""
        # One that is killed takes a moment.
        return [pid for pid, fd in self._machines.items() if not select.select([fd], [], [], 5)[0]]

    def wait_for(self, **fields: object) -> Seen:
        """Waits for an event of the program that has these fields."""
        found: list[Seen] = []

        def is_there() -> bool:
            found.extend(seen for seen in list(self.seen) if seen.has(**fields))
            return bool(found)

        self._wait(is_there, str(fields))
        return found[0]

    def wait_for_result(self, name: str) -> None:
        """Waits until a test's result is on disk."""
        self._wait(lambda: self.result(name) is not None, f"the result of {name}")

    def last(self, **fields: object) -> Seen | None:
        """The last event of the program that has these fields."""
        return next((seen for seen in reversed(self.seen) if seen.has(**fields)), None)

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        """What another process writes: there is nothing to wait on but the file."""
        assert self._process is not None
        end = time.monotonic() + _LIMIT
        while not is_there():
            if self._process.poll() is not None:
                raise Failure(f"the run ended before {what}; see {self.folder / 'run.log'}")
            if time.monotonic() > end:
                raise Failure(f"{what} did not come within {_LIMIT:g} s")
            time.sleep(_POLL)

    def machine(self, command: str, **arguments: object) -> float:
        """Has QEMU do something; returns when."""
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.settimeout(10.0)
            qmp.connect(str(self._sockets / "monitor"))
            answers = qmp.makefile("r")
            answers.readline()  # the greeting
            for words in ({"execute": "qmp_capabilities"}, {"execute": command}):
                if words["execute"] == command and arguments:
                    words = {**words, "arguments": arguments}  # type: ignore[dict-item]
                when = time.time()
                qmp.sendall(json.dumps(words).encode() + b"\n")
                while "return" not in (answer := json.loads(answers.readline() or "{}")):
                    if "error" in answer or not answer:
                        raise Failure(f"QEMU does not do {command}: {answer}")
                    if answer.get("event") in ("SHUTDOWN", "RESET"):
                        break
        return when

    @property
    def records(self) -> list[dict[str, Any]]:
        """Of results.jsonl."""
        return json_lines(self.out / "results.jsonl")

    def result(self, name: str) -> dict[str, Any] | None:
        """Of a test."""
        results = (r for r in self.records if r["event"] == "result" and r["name"] == name)
        return next(results, None)

    def last_line(self, before: float, *, but: str) -> float | None:
        """When the console's last line before a moment was read that has not that text."""
        began = next((r["time"] for r in self.records if r["event"] == "begin"), 0.0)
        found = None
        with (self.out / "console.log").open(errors="replace") as lines:
            for line in lines:
                if but not in line and line.startswith("["):
                    when = began + float(line[1:].partition(_STAMP)[0])
                    found = when if when <= before else found
        return found

    def _follow(self) -> None:
        """Reads what is appended to the events and the journal, with the time."""
        files = {"events.jsonl": self._event, "journal.jsonl": self._step}
        position = {name: self._size(name) for name in files} if self.seen else {}
        while not self._stop.wait(_POLL):
            for name, take in files.items():
                position[name] = self._read(self.out / name, position.get(name, 0), take)

    def _size(self, name: str) -> int:
        path = self.out / name
        return path.stat().st_size if path.exists() else 0

    @staticmethod
    def _read(path: Path, position: int, take: Callable[[dict[str, Any]], None]) -> int:
        if not path.exists():
            return position
        with path.open("rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                take(json.loads(line))
        return position

    def _event(self, fields: dict[str, Any]) -> None:
        self.seen.append(Seen(time.time(), fields))

    def _step(self, fields: dict[str, Any]) -> None:
        if fields["step"] == "machine":
            with contextlib.suppress(ProcessLookupError):
                self._machines[fields["pid"]] = os.pidfd_open(fields["pid"])

    def _end_of_tail(self) -> None:
        if self._tail is not None:
            time.sleep(2 * _POLL)  # it reads what was written last
            self._stop.set()
            self._tail.join()
        self._log.close()
        self.printed = (self.folder / "run.log").read_text(errors="replace")


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _words_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
