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
from dataclasses import asdict, replace
from pathlib import Path

from carryover_ci.accel import accelerator
from carryover_ci.bench import REFERENCE_OPTIONS, Bench
from carryover_ci.bisect_decision import BAD_VERDICTS, Answer, Rule, Run
from carryover_ci.bisect_judge import Question, Verdict, judge
from carryover_ci.bisect_kernel import CommitKernels
from carryover_ci.bisect_options import FAILED, parsed
from carryover_ci.bisect_record import RECIPE, Record
from carryover_ci.bisect_run import Selection, chosen_tests, run_tests
from carryover_ci.bisect_tree import Checkout, checkout_of
from carryover_ci.cache import cache_root, content_key
from carryover_ci.image import build_image, joined_images
from carryover_ci.kernel import KernelChoice, kernel_choice
from carryover_ci.program import ROOT, build_program
from carryover_ci.progress import Progress
from carryover_ci.qemu import setup_qemu
from carryover_ci.run import exit_with

_INTO = (
    "--carryover-kernel=/boot/incoming/bzImage",
    "--carryover-initrd=/boot/incoming/initramfs",
)
# The shell script ci/bisect makes 1 of it: with 1 Python ends when it fails by itself.
_BAD = 64


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
            for_pytest = [*REFERENCE_OPTIONS, *for_pytest]
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
            tuple(for_pytest),
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


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _main() -> None:
    arguments, for_pytest = parsed(sys.argv[1:], __doc__)
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
    exit_with(_main, "ci/bisect", failure=FAILED, broken=Answer.STOP.value)
