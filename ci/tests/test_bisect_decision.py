# SPDX-License-Identifier: GPL-2.0-only
"""How many runs make a commit good or bad, and what one run says."""

from itertools import product

import pytest

from carryover_ci.bisect_decision import (
    BAD_VERDICTS,
    Answer,
    Outcome,
    Rule,
    Run,
    decide,
    outcome_of,
)

G, B, U, X = Outcome.GOOD, Outcome.BAD, Outcome.UNKNOWN, Outcome.INFRA
TESTS = ("A.One", "A.Two")


def run(*verdicts: str, **more: object) -> Run:
    return Run(dict(zip(TESTS, verdicts, strict=False)), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict", BAD_VERDICTS)
def test_a_verdict_against_the_kernel_is_bad(verdict: str) -> None:
    assert outcome_of(run("PASS", verdict), TESTS) == (B, f"{verdict} A.Two")


@pytest.mark.parametrize(
    ("this", "wanted", "outcome", "why"),
    [
        (run("PASS", "PASS"), BAD_VERDICTS, G, "2 PASS"),
        # What is not PASS is never good.
        (run("PASS", "SKIP"), BAD_VERDICTS, U, "SKIP A.Two"),
        (run("PASS"), BAD_VERDICTS, U, "not run A.Two"),
        (run(), BAD_VERDICTS, U, "not run A.One, not run A.Two"),
        # Nor is another verdict than the one that is looked for.
        (run("PASS", "PANIC"), ["FAIL"], U, "PANIC A.Two, which is not looked for"),
        (run("FAIL", "PANIC"), ["FAIL"], B, "FAIL A.One"),
        (run("PASS", "ABI_MISMATCH"), BAD_VERDICTS, U, "ABI_MISMATCH A.Two, which is not looked"),
        (run("PASS", "ABI_MISMATCH"), ["ABI_MISMATCH"], B, "ABI_MISMATCH A.Two"),
        # A kernel that does not come up says nothing of the tests.
        (run("HANG", "HANG", booted=False), BAD_VERDICTS, U, "the kernel does not boot: HANG"),
        (run(lacks="no LUO"), BAD_VERDICTS, U, "no LUO"),
        # Trouble of the harness says nothing, but takes nothing back.
        (run("PASS", "INFRA"), BAD_VERDICTS, X, "INFRA A.Two"),
        (run("FAIL", "INFRA"), BAD_VERDICTS, B, "FAIL A.One"),
        (run("PASS", "PASS", trouble="cut off"), BAD_VERDICTS, X, "cut off"),
        (run("FAIL", trouble="cut off"), BAD_VERDICTS, B, "FAIL A.One"),
        (run("INFRA", "INFRA", booted=False), BAD_VERDICTS, X, "INFRA A.One"),
        # What the kernel complains of counts if it is looked for.
        (run("PASS", "PASS", faults=["BUG"]), BAD_VERDICTS, G, "2 PASS"),
        (run("PASS", "PASS", faults=["BUG"]), ["FAULT"], B, "kernel fault: BUG"),
    ],
)
def test_outcome(this: Run, wanted: list[str], outcome: Outcome, why: str) -> None:
    found, said = outcome_of(this, TESTS, wanted)
    assert found is outcome
    assert said.startswith(why)


def test_other_tests_than_the_chosen_do_not_count() -> None:
    assert outcome_of(Run({"A.One": "PASS", "Z.Other": "FAIL"}), ["A.One"])[0] is G


@pytest.mark.parametrize(
    ("rule", "outcomes", "answer"),
    [
        (Rule(1), [], None),
        (Rule(1), [G], Answer.GOOD),
        (Rule(1), [B], Answer.BAD),
        (Rule(1), [U], Answer.CANNOT_TELL),
        # One bad run in ten makes it bad, once half of them say anything.
        (Rule(10), [B], None),
        (Rule(10), [B, G, G, G], None),
        (Rule(10), [B, G, G, G, G], Answer.BAD),
        (Rule(10), [G] * 9 + [B], Answer.BAD),
        (Rule(10), [B, U, U, U, U, U, U], Answer.CANNOT_TELL),
        # Good takes all runs, three quarters of which must be good.
        (Rule(10), [G] * 9, None),
        (Rule(10), [G] * 10, Answer.GOOD),
        (Rule(10), [G] * 8 + [U, U], Answer.GOOD),
        (Rule(10), [G] * 7 + [U, U, U], Answer.CANNOT_TELL),
        (Rule(10), [G] * 9 + [U], Answer.GOOD),
        # Fewer bad runs than asked for are neither.
        (Rule(4, bad_runs=2), [B, G, G, G], Answer.CANNOT_TELL),
        (Rule(4, bad_runs=2), [B, B], Answer.BAD),
        (Rule(4, bad_runs=2), [B, G, G], None),
        # A kernel that never boots need not be tried ten times.
        (Rule(10), [U] * 6, Answer.CANNOT_TELL),
        (Rule(10), [U] * 5, None),
        # Spoilt runs do not count, and are done again.
        (Rule(1), [X], None),
        (Rule(1), [X, X], None),
        (Rule(1), [X, X, G], Answer.GOOD),
        (Rule(1), [X, X, B], Answer.BAD),
        (Rule(1), [X, X, X], Answer.STOP),
        (Rule(1, retries=0), [X], Answer.STOP),
        (Rule(4), [G, X, X, X], Answer.CANNOT_TELL),
        (Rule(4), [G, G, G, X, X, X], Answer.GOOD),
        (Rule(4), [U, X, X, X], Answer.CANNOT_TELL),
    ],
)
def test_decision(rule: Rule, outcomes: list[Outcome], answer: Answer | None) -> None:
    found = decide(rule, outcomes)
    assert (found and found[0]) is answer


@pytest.mark.parametrize(
    ("runs", "for_bad", "for_good"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 2, 3), (10, 5, 8)]
)
def test_how_many_are_enough(runs: int, for_bad: int, for_good: int) -> None:
    assert (Rule(runs).enough_for_bad, Rule(runs).enough_for_good) == (for_bad, for_good)


@pytest.mark.parametrize("rule", [Rule(1), Rule(2), Rule(4, 2), Rule(5, 1, 1)])
def test_an_answer_comes_in_time(rule: Rule) -> None:
    """Whatever the runs say, and a good or bad one has what it takes."""
    most = rule.runs + rule.retries + 1
    for outcomes in product((G, B, U, X), repeat=most):
        answers = [decide(rule, outcomes[:n]) for n in range(most + 1)]
        first = next(n for n, answer in enumerate(answers) if answer)
        assert first <= most
        found = answers[first]
        assert found is not None
        if found[0] is Answer.GOOD:
            assert B not in outcomes[:first]
            assert outcomes[:first].count(G) >= rule.enough_for_good
        if found[0] is Answer.BAD:
            assert outcomes[:first].count(B) >= rule.bad_runs


def test_the_answers_are_those_that_git_knows() -> None:
    assert [answer.value for answer in Answer] == [0, 1, 125, 128]


def test_the_reason_says_what_was_wanted() -> None:
    found = decide(Rule(4), [G, U, U, U])
    assert found is not None
    said, _, wanted = found[1].partition("; ")
    assert said == "1 good, 0 bad, 3 cannot tell"
    assert wanted == "wanted are 3 good and none bad, or 1 bad of 2 that are either"
