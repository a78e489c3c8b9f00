# SPDX-License-Identifier: GPL-2.0-only
import os
from pathlib import Path

import pytest

from carryover_ci import kernel_patches
from carryover_ci.kernel_patches import (
    PatchedTree,
    has_feature,
    patches_for,
    series_for,
    touched_files,
)
from carryover_ci.program import ROOT
from carryover_ci.run import Failure

CHANGE_A = "--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-one\n+two\n"
CHANGE_A_MORE = "--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-two\n+three\n"
NEW_FILE = "--- /dev/null\n+++ b/sub/new.c\n@@ -0,0 +1 @@\n+new\n"
REMOVE_B = "--- a/b.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-bee\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    for name, text in (("a.c", "one\n"), ("b.c", "bee\n"), ("c.c", "sea\n")):
        (folder / name).write_text(text)
        os.utime(folder / name, (1000, 1000))
    return folder


def series(tmp_path: Path, *texts: str) -> list[Path]:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number:04}.patch")
        files[-1].write_text(text)
    return files


def state(tree: Path) -> dict[str, str]:
    return {str(f.relative_to(tree)): f.read_text() for f in tree.rglob("*") if f.is_file()}


def test_touched_files() -> None:
    assert touched_files(CHANGE_A + NEW_FILE + REMOVE_B) == {"a.c", "sub/new.c", "b.c"}
    assert touched_files("rename from x.c\nrename to y.c\n") == {"x.c", "y.c"}


def test_series_is_applied_changed_and_taken_back(tmp_path: Path, tree: Path) -> None:
    before = state(tree)
    patched = PatchedTree(tree, tmp_path / "memory")
    patched.apply(series(tmp_path, CHANGE_A, CHANGE_A_MORE, NEW_FILE, REMOVE_B))
    assert state(tree) == {"a.c": "three\n", "c.c": "sea\n", "sub/new.c": "new\n"}
    patched.apply(series(tmp_path, CHANGE_A))
    assert state(tree) == {"a.c": "two\n", "b.c": "bee\n", "c.c": "sea\n"}
    patched.apply([])
    assert state(tree) == before
    assert patched.changed_files() == set()


def test_only_what_a_changed_patch_changes_is_written(tmp_path: Path, tree: Path) -> None:
    patched = PatchedTree(tree, tmp_path / "memory")
    patched.apply(series(tmp_path, CHANGE_A, NEW_FILE))
    for name in ("a.c", "sub/new.c"):
        os.utime(tree / name, (2000, 2000))
    patched.apply(series(tmp_path, CHANGE_A, NEW_FILE.replace("+new", "+newer")))
    assert (tree / "a.c").stat().st_mtime == 2000
    assert (tree / "c.c").stat().st_mtime == 1000
    assert (tree / "sub/new.c").stat().st_mtime != 2000


def test_a_patch_that_does_not_apply_changes_nothing(tmp_path: Path, tree: Path) -> None:
    before = state(tree)
    files = series(tmp_path, CHANGE_A, CHANGE_A)
    with pytest.raises(Failure, match=r"0001\.patch: does not apply"):
        PatchedTree(tree, tmp_path / "memory").apply(files)
    assert state(tree) == before


def test_a_patch_may_not_leave_the_tree(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(Failure, match="outside of the tree"):
        PatchedTree(tree, tmp_path / "memory").apply(
            series(tmp_path, CHANGE_A.replace("b/a.c", "b/../a.c"))
        )


def test_a_users_tree_is_the_pristine_one(tmp_path: Path, tree: Path) -> None:
    users = tmp_path / "user"
    users.mkdir()
    (users / "a.c").write_text("one\n")
    PatchedTree(tree, tmp_path / "memory", pristine=users).apply(series(tmp_path, CHANGE_A))
    assert (users / "a.c").read_text() == "one\n"
    assert (tree / "a.c").read_text() == "two\n"


def test_selection_by_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_patches, "_OURS", tmp_path)
    for name in ("7.3/0002-b.patch", "7.3/0001-a.patch", "7.3/README", "7.30/0001-c.patch"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name for file in patches_for("7.3.4")] == ["0001-a.patch", "0002-b.patch"]
    assert [file.name for file in patches_for("7.30.0")] == ["0001-c.patch"]
    assert patches_for("7.4.1") == []


def test_named_folder_without_patches(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"no \*.patch in it"):
        patches_for("7.3.4", tmp_path)
    with pytest.raises(Failure, match="no such folder"):
        patches_for("7.3.4", tmp_path / "none")


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "patches"
    for name in ("7.3/0001-a.patch", "7.3/0002-b.patch", "7.5/0001-c.patch"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "vfio-pci.config").touch()
    (folder / "7.6").mkdir()
    monkeypatch.setattr(kernel_patches, "_OURS", folder)
    return folder


def kconfig(folder: Path, text: str) -> Path:
    file = folder / "Kconfig"
    file.write_text(text)
    return file


WITHOUT = "config VFIO_PCI_CORE\n\ttristate\n"
WITH = WITHOUT + "\nconfig VFIO_PCI_LIVEUPDATE\n\tbool\n"


def test_whether_a_tree_has_the_feature(tmp_path: Path) -> None:
    assert not has_feature(tmp_path / "none")
    assert not has_feature(kconfig(tmp_path, WITHOUT))
    assert not has_feature(kconfig(tmp_path, WITHOUT + "\tdepends on VFIO_PCI_LIVEUPDATE\n"))
    assert not has_feature(kconfig(tmp_path, "config VFIO_PCI_LIVEUPDATE_DEBUG\n"))
    assert has_feature(kconfig(tmp_path, WITH))


def test_our_series_is_for_its_version(tmp_path: Path, ours: Path) -> None:
    file = kconfig(tmp_path, WITHOUT)
    for needs_feature in (True, False):
        series = series_for("7.3.4", file, None, needs_feature=needs_feature)
        assert series.patches == [ours / "7.3/0001-a.patch", ours / "7.3/0002-b.patch"]
        assert series.told == "2 patches of series 7.3 on Linux 7.3.4"


def test_a_version_without_a_series(tmp_path: Path, ours: Path) -> None:
    file = kconfig(tmp_path, WITHOUT)
    with pytest.raises(Failure, match=r"no patches for Linux 7\.4\.1 .* for 7\.3, 7\.5; give"):
        series_for("7.4.1", file, None, needs_feature=True)
    series = series_for("7.4.1", file, None, needs_feature=False)
    assert series.patches == []
    assert "no patches for Linux 7.4.1" in series.told


def test_a_tree_with_the_feature_gets_nothing(tmp_path: Path, ours: Path) -> None:
    for version in ("7.3.4", "7.4.1"):
        series = series_for(version, kconfig(tmp_path, WITH), None, needs_feature=True)
        assert series.patches == []
        assert "by itself" in series.told


def test_named_patches_are_applied_to_anything(tmp_path: Path, ours: Path) -> None:
    for text in (WITH, WITHOUT):
        file = kconfig(tmp_path, text)
        series = series_for("7.4.1", file, ours / "7.5", needs_feature=True)
        assert series.patches == [ours / "7.5/0001-c.patch"]
        assert "7.4.1" in series.told


def test_the_feature_is_looked_for_in_the_pristine_tree(tmp_path: Path, tree: Path) -> None:
    patched = PatchedTree(tree, tmp_path / "memory")
    assert patched.pristine("a.c").read_text() == "one\n"
    patched.apply(series(tmp_path, CHANGE_A))
    assert (tree / "a.c").read_text() == "two\n"
    assert patched.pristine("a.c").read_text() == "one\n"


def test_the_reference_refuses_what_only_another_architecture_can_run() -> None:
    """No machine here has CONFIG_VFIO_PCI_ZDEV_KVM (s390): that it is refused, and why, is read."""
    series = sorted((ROOT / "ci" / "kernel" / "patches" / "7.3").glob("*.patch"))
    added = "".join(patch.read_text() for patch in series if "preserve-device-files" in patch.name)
    refusal = "+\tif (IS_ENABLED(CONFIG_VFIO_PCI_ZDEV_KVM))\n+\t\treturn false;\n"
    before, found, _ = added.partition(refusal)
    assert found
    assert before.rstrip().endswith("*/"), "the reason stands above it"
    assert "vfio_pci_zdev_open_device()" in before[before.rindex("/*") :]
