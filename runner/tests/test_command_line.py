# SPDX-License-Identifier: GPL-2.0-only
"""What the program on the target is told."""

import shlex

import pytest

from carryover.program import ProgramOnTarget
from carryover.program_options import ProgramOptions

OPTIONS = ProgramOptions(soak=5, chain=10)


@pytest.mark.parametrize("verb", ["run", "arm", "verify"])
def test_options_are_told_to_verbs_that_run_tests(verb: str) -> None:
    words = shlex.split(ProgramOnTarget("/selftests", options=OPTIONS).command(verb, ["A.b"]))
    assert words[words.index("--soak") + 1] == "5"
    assert words[words.index("--chain") + 1] == "10"
    assert words[-1] == "A.b"


def test_soak_is_not_told_to_probe() -> None:
    assert "--soak" not in ProgramOnTarget("/selftests", options=OPTIONS).command("probe")


def test_nothing_is_told_of_soak_by_default() -> None:
    assert "--soak" not in ProgramOnTarget("/selftests").command("run")
    assert "--chain" not in ProgramOnTarget("/selftests").command("run")
