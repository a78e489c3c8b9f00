# SPDX-License-Identifier: GPL-2.0-only
"""ci/peer: what carryover-peer is good for on this machine, on one processor.

100,000 frames of 256 bytes a second through each of its ways, and by how much it is late at 1 kHz.
A figure is tried up to three times, and the first try that reaches it counts: others may use the
machine. Exit status 1 if a figure was not reached. One that this machine does not permit to judge
is neither reached nor missed, and said so.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from carryover_ci.kernel import KernelChoice
from carryover_ci.program import ROOT, build_program
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, exit_with

_TRIES = 3
_RATE_HZ = 100_000
_RATE_SECONDS = 4
_SHARE = 0.99  # of a second's frames, as the peer itself has it
_TICK_HZ = 1000
_TICK_SECONDS = 10
_LATE_MS = 5.0
# Who has just been served when the processor is taken away is late by a tick less.
_SLEEPER_MS = _LATE_MS - 1000 / _TICK_HZ
_TIMES_SLEEPER = 2  # later than that it is the peer, whatever the machine
_CANNOT = 3  # the peer's exit status


class Verdict(Enum):
    """What a try, or all tries of a figure, came to."""

    REACHED = "passed"
    MISSED = "failed"
    OPEN = "not judged"


@dataclass(frozen=True)
class Try:
    """One measurement, and what it says."""

    verdict: Verdict
    measured: str


def rate_try(report: dict[str, Any]) -> Try:
    """Whether the peer's report of `loop` is one of a rate that was held, and nothing lost."""
    rate, worst, received = report["rate_hz"], report["worst_second"], report["received"]
    wrong = [
        f"{count} {what}"
        for what, count in (
            ("refused", report["refused"]),
            ("lost", report["lost"]),
            ("given up", report["missed_ticks"]),
            ("damaged", sum(received["damaged"].values())),
            ("out of order", received["reordered"]),
            ("twice", received["duplicates"]),
        )
        if count
    ]
    least = worst["offered"] if worst else 0
    held = bool(report["held"]) and least >= _SHARE * rate and not wrong
    measured = (
        f"{report['achieved_hz']:,.0f} frames of {report['size']} bytes a second, in the worst "
        f"second {least:,} of {rate:,}; {', '.join(wrong) or 'none refused, lost or changed'}; "
        f"{report['cpu_ns_per_frame'] / 1000:.1f} us of processor a frame"
    )
    return Try(Verdict.REACHED if held else Verdict.MISSED, measured)


def lateness_try(report: dict[str, Any], sleeper_ms: float) -> Try:
    """The peer's lateness, beside that of a sleeper on the same processor meanwhile."""
    late = report["lateness"]
    worst_ms = late["worst_ns"] / 1e6
    measured = (
        f"late by {late['median_ns'] / 1e6:.2f} ms in the median, {worst_ms:.1f} ms at worst; "
        f"a process that only sleeps, beside it: {sleeper_ms:.1f} ms at worst"
    )
    if worst_ms <= _LATE_MS:
        return Try(Verdict.REACHED, measured)
    excused = sleeper_ms > _SLEEPER_MS and worst_ms <= _TIMES_SLEEPER * sleeper_ms
    return Try(Verdict.OPEN if excused else Verdict.MISSED, measured)


def best_of(attempt: Callable[[], Try]) -> tuple[Try, int]:
    """The first of up to _TRIES tries that reaches the figure, and its number.

    Without one, a try that missed it, where there was one.
    """
    tries: list[Try] = []
    for number in range(1, _TRIES + 1):
        tries.append(attempt())
        if tries[-1].verdict is Verdict.REACHED:
            return tries[-1], number
    missed = [one for one in tries if one.verdict is Verdict.MISSED]
    return (missed or tries)[-1], _TRIES


@contextmanager
def _sleeper(processor: int) -> Iterator[Callable[[], float]]:
    """carryover_ci.sleeper during the block; what is yielded ends it, and returns what it says."""
    command = [sys.executable, "-m", "carryover_ci.sleeper", str(processor), str(_TICK_HZ)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def end() -> float:
            process.terminate()
            said, _ = process.communicate(timeout=30)
            return float(said)

        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise Failure(f"{' '.join(command)}: is not ready")
            yield end
        finally:
            process.kill()


class _Peer:
    """carryover-peer on one processor, by SCHED_FIFO if that is permitted."""

    def __init__(self, program: Path) -> None:
        self._program = program
        # The first one has most interrupts.
        self.processor = max(os.sched_getaffinity(0))
        self._options: list[str] = []
        self.no_realtime = ""
        status, complaint = self._run(["--seconds", "0.01", "--realtime"])
        if status == _CANNOT:
            self.no_realtime = complaint
        else:
            self._options = ["--realtime"]

    def loop(self, through: str, rate: int, seconds: int) -> dict[str, Any]:
        """The report of `loop`. Failure if there is none."""
        file = ROOT / "out" / "peer" / f"{through}-{rate}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        words = ["--through", through, "--rate", str(rate), "--seconds", str(seconds)]
        status, complaint = self._run([*words, "--report", str(file), *self._options], seconds)
        if not file.is_file():
            raise Failure(f"carryover-peer: exit status {status}\n{complaint}")
        report: dict[str, Any] = json.loads(file.read_text())
        return report

    def _run(self, words: list[str], seconds: int = 0) -> tuple[int, str]:
        command = ["taskset", "-c", str(self.processor), str(self._program), "loop", *words]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=seconds + 30
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(command)}: has not ended after {seconds + 30} s") from None
        return done.returncode, done.stderr.strip()


def _rate(peer: _Peer, through: str) -> Try:
    try:
        return rate_try(peer.loop(through, _RATE_HZ, _RATE_SECONDS))
    except Failure as failure:
        # Interfaces of its own are not permitted to everyone, nor had by each kernel.
        if through == "veth" and f"exit status {_CANNOT}" in str(failure):
            return Try(Verdict.OPEN, str(failure).splitlines()[-1])
        raise


def _lateness(peer: _Peer) -> Try:
    if peer.no_realtime:
        return Try(Verdict.OPEN, peer.no_realtime)
    with _sleeper(peer.processor) as end_sleeper:
        report = peer.loop("dgram", _TICK_HZ, _TICK_SECONDS)
        return lateness_try(report, end_sleeper())


def _main() -> None:
    argparse.ArgumentParser(
        prog="ci/peer", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    progress = Progress()
    include = KernelChoice().headers(progress)
    build_program(include, "release", progress, target="carryover-peer")
    peer = _Peer(ROOT / "build" / "release" / "fixtures" / "traffic_peer" / "carryover-peer")
    if peer.no_realtime:
        sys.stdout.write(f"without --realtime, others can take its processor: {peer.no_realtime}\n")
    figures: dict[str, Callable[[], Try]] = {
        f"{_RATE_HZ:,} a second through {way}": partial(_rate, peer, way)
        for way in ("dgram", "stream", "veth")
    }
    figures[f"{_TICK_HZ:,} a second, at most {_LATE_MS:g} ms late"] = partial(_lateness, peer)
    verdicts: list[Verdict] = []
    for name, attempt in figures.items():
        with progress.step("peer") as step:
            step.update(name)
            best, number = best_of(attempt)
        verdicts.append(best.verdict)
        sys.stdout.write(f"{name}: {best.verdict.value}, try {number} of {_TRIES}\n")
        sys.stdout.write(f"    {best.measured}\n")
        sys.stdout.flush()
    counts = [f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict]
    sys.stdout.write(f"{', '.join(counts)}\n")
    sys.exit(1 if Verdict.MISSED in verdicts else 0)


if __name__ == "__main__":
    exit_with(_main, "ci/peer")
