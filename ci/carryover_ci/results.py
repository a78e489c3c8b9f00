# SPDX-License-Identifier: GPL-2.0-only
"""A run of the runner, and what it left behind, to be judged (results.jsonl)."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carryover_ci.program import ROOT
from carryover_ci.progress import Progress
from carryover_ci.run import run_logged

GOOD = ("PASS", "SKIP")


def json_lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON lines; a machine can die in the middle of one."""
    if not file.exists():
        return []
    lines = file.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]


def run_in(
    folder: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    name: str,
    progress: Progress,
    log_name: str = "bench.log",
) -> tuple[int, Path]:
    """Runs `command`, with its output in `folder`, as a step of this name.

    Returns its exit status and its log.
    """
    log = folder / log_name
    with progress.step(name) as step:
        status = run_logged(
            command,
            log,
            lambda line: step.update(line.strip()[:70]),
            folder=ROOT,
            environment=environment,
        )
    return status, log


def kernel_faults(lines: Iterable[dict[str, Any]]) -> list[str]:
    """What kernels complained of, by the records of results.jsonl; notices are no complaints."""
    faults = [line for line in lines if line["event"] == "kernel-fault"]
    return [fault["text"] for fault in faults if fault.get("severity") != "notice"]


@dataclass(frozen=True)
class RunResults:
    """All results of one run."""

    verdicts: dict[str, str]  # of each test, by its name, in the order in which they came
    faults: list[str]  # what the kernel complained of
    complete: bool  # the run came to its end
    # Tests that were skipped for another reason than that the kernel does not claim what they test.
    skipped: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> "RunResults":
        """Of the run whose output is in `folder`; of nothing, if there is no results.jsonl."""
        lines = json_lines(folder / "results.jsonl")
        results = [line for line in lines if line["event"] == "result"]
        made = {
            None,
            *(c for line in lines if line["event"] == "begin" for c in line.get("claims", ())),
        }
        return cls(
            {result["name"]: result["verdict"] for result in results},
            kernel_faults(lines),
            bool(lines) and lines[-1].get("how") == "complete",
            tuple(r["name"] for r in results if r["verdict"] == "SKIP" and r.get("claim") in made),
        )

    def counts(self) -> dict[str, int]:
        """How many tests have each verdict."""
        return dict(sorted(Counter(self.verdicts.values()).items()))

    def bad(self) -> list[str]:
        """What keeps the run from being a good one: "VERDICT Suite.Test", and so on."""
        tests = [f"{v} {name}" for name, v in self.verdicts.items() if v not in GOOD]
        faults = [f"kernel fault: {fault}" for fault in self.faults]
        if not self.verdicts:
            return ["no test ran"]
        return tests + faults + ([] if self.complete else ["the run was cut off"])
