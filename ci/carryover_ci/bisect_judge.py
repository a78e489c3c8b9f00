# SPDX-License-Identifier: GPL-2.0-only
"""One commit judged: built, and run until there is an answer, with what is known of it before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carryover_ci.bisect_decision import (
    BAD_VERDICTS,
    Answer,
    Outcome,
    Rule,
    Run,
    decide,
    outcome_of,
)
from carryover_ci.bisect_kernel import NotBuilt
from carryover_ci.bisect_record import Record


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
