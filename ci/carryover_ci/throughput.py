# SPDX-License-Identifier: GPL-2.0-only
"""ci/throughput: bytes a second of each driver on the bench, and what a batch is worth.

Runs *Batch of ci/drivers.yaml, prints the table, and writes it into docs/drivers.md.
Exit status 1 if a driver has no figures, or a batch does not win.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carryover_ci.cache import write_whole
from carryover_ci.marked import with_marked
from carryover_ci.program import ROOT
from carryover_ci.results import json_lines
from carryover_ci.run import Failure, exit_with, run_logged

_PAGE = ROOT / "docs" / "drivers.md"
_BEGIN = "<!-- From here to the end mark: written by ci/throughput. -->\n"
_END = "<!-- End of what ci/throughput writes. -->\n"
_OUT = ROOT / "out" / "throughput"
_LENGTHS = (64, 4096)  # bytes a copy, of 64 copies


@dataclass(frozen=True)
class Rate:
    """What one driver copies, in 10^6 bytes a second."""

    driver: str
    page: float  # one page, and wait for it
    one_at_a_time: tuple[float, ...]  # by _LENGTHS; none of a device without a ring
    batch: tuple[float, ...]

    def row(self) -> str:
        """A row of the table."""
        cells = [self.driver, _shown(self.page)]
        for one, all_at_once in zip(self.one_at_a_time, self.batch, strict=True):
            cells += [_shown(one), f"{_shown(all_at_once)} ({all_at_once / one:.1f} times)"]
        if not self.batch:
            cells += ["no ring", "", "", ""]
        return f"| {' | '.join(cells)} |"


def _shown(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def rates(lines: Iterable[dict[str, Any]]) -> list[Rate]:
    """The rates by the results of a run (`results.jsonl` of the runner).

    Raises:
        Failure: A test of them failed, or there are none.
    """
    notes: dict[str, dict[str, Any]] = {}
    for line in lines:
        suite, _, _ = str(line.get("name", "")).partition(".")
        if line["event"] != "result" or not suite.endswith("Batch"):
            continue
        if line["verdict"] != "PASS":
            raise Failure(f"{line['name']}: {line['verdict']}: {line['reason']}")
        notes.setdefault(suite.removesuffix("Batch").lower(), {}).update(line["notes"])
    if not notes:
        raise Failure("the run has no results of *Batch")
    found = []
    for driver, of in notes.items():
        if "page_MBps" not in of:
            raise Failure(f"{driver}: the run has no result of CopiesAPageAlone")
        lengths = _LENGTHS if f"batch_MBps_{_LENGTHS[0]}" in of else ()
        found.append(
            Rate(
                driver,
                float(of["page_MBps"]),
                tuple(float(of[f"one_at_a_time_MBps_{length}"]) for length in lengths),
                tuple(float(of[f"batch_MBps_{length}"]) for length in lengths),
            )
        )
    return found


def table(found: Iterable[Rate]) -> str:
    """The rates as Markdown."""
    head = ["driver", "a page"]
    for length in _LENGTHS:
        head += [f"64 of {length} bytes, one by one", "in one batch"]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(rate.row() for rate in found)]
    return "\n".join(rows) + "\n"


def _run() -> Path:
    log = ROOT / "out" / "throughput.log"
    log.parent.mkdir(exist_ok=True)
    command: list[str | Path] = [ROOT / "ci" / "bench", "--lg-env", ROOT / "ci" / "drivers.yaml"]
    command += ["-k", "Batch", "--carryover-out", _OUT]

    def show(line: str) -> None:
        sys.stderr.write(line)

    if status := run_logged(command, log, show, environment=dict(os.environ)):
        raise Failure(f"ci/bench ended with {status}; all of it: {log}")
    return _OUT


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="ci/throughput", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "results",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="results of a run of ci/drivers.yaml that there was (out/bench): runs nothing, and\n"
        "writes no document",
    )
    results = parser.parse_args().results
    if results is not None and not (results / "results.jsonl").is_file():
        raise Failure(f"{results}: has no results.jsonl; give the --carryover-out of a run")
    text = table(rates(json_lines((results or _run()) / "results.jsonl")))
    sys.stdout.write(text)
    if results is None:
        made = f"10^6 bytes a second, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}:\n\n"
        page = with_marked(_PAGE, _BEGIN, _END, made + text)
        write_whole(_PAGE, page)


if __name__ == "__main__":
    exit_with(_main, "ci/throughput")
