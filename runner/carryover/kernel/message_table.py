# SPDX-License-Identifier: GPL-2.0-only
"""The table of messages as Markdown, for ci/docs (``python -m carryover.kernel.message_table``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from carryover.kernel.messages import TABLE, Kind, Row, Severity
from carryover.kernel.taint import FLAGS


def markdown() -> str:
    """The reports by severity, the lines by which the runner knows where it is, and the taints."""
    parts = []
    for severity in Severity:
        rows = [row for row in TABLE if row.kind is not None and row.kind.severity is severity]
        parts += [f"### {severity.word}\n", *_reports(rows), ""]
    parts += ["### Not reports\n", "| line | source |", "|---|---|"]
    parts += [f"| {_code(row.example)} | {row.source} |" for row in TABLE if row.kind is None]
    parts += ["", "### Taint\n", "| flag | meaning | explained by a report of |", "|---|---|---|"]
    for flag in FLAGS:
        kinds = ", ".join(sorted(flag.kinds)) or "nothing; no fault if the kernel began with it"
        parts.append(f"| {flag.letter} | {flag.meaning} | {kinds} |")
    return "\n".join(parts) + "\n"


def _reports(rows: list[Row]) -> Iterator[str]:
    yield "| kind | begins like | ends | source |"
    yield "|---|---|---|---|"
    for row in rows:
        kind: Kind | None = row.kind
        assert kind is not None
        ending = kind.ending.value.replace("`", "'")
        yield f"| {kind.name} | {_code(row.example)} | {ending} | {row.source} |"


def _code(text: str) -> str:
    return f"`{text.replace('|', '&#124;')}`"


if __name__ == "__main__":
    sys.stdout.write(markdown())
