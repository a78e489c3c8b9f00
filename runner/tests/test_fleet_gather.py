# SPDX-License-Identifier: GPL-2.0-only
"""What the places of a fleet say, in one results.jsonl, one junit.xml and one page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from saved_runs import RunBuilder

from carryover.errors import OutputFailed
from carryover.exit_codes import ExitCode
from carryover.fleet import page
from carryover.fleet.gather import gather
from carryover.fleet.outcome import PlaceOutcome
from carryover.verdict import Verdict

ABOUT: dict[str, Any] = {
    "time": 1_795_800_000.0,
    "carryover": "0.1.0",
    "environment": "<lab>.yaml",
    "tags": ["board=epyc"],
    "arguments": ["-k", "A & B"],
}
NASTY = "it says \x1b[31m\x00 </script><b>&\"'"


def a_place(out: Path, name: str, code: ExitCode, *results: tuple[str, Verdict]) -> PlaceOutcome:
    run = RunBuilder(out / name).begin()
    verdicts: dict[Verdict, int] = {}
    for test, verdict in results:
        run.result(test, verdict, reason="" if verdict is Verdict.PASS else NASTY)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    run.fault("WARNING: possible recursive locking detected", results[0][0])
    run.violation("model nvme: doorbell")
    run.end().write()
    return PlaceOutcome(
        name, out / name, code, code.value,
        results=out / name / "results.jsonl", verdicts=verdicts, complaints=2, seconds=12.0,
    )  # fmt: skip


def fleet(out: Path) -> list[PlaceOutcome]:
    a, b, c = "Memory.A", "Memory.B", "Memory.C/0"
    good, bad, skip = Verdict.PASS, Verdict.FAIL, Verdict.SKIP
    damaged = a_place(out, "damaged", ExitCode.GOOD, (a, good))
    (out / "damaged" / "results.jsonl").write_text("nonsense\n")
    return [
        a_place(out, "p1", ExitCode.BAD, (a, good), (b, bad), (c, skip)),
        a_place(out, "p2", ExitCode.BAD, (a, Verdict.PANIC), (b, bad), (c, skip)),
        a_place(out, "p3", ExitCode.BAD, (a, good), (b, bad)),
        PlaceOutcome("none", out / "none", ExitCode.INFRA, 2, f"held by <bob> {NASTY}"),
        damaged,
    ]


def test_what_differs_is_found(tmp_path: Path) -> None:
    gathered = gather(fleet(tmp_path), tmp_path, ABOUT)
    assert gathered.verdicts == {
        Verdict.PASS: 2, Verdict.FAIL: 3, Verdict.SKIP: 2, Verdict.PANIC: 1,
    }  # fmt: skip
    assert gathered.differing() == ["Memory.A", "Memory.C/0"]  # the worst first
    assert gathered.by_test["Memory.A"] == {Verdict.PASS: ["p1", "p3"], Verdict.PANIC: ["p2"]}
    assert gathered.absent == {"Memory.C/0": ["p3"]}
    assert gathered.bad_everywhere() == ["Memory.B"]
    (damaged,) = [one for one in gathered.outcomes if one.place == "damaged"]
    assert (damaged.code, damaged.results) == (3, None)
    assert "results.jsonl:1: the line is damaged" in damaged.reason
    assert gathered.code == 1


def test_results_that_cannot_be_read_are_no_good_end(tmp_path: Path) -> None:
    outcomes = fleet(tmp_path)
    assert gather(outcomes[-1:], tmp_path, ABOUT).code == 3


def test_the_records(tmp_path: Path) -> None:
    outcomes = fleet(tmp_path)
    gather(outcomes, tmp_path, ABOUT)
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").open()]
    assert records[0] == {"event": "fleet", "schema": 1, **ABOUT}
    assert records[-1]["event"] == "end"
    assert records[-1]["differing"] == ["Memory.A", "Memory.C/0"]
    assert [r["place"] for r in records if r["event"] == "place"] == [o.place for o in outcomes]
    results = [r for r in records if r["event"] == "result"]
    assert len(results) == 8
    assert results[1]["reason"] == NASTY
    assert results[1]["log"].startswith("p1/logs/")
    assert sum(r["event"] == "kernel-fault" for r in records) == 3
    assert sum(r["event"] == "violation" for r in records) == 3


def test_junit(tmp_path: Path) -> None:
    gather(fleet(tmp_path), tmp_path, ABOUT)
    suites = {
        suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "junit.xml").getroot()
    }
    assert list(suites) == ["p1", "p2", "p3", "none", "damaged"]
    first = suites["p1"]
    assert [first.get(k) for k in ("tests", "failures", "errors", "skipped")] == list("3101")
    failure = first.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "FAIL: it says [31m </script><b>&\"'"
    for name in ("none", "damaged"):  # no test of it has passed
        assert [suites[name].get(k) for k in ("tests", "errors")] == ["1", "1"]
        assert suites[name].find("testcase/error") is not None


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page(tmp_path: Path) -> None:
    outcomes = fleet(tmp_path)
    (tmp_path / "p1" / "report.html").write_text("a page")
    gathered = gather(outcomes, tmp_path, ABOUT)
    path = page.write(gathered, tmp_path, ABOUT, ["p9 is left out: <sick>"])
    text = path.read_text()
    found = _Page()
    found.feed(text)
    assert "script" not in found.tags
    assert found.tags.count("b") == 4  # counts of verdicts, and none of a reason's
    assert set(found.links) == {
        "p1/report.html", "p2/output.log", "p3/output.log", "none/output.log", "damaged/output.log",
    }  # fmt: skip
    assert "0 of 5 places good" in found.text
    assert "p9 is left out: <sick>" in found.text
    assert "held by <bob>" in found.text
    assert "<lab>.yaml" in found.text
    names = [line.strip() for line in found.text.splitlines() if line.strip()]
    order = [next(n for n, x in enumerate(names) if x.startswith(p)) for p in ("p2", "p3", "none")]
    assert order == sorted(order)
    assert "PANIC 1 place:" in " ".join(found.text.split())
    assert "no result 1 place: p3" in " ".join(found.text.split())


def test_a_full_disk(tmp_path: Path) -> None:
    outcomes = fleet(tmp_path)
    (tmp_path / "results.jsonl.partial").mkdir()
    with pytest.raises(OutputFailed, match=r"results\.jsonl\.partial: Is a directory"):
        gather(outcomes, tmp_path, ABOUT)
