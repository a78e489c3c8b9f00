# SPDX-License-Identifier: GPL-2.0-only
"""A git history over the kernel's source with one culprit, by which ci/bisect is proved.

Thirteen commits, each a change of one file, on the source that ci/kernel/build takes. One does not
build, and is the first that git tries; one is a mutant, which the memory tests notice.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carryover_ci.bisect_kernel import CommitKernels
from carryover_ci.bisect_tree import commit_named
from carryover_ci.cache import cache_root, content_key, lock
from carryover_ci.kernel import KernelChoice
from carryover_ci.kernel_patches import PatchedTree
from carryover_ci.kernel_source import kernel_source
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, output_of, run_logged

_RECIPE = "2"  # to be raised when this file makes other commits of the same files
_MUTANT = Path(__file__).parents[1] / "kernel" / "mutants" / "memfd-page-zeroed.patch"
# Those that notice the mutant (its line Killed-by).
TESTS = ("MemoryContinuity.OneMiBAndAPage", "MemoryContinuity.TwoMiB")

_BROKEN = "mm/memfd.c"
_UNKNOWN = "not_declared"
_CULPRIT = "mm/memfd_luo.c"
_FILES = (
    "kernel/kexec_core.c",
    "kernel/reboot.c",
    "mm/shmem.c",
    "drivers/iommu/iommufd/device.c",
    "kernel/liveupdate/luo_file.c",
    _BROKEN,
    _BROKEN,  # mended
    "kernel/panic.c",
    "drivers/vfio/vfio_main.c",
    _CULPRIT,
    "kernel/liveupdate/luo_session.c",
    "fs/libfs.c",
    "kernel/kexec_file.c",
)


@dataclass(frozen=True)
class History:
    """The repository, and commits in it."""

    tree: Path
    good: str  # the oldest
    bad: str  # the newest
    culprit: str
    broken: str


def make_history(progress: Progress) -> History:
    """The history, made in the cache unless it is there; its newest commit is checked out."""
    source = kernel_source(None, None, [], progress)
    folder = cache_root() / "bisect" / "history"
    tree, base, made = folder / "linux", folder / "base", folder / "commits"
    release = source.tree.parent.name
    key = content_key(_RECIPE, release, _MUTANT, *_FILES)
    with lock("bisect-history"), progress.step("history") as step:
        if not base.exists() or base.read_text() != release:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            step.update("copying the source")
            with source.prepared(progress):
                _copy(source.tree, tree)
            step.update("adding it to git")
            _add(tree)
            base.write_text(release)
        _git(tree, "bisect", "reset")
        if not made.exists() or made.read_text() != key:
            step.update("committing")
            _git(tree, "checkout", "-q", "-f", "-B", "newest", "oldest")
            _commit_all(tree)
            made.write_text(key)
        _git(tree, "checkout", "-q", "-f", "newest")
    commits = _git(tree, "rev-list", "--reverse", "oldest..newest").split()
    newest, oldest = _git(tree, "rev-parse", "newest", "oldest").split()
    culprit, broken = (commits[_FILES.index(name)] for name in (_CULPRIT, _BROKEN))
    return History(tree, oldest, newest, culprit, broken)


def bisect(history: History, out: Path, progress: Progress) -> list[dict[str, Any]]:
    """Looks at both ends, then has git find the culprit; all kernels are built anew.

    Returns the steps (out/steps.jsonl), those of the ends first; out/session.log is what was
    printed. Failure if an end is not what it should be, or git finds nothing.
    """
    kernels = CommitKernels(KernelChoice(), progress)
    for name in _git(history.tree, "rev-list", "newest").split():
        commit = commit_named(history.tree, name)
        if commit and (kernel := kernels.place(commit)).exists():
            shutil.rmtree(kernel)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    tests = [word for test in TESTS for word in ("--test", test)]
    step = [str(ROOT / "ci" / "bisect"), *tests, "--fresh", "--out", str(out)]

    def run(name: str, command: list[str], wanted: int) -> None:
        log = out / f"{name}.log"
        with progress.step(name) as shown:

            def on_line(line: str) -> None:
                shown.update(line.strip()[:70])

            status = run_logged(command, log, on_line, folder=history.tree)
        if status != wanted:
            raise Failure(f"{name}: exit status {status}, not {wanted}: {log}")

    _git(history.tree, "bisect", "reset")
    for name, wanted in (("newest", 1), ("oldest", 0)):
        _git(history.tree, "checkout", "-q", name)
        run(name, step, wanted)
    _git(history.tree, "bisect", "start", history.bad, history.good)
    run("session", ["git", "bisect", "run", *step], 0)
    return [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]


def first_bad(history: History) -> str:
    """The commit that git took for the culprit."""
    return _git(history.tree, "rev-parse", "refs/bisect/bad")


def _copy(source: Path, tree: Path) -> None:
    """Its files without patches. They are links: neither git nor our patches write into files."""
    output_of(["cp", "-al", source, tree])
    patched = PatchedTree(source, source.parent)
    for name in patched.changed_files():
        (tree / name).unlink(missing_ok=True)
        if (pristine := patched.pristine(name)).is_file() and pristine != source / name:
            shutil.copy2(pristine, tree / name)


def _add(tree: Path) -> None:
    """All files in one pack, as they are, and not a compressed file for each of them."""
    _git(tree, "init", "-q", "-b", "newest")
    for name, value in {
        "user.name": "Carryover",
        "user.email": "carryover@example.org",
        "core.compression": "0",
        "core.bigFileThreshold": "1",
        "core.fsync": "none",
        "core.autocrlf": "false",
        "gc.auto": "0",
        "advice.detachedHead": "false",
    }.items():
        _git(tree, "config", name, value)
    _git(tree, "add", "-A", "-f")
    _git(tree, "config", "--unset", "core.bigFileThreshold")
    _git(tree, "commit", "-q", "-m", "The kernel as it is released")
    _git(tree, "tag", "oldest")


def _commit_all(tree: Path) -> None:
    for number, name in enumerate(_FILES, 1):
        file = tree / name
        text = file.read_text()
        subject = f"{name}: change {number}"
        file.unlink()  # it is a link
        if name == _CULPRIT:
            file.write_text(text)
            output_of(["patch", "-p1", "-s", "-i", _MUTANT], folder=tree)
        elif _UNKNOWN in text:
            file.write_text(text.replace(_UNKNOWN, str(number)))
        else:
            value = _UNKNOWN if name == _BROKEN else str(number)
            file.write_text(f"{text}\nconst int carryover_change_{number} __used = {value};\n")
        _git(tree, "commit", "-q", "-m", subject, "--", name)


def _git(tree: Path, *words: str) -> str:
    return output_of(["git", "-C", tree, *words]).strip()
