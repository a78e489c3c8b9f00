# SPDX-License-Identifier: GPL-2.0-only
"""What power by a BMC has in common, whatever the BMC speaks."""

from __future__ import annotations

import enum
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import attr
from labgrid.driver import Driver
from labgrid.protocol import PowerProtocol, ResetProtocol
from labgrid.step import step

from carryover.errors import Infrastructure
from carryover.power.bmc_user import BmcUserDriver
from carryover.power.secret import Secret

_POLL = 0.5  # a BMC has nothing that one could wait on

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _operation(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """One that only an active driver does, and labgrid reports; its decorators have no types."""
    return cast(Callable[_P, _R], Driver.check_active(step(result=True)(method)))


class Order(enum.Enum):
    """What a BMC is told to do with its machine."""

    ON = "on"
    OFF = "off"  # at once, whatever the machine does
    CYCLE = "cycle"  # without power for a moment
    RESET = "reset"  # power stays


@attr.s(eq=False)
class BmcPowerDriver(BmcUserDriver, PowerProtocol, ResetProtocol):  # type: ignore[misc]
    """Switches a machine by its BMC, and returns when the BMC says that it is done.

    Args:
        request_limit: Seconds for one request.
        power_limit: Seconds until the BMC says that the machine is on, or off.
        delay: Seconds from off to on, in a cycle that the BMC does not do by itself.

    Raises (each method):
        BadInput: Wrong credentials, no such system, or another mistake in the environment.
        Infrastructure: The BMC does not answer in time, or cannot do what it is told.
    """

    request_limit: float = attr.ib(default=15.0, converter=float, validator=attr.validators.gt(0))
    power_limit: float = attr.ib(default=60.0, converter=float, validator=attr.validators.gt(0))
    delay: float = attr.ib(default=5.0, converter=float, validator=attr.validators.ge(0))

    @property
    @abstractmethod
    def place(self) -> str:
        """Which BMC of which target, for messages."""

    @abstractmethod
    def _power(self) -> bool | None:
        """Whether the machine is on; None on the way from one to the other."""

    @abstractmethod
    def _order(self, order: Order) -> bool:
        """Gives an order. False if this BMC does not know it, and nothing was done."""

    @_operation
    def on(self) -> None:
        """On return the machine is on. Does nothing if it was."""
        self._switch(on=True)

    @_operation
    def off(self) -> None:
        """On return the machine is off, whatever it was doing. Does nothing if it was."""
        self._switch(on=False)

    @_operation
    def cycle(self) -> None:
        """On return the machine was without power, and is on."""
        if self._power() is not False:
            if self._order(Order.CYCLE):
                self._wait_until(on=True)
                return
            self._switch(on=False)
            time.sleep(self.delay)
        self._switch(on=True)

    @_operation
    def reset(self) -> None:
        """On return the machine was reset, with its power on. One that was off is on."""
        if self._power() is False:
            self._switch(on=True)
        elif not self._order(Order.RESET):
            raise Infrastructure(f"{self.place}: it cannot reset its machine; use a cycle")

    @_operation
    def get(self) -> bool:
        """Whether the machine has power; one on its way to on or off has."""
        return self._power() is not False

    def _secret(self) -> Secret:
        return self.secret(self.place)

    def _switch(self, *, on: bool) -> None:
        if self._power() is on:
            return
        order = Order.ON if on else Order.OFF
        if not self._order(order):
            raise Infrastructure(f"{self.place}: it cannot switch its machine {order.value}")
        self._wait_until(on=on)

    def _wait_until(self, *, on: bool) -> None:
        """A request that fails in between is asked again: a BMC is busy while it switches."""
        deadline = time.monotonic() + self.power_limit
        said = ""
        while True:
            try:
                if self._power() is on:
                    return
                said = ""
            except Infrastructure as error:
                said = f"; {error}"
            if time.monotonic() + _POLL > deadline:
                raise Infrastructure(
                    f"{self.place}: told to switch {'on' if on else 'off'}, and is not after "
                    f"{self.power_limit:g} s{said}"
                )
            time.sleep(_POLL)
