# SPDX-License-Identifier: GPL-2.0-only
"""The part of docs/results.md that lists the fields of results.jsonl, from their schema."""

import json
from pathlib import Path
from typing import Any

from carryover_ci.marked import BEGIN, END, with_marked
from carryover_ci.program import ROOT

PAGE = ROOT / "docs" / "results.md"
_FEW = 6  # words, that fit into a cell
SCHEMA = ROOT / "runner" / "carryover" / "outputs" / "results.schema.json"


def page(file: Path = PAGE, schema: Path = SCHEMA) -> str:
    """The whole page as it should be. Failure if it lacks a mark."""
    return with_marked(file, BEGIN, END, as_text(json.loads(schema.read_text())))


def as_text(schema: dict[str, Any]) -> str:
    """The fields of each event, then those of the objects that they hold, as Markdown."""
    parts = schema["$defs"]
    events = schema["properties"]["event"]["enum"]
    rest = [name for name in parts if name not in events and "properties" in parts[name]]
    tables = [_table(f"`{name}`", parts[name], parts) for name in events]
    tables += [_table(f"In them: {name}", parts[name], parts) for name in rest]
    words = [f"- {name}: {_words(part)}" for name, part in parts.items() if "enum" in part]
    return "\n".join([*tables, *words]) + "\n"


def _table(title: str, part: dict[str, Any], parts: dict[str, Any]) -> str:
    lines = [f"### {title}\n"]
    if says := part.get("description"):
        lines.append(f"{says}\n")
    lines += ["| field | type | what it is |", "|---|---|---|"]
    for name, field in part["properties"].items():
        says = field.get("description") or _target(field, parts).get("description", "")
        optional = "" if name in part["required"] else "; only if it is so"
        lines.append(f"| `{name}` | {_type(field, parts)} | {says}{optional} |")
    return "\n".join(lines) + "\n"


def _target(field: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = parts.get(str(field.get("$ref", "")).rpartition("/")[2], field)
    return found


def _words(field: dict[str, Any]) -> str:
    return ", ".join(f"`{word}`" for word in field["enum"])


def _type(field: dict[str, Any], parts: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if "properties" in parts[name]:
            return f"[{name}](#in-them-{name})"
        return name if "enum" in parts[name] else _type(parts[name], parts)
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return _words(field) if len(field["enum"]) <= _FEW else "word"
    if "oneOf" in field:
        return " or ".join(_type(one, parts) for one in field["oneOf"])
    kind = field["type"]
    if kind == "array":
        items = field["items"]
        if "prefixItems" in items:
            return f"list of [{', '.join(_type(one, parts) for one in items['prefixItems'])}]"
        return f"list of {_type(items, parts)}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
