# SPDX-License-Identifier: GPL-2.0-only
"""KexecStrategy, when its machine is somebody else's: it is not touched any more."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import Mock

import pytest
from labgrid import Target

from carryover.campaign.strategy import KexecStrategy
from carryover.errors import PlaceLost
from carryover.observation import DeadlineExpired


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> KexecStrategy:
    monkeypatch.setattr(KexecStrategy, "bindings", {})
    cls: Any = KexecStrategy
    target = Target("main")
    made: KexecStrategy = cls(target, "strategy", program="p", kernel="k", append="a")
    made.machine, made.ssh = Mock(pid=7), Mock()
    made.observe(Mock())
    return made


def test_nothing_begins_any_more(lost: KexecStrategy) -> None:
    lost.place_is_lost(PlaceLost(lambda: "mallory has it now"))
    for begin in (lost.cold_boot, lambda: lost.start("command")):
        with pytest.raises(PlaceLost, match="mallory has it now"):
            begin()
    lost.machine.power_on.assert_not_called()
    lost.machine.power_off.assert_not_called()
    lost.ssh.stream.assert_not_called()


def test_what_is_waited_for_ends(lost: KexecStrategy) -> None:
    lost.place_is_lost(PlaceLost(lambda: "mallory has it now"))
    with pytest.raises(PlaceLost):
        lost.watch.next(time.monotonic() + 5)


def test_it_is_not_switched_off(lost: KexecStrategy) -> None:
    lost.place_is_lost(PlaceLost(lambda: "mallory has it now"))
    lost.power_off()
    lost.machine.let_go.assert_called_once()
    lost.machine.power_off.assert_not_called()
    with pytest.raises(DeadlineExpired):  # it is said once
        lost.watch.next(time.monotonic())
