# SPDX-License-Identifier: GPL-2.0-only
"""What a run of the chosen tests says of a commit, and how many runs make it good or bad.

No I/O. docs/bisect.md states these rules for people.
"""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

# Verdicts that speak against the kernel under test.
BAD_VERDICTS = ("FAIL", "LOST", "REFUSED", "PANIC", "HANG", "RESET")

# What the kernel complained of and survived: no verdict of a test, and wanted only if asked for.
FAULT = "FAULT"

WANTED = (*BAD_VERDICTS, "ABI_MISMATCH", FAULT)


class Outcome(enum.Enum):
    """What one run says of the commit."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "cannot tell"
    INFRA = "spoilt"  # by the infrastructure: it says nothing


class Answer(enum.Enum):
    """What is told to git. The value is the exit status."""

    GOOD = 0
    BAD = 1
    CANNOT_TELL = 125
    STOP = 128

    @property
    def words(self) -> str:
        """For a person."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Run:
    """One run of the chosen tests.

    Attributes:
        verdicts: Of each test that has a result, by its name.
        faults: What the kernel complained of itself.
        booted: A test began: the kernel came up far enough to be tested.
        trouble: Why the harness could not do its work; empty if it could.
        lacks: What the kernel lacks that every test needs; empty if it has all.
        seconds: All of it, deploying included.
        folder: Where its output is.
    """

    verdicts: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    booted: bool = True
    trouble: str = ""
    lacks: str = ""
    seconds: float = 0.0
    folder: str = ""


def outcome_of(
    run: Run, chosen: Sequence[str], wanted: Collection[str] = BAD_VERDICTS
) -> tuple[Outcome, str]:
    """What `run` says of the commit, and why, if it is looked for a verdict in `wanted`.

    A verdict against the kernel counts, whatever happened to other tests. Good is only a run in
    which every test of `chosen` is PASS.
    """
    of_chosen = {name: run.verdicts.get(name, "not run") for name in chosen}
    against = [(name, v) for name, v in of_chosen.items() if v in (*BAD_VERDICTS, "ABI_MISMATCH")]
    if run.lacks:
        return Outcome.UNKNOWN, run.lacks
    if against and not run.booted:
        return Outcome.UNKNOWN, f"the kernel does not boot: {against[0][1]}"
    if found := [f"{v} {name}" for name, v in against if v in wanted]:
        return Outcome.BAD, _listed(found)
    if FAULT in wanted and run.faults:
        return Outcome.BAD, _listed([f"kernel fault: {fault}" for fault in run.faults])
    if against:
        others = [f"{v} {name}" for name, v in against]
        return Outcome.UNKNOWN, f"{_listed(others)}, which is not looked for"
    if run.trouble:
        return Outcome.INFRA, run.trouble
    if spoilt := [f"INFRA {name}" for name, v in of_chosen.items() if v == "INFRA"]:
        return Outcome.INFRA, _listed(spoilt)
    if silent := [f"{v} {name}" for name, v in of_chosen.items() if v != "PASS"]:
        return Outcome.UNKNOWN, _listed(silent)
    return Outcome.GOOD, f"{len(chosen)} PASS"


@dataclass(frozen=True)
class Rule:
    """How many runs make a commit good or bad.

    Attributes:
        runs: Runs that are to say something of the commit.
        bad_runs: So many bad ones make it bad.
        retries: Runs that the infrastructure spoilt are done again, at most so many of them.
    """

    runs: int = 1
    bad_runs: int = 1
    retries: int = 2

    @property
    def enough_for_bad(self) -> int:
        """Runs that must be good or bad: half. Else the commit is too broken to be blamed."""
        return (self.runs + 1) // 2

    @property
    def enough_for_good(self) -> int:
        """Runs that must be good: three quarters. Each fewer lets more of a rare failure by."""
        return (3 * self.runs + 3) // 4


def decide(rule: Rule, outcomes: Sequence[Outcome]) -> tuple[Answer, str] | None:
    """The answer after these runs and its reason, or None if another run is needed.

    There is an answer as soon as no further run could change it.
    """
    bad = outcomes.count(Outcome.BAD)
    good = outcomes.count(Outcome.GOOD)
    unknown = outcomes.count(Outcome.UNKNOWN)
    spoilt = outcomes.count(Outcome.INFRA)
    counted = bad + good
    left = 0 if spoilt > rule.retries else max(0, rule.runs - counted - unknown)
    if bad >= rule.bad_runs and counted >= rule.enough_for_bad:
        return Answer.BAD, f"{bad} of {_runs(counted)} bad"
    can_be_bad = bad + left >= rule.bad_runs and counted + left >= rule.enough_for_bad
    can_be_good = bad == 0 and good + left >= rule.enough_for_good
    if left and (can_be_bad or can_be_good):
        return None
    if bad == 0 and good >= rule.enough_for_good:
        return Answer.GOOD, f"{good} of {_runs(counted)} good"
    if spoilt and not counted and not unknown:
        return Answer.STOP, f"the infrastructure spoilt all of {_runs(spoilt)}"
    said = [f"{n} {word}" for n, word in ((good, "good"), (bad, "bad"), (unknown, "cannot tell"))]
    said += [f"{spoilt} spoilt"] if spoilt else []
    wanted = f"{rule.enough_for_good} good and none bad, or {rule.bad_runs} bad"
    if rule.enough_for_bad > rule.bad_runs:
        wanted += f" of {rule.enough_for_bad} that are either"
    return Answer.CANNOT_TELL, f"{', '.join(said)}; wanted are {wanted}"


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return ", ".join(texts[:3]) + more
