# SPDX-License-Identifier: GPL-2.0-only
"""A tree that is shared has the patches of one build at a time."""

import threading
from pathlib import Path

import pytest

from carryover_ci.kernel_source import KernelSource
from carryover_ci.progress import Progress


def test_a_tree_keeps_its_patches_until_the_build_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    steps: list[str] = []

    def source(name: str) -> KernelSource:
        return KernelSource(
            tmp_path, "7.3.4", name, name, tmp_path / "output", lambda _: steps.append(name)
        )

    def other() -> None:
        with source("b").prepared(Progress()):
            steps.append("built b")

    thread = threading.Thread(target=other)
    with source("a").prepared(Progress()):
        thread.start()
        thread.join(0.2)
        steps.append("built a")
    thread.join(5)
    assert steps == ["a", "built a", "b", "built b"]
