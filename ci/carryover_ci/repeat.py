# SPDX-License-Identifier: GPL-2.0-only
"""ci/bench --repeat: the same run many times, to find what fails now and then.

One line a run. What a good run left behind is overwritten by the next; a bad one keeps its folder,
out/repeat/failed-N. The results of each are kept: out/repeat/run-N.jsonl, for `carryover gap`.
out/repeat/summary.json tells of all of them, whenever it ends, and out/repeat/gap.svg of the gaps
of their kexecs, if they had any.

A run is no good one either if it skipped a test that was selected by name, unless the kernel does
not claim what that tests; or, if none were selected, other tests than the first run.
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from carryover.errors import BadInput
from carryover.gap.figures import picture
from carryover.gap.gap import Gaps, Kexec
from carryover.gap.reader import kexecs
from carryover.outputs.saved_run import load

from carryover_ci.cache import write_whole
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress
from carryover_ci.results import RunResults, run_in

OUT = ROOT / "out" / "repeat"


@dataclass(frozen=True)
class Run:
    """One of the runs."""

    number: int  # from 1
    seconds: float
    counts: dict[str, int]  # tests by verdict
    bad: list[str]  # why it was not a good one
    out: str  # its folder, if it was not

    def line(self, of: int) -> str:
        """What a person sees of it."""
        verdicts = "  ".join(f"{n} {verdict}" for verdict, n in self.counts.items())
        text = f"run {self.number:>{len(str(of))}} of {of}  {self.seconds:6.1f} s  {verdicts}"
        if not self.bad:
            return text
        more = f" and {len(self.bad) - 3} more" if len(self.bad) > 3 else ""
        return f"{text}  BAD  {', '.join(self.bad[:3])}{more}; see {self.out}"


def failures(runs: list[Run]) -> dict[str, int]:
    """In how many of them each failure was; one that is in all of them is no flake."""
    return dict(Counter(bad for run in runs for bad in run.bad).most_common())


def times_of(runs: list[Run]) -> dict[str, float]:
    """Seconds of the runs that came to their end."""
    seconds = [run.seconds for run in runs] or [0.0]
    median = round(statistics.median(seconds), 1)
    return {"shortest": min(seconds), "median": median, "longest": max(seconds)}


def summary(runs: list[Run], wanted: int) -> dict[str, object]:
    """summary.json."""
    return {
        "wanted": wanted,
        "runs": len(runs),
        "bad": sum(bool(run.bad) for run in runs),
        "seconds": times_of(runs),
        "failures": failures(runs),
        "each": [asdict(run) for run in runs],
    }


def summary_text(runs: list[Run], wanted: int) -> str:
    """The last lines that a person sees."""
    bad = sum(bool(run.bad) for run in runs)
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times_of(runs).items())
    lines = [f"{len(runs)} of {wanted} runs, {bad} bad; {times}"]
    lines += [f"  {n:>4} times  {failure}" for failure, n in failures(runs).items()]
    return "\n".join(lines)


class Skips:
    """Judges what runs skip: a test that is to be run many times has to run."""

    def __init__(self, selected: bool) -> None:
        self._selected = selected
        self._lock = threading.Lock()
        self._first: tuple[str, ...] | None = None

    def bad(self, results: RunResults) -> list[str]:
        """What keeps a run from being a good one."""
        if self._selected:
            return [f"SKIP {name}" for name in results.skipped]
        if not results.complete:
            return []  # it has been found bad already
        with self._lock:
            if self._first is None:
                self._first = results.skipped
            more = [f"SKIP {name}" for name in results.skipped if name not in self._first]
            return more + [f"no SKIP {name}" for name in self._first if name not in results.skipped]


def _known_kexecs(results: Path) -> list[Kexec]:
    """Those of a run whose gap can be told; one that was cut short or damaged may have none."""
    with contextlib.suppress(BadInput):
        return list(kexecs(load(results)))
    return []


def gap_picture(folder: Path) -> str:
    """Draws the gaps of all runs whose results are in `folder`; what to say of it, or ""."""
    files = sorted(folder.glob("run-*.jsonl"), key=lambda file: int(file.stem.split("-")[1]))
    found = [kexec for file in files for kexec in _known_kexecs(file)]
    if not found:
        return ""
    file = folder / "gap.svg"
    write_whole(file, picture(Gaps(found)))
    return f"the gaps of {len(found)} kexecs: {file.relative_to(ROOT)}"


def repeat(
    command_in: Callable[[Path], list[str]],
    times: int,
    jobs: int,
    progress: Progress,
    say: Callable[[str], object] = lambda line: sys.stdout.write(f"{line}\n"),
    *,
    selected: bool = False,
) -> bool:
    """Runs `command_in(folder)`, a run of the runner with its output in that folder, `times` times.

    `jobs` of them at once. True if all were good. Ctrl-C ends it: what ran is summed up before.
    `selected`: its tests were selected by name.
    """
    skips = Skips(selected)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    numbers = iter(range(1, times + 1))
    runs: list[Run] = []
    lock = threading.Lock()
    stopped = threading.Event()

    def next_number() -> int | None:
        with lock:
            return None if stopped.is_set() else next(numbers, None)

    def work(folder: Path) -> None:
        while number := next_number():
            run = _run(number, command_in(folder), folder, progress, skips)
            if run.bad and stopped.is_set():
                return  # Ctrl-C went to all processes
            with lock:
                runs.append(run)
                write_whole(OUT / "summary.json", json.dumps(summary(runs, times), indent=1) + "\n")
            say(run.line(times))

    try:
        with ThreadPoolExecutor(jobs) as pool:
            workers = [pool.submit(work, OUT / f"current-{index + 1}") for index in range(jobs)]
            try:
                for worker in workers:
                    worker.result()
            except BaseException:
                stopped.set()
                raise
    finally:
        say(summary_text(runs, times))
        if told := gap_picture(OUT):
            say(told)
    return len(runs) == times and not any(run.bad for run in runs)


def _run(number: int, command: list[str], folder: Path, progress: Progress, skips: Skips) -> Run:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    started = time.monotonic()
    environment = {**os.environ, "CARRYOVER_STARTED": str(time.time())}
    status, _ = run_in(folder, command, environment, f"run {number}", progress)
    seconds = round(time.monotonic() - started, 1)
    results = RunResults.read(folder)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(folder / "results.jsonl", OUT / f"run-{number}.jsonl")
    bad = results.bad() + skips.bad(results)
    if status != 0 and not bad:
        bad = [f"exit status {status}"]
    kept = folder
    if bad:
        kept = folder.rename(OUT / f"failed-{number}")
    return Run(number, seconds, results.counts(), bad, str(kept.relative_to(ROOT)) if bad else "")
