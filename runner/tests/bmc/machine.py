# SPDX-License-Identifier: GPL-2.0-only
"""What a BMC switches."""

from __future__ import annotations

from typing import Protocol

USERNAME = "operator"
PASSWORD = "corr3ct-horse"


class Machine(Protocol):
    """A machine, as its BMC has it in hand."""

    @property
    def is_on(self) -> bool: ...
    def on(self) -> None: ...
    def off(self) -> None: ...
    def reset(self) -> None: ...


class PaperMachine:
    """One that only notes what is done to it."""

    def __init__(self) -> None:
        self.is_on = False
        self.done: list[str] = []

    def on(self) -> None:
        self.done.append("on")
        self.is_on = True

    def off(self) -> None:
        self.done.append("off")
        self.is_on = False

    def reset(self) -> None:
        self.done.append("reset")
