# SPDX-License-Identifier: GPL-2.0-only
"""Which commit is checked out, and what is refused: trees that are not what they should be."""

import subprocess
from pathlib import Path

import pytest
from kernel_repository import KernelRepository

from carryover_ci.bisect_tree import checkout_of, commit_named, export
from carryover_ci.run import Failure


@pytest.fixture
def repository(tmp_path: Path) -> KernelRepository:
    return KernelRepository(tmp_path / "linux")


def test_the_commit_and_its_content(repository: KernelRepository) -> None:
    commit = repository.commit("mm: one; two", {"mm/a.c": "1"})
    found = checkout_of(repository.top / "mm")
    assert (found.top, found.commit, found.subject) == (repository.top, commit, "mm: one; two")
    assert found.tree == repository.git("rev-parse", "HEAD^{tree}")
    assert found.short == commit[:12]


def test_the_same_content_has_the_same_name_in_another_commit(repository: KernelRepository) -> None:
    first = checkout_of(repository.top)
    repository.git("commit", "-q", "--amend", "-m", "another text")
    second = checkout_of(repository.top)
    assert first.commit != second.commit
    assert first.tree == second.tree


def test_headers_change_with_what_they_are_made_of(repository: KernelRepository) -> None:
    names = [checkout_of(repository.top).uapi()]
    repository.commit("code", {"mm/a.c": "2"})
    names.append(checkout_of(repository.top).uapi())
    repository.commit("a header", {"include/uapi/linux/a.h": "2"})
    names.append(checkout_of(repository.top).uapi())
    assert names[0] == names[1] != names[2]


def test_files_that_git_does_not_know_do_not_count(repository: KernelRepository) -> None:
    (repository.top / "notes.txt").write_text("mine")
    checkout_of(repository.top)


def test_a_changed_file_is_refused(repository: KernelRepository) -> None:
    (repository.top / "mm/a.c").write_text("changed")
    with pytest.raises(Failure, match=r"(?s)tracked files differ.*mm/a\.c.*stash.*--kernel-patch"):
        checkout_of(repository.top)
    repository.git("add", "mm/a.c")
    with pytest.raises(Failure, match="tracked files differ"):
        checkout_of(repository.top)


def test_of_many_changed_files_some_are_named(repository: KernelRepository) -> None:
    repository.commit("many", {f"mm/{number}.c": "" for number in range(9)})
    for number in range(9):
        (repository.top / f"mm/{number}.c").write_text("changed")
    with pytest.raises(Failure, match=r"(?s)mm/4\.c\n  and 4 more\n"):
        checkout_of(repository.top)


def test_what_is_no_kernel_is_refused(repository: KernelRepository, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="nowhere: no such folder; --tree"):
        checkout_of(tmp_path / "nowhere")
    with pytest.raises(Failure, match="not in a git repository"):
        checkout_of(tmp_path)
    repository.git("rm", "-q", "Kconfig")
    repository.git("commit", "-q", "-m", "no kernel any more")
    with pytest.raises(Failure, match="not the top folder of a Linux kernel source"):
        checkout_of(repository.top)


def test_a_bisection_that_checks_nothing_out_is_refused(repository: KernelRepository) -> None:
    good = repository.git("rev-parse", "HEAD")
    for number in range(3):
        repository.commit(f"{number}", {"mm/a.c": f"new {number}"})
    repository.git("bisect", "start", "--no-checkout", "HEAD", good)
    with pytest.raises(Failure, match="--no-checkout"):
        checkout_of(repository.top)


def test_another_commit_by_its_name(repository: KernelRepository, tmp_path: Path) -> None:
    old = repository.commit("old", {"mm/a.c": "old"})
    repository.commit("new", {"mm/a.c": "new"})
    assert commit_named(repository.top, "nothing") is None
    found = commit_named(repository.top, "HEAD~1")
    assert found is not None
    assert found.commit == old
    folder = tmp_path / "export"
    folder.mkdir()
    export(found, folder)
    assert (folder / "mm/a.c").read_text() == "old"
    assert (repository.top / "mm/a.c").read_text() == "new"


def test_a_broken_repository_is_no_empty_export(
    repository: KernelRepository, tmp_path: Path
) -> None:
    found = checkout_of(repository.top)
    subprocess.run(["rm", "-r", str(repository.top / ".git" / "objects")], check=True)
    with pytest.raises(Failure):
        export(found, tmp_path)
