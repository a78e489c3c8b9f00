# SPDX-License-Identifier: GPL-2.0-only
"""Sysrq over a console."""

from __future__ import annotations

import importlib

import pytest

from carryover.console.sysrq import send_sysrq
from carryover.errors import Infrastructure


class Link:
    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[bytes] = []
        self._error = error

    def read(self) -> bytes:
        raise AssertionError("the recorder reads")

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def send_break(self) -> None:
        if self._error:
            raise self._error
        self.sent.append(b"BREAK")

    def close(self) -> None:
        raise AssertionError("the recorder closes")


def test_a_break_and_the_key() -> None:
    link = Link()
    send_sysrq(link, "b")
    assert link.sent == [b"BREAK", b"b"]


def test_a_console_that_is_lost() -> None:
    link = Link(importlib.import_module("serial").SerialException("device disconnected"))
    with pytest.raises(Infrastructure, match="the console is lost: device disconnected"):
        send_sysrq(link, "b")
    assert link.sent == []
