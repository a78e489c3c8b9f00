# SPDX-License-Identifier: GPL-2.0-only
"""ci/bisect: whether the commit that is checked out is good or bad, for `git bisect run`.

Run in a git checkout of a kernel: builds it, boots the target with it, runs the chosen tests, and
ends with 0 (good), 1 (bad), 125 (cannot tell: it does not build, does not boot, or the tests say
nothing), 128 (the infrastructure is broken), 129 (what was asked for cannot be done) or 130
(interrupted); git stops at what is above 127. What follows `--` goes to pytest. docs/bisect.md
has it step by step.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from carryover_ci.accel import accelerator
from carryover_ci.bench import REFERENCE_CLAIMS, Bench
from carryover_ci.bisect_decision import (
    BAD_VERDICTS,
    WANTED,
    Answer,
    Outcome,
    Rule,
    Run,
    decide,
    outcome_of,
)
from carryover_ci.bisect_kernel import CommitKernels, NotBuilt
from carryover_ci.bisect_record import RECIPE, Record
from carryover_ci.bisect_run import Selection, chosen_tests, run_tests
from carryover_ci.bisect_tree import Checkout, checkout_of
from carryover_ci.cache import cache_root, content_key
from carryover_ci.image import build_image, joined_images
from carryover_ci.kernel import (
    REFERENCE_HELP,
    KernelChoice,
    add_kernel_options,
    kernel_choice,
)
from carryover_ci.program import ROOT, build_program
from carryover_ci.progress import Progress
from carryover_ci.qemu import setup_qemu
from carryover_ci.run import exit_with

_OUT = ROOT / "out" / "bisect"
_INTO = (
    "--carryover-kernel=/boot/incoming/bzImage",
    "--carryover-initrd=/boot/incoming/initramfs",
)
_FAILED = 129
# The shell script ci/bisect makes 1 of it: with 1 Python ends when it fails by itself.
_BAD = 64


@dataclass(frozen=True)
class Question:
    """What is asked of each commit.

    Attributes:
        rule: How many runs make it good or bad.
        tests: The chosen ones, by name.
        wanted: The verdicts that make a run bad.
    """

    rule: Rule
    tests: Sequence[str]
    wanted: Sequence[str] = BAD_VERDICTS


@dataclass(frozen=True)
class Verdict:
    """The answer for one commit."""

    answer: Answer
    why: str
    outcomes: Sequence[tuple[Outcome, str]]
    runs: Sequence[Run]
    cached: bool  # nothing had to be run or built


def judge(
    question: Question,
    record: Record,
    build: Callable[[], float],
    run: Callable[[int], Run],
    say: Callable[[str], object],
) -> Verdict:
    """Builds and runs until there is an answer; what is in `record` already is not done again.

    `build` returns what it took, in seconds, and raises NotBuilt; `run` is given the number of the
    run, from 1. Each run is in the record, on disk, before the next.
    """
    runs = list(record.runs)
    outcomes = [outcome_of(r, question.tests, question.wanted) for r in runs]
    cached = bool(runs or record.not_built)

    def tell(number: int, kept: str = "") -> None:
        outcome, why = outcomes[number - 1]
        line = f"run {number:<6}{runs[number - 1].seconds:6.1f} s  {outcome.value:<11}  {why}"
        say(f"{line}{kept}")

    def answered(answer: Answer, why: str) -> Verdict:
        return Verdict(answer, why, outcomes, runs, cached)

    if record.build_seconds:
        say(f"build     {record.build_seconds:6.1f} s  (before)")
    for number in range(1, len(runs) + 1):
        tell(number, "  (before)")
    if record.not_built:
        return answered(Answer.CANNOT_TELL, f"it does not build: {record.not_built}")
    built = False
    while (found := decide(question.rule, [outcome for outcome, _ in outcomes])) is None:
        cached = False
        if not built:
            try:
                seconds = build()
            except NotBuilt as error:
                record.not_built = str(error)
                record.write()
                return answered(Answer.CANNOT_TELL, f"it does not build: {error}")
            built = True
            if not record.build_seconds:
                record.build_seconds = seconds
                say(f"build     {seconds:6.1f} s")
            record.write()
        runs.append(run(len(runs) + 1))
        outcomes.append(outcome_of(runs[-1], question.tests, question.wanted))
        if outcomes[-1][0] is not Outcome.INFRA:
            record.runs.append(runs[-1])
            record.write()
        tell(len(runs))
    return answered(*found)


class Bisection:
    """One step: everything that is the same for all commits, and the commit that is checked out."""

    def __init__(self, arguments: argparse.Namespace, for_pytest: list[str]) -> None:
        started = os.environ.get("CARRYOVER_STARTED", "").replace(",", ".")  # bash's, by locale
        self.started = float(started or time.time())
        self.out: Path = arguments.out.absolute()
        self._progress = Progress()
        self.checkout: Checkout = checkout_of(arguments.tree)
        choice = kernel_choice(arguments, "kernel-")
        if arguments.reference:
            choice = choice.as_reference()
            for_pytest = [
                *(f"--carryover-claim={claim}" for claim in REFERENCE_CLAIMS),
                *for_pytest,
            ]
        self._kernels = CommitKernels(choice, self._progress)
        self._source = self._kernels.source(self.checkout)
        self._bench = self._tools(arguments, choice)
        self._is_incoming_fixed = arguments.new_kernel is not None
        kept = arguments.new_kernel or arguments.old_kernel
        self._fixed = self._kernels.fixed(kept, self.checkout) if kept else None
        if self._fixed:
            for_pytest = [*_INTO, *for_pytest]
        self._selection = Selection(
            tuple(arguments.test),
            (*_selecting(arguments), *for_pytest),
            arguments.target.absolute(),
            arguments.deploy,
        )
        self.question = Question(
            Rule(arguments.runs, arguments.bad_runs, arguments.retries),
            chosen_tests(self._bench, self._selection),
            arguments.verdict or BAD_VERDICTS,
        )
        self.record_file = cache_root() / "bisect" / "commits" / f"{self._key()}.json"

    def _tools(self, arguments: argparse.Namespace, choice: KernelChoice) -> Bench:
        """The bench without a kernel. The program is the same for all commits."""
        qemu = setup_qemu(arguments.qemu, self._progress)
        headers = KernelChoice().headers(self._progress)
        program = build_program(headers, "release", self._progress, choice.jobs)
        return Bench(qemu, program, Path("/nonexistent"), "tcg", arguments.memory)

    def _key(self) -> str:
        """Of all that a run's result depends on."""
        fixed = [self._fixed / "bzImage"] if self._fixed else []
        selection = self._selection
        runner = [*(ROOT / "runner" / "carryover").rglob("*.py")]
        image = [file for file in (ROOT / "ci" / "image" / "root").rglob("*") if file.is_file()]
        return content_key(
            RECIPE,
            self._kernels.place(self.checkout).name,
            "new" if self._is_incoming_fixed else "old",
            *fixed,
            *self.question.tests,
            "",
            *selection.arguments,
            selection.environment,
            selection.deploy,
            self._bench.memory,
            str(self._bench.qemu),
            self._bench.program,
            *sorted([*runner, *image]),
        )

    def build(self) -> float:
        """Builds the commit's kernel, in so many seconds; NotBuilt if it cannot be."""
        begun = time.monotonic()
        self._kernels.build(self._source, self._folder() / "build.log")
        return round(time.monotonic() - begun, 1)

    def run(self, number: int) -> Run:
        """One run of the chosen tests on the kernel that was built."""
        mine = self._kernels.place(self.checkout)
        outgoing, incoming = mine, mine
        program = self._bench.program
        if self._fixed and self._is_incoming_fixed:
            incoming = self._fixed
        elif self._fixed:
            outgoing = self._fixed
        image = build_image(program, outgoing)
        if self._fixed:
            image = joined_images(image, {"incoming": build_image(program, incoming)})
        accel = accelerator(self._bench.qemu, outgoing / "bzImage", self._progress)
        bench = replace(self._bench, image=image, accelerator=accel)
        kernels = {"CARRYOVER_OUTGOING": str(outgoing), "CARRYOVER_INCOMING": str(incoming)}
        out = self._folder() / f"run-{number}"
        return run_tests(bench, self._selection, kernels, out, self._progress)

    def _folder(self) -> Path:
        folder = self.out / self.checkout.short
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def tell(self, verdict: Verdict, record: Record) -> None:
        """One more line in steps.jsonl."""
        step = {
            "time": time.time(),
            "commit": self.checkout.commit,
            "tree": self.checkout.tree,
            "subject": self.checkout.subject,
            "answer": verdict.answer.words,
            "exit_status": verdict.answer.value,
            "why": verdict.why,
            "cached": verdict.cached,
            "seconds": round(time.time() - self.started, 1),
            "build_seconds": record.build_seconds,
            "not_built": record.not_built,
            "rule": asdict(self.question.rule),
            "wanted": list(self.question.wanted),
            "tests": list(self.question.tests),
            "runs": [
                {"outcome": outcome.value, "why": why, **asdict(run)}
                for (outcome, why), run in zip(verdict.outcomes, verdict.runs, strict=True)
            ],
        }
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / "steps.jsonl").open("a") as file:
            file.write(json.dumps(step) + "\n")


def _selecting(arguments: argparse.Namespace) -> list[str]:
    keyword = ["-k", arguments.keyword] if arguments.keyword else []
    return [*keyword, *(["-m", arguments.marker] if arguments.marker else [])]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ci/bisect",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="ci/bisect (--test NAME | -k EXPRESSION | -m MARKERS) [options] [-- pytest options]",
    )
    parser.add_argument(
        "--tree", type=Path, default=Path(), metavar="DIR", help="the checkout (default: here)"
    )
    what = parser.add_argument_group("what is run")
    what.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="SUITE.TEST",
        help="a test by its name; may be repeated",
    )
    what.add_argument("-k", dest="keyword", metavar="EXPRESSION", help="tests, as pytest's -k")
    what.add_argument("-m", dest="marker", metavar="MARKERS", help="tests, as pytest's -m")
    rule = parser.add_argument_group("how it is decided")
    rule.add_argument("--runs", type=int, default=1, metavar="N", help="runs (default: 1)")
    rule.add_argument(
        "--bad-runs",
        type=int,
        default=1,
        metavar="N",
        help="so many bad ones make the commit bad (default: 1)",
    )
    rule.add_argument(
        "--retries",
        type=int,
        default=2,
        metavar="N",
        help="runs that the infrastructure spoilt are done again, so many of them (default: 2)",
    )
    rule.add_argument(
        "--verdict",
        action="append",
        choices=WANTED,
        help="a verdict that makes a run bad; FAULT is what the kernel complained of and survived; "
        f"may be repeated (default: {' '.join(BAD_VERDICTS)})",
    )
    kernels = parser.add_argument_group("kernels")
    stays = kernels.add_mutually_exclusive_group()
    stays.add_argument(
        "--old-kernel",
        metavar="KERNEL",
        help="boot this one always, and kexec into the commit's: a folder that ci/kernel/build "
        "printed, a commit, or `bench`",
    )
    stays.add_argument(
        "--new-kernel", metavar="KERNEL", help="boot the commit's, and kexec into this one always"
    )
    add_kernel_options(parser, "kernel-", source=False)
    kernels.add_argument("--reference", action="store_true", help=REFERENCE_HELP)
    target = parser.add_argument_group("where")
    target.add_argument(
        "--target",
        type=Path,
        default=ROOT / "ci" / "bench.yaml",
        metavar="ENVIRONMENT",
        help="a labgrid environment (default: the bench)",
    )
    target.add_argument(
        "--deploy",
        default="",
        metavar="COMMAND",
        help="a shell command that brings $CARRYOVER_BOOT to the target, before each run",
    )
    target.add_argument("--qemu", metavar="BINARY", help="a QEMU of your own, for the bench")
    target.add_argument("--memory", default="2G", metavar="SIZE", help="of the bench (default: 2G)")
    parser.add_argument(
        "--out",
        type=Path,
        default=_OUT,
        metavar="DIR",
        help="where logs and steps.jsonl go (default: out/bisect)",
    )
    parser.add_argument("--fresh", action="store_true", help="forget what is known of this commit")
    return parser


def _arguments(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    at = words.index("--") if "--" in words else len(words)
    own, for_pytest = words[:at], words[at + 1 :]
    parser = _parser()
    try:
        arguments = parser.parse_args(own)
        if not (arguments.test or arguments.keyword or arguments.marker):
            parser.error("say which tests: --test SUITE.TEST, -k EXPRESSION or -m MARKERS")
        if arguments.test and (arguments.keyword or arguments.marker):
            parser.error("--test is not for -k or -m: it names the tests already")
        if not 1 <= arguments.bad_runs <= arguments.runs or arguments.retries < 0:
            parser.error("--runs takes 1 or more, --bad-runs 1 to that, --retries 0 or more")
    except SystemExit as error:
        sys.exit(_FAILED if error.code else 0)
    return arguments, for_pytest


def _main() -> None:
    arguments, for_pytest = _arguments(sys.argv[1:])
    step = Bisection(arguments, for_pytest)
    _say(f"bisect    {step.checkout.short}  {step.checkout.subject}")
    record = Record(step.record_file) if arguments.fresh else Record.read(step.record_file)
    verdict = judge(step.question, record, step.build, step.run, _say)
    step.tell(verdict, record)
    seconds = time.time() - step.started
    cached = ", all of it known before (--fresh does it again)" if verdict.cached else ""
    _say(f"{verdict.answer.words:<11}  {verdict.why}; {seconds:.1f} s{cached}")
    sys.exit(_BAD if verdict.answer is Answer.BAD else verdict.answer.value)


if __name__ == "__main__":
    exit_with(_main, "ci/bisect", failure=_FAILED, broken=Answer.STOP.value)
