# SPDX-License-Identifier: GPL-2.0-only
"""A place of labgrid's coordinator, held for one run, and given back however the run ends.

The place is acquired under a user of this run's own (USER.carryover-TOKEN): who holds it can be
seen, nobody takes it back by mistake, and what is given back is this run's for certain.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from getpass import getuser
from typing import Any

from labgrid.resource.remote import RemotePlaceManager

from carryover.errors import Infrastructure, PlaceLost
from carryover.place import health as place_health
from carryover.place.choice import take
from carryover.place.coordinator import Coordinator, CoordinatorRefused
from carryover.place.lease_keeper import LeaseKeeper

# labgrid puts it in for $LG_PLACE in an environment, and labgrid-client takes it for --place.
VARIABLE = "LG_PLACE"
_PAUSE = 1.0  # seconds
_AWAY_LIMIT = 60.0  # a coordinator that is restarted
_HEIR_LIMIT = 2.0  # after a place is taken from us, until we say that nobody has it


class Lease:
    """A place while this run holds it.

    Attributes:
        place: Its name.
        owner: HOST/USER, as others see it.
        lost: Why the machine is not to be touched any more; None while the place is ours.
    """

    def __init__(self, coordinator: Coordinator, place: str) -> None:
        self._coordinator = coordinator
        self.place = place
        self.owner = coordinator.me
        self._changed = threading.Condition(threading.RLock())
        self._is_over = False
        self._why = ""
        self._on_lost: Callable[[PlaceLost], None] = lambda error: None
        self.lost: PlaceLost | None = None
        coordinator.watch(self._place_changed, self._coordinator_left)
        self._place_changed(place)  # what was changed before

    def on_lost(self, tell: Callable[[PlaceLost], None]) -> None:
        """Calls this, from the connection's thread, as soon as the place is taken from us."""
        with self._changed:
            self._on_lost = tell
            if self.lost is not None:
                tell(self.lost)

    def mark_sick(self, why: str) -> str:
        """The machine does not come back; returns what is wrong with telling that, or nothing."""
        if self.lost is not None:
            return f"place {self.place} is not ours any more, and was not marked as sick"
        try:
            place_health.mark_sick(self._coordinator, self.place, why)
        except Infrastructure as error:
            return f"place {self.place} could not be marked as sick: {error}"
        return ""

    def end(self) -> None:
        """From now on nothing is watched: the place is about to be given back."""
        with self._changed:
            self._is_over = True

    def _place_changed(self, name: str) -> None:
        if name != self.place:
            return
        with self._changed:
            self._changed.notify_all()
            place = self._coordinator.place(name)
            if place is None or place.holder != self.owner:
                self._lose("")

    def _lose(self, why: str) -> None:
        """To be called with the lock."""
        if self.lost is None and not self._is_over:
            self._why = why
            self.lost = PlaceLost(self._reason)
            self._on_lost(self.lost)

    def _reason(self) -> str:
        with self._changed:
            if not self._why:
                self._changed.wait_for(lambda: self._heir() != "", _HEIR_LIMIT)
                heir = self._heir()
                self._why = (
                    f"place {self.place} was deleted while this run had it"
                    if heir is None
                    else f"place {self.place} was taken from this run: "
                    f"{heir or 'nobody'} has it now"
                )
            return self._why

    def _heir(self) -> str | None:
        """Who has the place in our stead; None if it is not there."""
        place = self._coordinator.place(self.place)
        return None if place is None else place.holder

    def _coordinator_left(self) -> None:
        with self._changed:
            if self._is_over or self.lost is not None:
                return
        threading.Thread(target=self._return, name="reconnect", daemon=True).start()

    def _return(self) -> None:
        """A coordinator that was restarted knows of no holders: take the place again."""
        deadline = time.monotonic() + _AWAY_LIMIT
        while True:
            try:
                self._coordinator.reconnect()
                place = self._coordinator.place(self.place)
                if place is not None and not place.holder:
                    self._coordinator.acquire(self.place)
                break
            except CoordinatorRefused as error:
                if time.monotonic() > deadline:
                    with self._changed:
                        self._lose(
                            f"place {self.place}: nobody knows any more who has it: {error}, "
                            f"for {_AWAY_LIMIT:g} s"
                        )
                    return
                time.sleep(_PAUSE)  # nothing tells when it is there again
        _lend_to_labgrid(self._coordinator)
        self._place_changed(self.place)


@contextlib.contextmanager
def leased(
    address: str,
    place: str,
    tags: Mapping[str, str],
    wait: float,
    tell: Callable[[str], object],
) -> Iterator[Lease]:
    """A place that is ours in the ``with`` block, and which RemotePlace and ``$LG_PLACE`` mean.

    Args:
        address: Of the coordinator; empty for labgrid's default.
        place: Its name, or
        tags: what it has to have, beside ``carryover=ready``.
        wait: Seconds for one that is held.
        tell: Gets lines for a person.

    Raises:
        BadInput: It cannot be had: no coordinator, no such place, held (by whom), sick (why).
    """
    user = f"{os.environ.get('LG_USERNAME') or getuser()}.carryover-{secrets.token_hex(4)}"
    with Coordinator(address, user) as coordinator:
        keeper = LeaseKeeper(coordinator.address, user)
        lease: Lease | None = None
        try:
            name = take(coordinator, place, tags, wait, tell)
            lease = Lease(coordinator, name)
            os.environ[VARIABLE] = name
            _lend_to_labgrid(coordinator)
            tell(f"place {name} is acquired, as {coordinator.me}")
            yield lease
        finally:
            if lease is not None:
                lease.end()
            _give_back(coordinator, keeper, tell)


def _lend_to_labgrid(coordinator: Coordinator) -> None:
    """RemotePlace uses this connection: it is the one in whose name the place is held."""
    manager: Any = RemotePlaceManager.get()
    manager.session, manager.loop, manager.url = (
        coordinator.session,
        coordinator.loop,
        coordinator.address,
    )


def _give_back(
    coordinator: Coordinator, keeper: LeaseKeeper, tell: Callable[[str], object]
) -> None:
    try:
        coordinator.give_all_back()
    except Infrastructure as error:
        keeper.let_it_work()
        tell(f"what was acquired could not be given back; that is tried on: {error}")
    else:
        keeper.dismiss()
