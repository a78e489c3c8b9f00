# SPDX-License-Identifier: GPL-2.0-only
"""The fake machine of a lab, with a device that tests may use."""

from __future__ import annotations

from pathlib import Path

from test_lab_runs import FakeLab

_DEVICE = '    - PciTestDevice: {address: "0000:01:00.0", id: "8086:10c9", driver: igb}\n'


def lab_with_device(folder: Path) -> FakeLab:
    """In the end of a run it is left as it is."""
    lab = FakeLab(folder)
    lab.edit("    drivers:\n", f"{_DEVICE}    drivers:\n")
    lab.edit("delay: 0", "delay: 0, leave: as-is")
    return lab
