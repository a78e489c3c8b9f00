# SPDX-License-Identifier: GPL-2.0-only
"""ci/test: everything that this repository can be checked by, as a table of steps.

Each step's output lies in out/test/. All steps run, whatever fails before them.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from carryover_ci.cache import cache_root
from carryover_ci.kernel import KernelChoice
from carryover_ci.program import ROOT, build_program, configure_program
from carryover_ci.progress import Progress
from carryover_ci.results import RunResults
from carryover_ci.run import Failure, exit_with, run_logged
from carryover_ci.tidy import clang_tidy

_OUT = ROOT / "out" / "test"
_SHOWN_LINES = 40
_JOBS = str(os.cpu_count() or 1)
_PYTEST = re.compile(r"(\d+) (passed|failed|errors?)\b")
_CTEST = re.compile(r"tests passed, (\d+) tests? failed out of (\d+)")
_OF = re.compile(r"^(\d+) of (\d+) (?:mutants killed|runs right)$", re.MULTILINE)

# One of each kind, killed early and late in a run: enough to know that the tests can fail.
SAMPLE_OF_MUTANTS = (
    "memfd-page-zeroed",
    "session-lost",
    "vfio-interrupts-ignored",
    "vfio-retrieve-is-final",
    "pci-account-not-written",
)

# Streams of which docs/stream.md says how many runs lost nothing.
_STREAMS = "GoesOn and (DmacStream or DmacFastStream or IgbStream)"

# lockdep knows 48 locks at once (MAX_LOCK_DEPTH), and one is held for each device that is frozen.
_DEBUGGED = "Stream or Mapping or Domain"

# A few tests of each kind, whose run is little more than a cold boot and a kexec.
CYCLE = "OneMiBAndAPage or IgbContinuity or LiveUpdateRules"

# Where a kernel that gives bus numbers anew would give others.
_DRIVERS = ("--lg-env", "ci/drivers.yaml")
_BRIDGES = ("--lg-env", "ci/bridges.yaml", "--carryover-append", "pci=assign-busses,hpbussize=4")


@dataclass(frozen=True)
class Outcome:
    """How a step ended: the tests it counted, or itself as one test if it counts none."""

    name: str
    seconds: float
    passed: int
    failed: int


def count(output: str, succeeded: bool) -> tuple[int, int]:
    """The tests that passed and failed by the output of a step that `succeeded` or not."""
    passed = failed = 0
    if summary := _CTEST.search(output):
        failed = int(summary[1])
        passed = int(summary[2]) - failed
    elif summary := _OF.search(output):
        passed = int(summary[1])
        failed = int(summary[2]) - passed
    else:
        lines = [line for line in output.splitlines() if _PYTEST.search(line)]
        for number, word in _PYTEST.findall(lines[-1]) if lines else []:
            if word == "passed":
                passed += int(number)
            else:
                failed += int(number)
    if not succeeded and failed == 0:
        failed = 1
    if passed + failed == 0:
        passed = 1
    return passed, failed


class Table:
    """Runs steps and remembers their outcomes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.outcomes: list[Outcome] = []

    def command(self, name: str, *words: str | Path, show: bool = False) -> None:
        """A step that is a command, run at the top of the repository. With `show` one can watch."""
        log = _OUT / f"{name.replace(' ', '-')}.log"
        environment = dict(os.environ)
        environment.setdefault("CCACHE_DIR", str(cache_root() / "ccache"))

        def on_line(line: str) -> None:
            if show:
                sys.stdout.write(line)
                sys.stdout.flush()

        def run() -> str:
            with self._progress.step(name):
                status = run_logged(words, log, on_line, folder=ROOT, environment=environment)
            output = log.read_text()
            if status != 0:
                raise Failure(output)
            return output

        self._step(name, run, log)

    def call(self, name: str, function: Callable[[], object]) -> None:
        """A step that is a function, which shows its progress itself and fails by a Failure."""
        log = _OUT / f"{name.replace(' ', '-')}.log"

        def run() -> str:
            try:
                function()
            except Failure as failure:
                log.write_text(f"{failure}\n")
                raise
            return ""

        self._step(name, run, log)

    def _step(self, name: str, run: Callable[[], str], log: Path) -> None:
        started = time.monotonic()
        try:
            passed, failed = count(run(), succeeded=True)
        except Failure as failure:
            text = str(failure)
            passed, failed = count(text, succeeded=False)
            shown = text.splitlines()[-_SHOWN_LINES:]
            sys.stdout.write("\n".join([f"--- {name}", *shown, f"--- all of it: {log}", ""]))
        self.outcomes.append(Outcome(name, time.monotonic() - started, passed, failed))

    def show(self) -> None:
        """Print the table; its last line is the sum."""
        width = max(len(outcome.name) for outcome in self.outcomes)
        sys.stdout.write(f"\n{'step':<{width}}  {'seconds':>8}  {'passed':>6}  {'failed':>6}\n")
        for outcome in self.outcomes:
            sys.stdout.write(
                f"{outcome.name:<{width}}  {outcome.seconds:8.1f}  {outcome.passed:6}  "
                f"{outcome.failed:6}{'  FAILED' if outcome.failed else ''}\n"
            )
        sys.stdout.write(f"\n{self.passed} passed, {self.failed} failed\n")

    @property
    def passed(self) -> int:
        """Tests that passed, of all steps."""
        return sum(outcome.passed for outcome in self.outcomes)

    @property
    def failed(self) -> int:
        """Tests that failed, of all steps."""
        return sum(outcome.failed for outcome in self.outcomes)


def _tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _shell_scripts() -> list[str]:
    scripts = []
    for name in _tracked("ci", ".ci"):
        with (ROOT / name).open("rb") as file:
            first = file.readline()
        if name.endswith(".sh") or (first.startswith(b"#!") and first.rstrip().endswith(b"sh")):
            scripts.append(name)
    return scripts


def _lint(table: Table) -> None:
    python = sys.executable
    table.command("shellcheck", "shellcheck", "-x", "-P", ROOT, *_shell_scripts())
    sources = _tracked("*.cc", "*.h")
    table.command("clang-format", "clang-format-19", "--dry-run", "-Werror", *sources)
    for folder in ("runner", "ci"):
        for tool in ("ruff check", "ruff format --check", "mypy"):
            # In the folder: that is where each finds its settings.
            script = f'cd {folder} && exec "$0" -m {tool}'
            table.command(f"{tool.partition(' --')[0]} {folder}", "bash", "-c", script, python)


def _pytest(folder: str) -> list[str]:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return [*words, "-c", f"{folder}/pyproject.toml", "--rootdir", folder, f"{folder}/tests"]


def _python_tests(table: Table) -> None:
    for folder in ("ci", "runner"):
        table.command(f"pytest {folder}", *_pytest(folder), "-m", "not bench", "-n", _JOBS)


def _program_tests(table: Table, include: Path, progress: Progress, *, deep: bool) -> None:
    # As the target runs it, by g++; and by clang.
    for preset, target in (("release", "all"), ("sanitize", "unit_tests")):
        build = partial(build_program, include, preset, progress, target=target)
        table.call(f"build {preset}", build)
        table.command(f"unit tests {preset}", "ctest", "--preset", preset, "-j", _JOBS)
    table.call("clang-tidy", lambda: clang_tidy(_each_file(include, progress), progress, deep=deep))


def _each_file(include: Path, progress: Progress) -> Path:
    """Where it says how each file is compiled by itself."""
    return configure_program(include, "debug", progress) / "compile_commands.json"


def _bench(table: Table, variant: str, *options: str) -> Path:
    name = f"bench {variant}".strip()
    out = _OUT / name.replace(" ", "-")
    table.command(name, ROOT / "ci" / "bench", *options, "--carryover-out", str(out), show=True)
    return out


def check_all_ran(out: Path) -> None:
    """Failure if a test of the run in `out` was skipped: it stands for a figure."""
    results = RunResults.read(out)
    if not results.verdicts:
        raise Failure(f"{out}: no test ran")
    if skipped := [name for name, verdict in results.verdicts.items() if verdict == "SKIP"]:
        raise Failure(f"{out}: skipped: {', '.join(skipped)}")


def _figure(table: Table, variant: str, *options: str) -> None:
    """A run whose tests all have to run."""
    out = _bench(table, variant, *options)
    table.call(f"all of {variant} ran", partial(check_all_ran, out))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/test", description=__doc__)
    parser.add_argument(
        "--full",
        action="store_true",
        help="also start and stop every device 100 times, cause each of the runner's verdicts for "
        "real, have git find a culprit by ci/bisect, build the kernel with each patch more, run "
        "the suite and streams on a debug kernel, the tests of several kexecs with ten in a row, a "
        "stream with 100, suite and streams 100 times each, 200 cycles of a few tests, each fault "
        "of the matrix 20 times, try all mutants, and let clang-tidy's analyzer go deep",
    )
    arguments = parser.parse_args()
    _OUT.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    table = Table(progress)
    _lint(table)
    _python_tests(table)
    includes: list[Path] = []
    table.call("UAPI headers", lambda: includes.append(KernelChoice().headers(progress)))
    if includes:
        _program_tests(table, includes[0], progress, deep=arguments.full)
    style = [] if arguments.full else ["--style"]
    table.command("kernel patches", ROOT / "ci" / "kernel" / "check", *style)
    table.command("docs", ROOT / "ci" / "docs", "--check")
    _bench(table, "")
    _bench(table, "drivers", *_DRIVERS)
    table.command("throughput", ROOT / "ci" / "throughput", _OUT / "bench-drivers", show=True)
    table.command("peer", ROOT / "ci" / "peer", show=True)
    for mode in ("iommufd_compat", "type1v2", "type1"):
        # What memory keeps does not hang on how it was mapped.
        selected = [] if arguments.full else ["-k", "Device or Fault"]
        _bench(table, mode, *_DRIVERS, "--carryover-iommu-mode", mode, *selected)
    for mode in ("scalable", "first-stage"):
        selected = [] if arguments.full else ["-k", "Device or Fault or Twins"]
        _bench(table, mode, *_DRIVERS, "--vtd", mode, *selected)
    _bench(table, "reference", "--reference")
    _bench(table, "bridges", "--reference", *_BRIDGES)
    # What is not about streams is tested on the kernels before.
    if arguments.full:
        _bench(table, "stream", "--stream")
    else:
        streams = "Stream or Mapping or Domain or IoatChain or DsaBatches or NvmeCommands"
        _bench(table, "stream", "--stream", "-k", streams)
    jobs = str(min(2, os.cpu_count() or 1))
    runs = "20" if arguments.full else "1"
    faults = ROOT / "ci" / "faults"
    # One at a time, that no deadline passes because of the others.
    table.command("faults", faults, "--runs", runs, show=True)
    if arguments.full:
        restarts = ("--carryover-soak", "50", "-k", "StartsAndStopsManyTimes")
        _bench(table, "restarts", *_DRIVERS, *restarts)
        _bench(table, "debug", "--reference", "--debug")
        _bench(table, "stream debug", "--stream", "--debug", "-k", _DEBUGGED)
        table.command("verdicts", ROOT / "ci" / "bench", "--runner-tests", show=True)
        table.command("bisect", *_pytest("ci"), "-m", "bench")
        _figure(table, "chain", "--reference", "--carryover-chain", "10", "-k", "KexecAfterKexec")
        goes_on = ("--stream", "--carryover-chain", "100", "-k", "DmacStreamGenerations")
        _figure(table, "stream chain", *goes_on)
        again = ("--repeat", "100", "--jobs", jobs)
        table.command("100 runs", ROOT / "ci" / "bench", "--reference", *again, show=True)
        # One at a time: what one sends the other's emulator might keep from being received.
        runs_of_streams = ("--stream", "--repeat", "100", "-k", _STREAMS)
        table.command("100 streams", ROOT / "ci" / "bench", *runs_of_streams, show=True)
        cycles = ("--repeat", "200", "--jobs", jobs, "-k", CYCLE)
        table.command("200 cycles", ROOT / "ci" / "bench", *cycles, show=True)
    sample = [] if arguments.full else SAMPLE_OF_MUTANTS
    table.command("mutants", ROOT / "ci" / "mutants", *sample, show=True)
    table.show()
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    exit_with(_main, "ci/test")
