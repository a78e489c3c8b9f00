# SPDX-License-Identifier: GPL-2.0-only
"""junit.xml, as Jenkins and GitLab read it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import FakeBench, Run

# What a test case may hold; more than one of these and readers differ on what it was.
_OUTCOMES = ("skipped", "error", "failure")
_IN_CASE = {*_OUTCOMES, "properties", "system-out", "system-err"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    fake = FakeBench(tmp_path_factory.mktemp("junit"))
    tests = ["Rules.Passes", "Rules.Skips", "Memory.Fails", "Memory.IsLost", "Memory.LosesSsh"]
    return fake.run_tests(*tests)


def cases(file: Path) -> dict[str, ET.Element]:
    """Test cases by Suite.Test; fails if the document is not of the usual form."""
    root = ET.parse(file).getroot()  # fails if it is not well-formed
    assert root.tag == "testsuites"
    assert {suite.tag for suite in root} == {"testsuite"}
    found: dict[str, ET.Element] = {}
    for suite in root:
        own = suite.findall("testcase")
        assert {child.tag for child in suite} <= {"properties", "testcase"}
        assert int(suite.attrib["tests"]) == len(own)
        for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[word]) == sum(case.find(tag) is not None for case in own)
        for case in own:
            assert {child.tag for child in case} <= _IN_CASE
            assert sum(case.find(tag) is not None for tag in _OUTCOMES) <= 1
            assert float(case.attrib["time"]) >= 0
            assert case.attrib["classname"]
            found[f"{case.attrib['classname'].split('.')[-1]}.{case.attrib['name']}"] = case
    return found


@pytest.mark.parametrize(
    ("test", "outcome", "message"),
    [
        ("Rules.Passes", None, ""),
        ("Rules.Skips", "skipped", "on purpose"),
        ("Memory.Fails", "failure", "FAIL: on purpose"),
        ("Memory.IsLost", "failure", "LOST: on purpose"),
        ("Memory.LosesSsh", "error", "INFRA: the SSH connection was lost"),
    ],
)
def test_outcomes(run: Run, test: str, outcome: str | None, message: str) -> None:
    found = cases(run.out / "junit.xml")
    assert found.keys() == run.verdicts.keys()
    outcomes = [tag for tag in _OUTCOMES if found[test].find(tag) is not None]
    assert outcomes == ([outcome] if outcome else [])
    if outcome:
        element = found[test].find(outcome)
        assert element is not None
        assert message in element.attrib["message"]


def properties(case: ET.Element) -> dict[str, str]:
    return {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}


def test_properties(run: Run) -> None:
    for name, case in cases(run.out / "junit.xml").items():
        of_case = properties(case)
        assert of_case["verdict"] == run.verdicts[name]
        assert of_case.get("claim") == (None if name.startswith("Rules") else "memory")
        assert "driver" not in of_case
        assert "device" not in of_case


def test_properties_of_a_test_with_a_device(fake: FakeBench) -> None:
    found = cases(fake.run_tests("Igb.Passes").out / "junit.xml")
    of_case = properties(found["Igb.Passes"])
    assert (of_case["driver"], of_case["device"]) == ("igb", "0000:01:00.0")
