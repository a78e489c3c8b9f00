# SPDX-License-Identifier: GPL-2.0-only
"""ci/bisect on a real kernel tree, with nobody at the keyboard."""

import json
import subprocess
from pathlib import Path

import pytest

from carryover_ci.bisect_history import TESTS, History, bisect, first_bad, make_history
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def history() -> History:
    return make_history(Progress())


def test_git_names_the_culprit(history: History) -> None:
    out = ROOT / "out" / "test" / "bisect-history"
    steps = bisect(history, out, Progress())
    session = (out / "session.log").read_text()
    assert f"{history.culprit} is the first bad commit" in session
    assert first_bad(history) == history.culprit
    assert len(steps) >= 6  # both ends, and four that git chose
    assert [step["exit_status"] for step in steps[:2]] == [1, 0]
    by_commit = {step["commit"]: step for step in steps}
    # The one that does not build was tried, and was no answer.
    broken = by_commit.pop(history.broken)
    assert broken["exit_status"] == 125
    assert "not_declared" in broken["not_built"]
    assert by_commit[history.culprit]["exit_status"] == 1
    for step in by_commit.values():
        assert step["cached"] is False
        (run,) = step["runs"]
        assert set(run["verdicts"]) == set(TESTS)
        assert step["exit_status"] == ("FAIL" in run["verdicts"].values())


def step(history: History, out: Path, *words: str) -> int:
    """The exit status of ci/bisect at the newest commit."""
    for git in (["bisect", "reset"], ["checkout", "-q", "newest"]):
        subprocess.run(["git", *git], cwd=history.tree, check=True)
    command = [str(ROOT / "ci" / "bisect"), "--test", TESTS[0], "--fresh", "--out", str(out)]
    return subprocess.run([*command, *words], cwd=history.tree, check=False).returncode


@pytest.mark.parametrize(
    ("option", "status"),
    [
        ("--old-kernel", 1),  # the mutant is the incoming kernel, and gives back another page
        ("--new-kernel", 0),  # it only hands over
    ],
)
def test_one_kernel_stays(option: str, status: int, history: History, tmp_path: Path) -> None:
    assert step(history, tmp_path, option, "oldest") == status
    (line,) = (tmp_path / "steps.jsonl").read_text().splitlines()
    (run,) = json.loads(line)["runs"]
    assert run["verdicts"] == {TESTS[0]: "FAIL" if status else "PASS"}


def test_a_place_gets_its_kernel(history: History, tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    environment = tmp_path / "place.yaml"
    bench = (ROOT / "ci" / "bench.yaml").read_text()
    environment.write_text(bench.replace("$CARRYOVER_BOOT", str(boot)))
    deploy = f'mkdir -p {boot} && cp "$CARRYOVER_BOOT"/* {boot}'
    words = ["--target", str(environment), "--deploy", deploy]
    assert step(history, tmp_path, *words) == 1
    assert (boot / "bzImage").is_file()
    assert step(history, tmp_path, "--target", str(environment), "--deploy", "exit 7") == 128
