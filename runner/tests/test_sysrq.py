# SPDX-License-Identifier: GPL-2.0-only
"""Sysrq over a serial console."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from carryover.errors import Infrastructure
from carryover.sysrq import send_sysrq


class Console:
    """As much of labgrid's SerialDriver as is used."""

    def __init__(self, **port: Any) -> None:
        self.sent: list[bytes] = []
        self.port = SimpleNamespace(**port)
        self.serial = SimpleNamespace(send_break=self._send_break)

    def _send_break(self, duration: float) -> None:
        assert 0.1 < duration < 1
        self.sent.append(b"BREAK")

    def write(self, data: bytes) -> None:
        self.sent.append(data)


@pytest.mark.parametrize("port", [{"port": "/dev/ttyS1"}, {"protocol": "rfc2217"}])
def test_a_break_and_the_key(port: dict[str, str]) -> None:
    console = Console(**port)
    send_sysrq(console, "b")
    assert console.sent == [b"BREAK", b"b"]


def test_a_console_without_a_break() -> None:
    console = Console(protocol="raw")
    with pytest.raises(Infrastructure, match=r"`raw` cannot send a break; .*rfc2217"):
        send_sysrq(console, "b")
    assert console.sent == []


def test_a_console_that_is_lost() -> None:
    console = Console(port="/dev/ttyS1")

    def fail(duration: float) -> None:
        raise importlib.import_module("serial").SerialException("device disconnected")

    console.serial.send_break = fail
    with pytest.raises(Infrastructure, match="the console is lost: device disconnected"):
        send_sysrq(console, "b")
