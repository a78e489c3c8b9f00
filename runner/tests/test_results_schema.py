# SPDX-License-Identifier: GPL-2.0-only
"""What runs write is what results.schema.json says."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench_run import BenchRun, variables_missing
from conftest import FakeBench
from jsonschema import Draft202012Validator
from results_schema import SCHEMA, check_records, complaints

from carryover.campaign.batch import FINAL
from carryover.campaign.strategy import CLAIMS
from carryover.outputs.saved_run import SCHEMA as VERSION
from carryover.outputs.saved_run import load, required_fields
from carryover.timing.timeline import WORDS
from carryover.verdict import Verdict

EVENTS = SCHEMA["properties"]["event"]["enum"]


def properties(event: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"][event]["properties"]
    return found


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(EVENTS) <= SCHEMA["$defs"].keys()
    assert len(SCHEMA["allOf"]) == len(EVENTS)  # none goes unchecked
    assert properties("begin")["schema"]["const"] == VERSION
    assert str(VERSION) in SCHEMA["$id"]


def test_it_has_the_words_of_the_runner() -> None:
    assert properties("mark")["what"]["enum"] == list(WORDS)
    assert properties("result")["verdict"]["enum"] == [verdict.value for verdict in Verdict]
    assert SCHEMA["$defs"]["claim"]["enum"] == CLAIMS


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A run that writes every kind of record."""
    fake = FakeBench(tmp_path_factory.mktemp("written"))
    fake.variables["CARRYOVER_FAKE_VIOLATION"] = "model dsa: the ring is not enabled"
    tests = ["Rules.MakesTheKernelWarn", "Rules.Skips", "Memory.IsDamaged", "Igb.Passes"]
    return fake.run_tests(*tests, "Memory.PanicsInVerify", "Chain.Passes").records


def test_every_event_is_written_and_valid(written: list[dict[str, Any]]) -> None:
    assert {record["event"] for record in written} == set(EVENTS)
    check_records(written)
    assert written[0]["event"] == "begin"
    assert written[-1]["event"] == "end"
    counts = Counter(record["verdict"] for record in written if record["event"] == "result")
    assert written[-1]["counts"] == counts


def test_every_field_of_the_schema_is_written(written: list[dict[str, Any]]) -> None:
    for event in EVENTS:
        record = next(record for record in written if record["event"] == event)
        assert record.keys() == properties(event).keys() == required_fields()[event]


@pytest.mark.parametrize("event", EVENTS)
def test_a_field_that_it_does_not_know_is_refused(
    written: list[dict[str, Any]], event: str
) -> None:
    record = next(record for record in written if record["event"] == event)
    assert complaints({**record, "colour": "red"})
    for field in record.keys() - {"event"}:
        assert complaints({key: value for key, value in record.items() if key != field}), field


def test_parts_of_a_result_are_checked_too(written: list[dict[str, Any]]) -> None:
    (damaged,) = (r for r in written if r.get("name") == "Memory.IsDamaged")
    for change in ({"map": [[0, 0, "zeroed"]]}, {"damaged": {"lost": 1}}, {"map_cut": False}):
        record = copy.deepcopy(damaged)
        record["damage"][0].update(change)
        assert complaints(record), change
    record = copy.deepcopy(damaged)
    record["cold_boot"]["colour"] = "red"
    assert complaints(record)


def test_what_a_result_says(written: list[dict[str, Any]]) -> None:
    results = {record["name"]: record for record in written if record["event"] == "result"}
    assert results["Igb.Passes"]["device"] == "0000:01:00.0"
    assert results["Rules.Skips"]["device"] is None
    assert results["Igb.Passes"]["damage"] == []
    (damage,) = results["Memory.IsDamaged"]["damage"]
    assert damage["map"] == [[2, 1, "zeroed"], [5, 1, "bit flip"]]
    assert "damage" not in results["Memory.IsDamaged"]["notes"]
    assert results["Memory.IsDamaged"]["summary"] == "Memory.IsDamaged"
    assert results["Memory.IsDamaged"]["file"] == "/src/fake.cc"
    begin = written[0]
    assert begin["target"] == "main"
    assert begin["environment"].endswith("environment.yaml")
    assert begin["claims"] == ["memory"]
    assert begin["devices"] == [{"address": "0000:01:00.0", "id": "8086:10c9", "driver": "igb"}]
    assert "--carryover-reruns" in begin["arguments"]


def test_halves_end_as_the_runner_takes_them() -> None:
    ends = {result for results in FINAL.values() for result in results}
    assert set(SCHEMA["$defs"]["half"]["properties"]["result"]["enum"]) == {"ARMED", *ends}


@pytest.mark.bench
def test_a_run_on_the_bench_is_valid_and_can_be_read(tmp_path: Path) -> None:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    run = BenchRun(tmp_path).run("IsSound", "MemoryContinuity::OnePage", "IgbContinuity::OneMiB")
    saved = load(run.out)
    check_records([saved.begin, *saved.results, *saved.marks])
    assert saved.remark == ""
    assert run.results["IgbContinuity.OneMiB"]["device"] == "0000:01:00.0"
    words = [mark["what"] for mark in saved.marks]
    # Of the program's last words some are lost with the kernel that was to send them.
    missing_words = set(WORDS) - set(words) - {"loaded", "jump"}
    assert missing_words == {"run"}, json.dumps(saved.marks, indent=1)
    assert all(mark["time"] > saved.begin["time"] for mark in saved.marks)


@pytest.mark.bench
def test_damage_on_the_bench_says_which_pages(tmp_path: Path) -> None:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    run = BenchRun(tmp_path).run("HiddenDamage::LosesPages")
    (damage,) = run.results["HiddenDamage.LosesPages"]["damage"]
    assert run.verdicts == {"HiddenDamage.LosesPages": "FAIL"}
    assert damage["map"] == [[2, 2, "zeroed"], [7, 1, "bit flip"]]
    assert damage["damaged"] == {"zeroed": 8192, "bit flip": 8}
    assert damage["checked"] == 65536
    assert all(extent["physical"] % 4096 in (0, 96) for extent in damage["extents"])
