# SPDX-License-Identifier: GPL-2.0-only
"""What a fleet costs its controller: places of a real coordinator, on machines that are recorded.

    PYTHONPATH=runner:runner/tests python runner/tests/fleet_cost.py --places 200 --tests 500

Each place is run by `carryover run`, as in a lab; its machine and program are fakes that take as
long as those of the bench did (fake/recording.py), and do not count as the controller's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from conftest import FakeBench
from fake.recording import VARIABLE
from lab_on_fakes import fake_lab
from rich.console import Console

_EVERY = 0.25  # seconds
_TICK = os.sysconf("SC_CLK_TCK")
# Each is a process of the controller: a run, its keeper, and the fleet.
_KINDS = {"carryover run": "run", "lease_keeper": "keeper", "carryover fleet": "fleet"}


@dataclass
class Usage:
    """Of a process, as far as it was seen: the last look at it was a moment before its end."""

    seconds: float = 0.0
    mebibytes: float = 0.0


@dataclass
class Sampler:
    """Looks at the descendants of this process, until it is told to stop."""

    by_kind: dict[str, dict[int, Usage]] = field(default_factory=lambda: defaultdict(dict))
    most_at_once: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Sampler:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        kinds: dict[int, str] = {}
        looks = 0
        while not self._over.wait(_EVERY):
            looks += 1
            now = 0
            for pid in _descendants(os.getpid()):
                try:
                    kind = kinds.get(pid) or _kind(pid)
                    if kind:
                        kinds[pid] = kind
                        now += kind == "run"
                        usage = self.by_kind[kind].setdefault(pid, Usage())
                        usage.seconds = _seconds(pid)
                        if looks % 8 == 0:  # it is dear to ask for
                            usage.mebibytes = max(usage.mebibytes, _proportional(pid))
                except (OSError, ValueError, IndexError):
                    continue  # it has ended
            self.most_at_once = max(self.most_at_once, now)

    def mean(self, kind: str) -> Usage:
        """Of all processes of a kind."""
        found = list(self.by_kind[kind].values())
        seen = [usage.mebibytes for usage in found if usage.mebibytes]
        return Usage(
            sum(usage.seconds for usage in found) / len(found), sum(seen) / max(1, len(seen))
        )


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    left = [pid]
    while left:
        try:
            tasks = list(Path(f"/proc/{left.pop()}/task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                children = [int(word) for word in (task / "children").read_text().split()]
            except OSError:
                continue
            found += children
            left += children
    return found


def _kind(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return next((kind for part, kind in _KINDS.items() if part in words), "")


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _proportional(pid: int) -> float:
    """PSS: what is shared with other processes counts for each in part."""
    found = re.search(r"^Pss: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


@dataclass(frozen=True)
class Cost:
    """What was measured."""

    places: int
    results: int
    at_once: int
    seconds: float
    gather_seconds: float
    run: Usage
    keeper: Usage
    fleet: Usage

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"{self.results} results of {self.places} places, {self.at_once} at once, in "
            f"{self.seconds:.0f} s",
            f"a place: {self.run.seconds + self.keeper.seconds:.2f} s of CPU, "
            f"{self.run.mebibytes + self.keeper.mebibytes:.0f} MiB while it runs "
            f"(its keeper: {self.keeper.seconds:.2f} s, {self.keeper.mebibytes:.0f} MiB)",
            f"the fleet itself: {self.fleet.seconds:.1f} s of CPU, "
            f"{self.fleet.mebibytes:.0f} MiB at most",
            f"gathering: {self.gather_seconds:.1f} s",
        ]


def measure(folder: Path, places: int, tests: int, jobs: int) -> Cost:
    """Runs a fleet. Raises AssertionError if not every test has passed on every place."""
    fake = FakeBench(folder)
    fake.variables[VARIABLE] = str(tests)
    names = [f"rack{number // 20:02}-{number % 20:02}" for number in range(places)]
    with fake_lab(fake, names) as lab, Sampler() as sampler:
        began = time.monotonic()
        process = lab.start(
            "fleet",
            *("--json", "--out", str(fake.out), "--tag", "board=fake", "--jobs", str(jobs)),
            *("--carryover-time-scale", "20", "--wait", "60"),
        )
        output, errors = process.communicate()
        took = time.monotonic() - began
    said = json.loads(output or "{}")
    assert said.get("exit_code") == 0, errors[-4000:]
    assert said["verdicts"] == {"PASS": places * tests}, said["verdicts"]
    assert said["differing"] == []
    gathered = re.search(r"gathered +\d+ results of \d+ places in ([\d.]+) s", errors)
    assert gathered is not None
    return Cost(
        places=places,
        results=places * tests,
        at_once=sampler.most_at_once,
        seconds=took,
        gather_seconds=float(gathered[1]),
        run=sampler.mean("run"),
        keeper=sampler.mean("keeper"),
        fleet=sampler.mean("fleet"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--tests", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        cost = measure(Path(folder), options.places, options.tests, options.jobs)
    Console(highlight=False).print("\n".join(cost.lines()), soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
