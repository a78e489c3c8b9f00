# SPDX-License-Identifier: GPL-2.0-only
"""The runner's errors, by who has to act on them."""

from __future__ import annotations

from collections.abc import Callable


class BadInput(Exception):
    """What the user gave cannot work: says what, where, and what to do. Ends the run."""


class Infrastructure(Exception):
    """The harness, the controller or the connection failed: INFRA, never a test's verdict."""


class OutputFailed(Infrastructure):
    """A result could not be written (no space, no permission)."""


class ProtocolError(Infrastructure):
    """The program said something that docs/protocol.md does not know."""


class PlaceLost(Infrastructure):
    """Somebody else has the place: the machine is not this run's any more.

    To say who that is takes a moment: whoever takes a place releases it first.
    """

    def __init__(self, reason: Callable[[], str]) -> None:
        super().__init__()
        self._reason = reason

    def __str__(self) -> str:
        return self._reason()
