# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import json

import pytest

from carryover.errors import ProtocolError
from carryover.events import TestInfo, parse


def test_a_line_is_an_event() -> None:
    event = parse('{"event": "finish", "t": 1, "name": "A.B", "duration_us": 12, "reason": null}')
    assert event.kind == "finish"
    assert event.text("name") == "A.B"
    assert event.number("duration_us") == 12
    assert event.text("reason", "none") == "none"
    assert event.number("generation") == 0


@pytest.mark.parametrize(
    "line", ["", "Segmentation fault", "[1]", '{"t": 1}', '{"event": 3}', '{"event']
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ProtocolError, match="the program wrote"):
        parse(line)


def test_another_schema_is_refused() -> None:
    with pytest.raises(ProtocolError, match="schema 2, this runner 1"):
        parse(json.dumps({"event": "hello", "schema": 2}))


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolError, match="a number was meant"):
        parse('{"event": "finish", "generation": "two"}').number("generation")


@pytest.mark.parametrize("fields", [{"name": "NoSuite"}, {"name": "A.B", "kind": "odd"}, {}])
def test_a_test_without_name_or_kind_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        TestInfo.from_event(parse(json.dumps({"event": "test", **fields})))
