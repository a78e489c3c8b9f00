# SPDX-License-Identifier: GPL-2.0-only
"""Runs `carryover run` on each place, each in a process of its own.

Not pytest-xdist: its workers share one session and its end, and give tests to whoever is free; here
every place gets every test, and a machine that dies, a run that is killed or a place that cannot be
had is its own place's affair. What one place does is what `carryover run --place` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from carryover.errors import BadInput
from carryover.exit_codes import ExitCode
from carryover.fleet.outcome import PlaceOutcome
from carryover.outputs.saved_run import load
from carryover.verdict import Verdict

LOG = "output.log"
# Seconds from Ctrl-C to the end of a run: machines are switched off, files written.
_END_LIMIT = 120.0
_TAIL = 4096
# How many runs may load themselves and ask the coordinator at the same time, for each processor,
# and for how many seconds one may keep others from that. Some hundred at once, and nobody gets far.
_STARTS = 2
_START_LIMIT = 10.0
_LOOK = 0.2


@dataclass(frozen=True)
class FleetSettings:
    """What all places are given.

    Attributes:
        target: The environment.
        program: carryover-selftests.
        coordinator: Its address.
        out: Where results go; those of a place in a folder of its name.
        jobs: How many places run at once.
        wait: Seconds for a place that somebody else has.
        arguments: Those of pytest and the runner.
    """

    target: Path
    program: Path
    coordinator: str
    out: Path
    jobs: int
    wait: float = 0.0
    arguments: Sequence[str] = field(default_factory=tuple)

    def directory(self, place: str) -> Path:
        """Of a place's run."""
        name = place.replace("/", "_")
        return self.out / (f"_{name}" if name.startswith(".") else name)

    def command(self, place: str) -> list[str]:
        """Its run, which ends in good order if the fleet is killed."""
        return [
            *(sys.executable, "-m", "carryover", "run", "--json", "--target", str(self.target)),
            *("--place", place, "--wait", f"{self.wait:g}", "--program", str(self.program)),
            *("--coordinator", self.coordinator, "--carryover-out", str(self.directory(place))),
            *("--ends-with-stdin", *self.arguments),
        ]


class Watcher(Protocol):
    """Is told how it goes."""

    def begins(self, place: str, directory: Path) -> None:
        """The run of a place begins; what it writes will be in this directory."""

    def ends(self, outcome: PlaceOutcome) -> None:
        """It has ended."""


class FleetRun:
    """All runs of a fleet. Ctrl-C ends each in good order; a second one kills them."""

    def __init__(self, settings: FleetSettings, watcher: Watcher) -> None:
        self._settings = settings
        self._watcher = watcher
        self._running: set[asyncio.subprocess.Process] = set()
        self._starts = asyncio.Semaphore(_STARTS * (os.cpu_count() or 1))
        self._is_interrupted = False

    async def all(self, places: Sequence[str]) -> list[PlaceOutcome]:
        """What came of each place, in their order."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self._interrupt)
        turn = asyncio.Semaphore(self._settings.jobs)
        try:
            return list(await asyncio.gather(*(self._in_turn(turn, name) for name in places)))
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)

    async def _in_turn(self, turn: asyncio.Semaphore, place: str) -> PlaceOutcome:
        async with turn:
            directory = self._settings.directory(place)
            if self._is_interrupted:
                outcome = PlaceOutcome(
                    place, directory, ExitCode.INTERRUPTED, 0, "interrupted before it began"
                )
            else:
                self._watcher.begins(place, directory)
                outcome = await self._one(place, directory)
            self._watcher.ends(outcome)
            return outcome

    async def _one(self, place: str, directory: Path) -> PlaceOutcome:
        began, clock = time.time(), time.monotonic()
        async with self._starts:
            try:
                process = await self._start(place, directory)
            except OSError as error:
                return PlaceOutcome(place, directory, ExitCode.INFRA, 0, str(error))
            assert process.stdout is not None
            ending = asyncio.ensure_future(process.stdout.read())
            await _has_begun(directory, began, ending)
        output = await ending
        await process.wait()
        self._running.remove(process)
        outcome = outcome_of(place, directory, process.returncode or 0, output, began)
        return replace(outcome, seconds=time.monotonic() - clock)

    async def _start(self, place: str, directory: Path) -> asyncio.subprocess.Process:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / LOG).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self._settings.command(place),
                stdin=asyncio.subprocess.PIPE,  # nothing comes, until we end it, or end
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is for us, who hand it on
            )
        self._running.add(process)
        assert process.stdin is not None
        if self._is_interrupted:
            process.stdin.close()
        return process

    def _interrupt(self) -> None:
        again, self._is_interrupted = self._is_interrupted, True
        for process in self._running:
            assert process.stdin is not None
            process.stdin.close()
            if again:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if not again:
            asyncio.get_running_loop().call_later(_END_LIMIT, self._interrupt)


async def _has_begun(directory: Path, began: float, ending: asyncio.Future[bytes]) -> None:
    """Until the run writes results, has ended, or has had its time: its files tell nobody."""
    deadline = time.monotonic() + _START_LIMIT
    while not ending.done() and time.monotonic() < deadline:
        if is_of(directory / "results.jsonl", began):
            return
        await asyncio.wait({ending}, timeout=_LOOK)


def is_of(file: Path, began: float) -> bool:
    """Whether a run that began then has written the file, and not an earlier one."""
    try:
        return file.stat().st_mtime >= began
    except OSError:
        return False


def outcome_of(
    place: str, directory: Path, status: int, output: bytes, began: float
) -> PlaceOutcome:
    """By what the run printed; by what it wrote, if it did not come to that."""
    try:
        said: dict[str, Any] = json.loads(output)
        code = ExitCode(said["exit_code"])
    except (ValueError, KeyError, TypeError):
        return _without_word(place, directory, status, began)
    no_results, refused = said["results"] is None, code is ExitCode.BAD_INPUT
    return PlaceOutcome(
        place,
        directory,
        ExitCode.INFRA if refused else code,
        status,
        last_words(directory / LOG) if no_results or refused else said["remark"],
        results=None if no_results else Path(said["results"]),
        verdicts={Verdict(name): count for name, count in said["verdicts"].items()},
        complaints=len(said["kernel_faults"]) + len(said["violations"]),
    )


def _without_word(place: str, directory: Path, status: int, began: float) -> PlaceOutcome:
    file = directory / "results.jsonl"
    results, verdicts, code, complaints = None, dict[Verdict, int](), ExitCode.INFRA, 0
    with contextlib.suppress(BadInput):
        if is_of(file, began):
            run = load(file)
            results, complaints = file, len(run.faults) + len(run.violations)
            for result in run.results:
                verdict = Verdict(result["verdict"])
                verdicts[verdict] = verdicts.get(verdict, 0) + 1
            if complaints or any(verdict.severity > 2 for verdict in verdicts):
                code = ExitCode.BAD  # what was seen was seen
    if status == ExitCode.INTERRUPTED:
        code = ExitCode.INTERRUPTED
    if status < 0:
        reason = f"its run was killed by signal {-status} ({signal.Signals(-status).name})"
    else:
        reason = last_words(directory / LOG) or f"its run ended with {status} and said nothing"
    return PlaceOutcome(
        place, directory, code, status, reason,
        results=results, verdicts=verdicts, complaints=complaints,
    )  # fmt: skip


def last_words(log: Path) -> str:
    """The last message of a run that came to nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        return str(error)
    said = [line.strip() for line in lines if line.strip()]
    begins = [n for n, line in enumerate(said) if line.startswith(("carryover: ", "ERROR: "))]
    return " ".join(said[begins[-1] :] if begins else said[-1:])
