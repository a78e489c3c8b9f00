# SPDX-License-Identifier: GPL-2.0-only
"""A run as it was written down: results.jsonl, read again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from carryover.errors import BadInput

SCHEMA = 3  # results.schema.json
_NAME = "results.jsonl"
_REMEDY = "give the --carryover-out of a run, or its results.jsonl"


@dataclass(frozen=True)
class SavedRun:
    """What results.jsonl says of a run. Each record is as results.schema.json has it.

    Attributes:
        directory: The run's output directory.
        begin: The first record.
        results: Those of tests, in the order in which they became known.
        marks: Those of the timeline.
        faults: What kernels complained of themselves, notices excepted.
        violations: What drivers did that their device's specification forbids.
        end: The last record; None if the run was cut short.
        remark: What is missing of the run; empty if it is whole.
        target: What the target said by its own clocks: `step`, `clock` and `device-gap`.
        file: What was read, if that is not the directory's results.jsonl.
    """

    directory: Path
    begin: dict[str, Any]
    results: list[dict[str, Any]]
    marks: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    violations: list[dict[str, Any]]
    end: dict[str, Any] | None
    remark: str
    target: list[dict[str, Any]] = field(default_factory=list)
    file: Path | None = None

    @property
    def name(self) -> str:
        """Of several runs, which: the directory, or the file if it is one of many there."""
        return str(self.file or self.directory)


def load(directory_or_file: Path) -> SavedRun:
    """Reads a run; of one that was killed, up to the last whole line.

    Raises:
        BadInput: There is none, it is of another version of the format, or a line is damaged. What
            is cut off at the end is no error: `remark` says so.
    """
    file = directory_or_file / _NAME if directory_or_file.is_dir() else directory_or_file
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}; {_REMEDY}") from error
    *lines, rest = data.split(b"\n")
    if not lines:
        what = "its first line is cut off" if rest else "it is empty"
        raise BadInput(f"{file}: {what}: the run ended before it began; {_REMEDY}")
    by_event: dict[str, list[dict[str, Any]]] = {event: [] for event in required_fields()}
    for number, line in enumerate(lines, 1):
        where = f"{file}:{number}"
        record = _record(line, where)
        if number == 1:
            _check_begin(record, where)
        if by_event["end"]:
            raise BadInput(f"{where}: there is more after the end of the run")
        _check(record, where, is_first=number == 1)
        by_event[record["event"]].append(record)
    end = by_event["end"][0] if by_event["end"] else None
    return SavedRun(
        directory=file.parent,
        begin=by_event["begin"][0],
        results=by_event["result"],
        marks=by_event["mark"],
        target=[*by_event["step"], *by_event["clock"], *by_event["device-gap"]],
        faults=[one for one in by_event["kernel-fault"] if one["severity"] != "notice"],
        violations=by_event["violation"],
        end=end,
        remark=_remark(len(lines), is_cut_off=bool(rest), end=end),
        file=None if file.name == _NAME else file,
    )


@cache
def required_fields() -> dict[str, frozenset[str]]:
    """The fields that a record of each event must have, by the schema."""
    file = resources.files("carryover.outputs").joinpath("results.schema.json")
    schema = json.loads(file.read_text())
    events = schema["properties"]["event"]["enum"]
    return {event: frozenset(schema["$defs"][event]["required"]) for event in events}


def _record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:  # UnicodeDecodeError, too
        raise BadInput(f"{where}: the line is damaged ({error}): {line[:60]!r}") from error
    if not isinstance(record, dict) or not isinstance(record.get("event"), str):
        raise BadInput(f"{where}: the line is no record of a run: {line[:60]!r}; {_REMEDY}")
    return record


def _check_begin(record: dict[str, Any], where: str) -> None:
    if record["event"] != "begin":
        raise BadInput(f"{where}: a run begins with `begin`, not `{record['event']}`; {_REMEDY}")
    if (schema := record.get("schema", 1)) != SCHEMA:
        raise BadInput(
            f"{where}: the results are of schema version {schema}, and this Carryover reads "
            f"{SCHEMA}; use the Carryover that wrote them, or run again"
        )


def _check(record: dict[str, Any], where: str, *, is_first: bool) -> None:
    event = record["event"]
    if event not in required_fields() or (event == "begin" and not is_first):
        raise BadInput(f"{where}: a record `{event}` does not belong there; the file is damaged")
    if missing := sorted(required_fields()[event] - record.keys()):
        raise BadInput(f"{where}: the record `{event}` lacks `{missing[0]}`; the file is damaged")


def _remark(lines: int, *, is_cut_off: bool, end: dict[str, Any] | None) -> str:
    if is_cut_off:
        return f"the run was cut short: line {lines + 1} is cut off, and was left out"
    if end is None:
        return f"the run was cut short: nothing came after line {lines}"
    return "" if end["how"] == "complete" else f"the run did not come to its end: {end['how']}"
