# SPDX-License-Identifier: GPL-2.0-only
"""docs/examples: each file is what it claims to be, and its commands exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import commands, complaints
from kcidb_io.schema import LATEST

from carryover_ci.program import ROOT

EXAMPLES = ROOT / "docs" / "examples"
GITLAB = EXAMPLES / "gitlab-ci.yml"
JENKINS = EXAMPLES / "Jenkinsfile"
KCIDB = EXAMPLES / "kcidb.json"
PAGE = ROOT / "docs" / "bisect.md"


def gitlab() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(GITLAB.read_text())
    return loaded


def jobs() -> dict[str, dict[str, Any]]:
    return {name: job for name, job in gitlab().items() if "script" in job}


def jenkins_shell() -> list[str]:
    """The lines of all its sh steps."""
    text = JENKINS.read_text()
    blocks = re.findall(r"\bsh '''(.*?)'''", text, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    return lines + re.findall(r"\bsh '([^'\n]+)'", text)


def shell_of(page: Path) -> list[str]:
    """The commands in the code blocks of a page: all lines, or those after a prompt."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = []
    for block in blocks:
        joined = block.replace("\\\n", " ").splitlines()
        typed = [line[2:] for line in joined if line.startswith("$ ")]
        lines += typed or [line for line in joined if re.match(r"(ci/|\S+/ci/|git )", line)]
    return lines


def test_every_example_is_checked_here() -> None:
    there = {file for file in EXAMPLES.iterdir() if file.is_file()}
    assert there == {GITLAB, JENKINS, KCIDB}


def test_gitlab() -> None:
    pipeline = gitlab()
    assert set(jobs()) == {"continuity", "bisect"}
    for job in jobs().values():
        assert job["stage"] in pipeline["stages"]
        assert all(isinstance(line, str) for line in job["script"])
        assert job["artifacts"]["when"] == "always"
        assert job["cache"]["paths"] == [".cache/carryover"]
    lines = [line for job in jobs().values() for line in job["script"]]
    assert complaints(lines) == []
    assert commands(lines) == {"ci/bench", "ci/bisect"}
    assert jobs()["continuity"]["retry"] == {"max": 1, "exit_codes": 3}  # ExitCode.INFRA
    # What is kept is what is written.
    assert jobs()["continuity"]["artifacts"]["reports"]["junit"] == "out/bench/junit.xml"
    assert "--carryover-out out/bench" in jobs()["continuity"]["script"][0]


def test_jenkins() -> None:
    text = JENKINS.read_text()
    assert re.search(r"^pipeline \{$", text, re.MULTILINE)
    bare = re.sub(r"'''.*?'''|'[^'\n]*'|//[^\n]*", "", text, flags=re.DOTALL)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    lines = jenkins_shell()
    assert complaints(lines) == []
    assert commands(lines) == {"ci/bench", "ci/bisect"}
    assert "--carryover-out out/bench" in " ".join(lines)
    assert "testResults: 'out/bench/junit.xml'" in text


def test_kcidb() -> None:
    found = json.loads(KCIDB.read_text())
    LATEST.validate_exactly(found)
    assert {test["status"] for test in found["tests"]} == {"FAIL"}


def test_the_page_of_bisecting() -> None:
    lines = shell_of(PAGE)
    assert complaints(lines) == []
    assert "ci/bisect" in commands(lines)
    for name in re.findall(r"\]\((examples/[^)#]+)", PAGE.read_text()):
        assert (PAGE.parent / name).is_file(), name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ci/bench --reference -k A --carryover-out out --junitxml=x", None),
        ("git bisect run /opt/carryover/ci/bisect --test A.B -- --carryover-soak 5", None),
        ("ci/carryover kcidb out --origin lab", None),
        ("ci/carryover kcidb out --orgin lab", "ci/carryover has no option --orgin"),
        ("ci/nothing", "there is no ci/nothing"),
        ("ci/bench --nonsense", "ci/bench has no option --nonsense"),
        ("ci/bisect --carryover-soak 5", "ci/bisect has no option --carryover-soak"),
        ("ci/bisect -k A -- --nonsense", "ci/bisect has no option --nonsense"),
        ("$CARRYOVER/ci/bisect --rnus 3", "ci/bisect has no option --rnus"),
    ],
)
def test_a_wrong_command_line_is_noticed(line: str, said: str | None) -> None:
    assert complaints([line]) == ([f"{line}: {said}"] if said else [])
