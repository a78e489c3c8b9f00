# SPDX-License-Identifier: GPL-2.0-only
"""Runs of the chosen tests on a target, for ci/bisect: which tests they are, and how a run went."""

import difflib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from carryover_ci.bench import Bench, runner_command
from carryover_ci.bisect_decision import Run
from carryover_ci.cache import cache_root, content_key, write_whole
from carryover_ci.mutants import last_doing
from carryover_ci.program import ROOT, tests_of
from carryover_ci.progress import Progress
from carryover_ci.results import RunResults, json_lines, run_in
from carryover_ci.run import Failure, run_logged

# What the runner says of a kernel that it can do nothing with, once it has booted (campaign.py).
_LACKS = re.compile(r"the target's kernel lacks what the tests need:.*?(?:\n  .*)+", re.DOTALL)
_NODE = re.compile(r"^\S*carryover-selftests::(\S+?)::(\S+)$", re.MULTILINE)
_NOTHING = re.compile(r"^no tests (?:collected|ran)", re.MULTILINE)
_TAIL_LINES = 15


@dataclass(frozen=True)
class Selection:
    """Which tests, and how they are run.

    Attributes:
        tests: Their names ("Suite.Test"); if there are none, `arguments` select.
        arguments: pytest's.
        environment: The target, as a labgrid environment.
        deploy: A shell command that brings the kernel to the target; empty if nothing has to.
    """

    tests: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Path
    deploy: str = ""

    def command(self, bench: Bench, out: Path, *more: str) -> list[str]:
        """The command that runs these tests, with its output in `out`."""
        # Machines that died are not searched for the test that did it: all chosen ones count.
        options = ["--carryover-out", str(out), "--carryover-reruns", "0"]
        named = [f"{bench.program}::{test.replace('.', '::', 1)}" for test in self.tests]
        target = ["--target", str(self.environment)]
        return runner_command(bench, [*target, *options, *self.arguments, *more, *named])


def chosen_tests(bench: Bench, selection: Selection) -> list[str]:
    """The names of the tests that are selected, in the order in which they run.

    Raises:
        Failure: A test that does not exist, nothing is selected, or pytest refuses its arguments.
    """
    known = [str(test["name"]) for test in tests_of(bench.program)]
    for name in selection.tests:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            meant = f"; was {' or '.join(near)} meant?" if near else ""
            raise Failure(f"--test {name}: there is no such test{meant}")
    if selection.tests:
        return list(dict.fromkeys(selection.tests))
    key = content_key(bench.program, selection.environment, *selection.arguments)
    kept = cache_root() / "bisect" / "selection" / key
    if not kept.exists():
        write_whole(kept, "".join(f"{name}\n" for name in _collect(bench, selection)))
    return kept.read_text().split()


def _collect(bench: Bench, selection: Selection) -> list[str]:
    log = cache_root() / "bisect" / "collect.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = selection.command(bench, log.with_suffix(""), "--collect-only", "-q")
    environment = {**os.environ, **bench.environment()}
    status = run_logged(command, log, folder=ROOT, environment=environment)
    said = log.read_text()
    if _NOTHING.search(said):
        asked = " ".join(selection.arguments) or "nothing"
        raise Failure(
            f"no test is selected by: {asked}. `ci/bench --collect-only -q` lists all tests; a "
            "test whose driver has no device in the environment is never selected"
        )
    names = [f"{suite}.{test}" for suite, test in _NODE.findall(said)]
    if status != 0 or not names:
        raise Failure(f"pytest cannot select tests:\n{_tail(said)}")
    return names


def run_tests(
    bench: Bench, selection: Selection, boot: dict[str, str], out: Path, progress: Progress
) -> Run:
    """One run of the chosen tests, with its output in `out`; what was there is removed.

    `boot` are variables for the deploying command, beside the bench's.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    started = time.monotonic()
    now = {"CARRYOVER_STARTED": str(time.time())}  # from where its log counts
    environment = {**os.environ, **bench.environment(), **boot, **now}
    if selection.deploy:
        command = ["bash", "-c", selection.deploy]
        status, log = run_in(out, command, environment, "deploy", progress, "deploy.log")
        if status != 0:
            trouble = f"--deploy ended with {status}: {_tail(log.read_text(), 1)}; see {log}"
            return Run(trouble=trouble, seconds=time.monotonic() - started, folder=str(out))
    command = selection.command(bench, out)
    _, log = run_in(out, command, environment, "run", progress)
    return read_run(out, log, round(time.monotonic() - started, 1))


def read_run(out: Path, log: Path, seconds: float = 0.0) -> Run:
    """How the run went whose output is in `out`, and what pytest said in `log`.

    Raises:
        Failure: pytest refused to run at all: the environment or an argument is wrong.
    """
    lines = json_lines(out / "results.jsonl")
    results = RunResults.read(out)
    end = next((line["how"] for line in lines if line["event"] == "end"), "")
    journal = json_lines(out / "journal.jsonl")
    powered = any(step["step"] == "power-on" for step in journal)
    said = log.read_text(errors="replace")
    lacks = _LACKS.search(said)
    if not powered and (end == "refused" or not lines):
        raise Failure(f"the runner refuses to run the tests:\n{_tail(said)}\nAll of it: {log}")
    trouble = ""
    if not results.complete and not lacks:
        trouble = f"the run {'was ' + end if end else 'was cut off'}; see {log}"
    began = any(line["halves"] for line in lines if line["event"] == "result")
    return Run(
        verdicts=results.verdicts,
        faults=results.faults,
        booted=began or bool(last_doing(json_lines(out / "events.jsonl"), journal)),
        trouble=trouble,
        lacks=" ".join(lacks[0].split()) if lacks and powered else "",
        seconds=seconds,
        folder=str(out),
    )


def _tail(text: str, lines: int = _TAIL_LINES) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
