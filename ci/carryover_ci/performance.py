# SPDX-License-Identifier: GPL-2.0-only
"""ci/performance: measures the figures of docs/performance.md, and writes that file.

Exit status 1 if a figure is not what it should be. Let nothing else run on the machine meanwhile.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carryover_ci import bisect_history
from carryover_ci.kernel import KernelChoice
from carryover_ci.overhead import overhead
from carryover_ci.program import ROOT, build_program
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, exit_with, output_of, run_logged

_OUT = ROOT / "out" / "performance"
_DOCUMENT = ROOT / "docs" / "performance.md"
_REPETITIONS = 15
_RUNS = 5
_BATCH_WORTH = 2.0  # times the bytes per second of a doorbell for each descriptor


@dataclass(frozen=True)
class Figure:
    """One measured figure, and what it should be."""

    what: str
    measured: str
    wanted: str
    reached: bool

    def row(self) -> str:
        """A row of the table."""
        return (
            f"| {self.what} | {self.measured} | {self.wanted} | {'yes' if self.reached else 'NO'} |"
        )


def memory_figures(progress: Progress) -> list[Figure]:
    """Checking and filling against reading and memset, on the same threads, in one run."""
    include = KernelChoice().headers(progress)
    build_program(include, "release", progress, target="pattern_benchmark")
    program = ROOT / "build" / "release" / "fixtures" / "pattern" / "pattern_benchmark"
    with progress.step("memory") as step:
        step.update("filling and checking 512 MiB")
        result = output_of(
            [
                program,
                "--benchmark_format=json",
                f"--benchmark_repetitions={_REPETITIONS}",
                "--benchmark_enable_random_interleaving=true",
                "--benchmark_min_time=0.2",
            ]
        )
    best: dict[str, float] = {}
    for run in json.loads(result)["benchmarks"]:
        if run["run_type"] == "iteration":
            name = run["run_name"].partition("/")[0]
            best[name] = max(best.get(name, 0), run["bytes_per_second"] / 1e9)

    def ratio(what: str, ours: str, limit: str) -> Figure:
        share = best[ours] / best[limit]
        measured = f"{best[ours]:.1f} GB/s of {best[limit]:.1f} GB/s: {share:.0%}"
        return Figure(what, measured, "80 % or more", share >= 0.8)

    return [
        ratio("checking memory, against reading it", "Check", "Read"),
        ratio("filling memory, against memset", "Fill", "Memset"),
    ]


def bench_figures(progress: Progress) -> list[Figure]:
    """The whole suite, warm, and what a batch is worth."""
    totals, emulated = [], []
    events: list[dict[str, Any]] = []
    for number in range(_RUNS):
        with progress.step("bench") as step:
            step.update(f"run {number + 1} of {_RUNS}")
            started = time.time()
            _bench("--carryover-out", str(_OUT / "bench"))
            totals.append(time.time() - started)
            events = _lines(_OUT / "bench" / "results.jsonl")
            last = max(event["time"] for event in events if event["event"] == "result")
            steps = _lines(_OUT / "bench" / "journal.jsonl")
            on = next(event["time"] for event in steps if event["step"] == "power-on")
            emulated.append(last - on)
    tests = sum(event["event"] == "result" for event in events)
    figures = [
        Figure(
            f"ci/bench, warm: {tests} tests, from the key press to the end",
            f"{sorted(totals)[_RUNS // 2]:.1f} s (worst of {_RUNS}: {max(totals):.1f} s)",
            "20 s or less",
            max(totals) <= 20,
        ),
        Figure(
            "of which from power-on to the last verdict",
            f"{sorted(emulated)[_RUNS // 2]:.1f} s (worst: {max(emulated):.1f} s)",
            "12 s or less",
            max(emulated) <= 12,
        ),
    ]
    added = overhead(events)
    figures.append(
        Figure(
            "what the harness adds to a test: runner, SSH, the program's start",
            f"{added * 1000:.0f} ms",
            "100 ms or less",
            added <= 0.1,
        )
    )
    notes = next(e["notes"] for e in events if e.get("name", "").startswith("IgbThroughput."))
    for length in (64, 1024, 4096):
        batch = float(notes[f"batch_MBps_{length}"])
        each = float(notes[f"doorbell_each_MBps_{length}"])
        figures.append(
            Figure(
                f"igb, copies of {length} bytes: a batch, against a doorbell for each",
                f"{batch:.0f} MB/s against {each:.0f} MB/s: {batch / each:.1f} times",
                f"{_BATCH_WORTH:g} times or more",
                batch >= _BATCH_WORTH * each,
            )
        )
    return figures


def cold_figure(progress: Progress) -> Figure:
    """From empty caches, in a fresh clone."""
    with (
        tempfile.TemporaryDirectory(prefix="carryover-cold-") as scratch,
        progress.step("cold") as step,
    ):
        step.update("ci/bench from empty caches")
        clone = Path(scratch) / "carryover"
        output_of(["git", "clone", "-q", ROOT, clone])
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(scratch) / "cache")}
        environment.pop("PYTHONPATH", None)
        environment.pop("CCACHE_DIR", None)
        started = time.time()
        _run([clone / "ci" / "bench"], _OUT / "cold.log", environment)
        seconds = time.time() - started
    return Figure(
        "ci/bench from empty caches (packages installed)",
        f"{seconds / 60:.1f} min",
        "10 min or less",
        seconds <= 600,
    )


def bisect_figure(progress: Progress) -> Figure:
    """Steps that git had ci/bisect do, on a history of changes of one file each."""
    history = bisect_history.make_history(progress)
    steps = bisect_history.bisect(history, _OUT / "bisect", progress)[2:]
    seconds = sorted(step["seconds"] for step in steps if step["runs"])
    builds = sorted(step["build_seconds"] for step in steps if step["runs"])
    return Figure(
        "a step of ci/bisect after a change of one file, from its start to its exit status",
        f"{seconds[len(seconds) // 2]:.1f} s, of which the kernel {builds[len(builds) // 2]:.1f} s "
        f"(worst of {len(seconds)}: {seconds[-1]:.1f} s)",
        "60 s or less",
        seconds[-1] <= 60,
    )


def document(figures: list[Figure]) -> str:
    """docs/performance.md."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    rows = "\n".join(figure.row() for figure in figures)
    return f"""<!-- SPDX-License-Identifier: GPL-2.0-only -->
<!-- Written by ci/performance. -->
# Performance

Measured by `ci/performance` on {os.cpu_count()} cores ({model}), QEMU with TCG,
{time.strftime("%Y-%m-%d")}.

| what | measured | wanted | reached |
|---|---|---|---|
{rows}

- Memory: the best of {_REPETITIONS} repetitions in random order, as others may use the same memory
  bus; 512 MiB, all threads of the machine (`fixtures/pattern/pattern_benchmark.cc`).
- igb: the best of eight rounds, both ways in turn, in the same virtual machine
  (`selftests/igb_throughput_test.cc`). It is the emulation that is measured, not the silicon.
- The bench: medians of {_RUNS} runs. From power-on to the last verdict there are one cold boot and
  three kexecs.
- A step of ci/bisect: those that git took on a history of thirteen changes, which ci/bisect is
  proved by (`ci/carryover_ci/bisect_history.py`), with one run of two tests.
"""


def _bench(*arguments: str) -> None:
    _run([ROOT / "ci" / "bench", *arguments], _OUT / "bench.log", dict(os.environ))


def _run(command: list[Path | str], log: Path, environment: dict[str, str]) -> None:
    if (status := run_logged(command, log, environment=environment)) != 0:
        tail = "\n".join(log.read_text().splitlines()[-20:])
        raise Failure(f"{command[0]} ended with {status}:\n{tail}\nAll of it: {log}")


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/performance", description=__doc__)
    parser.add_argument(
        "--cold",
        action="store_true",
        help="also measure ci/bench from empty caches (some minutes)",
    )
    parser.add_argument(
        "--bisect",
        action="store_true",
        help="also measure steps of ci/bisect (some minutes, the first time ten more)",
    )
    arguments = parser.parse_args()
    _OUT.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    _bench("--setup-only")
    parts: list[Callable[[Progress], list[Figure]]] = [memory_figures, bench_figures]
    figures = [figure for part in parts for figure in part(progress)]
    if arguments.cold:
        figures.append(cold_figure(progress))
    if arguments.bisect:
        figures.append(bisect_figure(progress))
    _DOCUMENT.write_text(document(figures))
    for figure in figures:
        sys.stdout.write(f"{figure.row()}\n")
    sys.exit(0 if all(figure.reached for figure in figures) else 1)


if __name__ == "__main__":
    exit_with(_main, "ci/performance")
