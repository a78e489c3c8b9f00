# SPDX-License-Identifier: GPL-2.0-only
"""The same run many times."""

import json
import sys
from pathlib import Path

import pytest

from carryover_ci import repeat as module
from carryover_ci.progress import Progress
from carryover_ci.repeat import repeat

# Stands in for pytest: a result in the folder that is its argument, bad in the run of that number.
RUN = """
import json, pathlib, sys
counter, bad, folder = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
counter.write_text(counter.read_text() + "x" if counter.exists() else "x")
number = len(counter.read_text())
verdict = "LOST" if str(number) == bad else "PASS"
lines = [{"event": "result", "name": "A.B", "verdict": verdict}]
lines.append({"event": "end", "how": "complete"})
if bad == "none ran":
    lines = []
if bad == "cut off":
    lines.pop()
(folder / "results.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
sys.exit(3 if bad == "status" else 0)
"""


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "OUT", tmp_path / "out")
    return tmp_path / "out"


def run(tmp_path: Path, bad: str, times: int, jobs: int = 1) -> tuple[bool, list[str]]:
    said: list[str] = []
    command = [sys.executable, "-c", RUN, str(tmp_path / "counter"), bad]
    good = repeat(
        lambda folder: [*command, str(folder)], times, jobs, Progress(), lambda x: said.append(x)
    )
    return good, said


def test_good_runs_leave_the_last_one_and_a_summary(out: Path, tmp_path: Path) -> None:
    good, said = run(tmp_path, "", 3)
    assert good
    assert [line.split(" s ")[1].strip() for line in said[:3]] == ["1 PASS"] * 3
    assert said[3].startswith("3 of 3 runs, 0 bad; shortest ")
    results = [f"run-{number}.jsonl" for number in (1, 2, 3)]
    assert sorted(path.name for path in out.iterdir()) == ["current-1", *results, "summary.json"]
    assert all('"A.B"' in (out / name).read_text() for name in results)


def test_a_bad_run_is_kept_and_does_not_end_the_rest(out: Path, tmp_path: Path) -> None:
    good, said = run(tmp_path, "2", 3)
    assert not good
    assert "BAD  LOST A.B; see out/failed-2" in said[1]
    assert said[3].splitlines()[1] == "     1 times  LOST A.B"
    assert "LOST" in (out / "failed-2" / "results.jsonl").read_text()
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["runs"], summary["bad"]) == (3, 1)
    assert summary["failures"] == {"LOST A.B": 1}
    assert [each["bad"] for each in summary["each"]] == [[], ["LOST A.B"], []]


@pytest.mark.parametrize(
    ("how", "why"),
    [("none ran", "no test ran"), ("cut off", "the run was cut off"), ("status", "exit status 3")],
)
def test_a_run_without_results_is_no_good_one(
    out: Path, tmp_path: Path, how: str, why: str
) -> None:
    good, said = run(tmp_path, how, 1)
    assert not good
    assert f"BAD  {why}; see out/failed-1" in said[0]
    assert (out / "failed-1" / "bench.log").exists()


@pytest.mark.usefixtures("out")
def test_two_at_once_are_as_many_in_the_end(tmp_path: Path) -> None:
    good, said = run(tmp_path, "", 5, jobs=2)
    assert good
    assert sorted(line.split()[1] for line in said[:5]) == ["1", "2", "3", "4", "5"]


@pytest.mark.usefixtures("out")
def test_ctrl_c_ends_it_with_a_summary(tmp_path: Path) -> None:
    said: list[str] = []

    def command(folder: Path) -> list[str]:
        if len(said) == 1:
            raise KeyboardInterrupt
        return [sys.executable, "-c", RUN, str(tmp_path / "counter"), "", str(folder)]

    with pytest.raises(KeyboardInterrupt):
        repeat(command, 3, 1, Progress(), said.append)
    assert said[-1].startswith("1 of 3 runs, 0 bad")
