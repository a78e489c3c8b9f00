# SPDX-License-Identifier: GPL-2.0-only
"""report.html of a fleet: which places are not good, and which tests are not the same on all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from carryover.errors import OutputFailed
from carryover.exit_codes import ExitCode
from carryover.fleet.gather import Gathered
from carryover.fleet.outcome import PlaceOutcome
from carryover.fleet.run import LOG
from carryover.report import NAME
from carryover.report.embed import content_security_policy
from carryover.report.overview import number
from carryover.report.page import ASSETS, duration, moment
from carryover.verdict import Verdict

_SHOWN_PLACES = 12  # of a test with one verdict; all are in results.jsonl
_SHOWN_TESTS = 500


@dataclass(frozen=True)
class _Found:
    """A verdict of a test, and where."""

    verdict: str
    count: int
    places: list[tuple[str, str]]


def write(gathered: Gathered, out: Path, about: Mapping[str, Any], left_out: Sequence[str]) -> Path:
    """Builds the page, in place of one that is there; returns its path.

    Raises:
        OutputFailed: It cannot be written.
    """
    path = out / NAME
    partial = path.with_name(f"{NAME}.partial")
    try:
        partial.write_text(_render(gathered, out, about, left_out), "utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputFailed(f"{path}: {error.strerror}") from error
    return path


def _render(
    gathered: Gathered, out: Path, about: Mapping[str, Any], left_out: Sequence[str]
) -> str:
    outcomes, code = gathered.outcomes, gathered.code
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("carryover.fleet", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(duration=duration, moment=moment, plural=number)
    links = {outcome.place: _link(outcome, out) for outcome in outcomes}
    present = [verdict for verdict in Verdict if gathered.verdicts[verdict]]
    good = sum(outcome.code is ExitCode.GOOD for outcome in outcomes)
    differing, bad = gathered.differing(), gathered.bad_everywhere()
    return environment.get_template("page.html").render(
        policy=content_security_policy([], [style]),
        style=style,
        is_good=code is ExitCode.GOOD,
        title=f"{good} of {number(len(outcomes), 'place')} good",
        code=code,
        about=about,
        left_out=left_out,
        verdicts=present,
        total=gathered.verdicts,
        places=sorted(outcomes, key=lambda outcome: outcome.rank),
        links=links,
        differing=[(name, _where(gathered, name, links)) for name in differing[:_SHOWN_TESTS]],
        bad=[(name, _where(gathered, name, links)) for name in bad[:_SHOWN_TESTS]],
        more=max(0, len(differing) - _SHOWN_TESTS) + max(0, len(bad) - _SHOWN_TESTS),
    )


def _link(outcome: PlaceOutcome, out: Path) -> str:
    """The place's own page, or what its run said if it has none."""
    page = outcome.directory / NAME
    target = page if outcome.results is not None and page.exists() else outcome.directory / LOG
    return os.path.relpath(target, out)


def _where(gathered: Gathered, name: str, links: Mapping[str, str]) -> list[_Found]:
    """Fewest places first: that is where to look."""
    found = [
        _Found(verdict.value, len(places), _with_links(places, links))
        for verdict, places in gathered.by_test[name].items()
    ]
    if lacking := gathered.absent.get(name):
        found.append(_Found("no result", len(lacking), _with_links(lacking, links)))
    return sorted(found, key=lambda one: one.count)


def _with_links(places: Sequence[str], links: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(place, links[place]) for place in places[:_SHOWN_PLACES]]
