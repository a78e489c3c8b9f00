# SPDX-License-Identifier: GPL-2.0-only
"""A tree that is shared has the patches of one build at a time."""

import io
import threading
from pathlib import Path

import pytest

from carryover_ci import kernel_patches
from carryover_ci.kernel_source import KernelSource, kernel_source
from carryover_ci.progress import Progress
from carryover_ci.run import Failure


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


@pytest.fixture
def users_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of version 7.3.9, with a series for 7.3 that changes its a.c."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_patches, "_OURS", tmp_path / "patches")
    tree = tmp_path / "linux"
    for name, text in {
        "linux/Makefile": "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 9\n",
        "linux/Kbuild": "",
        "linux/Kconfig": "",
        "linux/a.c": "one\n",
        "linux/drivers/vfio/pci/Kconfig": "config VFIO_PCI\n",
        "patches/7.3/0001.patch": "--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-one\n+two\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tree


def content(tree: Path, *, reference: bool) -> tuple[str, str]:
    """What is in a.c as it is built, and what was told."""
    told = io.StringIO()
    progress = Progress(told)
    source = kernel_source(tree, None, [], progress, reference=reference)
    with source.prepared(progress):
        return (source.tree / "a.c").read_text(), told.getvalue()


def test_a_users_tree_gets_our_series_as_the_reference_kernel_only(users_tree: Path) -> None:
    assert content(users_tree, reference=False) == ("one\n", "")
    text, told = content(users_tree, reference=True)
    assert text == "two\n"
    assert "1 patch of series 7.3 on Linux 7.3.9" in told
    assert (users_tree / "a.c").read_text() == "one\n"


def test_a_users_tree_with_the_feature_is_built_as_it_is(users_tree: Path) -> None:
    (users_tree / "drivers/vfio/pci/Kconfig").write_text("config VFIO_PCI_LIVEUPDATE\n")
    text, told = content(users_tree, reference=True)
    assert text == "one\n"
    assert "Linux 7.3.9 preserves vfio-pci's files by itself" in told


def test_a_users_tree_of_a_version_without_a_series(users_tree: Path) -> None:
    (users_tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 4\nSUBLEVEL = 0\n")
    with pytest.raises(Failure, match=r"no patches for Linux 7\.4\.0 .* for 7\.3; give"):
        kernel_source(users_tree, None, [], Progress(io.StringIO()), reference=True)


def test_a_decision_is_told_once() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for _ in range(2):
        progress.tell("patches", "13 patches")
    assert stream.getvalue() == "  patches    13 patches\n"
