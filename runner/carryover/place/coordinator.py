# SPDX-License-Identifier: GPL-2.0-only
"""labgrid's coordinator: which places there are, who has them, and taking and giving them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import grpc
from labgrid.remote.client import ClientSession, UserError
from labgrid.remote.common import ReservationState
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.util.proxy import proxymanager

from carryover.errors import BadInput, Infrastructure

VARIABLE = "LG_COORDINATOR"
_DEFAULT = "127.0.0.1:20408"
_LIMIT = 15.0  # seconds for one request
_T = TypeVar("_T")


class CoordinatorRefused(Infrastructure):
    """The coordinator did not do what was asked, or is not there any more."""


@dataclass(frozen=True)
class Place:
    """A place as it was when it was asked for.

    Attributes:
        name: Its name.
        tags: By key.
        comment: What somebody wrote of it.
        holder: HOST/USER of who acquired it; empty if nobody has.
        changed: When it was last changed; if it is held, it was acquired then or before.
    """

    name: str
    tags: Mapping[str, str]
    comment: str
    holder: str
    changed: float

    @property
    def held(self) -> str:
        """By whom, and since when; for people."""
        if not self.holder:
            return "held by nobody"
        when = datetime.fromtimestamp(self.changed, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"held by {self.holder} (last change {when})"


class _Session(ClientSession):  # type: ignore[misc]
    """labgrid's client, which tells of changes, and comes under a name of its own."""

    user = ""
    on_change: Callable[[str], None]

    def getuser(self) -> str:
        return self.user or str(super().getuser())

    async def on_place_changed(self, place_pb2: Any) -> None:
        await super().on_place_changed(place_pb2)
        self.on_change(place_pb2.name)

    async def on_place_deleted(self, name: str) -> None:
        await super().on_place_deleted(name)
        self.on_change(name)


class Coordinator:
    """A connection, whose places are kept up to date by a thread of its own.

    Attributes:
        address: HOST:PORT.
        session: labgrid's, as RemotePlace needs it.
        loop: That of the thread.
        me: HOST/USER, as others see who holds a place.
    """

    def __init__(self, address: str = "", user: str = "") -> None:
        """Connects.

        Args:
            address: HOST[:PORT]; if empty, ``$LG_COORDINATOR``, or port 20408 of this machine.
            user: In whose name; if empty, as labgrid-client does.

        Raises:
            BadInput: There is no coordinator.
        """
        self.address = address or os.environ.get(VARIABLE) or _DEFAULT
        self._user = user
        self._on_change: Callable[[str], None] = lambda name: None
        self._on_lost: Callable[[], None] = lambda: None
        self._is_closing = False
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="coordinator", daemon=True
        )
        self._thread.start()
        try:
            self._connect()
        except CoordinatorRefused as error:
            self.close()
            raise BadInput(
                f"{error}; start labgrid-coordinator there, or give another address by "
                f"--coordinator HOST:PORT or {VARIABLE}"
            ) from error
        self.me = f"{self.session.gethostname()}/{self.session.getuser()}"

    def __enter__(self) -> Coordinator:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def reconnect(self) -> None:
        """Connects anew, after on_lost() has been called.

        Raises:
            CoordinatorRefused: It is not there.
        """
        with contextlib.suppress(CoordinatorRefused):
            self._call(self.session.close())
        self._connect()

    def watch(self, on_change: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        """From now on, tells by calls from the connection's thread.

        Args:
            on_change: Gets the name of a place that was changed.
            on_lost: The connection is lost.
        """
        self._on_change, self._on_lost = on_change, on_lost

    def places(self) -> dict[str, Place]:
        """All places, by name."""
        return {name: _place(place) for name, place in list(self.session.places.items())}

    def place(self, name: str) -> Place | None:
        """One place; None if there is none of this name."""
        place = self.session.places.get(name)
        return None if place is None else _place(place)

    def unmatched(self, name: str) -> str:
        """What the place wants and no exporter offers; empty if nothing."""
        place = self.session.places[name]
        try:
            self.session.check_matches(place)
        except UserError as error:
            return " ".join(map(str, error.args))
        return "" if place.matches else "no match is defined for it"

    def acquire(self, name: str) -> None:
        """Takes the place. Raises CoordinatorRefused if that cannot be had."""
        self.request("AcquirePlace", messages.AcquirePlaceRequest(placename=name))

    def release(self, name: str) -> None:
        """Gives the place back, if it is ours; whoever else has it, keeps it."""
        request = messages.ReleasePlaceRequest(placename=name, fromuser=self.me)
        self.request("ReleasePlace", request)

    def give_all_back(self) -> None:
        """Releases every place that `me` holds, and cancels its reservations."""
        answer = self.request("GetReservations", messages.GetReservationsRequest())
        for reservation in answer.reservations:
            if reservation.owner == self.me:
                self.cancel(reservation.token)
        for place in self.places().values():
            if place.holder == self.me:
                self.release(place.name)

    def reserve(self, filters: Mapping[str, str]) -> str:
        """Asks for a place with all of these tags (``name`` is the place's); returns a token."""
        wanted = {"main": messages.Reservation.Filter(filter=dict(filters))}
        request = messages.CreateReservationRequest(filters=wanted, prio=0.0)
        token: str = self.request("CreateReservation", request).reservation.token
        return token

    def allocated(self, token: str) -> str:
        """The place that was reserved; empty while there is none. Keeps the reservation alive."""
        answer = self.request("PollReservation", messages.PollReservationRequest(token=token))
        reservation = answer.reservation
        state = ReservationState(reservation.state)
        if state not in (ReservationState.waiting, ReservationState.allocated):
            raise CoordinatorRefused(f"reservation {token} is {state.name}")
        return str(reservation.allocations.get("main", ""))

    def cancel(self, token: str) -> None:
        """Takes a reservation back."""
        request = messages.CancelReservationRequest(token=token)
        self.request("CancelReservation", request)

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Sets these tags of a place; an empty value takes one away."""
        self.request("SetPlaceTags", messages.SetPlaceTagsRequest(placename=name, tags=tags))

    def set_comment(self, name: str, comment: str) -> None:
        """Sets a place's comment."""
        request = messages.SetPlaceCommentRequest(placename=name, comment=comment)
        self.request("SetPlaceComment", request)

    def close(self) -> None:
        """Ends the connection; what is held is held on. Idempotent."""
        if self.loop.is_closed():
            return
        self._is_closing = True
        if hasattr(self, "session"):
            with contextlib.suppress(CoordinatorRefused):
                self._call(self._end(self.session))
        with contextlib.suppress(CoordinatorRefused):
            self._call(self._end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_LIMIT)
        self.loop.close()

    def _connect(self) -> None:
        self.session = self._call(self._open())

    async def _open(self) -> _Session:
        address = proxymanager.get_grpc_address(self.address, default_port=20408)
        session = _Session(address, self.loop)
        session.user, session.on_change = self._user, self._changed
        try:
            await session.start()
        except BaseException as error:
            session.stopping.set()
            await session.close()
            raise CoordinatorRefused(f"no coordinator answers at {self.address}") from error
        self._watcher = self.loop.create_task(self._tell_of_the_end(session))
        return session

    @staticmethod
    async def _end(session: _Session) -> None:
        session.stopping.set()
        await session.stop()
        await session.close()

    @staticmethod
    async def _end_tasks() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _tell_of_the_end(self, session: _Session) -> None:
        await session.stopping.wait()
        if not self._is_closing:
            self._on_lost()

    def _changed(self, name: str) -> None:
        self._on_change(name)

    def request(self, method: str, request: Any) -> Any:
        """One of the coordinator's methods; what it changed is in places() on return.

        Raises:
            CoordinatorRefused: It says no, or nothing.
        """

        async def send() -> Any:
            answer = await getattr(self.session.stub, method)(request)
            if not await self.session.sync_with_coordinator():  # what came of it is known here
                raise CoordinatorRefused(f"the coordinator at {self.address} went away")
            return answer

        return self._call(send())

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Done by the connection's thread, while this one waits; not to be called there."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(_LIMIT)
        except TimeoutError:
            future.cancel()
            raise CoordinatorRefused(
                f"the coordinator at {self.address} did not answer within {_LIMIT:g} s"
            ) from None
        except grpc.aio.AioRpcError as error:
            raise CoordinatorRefused(
                f"the coordinator at {self.address}: {error.details()}"
            ) from error


def _place(place: Any) -> Place:
    return Place(
        name=place.name,
        tags=dict(place.tags),
        comment=place.comment,
        holder=place.acquired or "",
        changed=place.changed,
    )
