# SPDX-License-Identifier: GPL-2.0-only
"""ci/faults: the fault matrix. Breaks runs on the bench on purpose, and judges what they say.

Prints a table; out/faults/faults.json has it all. What a wrong run left is kept in
out/faults/wrong/. Exit status 1 if one verdict is wrong, or a result lost.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carryover_ci.bench import prepare
from carryover_ci.cache import write_whole
from carryover_ci.fault_run import FaultRun
from carryover_ci.fault_table import Fault, faults
from carryover_ci.kernel import KernelChoice
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, exit_with

OUT = ROOT / "out" / "faults"
_TRIES = 3


@dataclass(frozen=True)
class Judgement:
    """One run.

    Attributes:
        fault: Its name.
        right: Tests that have the verdict that they have to have.
        wrong: What is wrong, in words.
        lost: Tests that have none.
        seconds: From the fault to the verdict of the test that it hit; None if it has none.
        total: Seconds of the whole run.
    """

    fault: str
    right: int
    wrong: list[str]
    lost: list[str]
    seconds: float | None
    total: float

    @property
    def is_good(self) -> bool:
        """Whether every verdict is there and right."""
        return not self.wrong and not self.lost


def judge(
    fault: Fault, records: Sequence[dict[str, Any]], status: int, when: float, total: float
) -> Judgement:
    """What a run came to, by its results.jsonl and its exit status.

    Args:
        fault: What was done to it.
        records: Of its results.jsonl.
        status: Its exit status.
        when: time.time() of the fault.
        total: Seconds of the run.
    """
    results = [record for record in records if record["event"] == "result"]
    found = {record["name"]: record for record in results}
    wrong = []
    for name, wanted in fault.verdicts.items():
        if name in found and (verdict := found[name]["verdict"]) != wanted:
            wrong.append(f"{name} is {verdict}, not {wanted}: {found[name]['reason']}")
    wrong += [f"{name} was not selected" for name in found if name not in fault.verdicts]
    if len(found) != len(results):
        wrong.append("a test has two results")
    if status != fault.status:
        wrong.append(f"exit status {status}, not {fault.status}")
    if not records or records[-1]["event"] != "end":
        wrong.append("the results have no end")
    hit = found.get(next(iter(fault.verdicts)))
    seconds = round(hit["time"] - when, 3) if hit else None
    if seconds is not None and fault.limit is not None and seconds > fault.limit:
        wrong.append(
            f"the verdict came {seconds:.1f} s after the fault, not within {fault.limit:g} s"
        )
    right = sum(found[n]["verdict"] == v for n, v in fault.verdicts.items() if n in found)
    lost = [name for name in fault.verdicts if name not in found]
    return Judgement(fault.name, right, wrong, lost, seconds, round(total, 1))


def table(of: Sequence[Fault], judgements: Sequence[Judgement]) -> str:
    """For people, and for docs."""
    rows = [("fault", "runs", "right", "wrong", "lost", "median s", "worst s")]
    by_fault: dict[str, list[Judgement]] = defaultdict(list)
    for one in judgements:
        by_fault[one.fault].append(one)
    for fault in of:
        runs = by_fault[fault.name]
        seconds = [run.seconds for run in runs if run.seconds is not None]
        rows.append(
            (
                fault.name,
                str(len(runs)),
                str(sum(run.right for run in runs)),
                str(sum(len(run.wrong) for run in runs)),
                str(sum(len(run.lost) for run in runs)),
                f"{statistics.median(seconds):.2f}" if seconds else "-",
                f"{max(seconds):.2f}" if seconds else "-",
            )
        )
    width = max(len(row[0]) for row in rows)
    return "".join(
        f"{row[0]:<{width}}  " + "  ".join(f"{word:>8}" for word in row[1:]) + "\n" for row in rows
    )


def run_once(fault: Fault, folder: Path) -> Judgement:
    """One run, judged. What cannot be done, or ends in another way, is wrong.

    A run in which the machine had too much else to do to cause the fault in full, and in which all
    was right, says nothing: there is another one, and wrong is what _TRIES do not get done.
    """
    for number in range(1, _TRIES + 1):
        run = FaultRun(folder, list(fault.verdicts), fault.options)
        judgement = _judge_run(fault, run)
        if not run.short:
            return judgement
        if not judgement.is_good or number == _TRIES:
            break
    judgement.wrong.append(run.short)
    return judgement


def _judge_run(fault: Fault, run: FaultRun) -> Judgement:
    began = time.monotonic()
    try:
        status, when = fault.lead(run)
        judgement = judge(fault, run.records, status, when, time.monotonic() - began)
        if left := run.left_running():
            judgement.wrong.append(f"left running: machine, process {left}")
    except (Failure, OSError) as error:
        names = {r["name"] for r in run.records if r["event"] == "result"}
        lost = [name for name in fault.verdicts if name not in names]
        total = round(time.monotonic() - began, 1)
        judgement = Judgement(fault.name, 0, [str(error)], lost, None, total)
    finally:
        run.close()
    return judgement


class Matrix:
    """All runs, some at once; what is known so far is on disk."""

    def __init__(self, of: Sequence[Fault], runs: int, jobs: int) -> None:
        self._faults, self._runs, self._jobs = of, runs, jobs
        self._lock = threading.Lock()
        self.judgements: list[Judgement] = []

    def run(self) -> bool:
        """True if all were right."""
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
        with ThreadPoolExecutor(self._jobs) as pool:
            # Each fault once, then each again: what is wrong shows early.
            work = [
                pool.submit(self._one, fault, number)
                for number in range(1, self._runs + 1)
                for fault in self._faults
            ]
            try:
                for one in work:
                    one.result()
            except BaseException:
                for one in work:
                    one.cancel()
                raise
        return len(self.judgements) == len(work) and all(j.is_good for j in self.judgements)

    def _one(self, fault: Fault, number: int) -> None:
        folder = OUT / f"{fault.name.replace(', ', '-').replace(' ', '-')}-{number}"
        judgement = run_once(fault, folder)
        if judgement.is_good:
            shutil.rmtree(folder)
        else:
            (OUT / "wrong").mkdir(exist_ok=True)
            folder.rename(OUT / "wrong" / folder.name)
        with self._lock:
            self.judgements.append(judgement)
            self._write()
            self._tell(judgement)

    def _write(self) -> None:
        known = {"wanted": self._runs, "runs": [asdict(one) for one in self.judgements]}
        write_whole(OUT / "faults.json", json.dumps(known, indent=1) + "\n")

    def _tell(self, one: Judgement) -> None:
        done, of = len(self.judgements), self._runs * len(self._faults)
        seconds = f"verdict after {one.seconds:.2f} s" if one.seconds is not None else "no verdict"
        line = f"{done:>{len(str(of))}} of {of}  {one.fault:<18} {one.total:6.1f} s  {seconds}"
        for text in [*one.wrong, *(f"{name} has no result" for name in one.lost)]:
            line += f"\n    WRONG  {text}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _main() -> None:
    known = faults()
    parser = argparse.ArgumentParser(
        prog="ci/faults",
        description=__doc__,
        epilog="\n".join(f"{fault.name:<18} {fault.what}" for fault in known),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="of each (default: 1)")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="at once (default: 1)")
    parser.add_argument(
        "--only",
        action="append",
        choices=[fault.name for fault in known],
        metavar="NAME",
        help="this fault; may be repeated (default: all, see below)",
    )
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.jobs < 1:
        parser.error("--runs and --jobs take a number of 1 or more")
    selected = [f for f in known if arguments.only is None or f.name in arguments.only]
    bench = prepare(KernelChoice(), None, Progress())
    os.environ.update(bench.environment())
    os.environ.pop("CARRYOVER_STARTED", None)
    matrix = Matrix(selected, arguments.runs, arguments.jobs)
    try:
        is_good = matrix.run()
    finally:
        good = sum(one.is_good for one in matrix.judgements)
        wanted = len(selected) * arguments.runs
        sys.stdout.write(f"\n{table(selected, matrix.judgements)}{good} of {wanted} runs right\n")
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    exit_with(_main, "ci/faults")
