# SPDX-License-Identifier: GPL-2.0-only
"""What an environment may say of a PCI function."""

from __future__ import annotations

from typing import Any

import pytest
from labgrid import Target

from carryover.resources import PciTestDevice

ADDRESS = "0000:01:00.0"


def _device(**fields: Any) -> PciTestDevice:
    return PciTestDevice(
        Target("main"), "device", **{"address": ADDRESS, "id": "1b36:0010"} | fields
    )


def test_the_program_is_told_address_id_and_driver() -> None:
    assert _device(driver="nvme").option == "0000:01:00.0,1b36:0010,nvme"


def test_the_program_is_told_the_blocks_that_may_be_overwritten() -> None:
    device = _device(driver="nvme", scratch="2048+8192")
    assert device.option == "0000:01:00.0,1b36:0010,nvme,scratch=2048+8192"
    device = _device(driver="nvme", serial="00-1b-21-ff-ff-8a-3c-10")
    assert device.option == "0000:01:00.0,1b36:0010,nvme,serial=00-1b-21-ff-ff-8a-3c-10"


def test_the_program_is_told_of_a_nic_that_is_fed() -> None:
    assert _device(driver="igb", fed=True).option == "0000:01:00.0,1b36:0010,igb,fed"
    with pytest.raises(TypeError, match="fed"):
        _device(driver="igb", fed="yes")


@pytest.mark.parametrize("scratch", ["2048", "2048-8192", "a+b", "+8", "8+", " 1+2"])
def test_blocks_that_are_none_are_refused(scratch: str) -> None:
    with pytest.raises(ValueError, match="scratch"):
        _device(driver="nvme", scratch=scratch)
