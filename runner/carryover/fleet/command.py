# SPDX-License-Identifier: GPL-2.0-only
"""`carryover fleet`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from carryover import __version__
from carryover.environment import check_place
from carryover.errors import BadInput
from carryover.fleet import page
from carryover.fleet.display import FleetDisplay
from carryover.fleet.gather import RESULTS, Gathered, gather
from carryover.fleet.run import FleetRun, FleetSettings
from carryover.outputs.results import only_user
from carryover.place import health as place_health
from carryover.place.choice import has, none_usable, tags_of, usable
from carryover.place.coordinator import Coordinator, Place
from carryover.place.lease import VARIABLE
from carryover.run_command import program_of

_SHOWN = 10
_WIDE = 10_000  # columns


def fleet(options: argparse.Namespace) -> int:
    """Runs the tests on all places with the tags, and gathers what they said.

    Raises:
        BadInput: Nothing was tested: no coordinator, no such place, no program, no environment.
        OutputFailed: What the places said cannot be gathered; it is in their folders.
    """
    program = program_of(options)
    if any(word.partition("=")[0] == "--carryover-out" for word in options.rest):
        raise BadInput("--carryover-out is given to each place; give --out DIR for all")
    tags = tags_of(options.tag)
    with Coordinator(options.coordinator) as coordinator:
        address, places = coordinator.address, coordinator.places()
        names = [place.name for place in usable(places, tags)]
        if not names:
            raise BadInput(none_usable(coordinator, tags))
    left_out = [_why(place) for place in places.values() if has(place, tags)
                and place.name not in names]  # fmt: skip
    os.environ[VARIABLE] = names[0]
    check_place(options.target, names[0])
    out: Path = options.out.absolute()
    lock = _take(out)
    is_seen = (sys.stderr if options.json else sys.stdout).isatty()
    console = Console(stderr=options.json, highlight=False, width=None if is_seen else _WIDE)
    settings = FleetSettings(
        target=options.target.absolute(),
        program=Path(program).absolute(),
        coordinator=address,
        out=out,
        jobs=options.jobs or len(names),
        wait=options.wait,
        arguments=options.rest,
    )
    about: dict[str, Any] = {
        "time": time.time(),
        "carryover": __version__,
        "environment": str(options.target),
        "tags": [f"{key}={value}" for key, value in tags.items()],
        "arguments": list(options.rest),
    }
    with FleetDisplay(console, len(names)) as display:
        for text in left_out[:_SHOWN]:
            display.note(text)
        outcomes = asyncio.run(FleetRun(settings, display).all(names))
    clock = time.monotonic()
    gathered = gather(outcomes, out, about)
    page.write(gathered, out, about, left_out)
    lines = _lines(gathered, out, time.monotonic() - clock)
    display.summary(lines, gathered.verdicts)
    if options.json:
        sys.stdout.write(json.dumps(_outcome(gathered, out)) + "\n")
    os.close(lock)
    return gathered.code


def _why(place: Place) -> str:
    if place_health.is_sick(place):
        return f"{place.name} is left out: {place_health.reason(place) or 'it is sick'}"
    tag = f"{place_health.TAG}={place_health.READY}"
    return f"{place.name} is left out: it lacks {tag} (`carryover place well {place.name}`)"


def _take(out: Path) -> int:
    try:
        out.mkdir(parents=True, exist_ok=True)
        return only_user(out)
    except OSError as error:
        raise BadInput(f"{out}: {error.strerror}; give another directory by --out") from error


def _lines(gathered: Gathered, out: Path, seconds: float) -> dict[str, str]:
    lines = {}
    if differing := gathered.differing():
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        lines["differing"] = " ".join(differing[:_SHOWN]) + more
    results = sum(gathered.verdicts.values())
    lines["gathered"] = f"{results} results of {len(gathered.outcomes)} places in {seconds:.1f} s"
    lines["files"] = f"{out}/: junit.xml report.html {RESULTS}, and a folder of each place"
    return lines


def _outcome(gathered: Gathered, out: Path) -> Mapping[str, Any]:
    """For scripts (docs/results.md)."""
    return {
        "exit_code": gathered.code.value,
        "meaning": gathered.code.meaning,
        "verdicts": {verdict.value: count for verdict, count in gathered.verdicts.items()},
        "places": [
            outcome.as_dict(out) for outcome in sorted(gathered.outcomes, key=lambda o: o.rank)
        ],
        "differing": gathered.differing(),
        "results": str(out / RESULTS),
    }
