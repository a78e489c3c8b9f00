# SPDX-License-Identifier: GPL-2.0-only
"""Records of results.jsonl, held against their schema."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA: dict[str, Any] = json.loads(
    resources.files("carryover.outputs").joinpath("results.schema.json").read_text()
)
_VALIDATOR = Draft202012Validator(SCHEMA)


def complaints(record: dict[str, Any]) -> list[str]:
    """What the schema has against a record."""
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in _VALIDATOR.iter_errors(record)
    ]


def check_records(records: Iterable[dict[str, Any]]) -> None:
    """Fails if one of them is not as the schema has it."""
    for record in records:
        assert complaints(record) == [], record
