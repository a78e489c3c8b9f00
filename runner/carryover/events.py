# SPDX-License-Identifier: GPL-2.0-only
"""Events of the program on the target (docs/protocol.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from carryover.errors import ProtocolError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the program.

    Attributes:
        kind: The event's name, e.g. ``finish``.
        fields: Its keys, without ``event``.
    """

    kind: str
    fields: dict[str, Any]

    def text(self, key: str, default: str = "") -> str:
        """The field as text; `default` if it is absent or null."""
        value = self.fields.get(key)
        return default if value is None else str(value)

    def number(self, key: str, default: int = 0) -> int:
        """The field as an integer; `default` if it is absent or null."""
        value = self.fields.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ProtocolError(f"event {self.kind}: {key} is {value!r}, a number was meant")
        return int(value)


def parse(line: str) -> Event:
    """Parses one line.

    Raises:
        ProtocolError: The line is no JSON object with an ``event``, or of another schema.
    """
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ProtocolError(f"the program wrote a line that is no JSON: {line[:200]!r}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        raise ProtocolError(f"the program wrote a line that is no event: {line[:200]!r}")
    kind = fields.pop("event")
    if kind == "hello" and fields.get("schema") != SCHEMA:
        raise ProtocolError(
            f"the program speaks schema {fields.get('schema')!r}, this runner {SCHEMA}; "
            "build both from the same source"
        )
    return Event(kind, fields)


@dataclass(frozen=True, slots=True)
class TestInfo:
    """What ``list`` tells of one test."""

    __test__ = False  # not a pytest class

    name: str
    kind: str
    claim: str | None
    driver: str | None
    generations: int
    time_limit: float
    file: str
    line: int
    summary: str
    own_kexec: bool = False

    @property
    def suite(self) -> str:
        return self.name.partition(".")[0]

    @property
    def test(self) -> str:
        return self.name.partition(".")[2]

    @property
    def is_continuity(self) -> bool:
        return self.kind == "continuity"

    @classmethod
    def from_event(cls, event: Event) -> TestInfo:
        """From a ``test`` event. Raises ProtocolError if it has no usable name or kind."""
        name, kind = event.text("name"), event.text("kind")
        if not name.partition(".")[2] or kind not in ("run", "continuity"):
            raise ProtocolError(f"list: a test without a proper name or kind: {event.fields}")
        return cls(
            name=name,
            kind=kind,
            claim=event.fields.get("claim"),
            driver=event.fields.get("driver"),
            generations=event.number("generations"),
            time_limit=event.number("time_limit_ms", 10_000) / 1000,
            file=event.text("file"),
            line=event.number("line"),
            summary=event.text("summary"),
            own_kexec=event.fields.get("own_kexec") is True,
        )
