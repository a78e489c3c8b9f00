# SPDX-License-Identifier: GPL-2.0-only
"""`carryover run`: pytest with the plugin, and an exit status that scripts can decide on."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from carryover.environment import check_place
from carryover.errors import BadInput
from carryover.exit_codes import ExitCode
from carryover.outputs.saved_run import SavedRun, load
from carryover.place.choice import tags_of
from carryover.place.lease import Lease, leased
from carryover.session import LEASE
from carryover.verdict import BAD, Verdict

PROGRAM = "CARRYOVER_PROGRAM"


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        code: The exit status.
        run: What it wrote; None if it wrote no results.
        remark: What is missing of it.
        place: Of whose machine it is; empty if it is of none.
    """

    code: ExitCode
    run: SavedRun | None = None
    remark: str = ""
    place: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For scripts (docs/results.md)."""
        run = self.run
        found = Counter(Verdict(r["verdict"]) for r in run.results) if run else Counter[Verdict]()
        return {
            "exit_code": self.code.value,
            "meaning": self.code.meaning,
            "verdicts": {verdict.value: found[verdict] for verdict in Verdict if found[verdict]},
            "worst": max(found, key=lambda v: v.severity).value if found else None,
            "kernel_faults": [fault["text"] for fault in run.faults] if run else [],
            "violations": [violation["text"] for violation in run.violations] if run else [],
            "results": str(run.directory / "results.jsonl") if run else None,
            "remark": self.remark,
            "place": self.place or None,
        }


def run(options: argparse.Namespace) -> int:
    """Runs pytest in this process, and prints the outcome if `options.json`.

    Raises:
        BadInput: No program is named, or the place that is asked for cannot be had.
    """
    arguments = _pytest_arguments(options)
    if options.ends_with_stdin:
        _end_with(os.dup(0))
    if not options.json:
        return _run_on_place(arguments, options).code
    # What pytest, labgrid and the display print on standard output is for a person.
    sys.stdout.flush()
    # Whoever was to read it may be gone, and that is no reason to say more.
    with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(1), "w") as results:
        os.dup2(2, 1)
        outcome = _run_on_place(arguments, options)
        results.write(json.dumps(outcome.as_dict()) + "\n")
    return outcome.code


def _end_with(stdin: int) -> None:
    """Ctrl-C, once, when there is nothing to come any more: whoever started us wants no more."""

    def wait() -> None:
        while os.read(stdin, 4096):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, name="stdin", daemon=True).start()


def _run_on_place(arguments: list[str], options: argparse.Namespace) -> Outcome:
    """The run, with a place if one is asked for."""
    if not options.place and not options.tag:
        return _run(arguments)
    console = Console(stderr=True, highlight=False)

    def tell(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    tags = tags_of(options.tag)
    with leased(options.coordinator, options.place, tags, options.wait, tell) as lease:
        check_place(options.target, lease.place)
        return _run(arguments, lease)


def judge(
    status: int, run: SavedRun | None, *, interrupted: bool = False, only_shows: bool = False
) -> ExitCode:
    """The exit status by pytest's, and by what the run wrote.

    A bad verdict, or a kernel's complaint, counts more than trouble of the harness: it was seen. A
    run that is good by one and not by the other is trouble of the harness.

    Args:
        status: Of pytest.
        run: What the run wrote; None if nothing.
        interrupted: Somebody pressed Ctrl-C.
        only_shows: No test was to run (``--collect-only``, ``--help``).
    """
    if interrupted:
        return ExitCode.INTERRUPTED
    if status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        return ExitCode.BAD_INPUT
    verdicts = [Verdict(result["verdict"]) for result in run.results] if run else []
    worst = max((verdict.severity for verdict in verdicts), default=0)
    if run is not None and (worst >= BAD or run.faults or run.violations):
        return ExitCode.BAD
    if only_shows and status == pytest.ExitCode.OK:
        return ExitCode.GOOD
    if not verdicts and status in (pytest.ExitCode.OK, pytest.ExitCode.INTERRUPTED):
        return ExitCode.BAD_INPUT  # the tests could not be collected, or were none of the program
    if status != pytest.ExitCode.OK or Verdict.INFRA in verdicts:
        return ExitCode.INFRA
    return ExitCode.GOOD if run is not None and not run.remark else ExitCode.INFRA


def _pytest_arguments(options: argparse.Namespace) -> list[str]:
    """Pytest's own settings are those of the command line alone, not of a file in some folder."""
    rest: list[str] = options.rest
    arguments = ["-p", "carryover.plugin", "-c", os.devnull, "--rootdir", str(Path.cwd())]
    # labgrid's plugin asserts nothing that a test's reader would want to see rewritten.
    arguments += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    arguments += ["--lg-env", str(options.target)]
    if options.resume:
        arguments.append("--carryover-resume")
    if options.dry_run:
        arguments.append("--carryover-dry-run")
    if any("::" in word for word in rest if not word.startswith("-")):
        return [*arguments, *rest]  # tests are named by the program's path
    return [*arguments, program_of(options), *rest]


def program_of(options: argparse.Namespace) -> str:
    """The program that is asked for its tests. Raises BadInput if none is named."""
    program = options.program or os.environ.get(PROGRAM)
    if not program:
        raise BadInput(
            f"no program: give --program FILE, a built carryover-selftests, or set {PROGRAM} "
            '(eval "$(ci/bench --setup-only)" does)'
        )
    return str(program)


@dataclass(eq=False)  # pytest hashes plugins
class _Witness:
    """A plugin of pytest that notes what its exit status does not tell."""

    lease: Lease | None = None
    directory: Path | None = None
    interrupted: bool = False
    only_shows: bool = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if self.lease is not None:
            config.stash[LEASE] = self.lease
        self.directory = Path(config.getoption("carryover_out")).absolute()
        self.only_shows = bool(
            config.option.collectonly
            or config.option.help
            or config.getoption("carryover_dry_run", False)
        )

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # Pytest ends by this hook of its own accord, too.
        self.interrupted = not issubclass(excinfo.type, pytest.Session.Interrupted)


def _run(arguments: list[str], lease: Lease | None = None) -> Outcome:
    began = time.time()
    witness = _Witness(lease)
    status = int(pytest.main(arguments, plugins=[witness]))
    written, remark = _written(witness.directory, began)
    code = judge(status, written, interrupted=witness.interrupted, only_shows=witness.only_shows)
    if written is None and remark and code is not ExitCode.INTERRUPTED:
        code = ExitCode.INFRA
    return Outcome(code, written, remark, lease.place if lease else "")


def _written(directory: Path | None, began: float) -> tuple[SavedRun | None, str]:
    """What the run that began then wrote, and what is missing of it."""
    file = directory / "results.jsonl" if directory else None
    if file is None or not file.exists() or file.stat().st_mtime < began:
        return None, ""  # nothing, or that of an earlier run: this one has not got as far
    try:
        found = load(file)
    except BadInput as error:
        return None, str(error)
    return found, found.remark
