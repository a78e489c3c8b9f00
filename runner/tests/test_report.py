# SPDX-License-Identifier: GPL-2.0-only
"""What goes into report.html, and what it leaves out."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import FakeBench
from results_schema import check_records
from saved_runs import COLD_BOOT, DAMAGES, KEXEC, RunBuilder, every_verdict, memory

from carryover import report
from carryover.__main__ import main
from carryover.exit_codes import ExitCode
from carryover.outputs.saved_run import load
from carryover.report.excerpts import fair_limit, read_excerpt
from carryover.report.lanes import lanes
from carryover.verdict import Verdict

HOSTILE = (
    '</script><script>fetch("http://carryover.invalid/x")</script><img src=x onerror=alert(1)>'
)


def page_of(run: RunBuilder) -> str:
    return report.write(run.write()).read_text(encoding="utf-8")


def embedded(page: str, name: str) -> Any:
    found = re.search(
        rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL
    )
    assert found is not None
    return json.loads(found[1])


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", page[: page.index('id="data"')]))


def test_the_builder_keeps_to_the_schema(tmp_path: Path) -> None:
    check_records(every_verdict(tmp_path).end().records)


def test_every_verdict_and_device_is_there_without_javascript(tmp_path: Path) -> None:
    page = page_of(every_verdict(tmp_path).end())
    shown = text_of(page)
    for verdict in Verdict:
        assert re.search(rf">\s*{verdict.value}\s*<", page), verdict
        assert f'class="verdict {verdict.value}"' in page
    for text in (
        "igb 0000:01:00.0 8086:10c9",
        "igb 0000:02:00.0 8086:10c9",  # no test used it
        "Not a good run",
        "Neither PASS nor SKIP: 8 of 31 tests.",
        "Kernel faults: 1.",
        "swapper/0 is trying to acquire lock",
        "doorbell of a queue that is not there",
        "mapping not claimed",
        "7.3.4-carryover",
        "c1k3",
    ):
        assert re.sub(r"\s+", " ", text) in re.sub(r"\s+", " ", shown), text


def test_a_good_run_says_so(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path).begin().result("Memory.Keeps").result("Memory.Skips", Verdict.SKIP)
    shown = text_of(page_of(run.end()))
    assert "Good: 1 of 2 passed, the rest was skipped" in shown
    assert "Not a good run" not in shown
    alone = RunBuilder(tmp_path / "alone").begin().result("Memory.Keeps").end()
    assert "Good: 1 test passed" in text_of(page_of(alone))


@pytest.mark.parametrize("how", ["killed", "interrupted", "empty"])
def test_a_run_that_is_not_whole_is_not_good(tmp_path: Path, how: str) -> None:
    run = RunBuilder(tmp_path).begin()
    if how != "empty":
        run.result("Memory.Keeps").console("the last line of the console\n")
    if how == "killed":
        run.write(cut=20)
        page = report.write(tmp_path).read_text()
        assert "line 2 is cut off" in text_of(page)
    else:
        page = page_of(run.end("cut short" if how == "interrupted" else "complete"))
    shown = text_of(page)
    assert "Not a good run" in shown
    assert {"killed": "none: cut short", "interrupted": "cut short", "empty": "No test"}[
        how
    ] in shown


@pytest.mark.parametrize(
    "where", ["name", "reason", "failures", "notes", "log", "console", "fault"]
)
def test_nothing_of_a_run_becomes_markup(tmp_path: Path, where: str) -> None:
    run = RunBuilder(tmp_path).begin()
    fields: dict[str, dict[str, Any]] = {
        "reason": {"reason": HOSTILE},
        "failures": {"failures": [HOSTILE]},
        "notes": {"notes": {HOSTILE: HOSTILE}},
        "log": {"log": HOSTILE},
    }
    more = fields.get(where, {})
    run.result(f"Suite.{HOSTILE}" if where == "name" else "Suite.Test", Verdict.FAIL, **more)
    if where == "console":
        run.console(f"{HOSTILE}\n")
    if where == "fault":
        run.fault(HOSTILE)
    page = page_of(run.end())
    assert page.count("<script") == 4  # early, two of data, the code
    assert "<img" not in page
    assert "onerror" in page  # it is there, as text
    embedded(page, "data")
    embedded(page, "logs")


def test_odd_bytes_are_shown(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path).begin()
    run.result("Suite.\ud800\u202eTest", Verdict.FAIL, b"\xff\x00\x1b[31m\xc3\xa9\r\nend\n")
    run.console(b"\xfe console\n")
    page = page_of(run.end())
    (log,) = embedded(page, "logs")
    assert log["head"] == "\\xff\u2400\u241b[31m\u00e9\nend\n"
    assert "\\xfe console" in text_of(page)
    assert embedded(page, "data")["tests"][0]["name"] == "Suite.\ufffd\ufffdTest"


def test_a_log_outside_of_the_run_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("do not show")
    run = RunBuilder(tmp_path / "run").begin().result("Suite.Test").result("Suite.Second")
    for record, path in zip(run.records[1:], ("../secret", str(tmp_path / "secret")), strict=True):
        record["log"] = path
    page = page_of(run)
    assert embedded(page, "logs") == [None, None]
    assert "do not show" not in page


def test_no_resource_of_elsewhere(tmp_path: Path) -> None:
    page = page_of(every_verdict(tmp_path).end())
    code = page[: page.index('id="data"')] + page[page.rindex("<script>") :]
    links = re.findall(r'(?:href|src|action|srcset)="([^"]*)"', code)
    assert links
    assert {link[0] for link in links} == {"#"}
    assert "url(" not in code
    assert re.findall(r"https?://[^\s\"']*", code) == ["http://www.w3.org/2000/svg"]  # a name
    assert "default-src 'none'" in html.unescape(code)


def test_lanes_are_kexecs_in_order() -> None:
    run = RunBuilder(Path("unused")).power_cycle(1, kexecs=2).power_cycle(2, kexecs=0)
    found = lanes(record for record in run.records if record["event"] == "mark")
    assert [(lane.cycle, lane.kexec) for lane in found] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    cold, first, second, _ = found
    assert [segment.begin for segment in cold.segments] == [what for what, _ in COLD_BOOT[:-1]]
    assert [segment.phase for segment in first.segments] == [
        "arm", "armed", "load", "loaded", "freeze", "silence", "kernel", "init", "connect",
        "retrieve", "verify",
    ]  # fmt: skip
    assert len(second.segments) == len(KEXEC) - 1
    assert second.length == pytest.approx(5.0)
    assert sum(segment.length for segment in second.segments) == pytest.approx(5.0)
    assert first.boot_id.endswith("1")
    assert second.boot_id.endswith("2")


def test_a_run_without_a_kexec_is_one_lane() -> None:
    marks = [*COLD_BOOT, ("run", 2.0), ("off", 4.0)]
    (lane,) = lanes(RunBuilder(Path("unused")).marks(marks, 1, 0).records)
    assert lane.kexec == 0
    assert lane.last[0] == "run"


@pytest.mark.parametrize(
    ("verdict", "expected"), [(Verdict.FAIL, [0, 1]), (Verdict.PANIC, [0, 1, 2])]
)
def test_a_death_has_the_kexec_that_came_to_no_boot(
    tmp_path: Path, verdict: Verdict, expected: list[int]
) -> None:
    run = RunBuilder(tmp_path).begin().power_cycle(1, kexecs=1).marks(KEXEC[:4], 1, 2)
    run.power_cycle(2, kexecs=2).result("Memory.Dies", verdict)
    page = page_of(run.end())
    assert embedded(page, "data")["tests"][0]["lanes"] == expected


def test_marks_of_two_sources_are_put_in_order() -> None:
    run = RunBuilder(Path("unused")).marks(KEXEC, 1, 1)
    shuffled = sorted(run.records, key=lambda record: str(record["what"]))
    (lane,) = lanes(shuffled)
    assert [segment.begin for segment in lane.segments] == [what for what, _ in KEXEC[:-1]]
    assert all(segment.length >= 0 for segment in lane.segments)


def test_last_words_of_the_program_may_be_lost() -> None:
    for lost, expected in (({"loaded", "jump"}, "load, freeze"), ({"jump"}, "freeze")):
        marks = [mark for mark in KEXEC if mark[0] not in lost]
        (lane,) = lanes(RunBuilder(Path("unused")).marks(marks, 1, 1).records)
        assert expected in [segment.phase for segment in lane.segments]
        assert lane.segments[0].begin == "kexec"


def test_a_lane_that_ends_early_says_after_what() -> None:
    (lane,) = lanes(RunBuilder(Path("unused")).marks(KEXEC[:4], 1, 1).records)
    assert lane.last == ("outgoing-last", "[   12.345678] kexec_core: Starting new kernel")
    assert lane.boot_id == ""


def test_fair_limit() -> None:
    assert fair_limit([], 10) == 0
    assert fair_limit([3, 4], 10) == 4
    assert fair_limit([1, 100, 100], 11) == 5
    assert fair_limit([5, 5], 0) == 0


def test_an_excerpt_has_both_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    whole = read_excerpt(log, 1 << 20)
    assert (whole.head, whole.tail, whole.left_out) == (log.read_text(), "", 0)
    part = read_excerpt(log, 600)
    assert part.head.startswith("line 0\n")
    assert part.head.endswith("\n")
    assert part.tail.startswith("line ")
    assert part.tail.endswith("line 999\n")
    assert len(part.head) + len(part.tail) + part.left_out == part.size == log.stat().st_size
    assert len(part.head) + len(part.tail) <= 600


@pytest.mark.parametrize("log", ["plain text\n" * 20_000, "<\u00e9\x00>\n" * 40_000])
def test_the_page_is_small_whatever_the_logs(tmp_path: Path, log: str) -> None:
    run = RunBuilder(tmp_path).begin()
    damage = [memory(1 << 20, [(2 * i, 1, DAMAGES[i % 6]) for i in range(4096)])]
    for number in range(400):
        verdict = Verdict.FAIL if number % 2 else Verdict.PASS
        failures = ["x.cc:1: " + "message <&> " * 5000] if number % 2 else []
        maps = damage if number < 40 else []
        run.result(f"Suite.Test{number}", verdict, log, failures=failures, damage=maps)
    page = report.write(run.end().write())
    assert page.stat().st_size < 10_000_000
    data, logs = (embedded(page.read_text(), name) for name in ("data", "logs"))
    bad, good = logs[0], logs[-1]
    assert len(bad["head"]) + len(bad["tail"]) > len(good["head"]) + len(good["tail"])
    assert bad["left_out"] > 0
    assert data["tests"][0]["damage"][0]["map_cut"] is True
    assert "characters more in results.jsonl" in data["tests"][0]["failures"][0]


def test_addresses_are_exact(tmp_path: Path) -> None:
    damage = memory(4, [(0, 1, "poison"), (2, 1, "zeroed")])
    damage["extents"][0]["iova"] = 0xFFFF_FFFF_FFFF_F001
    damage["extents"][1]["physical"] = None
    run = RunBuilder(tmp_path).begin().result("Memory.Differs", Verdict.FAIL, damage=[damage])
    (memory_of_page,) = embedded(page_of(run.end()), "data")["tests"][0]["damage"]
    assert memory_of_page["extents"][0]["iova"] == "0xfffffffffffff001"
    assert memory_of_page["extents"][1]["physical"] == ""


def test_each_run_leaves_a_page(fake: FakeBench) -> None:
    run = fake.run_tests("Memory.Passes", "Memory.IsDamaged")
    page = (run.out / "report.html").read_text()
    tests = {test["name"]: test for test in embedded(page, "data")["tests"]}
    assert tests["Memory.Passes"]["verdict"] == "PASS"
    assert tests["Memory.IsDamaged"]["damage"]
    assert tests["Memory.Passes"]["lanes"] == [0, 1]
    assert "report.html" in run.output


def test_a_page_that_cannot_be_built_costs_no_result(fake: FakeBench) -> None:
    (fake.folder / "broken_page.py").write_text(
        "from carryover import report\n"
        "def write(directory):\n    raise RuntimeError('no ink')\n"
        "report.write = write\n"
    )
    fake.variables["PYTHONPATH"] += f":{fake.folder}"
    run = fake.run("-p", "broken_page", "-k", "Memory and AlsoPasses")
    assert run.verdicts == {"Memory.AlsoPasses": "PASS"}
    assert "report.html: cannot be built: RuntimeError: no ink" in run.output
    assert run.status == pytest.ExitCode.INTERNAL_ERROR
    assert run.records[-1]["how"] == "complete"
    assert (run.out / "junit.xml").exists()


def test_the_page_of_a_killed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = every_verdict(tmp_path).write(cut=30)
    assert main(["report", str(directory)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert load(directory).remark in text_of((directory / "report.html").read_text()).lower()


def test_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == ExitCode.BAD_INPUT
    assert "results.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
