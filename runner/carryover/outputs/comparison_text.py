# SPDX-License-Identifier: GPL-2.0-only
"""A comparison of two runs, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carryover.outputs.compare import Comparison
from carryover.outputs.saved_run import SavedRun
from carryover.verdict import Verdict

_STYLES = {"worse": "bold red", "better": "green", "changed": "yellow"}


def comparison_text(a: SavedRun, b: SavedRun, comparison: Comparison) -> RenderableType:
    """Both runs in a line each, then one block a kind of change."""
    blocks: list[RenderableType] = [_runs(a, b)]
    blocks += [Text(f"remark  {remark}", "yellow") for remark in comparison.remarks]
    limits = comparison.thresholds
    by = f"by more than {limits.relative:.0%} of the smaller"
    for title, rows in (
        ("verdicts that changed", _verdicts(comparison)),
        ("tests only in A", _only(comparison.only_in_a)),
        ("tests only in B", _only(comparison.only_in_b)),
        ("kernel messages only in B", _texts(comparison.new_faults, "bold red")),
        ("kernel messages only in A", _texts(comparison.gone_faults, "green")),
        ("forbidden by a device's specification, only in B",
         _texts(comparison.new_violations, "bold red")),
        ("forbidden by a device's specification, only in A",
         _texts(comparison.gone_violations, "green")),
        (f"times that changed {by} and {limits.absolute:g} s", _times(comparison)),
        (f"figures that changed {by}", _notes(comparison)),
    ):  # fmt: skip
        blocks += _block(title, rows)
    worse = comparison.is_worse
    blocks += [Text(), Text("B is worse", "bold red") if worse else Text("B is not worse", "green")]
    return Group(*blocks)


def _runs(a: SavedRun, b: SavedRun) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, run in (("A", a), ("B", b)):
        table.add_row(Text(name, "bold"), Text(run.name), Text(_kernels(run)), _counts(run))
    return table


def _kernels(run: SavedRun) -> str:
    """Outgoing and incoming kernels, each once."""
    boots = [r["cold_boot"] for r in run.results if r["cold_boot"]]
    boots += [boot for result in run.results for boot in result["kexecs"]]
    return ", ".join(dict.fromkeys(f"Linux {boot['kernel']}" for boot in boots)) or "no kernel"


def _counts(run: SavedRun) -> Text:
    counts = Counter(Verdict(result["verdict"]) for result in run.results)
    shown = [Text(f"{counts[v]} {v.value}", v.style) for v in Verdict if counts[v]]
    return Text("  ").join(shown)


def _block(title: str, rows: Iterable[list[Text]]) -> Iterator[RenderableType]:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        for text in row:
            text.overflow = "fold"  # a name that is cut is none
        table.add_row("", *row)
    if table.row_count:
        yield Text()
        yield Text(f"{title} ({table.row_count})", "bold")
        yield table


def _verdicts(comparison: Comparison) -> Iterator[list[Text]]:
    for change in sorted(comparison.verdicts, key=lambda c: list(_STYLES).index(c.how)):
        verdicts = Text(f"{change.before} -> {change.after}", _STYLES[change.how])
        yield [Text(change.how), verdicts, Text(change.name), Text(change.reason, "dim")]


def _only(tests: dict[str, str]) -> Iterator[list[Text]]:
    """What passed comes first: it is missed most."""
    for name, verdict in sorted(tests.items(), key=lambda test: Verdict(test[1]).severity):
        yield [Text(verdict, Verdict(verdict).style), Text(name)]


def _texts(texts: Iterable[str], style: str) -> Iterator[list[Text]]:
    for text in texts:
        yield [Text(text, style)]


def _times(comparison: Comparison) -> Iterator[list[Text]]:
    for change in comparison.times:
        style = "red" if change.after > change.before else "green"
        seconds = f"{change.before:.3f} s -> {change.after:.3f} s"
        yield [Text(seconds, style), Text(change.what)]


def _notes(comparison: Comparison) -> Iterator[list[Text]]:
    for change in comparison.notes:
        values = f"{_value(change.before)} -> {_value(change.after)}"
        yield [Text(change.note), Text(values), Text(change.name)]


def _value(value: object) -> str:
    return "none" if value is None else str(value)
