# SPDX-License-Identifier: GPL-2.0-only
"""What a run leaves in its output directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from carryover import __version__
from carryover.errors import BadInput, OutputFailed
from carryover.events import TestInfo
from carryover.kernel.oracle import KernelFault
from carryover.outputs import journal
from carryover.outputs.ktap import ktap
from carryover.outputs.resume import NOTHING_KEPT, require_run, take_up
from carryover.outputs.saved_run import SCHEMA
from carryover.timing.steps import TargetRecord
from carryover.timing.timeline import Mark
from carryover.verdict import TestResult

_MOST_LINES = 20_000  # of a test's own log, before the console is left out
_NEEDED_BYTES = 16 << 20
_WHOLE = ("junit.xml", "results.ktap", "report.html")  # written in the end
_FILES = (
    *_WHOLE,
    "results.jsonl",
    "console.log",
    "events.jsonl",
    "qemu.log",
)
_FOLDERS = ("logs", "models", "peers")


@dataclass(frozen=True)
class RunDescription:
    """What a run is about, for its first record.

    Attributes:
        target: Name of labgrid's target.
        environment: File of labgrid's environment, as it was given.
        claims: What the target's kernel claims.
        iommu_mode: How memory is mapped for devices.
        devices: Those that tests may use: `address`, `id` and `driver` of each.
        arguments: Those of pytest.
    """

    target: str
    environment: str
    claims: list[str]
    iommu_mode: str
    devices: list[dict[str, str]]
    arguments: list[str]


class RunOutput:
    """The output directory of one run.

    Results are on disk when they are reported. ``results.jsonl`` begins with an ``event`` `begin`
    and ends with one `end`; without that, the run was cut short. Whole files are written beside
    their name and renamed. Methods raise OutputFailed if something cannot be written; those for
    what is observed may be called from any thread.
    """

    def __init__(
        self,
        directory: Path,
        about: RunDescription,
        basis: dict[str, Any] | None = None,
        *,
        resume: bool = False,
    ) -> None:
        """Takes the directory. What an earlier run left there is removed, if that was closed.

        What is left of a run that was killed and had results is put aside, into a folder of its
        own: ``aside``.

        Args:
            directory: Where.
            about: What the run is about.
            basis: What it is of (basis.py).
            resume: The run that was cut short there goes on: ``kept`` is what it has.

        Raises:
            BadInput: It cannot be used: no space, no permission, or another run is alive in it; or
                there is nothing to resume.
        """
        self.directory = directory
        self._lock = threading.Lock()
        self._records_lock = threading.Lock()
        self._lines: dict[str, list[str]] = defaultdict(list)
        self._running: str | None = None
        self._has_ended = False
        self.closed_left_over = ""
        self.aside: Path | None = None
        self.marks: list[Mark] = []  # those of this run so far
        self.kept = NOTHING_KEPT
        try:
            if resume:
                require_run(directory)
            else:
                directory.mkdir(parents=True, exist_ok=True)
            self._exclusive = only_user(directory)
            if resume:
                self.kept = take_up(directory, basis or {})
                self._remove(*_WHOLE)
            else:
                self._clear()
            free = shutil.disk_usage(directory).free
            if free < _NEEDED_BYTES:
                raise BadInput(
                    f"{directory}: {free >> 20} MiB are free, a run needs "
                    f"{_NEEDED_BYTES >> 20} MiB; make room or give another --carryover-out"
                )
            self.journal = journal.Journal(directory / "journal.jsonl")
            if resume:
                self.journal.write("resumed", results=len(self.kept.results))
            elif basis is not None:
                self.journal.write("basis", of=basis)
            self._results = self._open("results.jsonl")
            self._console = self._open("console.log")
            self._events = self._open("events.jsonl")
        except OSError as error:
            raise BadInput(
                f"{directory}: {error.strerror}; give another directory by --carryover-out"
            ) from error
        if resume:
            self._began = self.kept.began
            return
        self._began = time.time()
        self._record(
            {
                "event": "begin",
                "schema": SCHEMA,
                "time": self._began,
                "carryover": __version__,
                **asdict(about),
            }
        )

    def console(self, when: float, *lines: str) -> None:
        """Lines of the console; they go into the running test's log as well, up to a limit.

        Args:
            when: Wall clock when they were read. The log has seconds since the run began.
            lines: Without their ends.
        """
        stamp = f"[{max(0.0, when - self._began):.3f}] "
        with self._lock, self._guard("console.log"):
            self._console.write("".join([f"{stamp}{line}\n" for line in lines]))
            self._console.flush()
            if self._running is not None:
                own = self._lines[self._running]
                if len(own) > _MOST_LINES:
                    return
                own += [f"console: {stamp}{line}" for line in lines]
                if len(own) > _MOST_LINES:
                    own.append("console: there is more, see console.log")

    def event(self, line: str) -> None:
        """One line of the program, as it came."""
        with self._lock, self._guard("events.jsonl"):
            self._events.write(line + "\n")
            self._events.flush()

    def test_line(self, name: str, line: str) -> None:
        """One line for a test's own log."""
        with self._lock:
            self._lines[name].append(line)

    def running(self, name: str | None) -> None:
        """Whose log the console's lines go into from now on."""
        with self._lock:
            self._running = name

    def mark(self, mark: Mark) -> None:
        """A step of the timeline. One that comes after the end of the run is none of it."""
        self.marks.append(mark)
        self._record({"event": "mark", **mark.as_dict()}, is_precious=False)

    def target_record(self, record: TargetRecord) -> None:
        """What the target says by its own clocks; likewise."""
        self._record({"event": record.event, **record.as_dict()}, is_precious=False)

    def kernel_fault(self, fault: KernelFault) -> None:
        """What a kernel complained of itself."""
        self._record(
            {
                "event": "kernel-fault",
                "text": fault.report.title,
                "time": fault.time,
                "test": fault.test,
                "kind": fault.report.kind.name,
                "severity": fault.report.severity.word,
                "fingerprint": fault.report.fingerprint,
                "kernel": fault.kernel,
                "lines": fault.report.lines,
            }
        )

    def violation(self, text: str) -> None:
        """What a driver did that its device's specification forbids."""
        self._record({"event": "violation", "text": text, "time": time.time()})

    def result(self, result: TestResult, info: TestInfo) -> Path:
        """Writes a test's log and its result, and returns the log's path."""
        log = log_path(self.directory, result.name)
        with self._lock:
            lines = self._lines.pop(result.name, [])
        text = "\n".join([*lines, f"{result.verdict.value} {result.reason}".rstrip()]) + "\n"
        self._write_whole(log, text)
        self._record(
            {
                "event": "result",
                "name": result.name,
                "verdict": result.verdict.value,
                "reason": result.reason,
                "kind": info.kind,
                "claim": info.claim,
                "driver": info.driver,
                "device": result.device,
                "duration": round(result.duration, 6),
                "halves": result.halves,
                "failures": result.failures,
                "notes": result.notes,
                "cold_boot": result.boot.get("cold_boot"),
                "kexecs": result.boot.get("kexecs", []),
                "damage": result.damage,
                "summary": info.summary,
                "file": info.file,
                "line": info.line,
                "time": time.time(),
                "log": str(log.relative_to(self.directory)),
            }
        )
        return log

    def ktap(self, results: Sequence[TestResult]) -> None:
        """Writes results.ktap."""
        self._write_whole(self.directory / "results.ktap", ktap(results))

    def close(self, how: str, counts: dict[str, int]) -> None:
        """Ends the run. Raises OutputFailed if the end cannot be written down."""
        try:
            self._record({"event": "end", "how": how, "counts": counts, "time": time.time()})
            self.journal.close(how)
        finally:
            with self._lock, self._records_lock:
                for stream in (self._results, self._console, self._events):
                    with contextlib.suppress(OSError):  # unwritten bytes of a full disk
                        stream.close()
            os.close(self._exclusive)

    def _record(self, fields: dict[str, Any], *, is_precious: bool = True) -> None:
        """A record that is precious is on disk on return."""
        with self._records_lock, self._guard("results.jsonl"):
            if self._has_ended:
                return
            self._has_ended = fields["event"] == "end"
            self._results.write(json.dumps(fields) + "\n")
            self._results.flush()
            if is_precious:
                os.fsync(self._results.fileno())

    def _write_whole(self, path: Path, text: str) -> None:
        with self._guard(path.name):
            path.parent.mkdir(exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            partial.write_text(text)
            partial.replace(path)

    def _open(self, name: str) -> IO[str]:
        return (self.directory / name).open("a", encoding="utf-8", buffering=1 << 16)

    def _clear(self) -> None:
        left_over = self.directory / "journal.jsonl"
        if left_over.exists():
            journal.require_put_back(left_over)
            if not journal.read(left_over).closed:
                self.closed_left_over = journal.close_left_over(left_over)
                self.aside = _put_aside(self.directory)
            left_over.unlink(missing_ok=True)
        self._remove(*_FILES)
        for name in _FOLDERS:
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def _remove(self, *names: str) -> None:
        for name in names:
            (self.directory / name).unlink(missing_ok=True)
            (self.directory / f"{name}.partial").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _guard(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputFailed(f"{self.directory / name}: {error.strerror}") from error


def _put_aside(directory: Path) -> Path | None:
    """The files of a run that had results go into a folder of their own, the journal last."""
    results = directory / "results.jsonl"
    if not results.exists() or b'"event": "result"' not in results.read_bytes():
        return None
    number = 1
    while (aside := directory / f"cut-short-{number}").exists():
        number += 1
    aside.mkdir()
    for name in (*_FILES, *_FOLDERS, journal.NAME):
        if (directory / name).exists():
            (directory / name).rename(aside / name)
    return aside


def left_behind(directory: Path) -> list[str]:
    """Names of what an earlier run left in its directory, which the next one there removes."""
    return [name for name in (*_FILES, *_FOLDERS, journal.NAME) if (directory / name).exists()]


def log_path(directory: Path, name: str) -> Path:
    """A test's own log. Names of parameterised tests hold slashes."""
    return directory / "logs" / f"{name.replace('/', '_')}.log"


def only_user(directory: Path) -> int:
    """Takes a directory for this process until the descriptor is closed.

    Raises:
        BadInput: Another run has it.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise BadInput(
            f"{directory}: another run writes there; wait for it or give another --carryover-out"
        ) from None
    return fd
