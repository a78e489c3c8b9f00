# SPDX-License-Identifier: GPL-2.0-only
"""What ci/bench tells the environments."""

from pathlib import Path

import pytest

from carryover_ci.bench import Bench
from carryover_ci.program import ROOT


@pytest.mark.parametrize(
    ("mode", "properties"),
    [
        ("legacy", ""),
        ("scalable", ",scalable-mode=on"),
        ("first-stage", ",scalable-mode=on,fsts=on"),
    ],
)
def test_the_iommu_has_a_mode(mode: str, properties: str) -> None:
    bench = Bench(Path("qemu"), Path("build/selftests/program"), Path("image"), "tcg", vtd=mode)
    assert bench.environment()["CARRYOVER_VTD"] == properties


@pytest.mark.parametrize("name", ["bench", "bridges", "drivers"])
def test_every_environment_has_the_iommu_in_the_mode_that_was_asked_for(name: str) -> None:
    text = (ROOT / "ci" / f"{name}.yaml").read_text()
    assert text.count("-device intel-iommu") == 1
    (line,) = (line for line in text.splitlines() if "-device intel-iommu" in line)
    assert line.endswith("$CARRYOVER_VTD")
