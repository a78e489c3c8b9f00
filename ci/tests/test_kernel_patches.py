# SPDX-License-Identifier: GPL-2.0-only
import os
from pathlib import Path

import pytest

from carryover_ci import kernel_patches
from carryover_ci.kernel_patches import PatchedTree, patches_for, touched_files
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
