# SPDX-License-Identifier: GPL-2.0-only
"""Which place a run gets, by its name or by tags: reserved first, so that nobody comes between."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from carryover.errors import BadInput
from carryover.place import health as place_health
from carryover.place.coordinator import Coordinator, CoordinatorRefused, Place

_TAG = re.compile(r"([a-z][a-z0-9_]+)=([^=\s]+)")
_ASK = 1.0  # seconds; labgrid tells nobody that a reservation is served, its client asks, too
_SHOWN = 5


def tags_of(words: list[str]) -> dict[str, str]:
    """``KEY=VALUE`` each. Raises BadInput for what is none."""
    tags: dict[str, str] = {}
    for word in words:
        found = _TAG.fullmatch(word)
        if found is None:
            raise BadInput(f"--tag {word}: KEY=VALUE was meant, KEY as labgrid has it: a-z, 0-9, _")
        if tags.setdefault(found[1], found[2]) != found[2]:
            raise BadInput(f"--tag {word}: no place has two values of {found[1]}")
    return tags


def usable(places: Mapping[str, Place], tags: Mapping[str, str]) -> list[Place]:
    """Those that a run by these tags may get, by name."""
    wanted = {**tags, place_health.TAG: place_health.READY}
    return [place for _, place in sorted(places.items()) if has(place, wanted)]


def take(
    coordinator: Coordinator,
    name: str,
    tags: Mapping[str, str],
    wait: float,
    tell: Callable[[str], object],
) -> str:
    """Acquires a place, and returns its name.

    Args:
        coordinator: Connected in the run's own name.
        name: The place's, or
        tags: what it has to have, beside ``carryover=ready``.
        wait: Seconds for one that somebody else has.
        tell: Gets lines for a person.

    Raises:
        BadInput: It cannot be had: there is none, it is held (by whom), or it is sick (why).
    """
    if name:
        place = place_health.found(coordinator, name)
        _refuse_sick(place)
        if lacking := coordinator.unmatched(name):
            raise BadInput(f"place {name}: {lacking}; is its exporter running?")
        if place.holder and wait <= 0:
            raise BadInput(f"place {name} is {place.held}; wait for it with --wait SECONDS")
        filters = {"name": name}
    else:
        candidates = usable(coordinator.places(), tags)
        if not candidates:
            raise BadInput(none_usable(coordinator, tags))
        filters = {**tags, place_health.TAG: place_health.READY}
    token, got = _reserved(coordinator, filters, wait, tell)
    _refuse_sick(place_health.found(coordinator, got))
    try:
        coordinator.acquire(got)
        coordinator.cancel(token)  # a place is either reserved or held
    except CoordinatorRefused as error:
        raise BadInput(f"place {got} cannot be acquired: {error}") from error
    return got


def _reserved(
    coordinator: Coordinator,
    filters: Mapping[str, str],
    wait: float,
    tell: Callable[[str], object],
) -> tuple[str, str]:
    """A reservation, and the place that it keeps for us until that is acquired."""
    try:
        token = coordinator.reserve(filters)
        deadline = time.monotonic() + wait
        told = ""
        while not (name := coordinator.allocated(token)):
            state = _who_has_them(coordinator, filters)
            if time.monotonic() >= deadline:
                waited = f"; waited for {wait:g} s" if wait else "; wait with --wait SECONDS"
                raise BadInput(f"no place is free: {state}{waited}")
            if state != told:
                tell(f"waiting for a place, {wait:g} s at most: {state}")
                told = state
            time.sleep(min(_ASK, max(0.0, deadline - time.monotonic())))
        return token, name
    except CoordinatorRefused as error:
        raise BadInput(f"no place can be reserved: {error}") from error


def _who_has_them(coordinator: Coordinator, filters: Mapping[str, str]) -> str:
    matching = [
        place
        for _, place in sorted(coordinator.places().items())
        if has(place, {k: v for k, v in filters.items() if k != "name"})
        and filters.get("name", place.name) == place.name
    ]
    said = [
        f"{place.name} is {place.held if place.holder else 'reserved by somebody'}"
        for place in matching[:_SHOWN]
    ]
    if len(matching) > _SHOWN:
        said.append(f"and {len(matching) - _SHOWN} more")
    return ", ".join(said) or "none has these tags any more"


def none_usable(coordinator: Coordinator, tags: Mapping[str, str]) -> str:
    """Why a run by these tags gets no place, for a person."""
    wanted = ", ".join(f"{key}={value}" for key, value in tags.items())
    alike = [place for _, place in sorted(coordinator.places().items()) if has(place, tags)]
    if not alike:
        return f"the coordinator at {coordinator.address} has no place with {wanted}"
    said = []
    for place in alike[:_SHOWN]:
        if place_health.is_sick(place):
            said.append(f"{place.name} is sick ({place_health.reason(place) or 'no reason given'})")
        else:
            said.append(
                f"{place.name} lacks {place_health.TAG}={place_health.READY} "
                f"(`carryover place well {place.name}`)"
            )
    return f"no place with {wanted} may be used: " + "; ".join(said)


def _refuse_sick(place: Place) -> None:
    if place_health.is_sick(place):
        why = place_health.reason(place) or "no reason is given"
        raise BadInput(
            f"place {place.name} is sick: {why}; when it is well again: "
            f"`carryover place well {place.name}`"
        )


def has(place: Place, tags: Mapping[str, str]) -> bool:
    """Whether the place has all of these tags."""
    return all(place.tags.get(key) == value for key, value in tags.items())
