# SPDX-License-Identifier: GPL-2.0-only
"""Whether a place may be used: a tag in the coordinator, and its comment, which says why not.

``carryover=ready`` is set by whoever sets a place up; a run by tags takes no other. A machine that
does not come back makes its place ``carryover=sick``, and nobody gets it until a person has looked.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from carryover.errors import BadInput
from carryover.nearest import meant
from carryover.place.coordinator import Coordinator, Place

TAG = "carryover"
READY = "ready"
SICK = "sick"
_LONGEST = 400  # characters of a reason: labgrid-client prints comments in one line
_BEGIN = "SICK since "
_BEHIND = " | "  # what the comment was before


def is_sick(place: Place) -> bool:
    """Whether a machine's place is not to be used."""
    return place.tags.get(TAG) == SICK


def reason(place: Place) -> str:
    """Why it is sick, and since when; empty if nobody has said."""
    said, _, _ = place.comment.partition(_BEHIND)
    return said if said.startswith(_BEGIN) else ""


def mark_sick(coordinator: Coordinator, name: str, why: str) -> None:
    """Nobody gets this place any more, until mark_well().

    Args:
        coordinator: Connected.
        name: The place, which exists.
        why: For the comment; its lines become one.

    Raises:
        CoordinatorRefused: That could not be done.
    """
    place = found(coordinator, name)
    when = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    line = "; ".join(part.strip() for part in why.splitlines() if part.strip())
    line = line.replace(_BEHIND, " / ")
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST]}..."
    before = _without_reason(place.comment)
    behind = f"{_BEHIND}{before}" if before else ""
    coordinator.set_tags(name, {TAG: SICK})
    coordinator.set_comment(name, f"{_BEGIN}{when}: {line}{behind}")


def mark_well(coordinator: Coordinator, name: str) -> None:
    """The place may be used again; its comment is what it was before. Raises as mark_sick()."""
    place = found(coordinator, name)
    coordinator.set_tags(name, {TAG: READY})
    coordinator.set_comment(name, _without_reason(place.comment))


def found(coordinator: Coordinator, name: str) -> Place:
    """The place of this name. Raises BadInput if there is none, with the names that are near."""
    place = coordinator.place(name)
    if place is None:
        known = coordinator.places()
        has = f"it has {len(known)}" if known else "it has none"
        raise BadInput(
            f"the coordinator at {coordinator.address} has no place `{name}`"
            f"{meant(name, known, 3) or f'; {has}: see `carryover place list`'}"
        )
    return place


def _without_reason(comment: str) -> str:
    if not comment.startswith(_BEGIN):
        return comment
    return comment.partition(_BEHIND)[2]
