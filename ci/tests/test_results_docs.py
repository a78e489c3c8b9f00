# SPDX-License-Identifier: GPL-2.0-only
"""docs/results.md has every field of results.jsonl, and every word of a mark."""

import json
import re
from pathlib import Path

from carryover_ci.results_docs import PAGE, SCHEMA, as_text, page

TEXT = PAGE.read_text()


def test_the_page_is_what_the_schema_says() -> None:
    assert page() == TEXT, "run ci/docs"


def test_another_field_makes_another_page(tmp_path: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    schema["$defs"]["result"]["properties"]["colour"] = {"type": "string", "description": "its"}
    changed = tmp_path / "schema.json"
    changed.write_text(json.dumps(schema))
    assert page(schema=changed) != TEXT
    assert "| `colour` | string | its; only if it is so |" in page(schema=changed)


def test_every_field_is_there() -> None:
    parts = json.loads(SCHEMA.read_text())["$defs"]
    text = as_text(json.loads(SCHEMA.read_text()))
    for name, part in parts.items():
        for field in part.get("properties", {}):
            rows = [line for line in text.splitlines() if line.startswith(f"| `{field}` | ")]
            assert rows, f"{name}.{field}"
            assert not any(row.endswith("|  |") for row in rows), f"{name}.{field} says nothing"


def test_every_link_leads_to_a_table() -> None:
    text = as_text(json.loads(SCHEMA.read_text()))
    linked = set(re.findall(r"\(#(.*?)\)", text))
    assert linked == {f"in-them-{name}" for name in re.findall(r"### In them: (.*)", text)}


def test_every_mark_is_told_of() -> None:
    schema = json.loads(SCHEMA.read_text())
    for word in schema["$defs"]["mark"]["properties"]["what"]["enum"]:
        assert f"\n| `{word}`" in TEXT
