# SPDX-License-Identifier: GPL-2.0-only
"""The same run many times."""

import json
import sys
from pathlib import Path

import pytest
from carryover.gap.gap import BOUNDARIES, PARTS, Clock, Kexec

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
lines = [{"event": "begin", "claims": ["memory"]}]
lines.append({"event": "result", "name": "A.B", "verdict": verdict, "claim": "memory"})
skips = {"skips": ["1", "2", "3"], "skips 2": ["2"], "skips 1": ["1"]}.get(bad, [])
skip = "SKIP" if str(number) in skips else "PASS"
lines.append({"event": "result", "name": "A.C", "verdict": skip, "claim": None})
lines.append({"event": "result", "name": "A.D", "verdict": "SKIP", "claim": "file"})
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


def run(
    tmp_path: Path, bad: str, times: int, jobs: int = 1, *, selected: bool = False
) -> tuple[bool, list[str]]:
    said: list[str] = []
    command = [sys.executable, "-c", RUN, str(tmp_path / "counter"), bad]
    good = repeat(
        lambda folder: [*command, str(folder)],
        times,
        jobs,
        Progress(),
        said.append,
        selected=selected,
    )
    return good, said


def test_good_runs_leave_the_last_one_and_a_summary(out: Path, tmp_path: Path) -> None:
    good, said = run(tmp_path, "", 3)
    assert good
    assert [line.split(" s ")[1].strip() for line in said[:3]] == ["2 PASS  1 SKIP"] * 3
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
@pytest.mark.parametrize(
    ("how", "selected", "bad"),
    [
        ("", True, []),  # one that the kernel makes no claim for is skipped as expected
        ("", False, []),
        ("skips", True, ["SKIP A.C", "SKIP A.C", "SKIP A.C"]),
        ("skips", False, []),
        ("skips 2", False, ["", "SKIP A.C", ""]),
        ("skips 1", False, ["", "no SKIP A.C", "no SKIP A.C"]),
    ],
)
def test_a_test_that_was_selected_has_to_run(
    tmp_path: Path, how: str, selected: bool, bad: list[str]
) -> None:
    good, said = run(tmp_path, how, 3, selected=selected)
    assert good == (not bad)
    for line, why in zip(said, bad, strict=False):
        assert (f"BAD  {why};" if why else "BAD") in line or not why
        assert ("BAD" in line) == bool(why)


def a_kexec(run: str, whole_ms: float) -> Kexec:
    return Kexec(
        run=run,
        cycle=1,
        kexec=1,
        steps=dict.fromkeys(BOUNDARIES, None) | {"load": 0.0, "driver": whole_ms},
        parts={name: None for name, _, _ in PARTS},
        whole_ms=whole_ms,
        no_user_space_ms=None,
        no_driver_ms=None,
        first_device=None,
        devices=[],
        device_steps={},
        clock=Clock(),
    )


def test_the_gaps_of_all_runs_are_drawn(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load", lambda path: path)
    monkeypatch.setattr(
        module, "kexecs", lambda path: [a_kexec(path.name, 100.0 * int(path.stem[4:]))] * 2
    )
    _, said = run(tmp_path, "", 3)
    assert said[-1] == "the gaps of 6 kexecs: out/gap.svg"
    picture = (out / "gap.svg").read_text()
    assert "The longest of 6 kexecs: 300.0 ms in all" in picture
    assert ">200.0 ms<" in picture  # the median


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
