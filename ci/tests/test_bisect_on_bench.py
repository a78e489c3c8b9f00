# SPDX-License-Identifier: GPL-2.0-only
"""ci/bisect on a real kernel tree, with nobody at the keyboard."""

import pytest

from carryover_ci.bisect_history import TESTS, bisect, first_bad, make_history
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress

pytestmark = pytest.mark.bench


def test_git_names_the_culprit() -> None:
    progress = Progress()
    history = make_history(progress)
    out = ROOT / "out" / "test" / "bisect-history"
    steps = bisect(history, out, progress)
    session = (out / "session.log").read_text()
    assert f"{history.culprit} is the first bad commit" in session
    assert first_bad(history) == history.culprit
    by_commit = {step["commit"]: step for step in steps}
    assert len(steps) >= 6  # both ends, and four that git chose
    assert [step["exit_status"] for step in steps[:2]] == [1, 0]
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
