# SPDX-License-Identifier: GPL-2.0-only
"""`carryover place`: what places there are, and which of them are sick or well."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from carryover.place import health as place_health
from carryover.place.choice import tags_of
from carryover.place.coordinator import Coordinator

_WIDE = 10_000  # columns


def list_places(options: argparse.Namespace) -> int:
    """Prints a table of the places that have all tags that are asked for.

    Raises:
        BadInput: There is no coordinator.
    """
    tags = tags_of(options.tag)
    with Coordinator(options.coordinator) as coordinator:
        places = coordinator.places()
    table = Table("place", "state", "held by", "tags", "comment", box=None, pad_edge=False)
    for name, place in sorted(places.items()):
        if all(place.tags.get(key) == value for key, value in tags.items()):
            others = {k: v for k, v in sorted(place.tags.items()) if k != place_health.TAG}
            words = " ".join(f"{key}={value}" for key, value in others.items())
            state = place.tags.get(place_health.TAG, "")
            table.add_row(name, state, place.holder, words, place.comment)
    width = None if sys.stdout.isatty() else _WIDE
    Console(highlight=False, markup=False, width=width).print(table)
    return 0


def sick(options: argparse.Namespace) -> int:
    """Marks a place as sick. Raises BadInput if there is none of this name."""
    with Coordinator(options.coordinator) as coordinator:
        place_health.mark_sick(coordinator, options.place, " ".join(options.reason))
    return 0


def well(options: argparse.Namespace) -> int:
    """Marks a place as one that may be used. Raises BadInput if there is none of this name."""
    with Coordinator(options.coordinator) as coordinator:
        place_health.mark_well(coordinator, options.place)
    return 0
