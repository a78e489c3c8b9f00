# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of commits: which are the same, which one stays, and why one does not build."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from kernel_repository import KernelRepository

from carryover_ci import bisect_kernel
from carryover_ci.bisect_kernel import CommitKernels, NotBuilt
from carryover_ci.bisect_tree import Checkout, checkout_of, commit_named
from carryover_ci.kernel import KernelChoice
from carryover_ci.kernel_config import OptionRefused
from carryover_ci.kernel_source import KernelSource
from carryover_ci.progress import Progress
from carryover_ci.run import Failure


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelRepository:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return KernelRepository(tmp_path / "linux")


def kernels(**choice: object) -> CommitKernels:
    return CommitKernels(replace(KernelChoice(), **choice), Progress())  # type: ignore[arg-type]


def parent(repository: KernelRepository) -> Checkout:
    found = commit_named(repository.top, "HEAD~1")
    assert found is not None
    return found


def test_kernels_are_the_same_by_their_content(
    repository: KernelRepository, tmp_path: Path
) -> None:
    fragment, patch = tmp_path / "fragment", tmp_path / "one.patch"
    fragment.write_text("CONFIG_LOCKDEP=y\n")
    patch.write_text("--- a/mm/a.c\n+++ b/mm/a.c\n")
    checkout = checkout_of(repository.top)
    places = [
        kernels().place(checkout),
        kernels(fragments=[fragment]).place(checkout),
        kernels(more=[patch]).place(checkout),
        kernels(reference=True).place(checkout),
    ]
    repository.commit("other", {"mm/a.c": "other"})
    places.append(kernels().place(checkout_of(repository.top)))
    assert len(set(places)) == len(places)
    repository.git("revert", "--no-edit", "HEAD")
    assert kernels().place(checkout_of(repository.top)) == places[0]


def test_a_configuration_has_its_own_output(repository: KernelRepository, tmp_path: Path) -> None:
    fragment = tmp_path / "fragment"
    fragment.write_text("CONFIG_LOCKDEP=y\n")
    plain, other = kernels(), kernels(fragments=[fragment])
    first = plain.source(checkout_of(repository.top))
    repository.commit("other", {"mm/a.c": "other"})
    checkout = checkout_of(repository.top)
    second = plain.source(checkout)
    assert first.tree == repository.top
    # The same for all commits, so that make builds what changed.
    assert first.output == second.output != other.source(checkout).output
    assert first.identity != second.identity
    assert first.uapi == second.uapi


def test_a_patch_that_is_not_there(repository: KernelRepository, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="nothing: no such patch"):
        kernels(more=[tmp_path / "nothing"])


def test_a_folder_stays(repository: KernelRepository, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "bzImage").touch()
    built = str(tmp_path / "built")
    assert kernels().fixed(built, checkout_of(repository.top)) == tmp_path / "built"


def test_a_commit_stays_and_is_built_apart(
    repository: KernelRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("old", {"mm/a.c": "old"})
    repository.commit("new", {"mm/a.c": "new"})
    built: list[KernelSource] = []

    def build(source: KernelSource, *_: object) -> Path:
        built.append(source)
        source.output.mkdir(parents=True)
        assert (source.tree / "mm/a.c").read_text() == "old"
        return source.output

    monkeypatch.setattr(bisect_kernel, "build_kernel", build)
    these = kernels()
    checkout = checkout_of(repository.top)
    these.fixed("HEAD~1", checkout)
    assert built[0].identity == these.identity(parent(repository))
    assert not built[0].tree.exists()
    assert not built[0].output.exists()
    assert (repository.top / "mm/a.c").read_text() == "new"
    # Once built, by whatever way, it is taken as it is.
    these.place(parent(repository)).mkdir(parents=True)
    these.fixed("HEAD~1", checkout)
    assert len(built) == 1


def test_nothing_stays(repository: KernelRepository) -> None:
    with pytest.raises(Failure, match=r"v9\.9: neither a commit of .*linux, nor a folder with a"):
        kernels().fixed("v9.9", checkout_of(repository.top))


def failing(error: Exception, made: str = "") -> Callable[..., Path]:
    def build(source: KernelSource, *_: object) -> Path:
        source.output.mkdir(parents=True, exist_ok=True)
        (source.output / "build.log").write_text(made)
        raise error

    return build


def test_why_a_commit_does_not_build(
    repository: KernelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    these = kernels()
    source = these.source(checkout_of(repository.top))
    log = tmp_path / "build.log"
    error = "mm/a.c:1: error: 'x' undeclared"
    text = f"the kernel did not build:\n{error}\nAll of it: {source.output}/build.log"
    monkeypatch.setattr(bisect_kernel, "build_kernel", failing(Failure(text), f"CC\n{error}\n"))
    with pytest.raises(NotBuilt) as caught:
        these.build(source, log)
    assert str(caught.value) == f"{error}; see {log}"
    assert f"All of it: {tmp_path}/make.log" in log.read_text()
    assert (tmp_path / "make.log").read_text() == f"CC\n{error}\n"


@pytest.mark.parametrize(
    "line",
    ["/tmp/x.s: No space left on device", "gcc: fatal error: Killed signal terminated program cc1"],
)
def test_a_full_disk_is_no_commits_fault(
    line: str, repository: KernelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    these = kernels()
    source = these.source(checkout_of(repository.top))
    failure = Failure(f"the kernel did not build: see {source.output}/build.log")
    monkeypatch.setattr(bisect_kernel, "build_kernel", failing(failure, line))
    with pytest.raises(OSError, match="no space or memory"):
        these.build(source, tmp_path / "build.log")


def test_an_option_that_does_not_take_is_no_commits_fault(
    repository: KernelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    these = kernels()
    monkeypatch.setattr(bisect_kernel, "build_kernel", failing(OptionRefused("CONFIG_A")))
    with pytest.raises(OptionRefused):
        these.build(these.source(checkout_of(repository.top)), tmp_path / "build.log")
