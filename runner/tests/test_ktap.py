# SPDX-License-Identifier: GPL-2.0-only
"""results.ktap, read by the rules of Documentation/dev-tools/ktap.rst."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from conftest import FakeBench

from carryover.outputs.ktap import ktap
from carryover.verdict import TestResult, Verdict

_RESULT = re.compile(r"(ok|not ok) (\d+) ([^#]*?)(?: # ([A-Z_]+)(?: (.*))?)?")


@dataclass
class Line:
    """A result line, with the diagnostic lines that precede it."""

    is_ok: bool
    name: str
    directive: str
    data: str
    diagnostics: list[str] = field(default_factory=list)


def read(text: str) -> list[Line]:
    """Fails if the document is not as KTAP version 1 has it."""
    version, plan, *lines = text.removesuffix("\n").split("\n")
    assert version == "KTAP version 1"
    first, planned = plan.split("..")
    assert first == "1"
    found: list[Line] = []
    diagnostics: list[str] = []
    for line in lines:
        if line.startswith("#"):
            diagnostics.append(line.removeprefix("# "))
            continue
        match = _RESULT.fullmatch(line)
        assert match, line
        assert int(match[2]) == len(found) + 1
        found.append(Line(match[1] == "ok", match[3], match[4] or "", match[5] or "", diagnostics))
        diagnostics = []
    assert not diagnostics  # they belong to a test
    assert len(found) == int(planned)
    return found


def test_a_run(fake: FakeBench) -> None:
    tests = ["Rules.Passes", "Rules.Skips", "Memory.Fails", "Memory.IsDamaged", "Memory.IsLost"]
    run = fake.run_tests(*tests)
    lines = {line.name: line for line in read((run.out / "results.ktap").read_text())}
    assert lines.keys() == run.verdicts.keys()
    assert lines["Rules.Passes"] == Line(True, "Rules.Passes", "", "")
    assert lines["Rules.Skips"] == Line(True, "Rules.Skips", "SKIP", "on purpose")
    assert not lines["Memory.Fails"].is_ok
    assert lines["Memory.Fails"].diagnostics == ["FAIL: on purpose", "fake.cc:7: on purpose"]
    assert lines["Memory.IsLost"].diagnostics[0] == "LOST: on purpose"


def test_every_verdict_and_what_would_break_a_line() -> None:
    results = [TestResult(f"A.{v.value}", v, "line #1\n\nok 9 x") for v in Verdict]
    lines = {line.name.removeprefix("A."): line for line in read(ktap(results))}
    for verdict in Verdict:
        line = lines[verdict.value]
        assert line.is_ok == (verdict in (Verdict.PASS, Verdict.SKIP))
        if not line.is_ok:
            assert line.diagnostics == [f"{verdict.value}: line #1", "#", "ok 9 x"]
    assert (lines["SKIP"].directive, lines["SKIP"].data) == ("SKIP", "line 1")
    assert (lines["HANG"].directive, lines["HANG"].data) == ("TIMEOUT", "HANG line 1")
    assert (lines["INFRA"].directive, lines["INFRA"].data) == ("ERROR", "INFRA line 1")
    assert (lines["PANIC"].directive, lines["PANIC"].data) == ("PANIC", "line 1")


def test_no_results() -> None:
    assert read(ktap([])) == []
