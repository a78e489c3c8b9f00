# SPDX-License-Identifier: GPL-2.0-only
"""A run as KCIDB has it, held against KCIDB's own schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import FakeBench
from kcidb_io.schema import LATEST

from carryover.__main__ import main
from carryover.errors import BadInput
from carryover.outputs.kcidb import STATUS, Source, report
from carryover.outputs.saved_run import load
from carryover.verdict import Verdict

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TESTS = (
    "Rules.Passes",
    "Rules.Skips",
    "Memory.Fails",
    "Memory.IsLost",
    "Memory.PanicsInVerify",
)


def test_every_verdict_has_a_status() -> None:
    assert set(STATUS) == set(Verdict)
    assert {v.value for v, status in STATUS.items() if status == "FAIL"} == {
        "FAIL",
        "LOST",
        "REFUSED",
        "PANIC",
        "HANG",
        "RESET",
    }


def test_a_run_is_what_the_schema_wants(fake: FakeBench) -> None:
    run = fake.run_tests(*TESTS)
    source = Source("carryover_lab", commit=COMMIT, repository="https://git.example.org/linux.git")
    found = report(load(run.out), source)
    LATEST.validate_exactly(found)
    tests = {test["path"]: test for test in found["tests"]}
    assert {path: test["status"] for path, test in tests.items()} == {
        "carryover.Rules.Passes": "PASS",
        "carryover.Rules.Skips": "SKIP",
        "carryover.Memory.Fails": "FAIL",
        "carryover.Memory.IsLost": "FAIL",
        "carryover.Memory.PanicsInVerify": "FAIL",
    }
    assert tests["carryover.Memory.IsLost"]["misc"]["verdict"] == "LOST"
    failure = run.results["Memory.Fails"]["failures"][0]
    assert tests["carryover.Memory.Fails"]["log_excerpt"] == failure
    reason = run.results["Memory.PanicsInVerify"]["reason"]
    assert tests["carryover.Memory.PanicsInVerify"]["log_excerpt"] == reason
    assert "log_excerpt" not in tests["carryover.Rules.Passes"]
    (build,) = found["builds"]
    (checkout,) = found["checkouts"]
    assert {test["build_id"] for test in found["tests"]} == {build["id"]}
    assert build["checkout_id"] == checkout["id"] == f"carryover_lab:{COMMIT}"
    assert len({test["id"] for test in found["tests"]}) == len(TESTS)


def test_tests_of_a_build_that_was_reported(fake: FakeBench) -> None:
    run = fake.run_tests("Rules.Passes")
    found = report(load(run.out), Source("lab", build="maestro:1234"))
    LATEST.validate_exactly(found)
    assert set(found) == {"version", "tests"}
    assert found["tests"][0]["build_id"] == "maestro:1234"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"origin": "My Lab", "commit": COMMIT}, "--origin My Lab: small letters"),
        ({"origin": "lab"}, "give --build-id of a build that was reported, or --commit"),
        ({"origin": "lab", "build": "a:b", "commit": COMMIT}, "or --commit"),
        ({"origin": "lab", "build": "1234"}, "--build-id 1234: ORIGIN:ID was meant"),
        ({"origin": "lab", "commit": "01234"}, "--commit 01234: a whole commit"),
        (
            {"origin": "lab", "commit": COMMIT, "repository": "git@host:linux"},
            "an https:// URL was meant",
        ),
    ],
)
def test_what_kcidb_would_refuse_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Source(**fields)


def test_the_command(fake: FakeBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fake.run_tests("Rules.Passes")
    words = ["kcidb", str(run.out), "--origin", "lab", "--commit", COMMIT]
    assert main(words) == 0
    LATEST.validate_exactly(json.loads(capsys.readouterr().out))
    # A run that was killed: what there is, and that it is not all.
    results = run.out / "results.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:-1]))
    assert main(words) == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["tests"]) == 1
    assert "the run was cut short" in captured.err
    # No run at all.
    assert main(["kcidb", str(tmp_path / "nowhere"), *words[2:]]) == 2
    assert "nowhere: No such file or directory" in capsys.readouterr().err
