# SPDX-License-Identifier: GPL-2.0-only
"""Builds the page from a saved run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from carryover.errors import OutputFailed
from carryover.gap.picture import length
from carryover.outputs.saved_run import SavedRun, load
from carryover.report import overview
from carryover.report.damage import with_small_maps
from carryover.report.embed import content_security_policy, script_json
from carryover.report.excerpts import fair_limit, json_size, shortened, strings_of
from carryover.report.gaps import gap_view
from carryover.report.lanes import Lane, lanes
from carryover.report.logs import faults, last_lines, logs

NAME = "report.html"

ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = (
    "elements.js",
    "fragment.js",
    "timeline.js",
    "pages_canvas.js",
    "damage.js",
    "test.js",
    "table.js",
    "main.js",
)

# Of a page below 10 MB, whatever the run: what may go into it at most, in bytes of JSON.
_LOGS = 5_000_000
_TEXTS = 2_000_000
_DAMAGED_RUNS = 60_000
_SHORT = 80  # a text of this size is never cut

# The other verdicts can come from a kexec after the last boot that the test ran on.
_JUDGED_ON_ITS_BOOTS = frozenset({"PASS", "FAIL", "SKIP", "LOST"})


def write(directory: Path) -> Path:
    """Builds the page of the run in `directory`, in place of one that is there; returns its path.

    Raises:
        BadInput: There is no run, or none that can be read.
        OutputFailed: It cannot be written.
    """
    run = load(directory)
    path = run.directory / NAME
    partial = path.with_name(f"{NAME}.partial")
    try:
        partial.write_text(render(run), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputFailed(f"{path}: {error.strerror}") from error
    return path


def render(run: SavedRun) -> str:
    """The page. Logs of the run that are not there, or cannot be read, are said to be missing."""
    of_tests = logs(run, _LOGS)
    run = _cleaned(run)
    results = sorted(
        enumerate(run.results), key=lambda pair: overview.severity(str(pair[1]["verdict"]))
    )
    found = overview.problems(run)
    boots = overview.Boots()
    all_lanes = lanes(run.marks)
    tests = [_test(result, boots, all_lanes, run) for result in run.results]
    complaints = faults(run)
    data = {
        "tests": [tests[index] for index, _ in results],
        "boots": [asdict(boot) for boot in boots.all],
        "lanes": [lane.as_dict() for lane in all_lanes],
    }
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    code = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    early = 'document.documentElement.classList.add("js");'
    environment = Environment(
        loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        duration=duration, moment=moment, plural=overview.number, length_ms=length
    )
    return environment.get_template("template.html").render(
        policy=content_security_policy([early, code], [style]),
        style=style,
        early=early,
        code=code,
        data=script_json(data),
        logs=script_json([of_tests[index] for index, _ in results]),
        run=run,
        title=overview.title(run.results, found),
        problems=found,
        counts=overview.counts(run.results),
        matrix=overview.matrix(run),
        absent=overview.NONE,
        boots=boots.all,
        faults=complaints,
        more_faults=len(run.faults) - len(complaints),
        last_lines=last_lines(run),
        lanes=all_lanes,
        gap=gap_view(run),
        rows=[_row(result) for _, result in results],
        choices=_choices(run.results),
    )


def duration(seconds: float) -> str:
    """For people: three digits, and a unit."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def moment(time: float) -> str:
    """Wall clock, UTC, to the second."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cleaned(run: SavedRun) -> SavedRun:
    """The run with texts that fit: a limit for all, which leaves short ones as they are."""
    parts: dict[str, Any] = {
        "begin": run.begin,
        "results": with_small_maps(run.results, _DAMAGED_RUNS),
        "marks": run.marks,
        "target": run.target,
        "faults": run.faults,
        "violations": run.violations,
        "end": run.end,
        "remark": run.remark,
    }
    sizes = [json_size(text) for text in strings_of(list(parts.values()))]
    limit = max(_SHORT, fair_limit(sizes, _TEXTS))
    return SavedRun(directory=run.directory, **shortened(parts, limit))


def _test(
    result: dict[str, Any], boots: overview.Boots, all_lanes: Sequence[Lane], run: SavedRun
) -> dict[str, Any]:
    kept = (
        "name", "verdict", "reason", "kind", "claim", "driver", "device", "duration", "halves",
        "failures", "notes", "damage", "summary", "file", "line", "time", "log",
    )  # fmt: skip
    indices = boots.of(result)
    test = {key: result.get(key) for key in kept}
    test["boots"] = indices
    test["lanes"] = _lanes_of(result, {boots.all[index].boot_id for index in indices}, all_lanes)
    test["faults"] = [f["text"] for f in run.faults if f.get("test") == result["name"]]
    return test


def _lanes_of(result: dict[str, Any], boot_ids: Set[str], all_lanes: Sequence[Lane]) -> list[int]:
    """The lanes that led to a test's boots, and that of the kexec which came to no boot for it.

    The power cycle is known by the boot ids that the console told, or because there was only one.
    """
    cycles = {lane.cycle for lane in all_lanes if lane.boot_id in boot_ids}
    if not cycles and len({lane.cycle for lane in all_lanes}) == 1:
        cycles = {1}
    kexecs = len(result["kexecs"]) + (result["verdict"] not in _JUDGED_ON_ITS_BOOTS)
    return [
        index
        for index, lane in enumerate(all_lanes)
        if boot_ids and lane.cycle in cycles and lane.kexec <= kexecs
    ]


def _row(result: dict[str, Any]) -> dict[str, Any]:
    name = str(result["name"])
    suite, _, test = name.partition(".")
    return {
        **{key: result.get(key) or "" for key in ("verdict", "driver", "claim", "kind")},
        "suite": f"{suite}." if test else "",
        "test": test or suite,
        "link": overview.link(test=name),
        "reason": str(result.get("reason") or "").partition("\n")[0][:240],
        "duration": float(result.get("duration") or 0.0),
    }


def _choices(results: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """What can be filtered by, with the values that occur."""
    return {
        key: sorted({str(result.get(key) or overview.NONE) for result in results})
        for key in ("driver", "device", "claim", "kind")
    }
