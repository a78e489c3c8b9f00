# SPDX-License-Identifier: GPL-2.0-only
"""`carryover fleet`: the same tests on all places of a tag, and one report."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import FakeBench
from lab_on_fakes import FakeLab, fake_lab
from saved_runs import RunBuilder

from carryover.exit_codes import ExitCode
from carryover.fleet.outcome import PlaceOutcome, worst
from carryover.fleet.run import last_words, outcome_of
from carryover.verdict import Verdict

PLACES = ("alpha", "beta", "gamma")


@pytest.fixture
def lab(fake: FakeBench) -> Iterator[FakeLab]:
    with fake_lab(fake, PLACES, spare=["delta"]) as lab:
        yield lab


def start(lab: FakeLab, *arguments: str) -> subprocess.Popen[str]:
    out = ["--out", str(lab.fake.out), "--json", "--tag", "board=fake"]
    return lab.start("fleet", *out, *arguments)


def run(lab: FakeLab, *arguments: str) -> tuple[int, dict[str, Any], str]:
    process = start(lab, *arguments)
    output, errors = process.communicate(timeout=120)
    return process.returncode, json.loads(output or "{}"), errors


def records(lab: FakeLab, event: str) -> list[dict[str, Any]]:
    lines = (lab.fake.out / "results.jsonl").read_text().splitlines()
    return [record for line in lines if (record := json.loads(line))["event"] == event]


def cases(lab: FakeLab) -> list[tuple[str, str, list[str]]]:
    root = ElementTree.parse(lab.fake.out / "junit.xml").getroot()
    return [
        (case.get("classname", ""), case.get("name", ""), [child.tag for child in case])
        for case in root.iter("testcase")
    ]


def test_all_places_are_good(lab: FakeLab) -> None:
    status, said, errors = run(lab, "-k", "AlsoPasses or Skips")
    assert (status, said["exit_code"]) == (0, 0), errors
    assert said["verdicts"] == {"PASS": 3, "SKIP": 6}
    assert [place["place"] for place in said["places"]] == list(PLACES)
    assert said["differing"] == []
    for place in said["places"]:
        assert place["verdicts"] == {"PASS": 1, "SKIP": 2}
        assert place["results"] == f"{place['place']}/results.jsonl"
        assert (lab.fake.out / place["place"] / "report.html").exists()
        assert (
            "PASS     Memory.AlsoPasses"
            in (lab.fake.out / place["place"] / "output.log").read_text()
        )
    (begin,), (end,) = records(lab, "fleet"), records(lab, "end")
    assert (begin["schema"], begin["tags"]) == (1, ["board=fake"])
    assert (end["exit_code"], end["verdicts"]) == (0, {"PASS": 3, "SKIP": 6})
    results = records(lab, "result")
    assert len(results) == 9
    assert all((lab.fake.out / result["log"]).exists() for result in results)
    assert ("beta.Memory", "AlsoPasses", []) in cases(lab)
    assert ("beta.Memory", "Skips", ["skipped"]) in cases(lab)
    assert len(cases(lab)) == 9
    page = (lab.fake.out / "report.html").read_text()
    assert "3 of 3 places good" in page
    assert '<a href="beta/report.html">beta</a>' in page
    assert "gathered  9 results of 3 places in " in errors
    assert all("acquired: None" in lab.show(place) for place in PLACES)


def test_places_that_are_not_alike(lab: FakeLab) -> None:
    lab.services.client("-p", "alpha", "acquire", user="bob")
    lab.said("place", "sick", "gamma", "it smokes")
    lab.services.add_places("rack", ["delta"], carryover="ready", board="fake")
    (lab.fake.folder / "delta").mkdir()
    (lab.fake.folder / "delta" / "differs").touch()
    status, said, errors = run(lab, "-k", "Rules and Passes or MayDiffer")
    assert status == 1, errors
    by_place = {place["place"]: place for place in said["places"]}
    assert list(by_place) == ["delta", "alpha", "beta"]  # the worst first
    assert by_place["beta"]["exit_code"] == 0
    assert by_place["delta"]["verdicts"] == {"PASS": 1, "FAIL": 1}
    assert (by_place["alpha"]["exit_code"], by_place["alpha"]["results"]) == (3, None)
    assert "place alpha is held by " in by_place["alpha"]["reason"]
    assert "/bob" in by_place["alpha"]["reason"]
    assert said["differing"] == ["Rules.MayDiffer"]
    assert "gamma is left out: SICK since 20" in errors
    page = (lab.fake.out / "report.html").read_text()
    assert "1 of 3 places good" in page
    assert "Rules.MayDiffer" in page
    assert '<a href="alpha/output.log">alpha</a>' in page
    assert "gamma is left out: SICK since 20" in page
    assert ("alpha", "the run itself", ["error"]) in cases(lab)
    assert ("delta.Rules", "MayDiffer", ["failure"]) in cases(lab)


def test_few_at_once(lab: FakeLab) -> None:
    status, said, errors = run(lab, "--jobs", "1", "-k", "AlsoPasses")
    assert status == 0, errors
    times = []
    for place in said["places"]:
        lines = (lab.fake.out / place["results"]).read_text().splitlines()
        times.append((json.loads(lines[0])["time"], json.loads(lines[-1])["time"]))
    times.sort()
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(times))


def wait_for_results(lab: FakeLab, *places: str, mark: str) -> None:
    end = time.monotonic() + 60
    for place in places:
        file = lab.fake.out / place / "results.jsonl"
        while not file.exists() or f'"{mark}"' not in file.read_text():
            assert time.monotonic() < end
            time.sleep(0.1)


def test_interrupt_ends_all_in_order(lab: FakeLab) -> None:
    process = start(lab, "--jobs", "2", "-k", "HangsInVerify or AlsoPasses",
                    "--carryover-time-scale", "100")  # fmt: skip
    wait_for_results(lab, "alpha", "beta", mark="verify")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    said = json.loads(output)
    assert process.returncode == said["exit_code"] == 130, errors
    assert [place["exit_code"] for place in said["places"]] == [130, 130, 130]
    by_place = {place["place"]: place for place in said["places"]}
    assert by_place["alpha"]["reason"] == "the run did not come to its end: cut short"
    assert by_place["gamma"]["reason"] == "interrupted before it began"
    assert all("acquired: None" in lab.show(place) for place in PLACES)


def test_a_fleet_that_is_killed_ends_its_runs(lab: FakeLab) -> None:
    process = start(lab, "-k", "HangsInVerify", "--carryover-time-scale", "100")
    wait_for_results(lab, *PLACES, mark="verify")
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 30
    while not all("acquired: None" in lab.show(place) for place in PLACES):
        assert time.monotonic() < end
    ends = [(lab.fake.out / place / "results.jsonl").read_text() for place in PLACES]
    assert all('"how": "cut short"' in text for text in ends)


def test_a_run_that_is_killed_costs_its_own_place(lab: FakeLab) -> None:
    process = start(lab, "-k", "HangsInVerify or (Rules and Passes)",
                    "--carryover-time-scale", "100")  # fmt: skip
    wait_for_results(lab, *PLACES, mark="verify")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if "alpha" in words:
            (lab.fake.folder / "killed").touch()
            subprocess.run(["kill", "-KILL", child], check=True)
        else:
            subprocess.run(["kill", "-INT", child], check=True)
    output, errors = process.communicate(timeout=60)
    by_place = {place["place"]: place for place in json.loads(output)["places"]}
    assert by_place["alpha"]["exit_code"] == 3, errors
    assert by_place["alpha"]["reason"] == "its run was killed by signal 9 (SIGKILL)"
    assert by_place["alpha"]["verdicts"] == {"PASS": 1}  # results so far are not lost
    assert by_place["beta"]["exit_code"] == 130


def test_results_of_an_earlier_fleet_are_none_of_this(lab: FakeLab) -> None:
    assert run(lab, "-k", "AlsoPasses")[0] == 0
    lab.services.client("-p", "alpha", "acquire", user="bob")
    status, said, _ = run(lab, "-k", "AlsoPasses")
    assert (status, said["verdicts"]) == (3, {"PASS": 2})
    assert {result["place"] for result in records(lab, "result")} == {"beta", "gamma"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tag", "floor=2"), "has no place with board=fake, floor=2"),
        (("--coordinator", "127.0.0.1:1"), "no coordinator answers at 127.0.0.1:1"),
        (("--carryover-out", "here"), "give --out DIR for all"),
        (("--jobs", "0"), "must be 1 or more"),
        (("--no-such-option",), ""),
        (("-k", "NoSuchTest"), ""),
    ],
)
def test_bad_input(lab: FakeLab, arguments: tuple[str, ...], said: str) -> None:
    status, _, errors = run(lab, *arguments)
    assert status == 2
    assert said in errors
    assert "Traceback" not in errors


def test_another_fleet_in_the_same_directory(lab: FakeLab) -> None:
    first = start(lab, "-k", "HangsInVerify", "--carryover-time-scale", "100")
    wait_for_results(lab, "alpha", mark="verify")
    status, _, errors = run(lab, "-k", "AlsoPasses")
    assert status == 2
    assert "another run writes there" in errors
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)


def test_the_worst_place_decides() -> None:
    def code(*statuses: tuple[int, int]) -> int:
        return worst([PlaceOutcome("p", Path(), ExitCode(c), s) for c, s in statuses])

    assert code((0, 0), (0, 0)) == 0
    assert code((0, 0), (3, 3), (1, 1)) == 1
    assert code((0, 0), (3, 2)) == 3
    assert code((3, 2), (3, 2)) == 2
    assert code((1, 1), (130, 130)) == 130


def said(**more: object) -> bytes:
    known: dict[str, object] = {
        "results": None,
        "remark": "",
        "verdicts": {},
        "kernel_faults": [],
        "violations": [],
    }
    return json.dumps({**known, **more}).encode()


def test_a_place_that_takes_nothing_of_what_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "output.log").write_text("ERROR: selected tests need a device of driver nvme\n")
    outcome = outcome_of("alpha", tmp_path, 2, said(exit_code=2), 0.0)
    assert (outcome.code, outcome.status) == (3, 2)
    assert outcome.reason == "ERROR: selected tests need a device of driver nvme"


@pytest.mark.parametrize(("verdicts", "code"), [(["PASS"], 3), (["PASS", "LOST"], 1)])
def test_a_run_that_said_nothing(tmp_path: Path, verdicts: list[str], code: int) -> None:
    run = RunBuilder(tmp_path).begin()
    for number, verdict in enumerate(verdicts):
        run.result(f"Suite.Test{number}", Verdict(verdict))
    written = run.write() / "results.jsonl"
    outcome = outcome_of("alpha", tmp_path, -9, b"", 0.0)
    assert (outcome.code, outcome.results) == (code, written)
    assert sum(outcome.verdicts.values()) == len(verdicts)
    assert outcome.reason == "its run was killed by signal 9 (SIGKILL)"
    of_another = outcome_of("alpha", tmp_path, -9, b"", written.stat().st_mtime + 1)
    assert (of_another.code, of_another.results, of_another.verdicts) == (3, None, {})


def test_last_words(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    assert "No such file" in last_words(log)
    log.write_text("x\n" * 9000 + "place a is acquired\ncarryover: no\n  such thing\n\n")
    assert last_words(log) == "carryover: no such thing"
    log.write_text("one\ntwo\n")
    assert last_words(log) == "two"
