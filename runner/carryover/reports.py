# SPDX-License-Identifier: GPL-2.0-only
"""From a test's result to pytest's reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from carryover.collect import ProgramItem
from carryover.verdict import TestResult, Verdict

VERDICT_PROPERTY = "verdict"


def reports(item: ProgramItem, result: TestResult, log: Path | None) -> list[pytest.TestReport]:
    """Setup, call and teardown of an item, as every pytest plugin expects them.

    INFRA is an error of the setup: the test has neither passed nor failed. SKIP carries its reason.
    """
    outcome = result.verdict.outcome
    properties = _properties(item, result, log)

    def report(when: Any, outcome: Any, longrepr: Any, duration: float) -> pytest.TestReport:
        return pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords=dict.fromkeys(item.keywords, 1),
            outcome=outcome,
            longrepr=longrepr,
            when=when,
            user_properties=properties,
            duration=duration,
        )

    if outcome == "error":
        setup = report("setup", "failed", _long(result, log), result.duration)
        return [setup, report("teardown", "passed", None, 0.0)]
    longrepr: Any = None
    if outcome == "skipped":
        path, line, _ = item.reportinfo()
        longrepr = (str(path), (line or 0) + 1, f"Skipped: {result.reason}")
    elif outcome == "failed":
        longrepr = _long(result, log)
    return [
        report("setup", "passed", None, 0.0),
        report("call", outcome, longrepr, result.duration),
        report("teardown", "passed", None, 0.0),
    ]


def verdict_of(report: pytest.TestReport) -> Verdict | None:
    """The verdict that a report of ours carries; None for other tests."""
    value = dict(report.user_properties).get(VERDICT_PROPERTY)
    return Verdict(value) if isinstance(value, str) else None


def _long(result: TestResult, log: Path | None) -> str:
    lines = [f"{result.verdict.value}: {result.reason}"]
    lines += [f for f in result.failures if f != result.reason and f.strip() != result.reason]
    if log is not None:
        lines.append(f"log: {log}")
    return "\n".join(lines)


def _properties(
    item: ProgramItem, result: TestResult, log: Path | None
) -> list[tuple[str, object]]:
    properties: list[tuple[str, object]] = [(VERDICT_PROPERTY, result.verdict.value)]
    of_test = {"claim": item.info.claim, "driver": item.info.driver, "device": result.device}
    for name, value in of_test.items():
        if value:
            properties.append((name, value))
    for name, value in result.boot.items():
        properties.append((name, json.dumps(value)))
    for name, value in result.notes.items():
        properties.append((f"note.{name}", str(value)))
    if log is not None:
        properties.append(("log", str(log)))
    return properties
