# SPDX-License-Identifier: GPL-2.0-only
"""What git runs in test_bisect.py: judges as ci/bisect does, on a kernel that a file describes.

mm/a.c has the verdict of its tests, or "does not compile". Each build and each run is a line in the
file that is the first argument.
"""

import sys
from pathlib import Path

from carryover_ci.bisect_decision import Rule, Run
from carryover_ci.bisect_judge import Question, judge
from carryover_ci.bisect_kernel import NotBuilt
from carryover_ci.bisect_record import Record
from carryover_ci.bisect_tree import checkout_of

log, records = Path(sys.argv[1]), Path(sys.argv[2])
checkout = checkout_of(Path())
state = (checkout.top / "mm/a.c").read_text().split("\n")[0]


def note(what: str) -> None:
    with log.open("a") as file:
        file.write(f"{what} {checkout.subject}\n")


def build() -> float:
    note("build")
    if state == "does not compile":
        raise NotBuilt("mm/a.c:1: error")
    return 1.5


def run(number: int) -> Run:
    note("run")
    return Run({"A.One": state}, seconds=1.0)


record = Record.read(records / f"{checkout.tree}.json")
verdict = judge(Question(Rule(1), ["A.One"]), record, build, run, print)
sys.exit(verdict.answer.value)
