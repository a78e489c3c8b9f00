# SPDX-License-Identifier: GPL-2.0-only
"""pytest's own ways to select, stop, repeat and report work for tests of the program."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from conftest import FakeBench


def collected(fake: FakeBench, *arguments: str) -> list[str]:
    run = fake.run("--collect-only", "-q", *arguments)
    return [line for line in run.output.splitlines() if "::" in line]


def test_collect_only_touches_nothing(fake: FakeBench) -> None:
    names = collected(fake)
    assert "program::Memory::Passes" in names
    assert not fake.out.exists()


def test_keywords_and_markers(fake: FakeBench) -> None:
    assert collected(fake, "-k", "Rules and Passes") == ["program::Rules::Passes"]
    assert collected(fake, "-m", "igb") == ["program::Igb::Passes"]
    assert len(collected(fake, "-m", "run")) == 11
    assert set(collected(fake, "-m", "memory")) == set(collected(fake, "-m", "continuity"))


def test_exit_first_stops_reporting_and_cleans_up(fake: FakeBench) -> None:
    run = fake.run("-x", "-k", "Rules and (Fails or Skips) or Memory and AlsoPasses")
    assert run.status == 1
    assert "1 failed" in run.output
    assert "skipped" not in run.output
    assert run.records[-1]["event"] == "end"
    assert '"step": "closed"' in (run.out / "journal.jsonl").read_text()


def test_last_failed(fake: FakeBench) -> None:
    first = fake.run("-k", "Rules and (Passes or Fails)")
    assert first.verdicts == {"Rules.Passes": "PASS", "Rules.Fails": "FAIL"}
    again = fake.run("--lf")
    assert again.verdicts == {"Rules.Fails": "FAIL"}


def test_junit_and_durations(fake: FakeBench) -> None:
    run = fake.run(
        "-k", "Memory and (AlsoPasses or IsLost) or Rules and Skips", "--durations=3", "-vv"
    )
    assert "slowest 3 durations" in run.output
    suite = ET.parse(run.out / "junit.xml").getroot()[0]
    assert suite.get("tests") == "3"
    assert suite.get("failures") == "1"
    assert suite.get("skipped") == "1"
    verdicts = {
        case.get("name"): case.find("properties/property[@name='verdict']").get("value")  # type: ignore[union-attr]
        for case in suite.iter("testcase")
    }
    assert verdicts == {"AlsoPasses": "PASS", "IsLost": "LOST", "Skips": "SKIP"}
    assert not list(run.out.glob("*.partial"))


def test_another_place_for_junit(fake: FakeBench) -> None:
    run = fake.run("-k", "Rules and Passes", "--junitxml", str(fake.folder / "mine.xml"))
    assert (fake.folder / "mine.xml").exists()
    assert not (run.out / "junit.xml").exists()


def test_results_of_an_earlier_run_are_gone(fake: FakeBench) -> None:
    fake.run("-k", "Rules and Fails")
    run = fake.run("-k", "Rules and Passes")
    assert run.verdicts == {"Rules.Passes": "PASS"}
    assert not (run.out / "logs" / "Rules.Fails.log").exists()


def test_claims(fake: FakeBench) -> None:
    def claims(*arguments: str) -> list[str]:
        run = fake.run("-k", "Memory and AlsoPasses", *arguments)
        notes = [r["notes"] for r in run.records if r.get("notes")]
        return list(notes[0]["claims"])

    assert claims() == ["memory"]
    two = ("--carryover-claim", "memory", "--carryover-claim", "file")
    assert claims(*two) == ["memory", "file"]
    refused = fake.run("--carryover-claim", "fiel")
    assert refused.status == 4
    assert "fiel" in refused.output


def test_time_scale(fake: FakeBench) -> None:
    once = ("--carryover-reruns", "0")

    def reason(scale: str) -> str:
        run = fake.run("-k", "HangsWhileArming", "--carryover-time-scale", scale, *once)
        return str(run.results["Memory.HangsWhileArming"]["reason"])

    assert "did not end within 3.5 s" in reason("1")
    assert "did not end within 7 s" in reason("2")
    refused = fake.run("--carryover-time-scale", "0")
    assert refused.status == 4
    assert "--carryover-time-scale 0: must be above 0" in refused.output


def test_more_words_for_the_command_line(fake: FakeBench) -> None:
    words = ("--carryover-append", "incoming=1", "--carryover-boot-append", "every=1")
    run = fake.run("-k", "Memory and AlsoPasses", *words)
    events = (run.out / "events.jsonl").read_text()
    assert "every=1 incoming=1 carryover.nonce=" in events
