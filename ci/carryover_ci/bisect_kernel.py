# SPDX-License-Identifier: GPL-2.0-only
"""Kernels of commits, for ci/bisect: built where they are checked out, each once."""

import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from carryover_ci.bisect_tree import Checkout, commit_named, export
from carryover_ci.cache import cache_root, content_key
from carryover_ci.kernel import KernelChoice
from carryover_ci.kernel_build import asked_options, build_kernel, keep_log, result_folder
from carryover_ci.kernel_config import OptionRefused, as_text
from carryover_ci.kernel_source import KernelSource, kernel_source
from carryover_ci.progress import Progress
from carryover_ci.run import Failure

_SERIES = Path(__file__).parents[1] / "kernel" / "patches"
_STARVED = re.compile(
    r"No space left on device|Killed signal terminated program|virtual memory exhausted"
    r"|[Cc]annot allocate memory"
)


class NotBuilt(Exception):
    """The commit does not build: says why, and where the log is."""


class CommitKernels:
    """Kernels of commits of one tree, with one configuration and the same patches on each.

    The output folder belongs to the tree and the configuration: after a checkout, make compiles
    what changed.
    """

    def __init__(self, choice: KernelChoice, progress: Progress) -> None:
        self.choice = choice
        self.asked = asked_options(choice.fragments)
        self._progress = progress
        for patch in choice.more:
            if not patch.is_file():
                raise Failure(f"{patch}: no such patch")
        self._patches = [*(sorted(choice.patches.glob("*.patch")) if choice.patches else [])]
        if choice.reference and not choice.patches:
            self._patches += sorted(_SERIES.rglob("*.patch"))
        self._patches += choice.more

    def identity(self, checkout: Checkout) -> str:
        """The same for kernels of the same content."""
        reference = "reference" if self.choice.reference else ""
        return content_key("commit", checkout.tree, reference, *self._patches)

    def place(self, checkout: Checkout) -> Path:
        """Where the commit's kernel is, once it is built."""
        return result_folder(self.identity(checkout), self.asked)

    def source(self, checkout: Checkout, tree: Path | None = None) -> KernelSource:
        """The commit's files, in its checkout or in `tree`, to be built."""
        choice = self.choice
        source = kernel_source(
            tree or checkout.top,
            choice.patches,
            choice.more,
            self._progress,
            reference=choice.reference,
        )
        options = content_key(as_text(self.asked))
        return replace(
            source,
            identity=self.identity(checkout),
            uapi=content_key("commit", *checkout.uapi(), *self._patches),
            output=source.output.with_name(f"{source.output.name}-{options}"),
        )

    def build(self, source: KernelSource, log: Path) -> Path:
        """The folder of the built kernel.

        Raises:
            NotBuilt: It cannot be built; `log` says why, with all that make said beside it.
            OptionRefused: An option did not come out as it was asked for.
            OSError: There is no space or memory to build in.
        """
        whole = log.with_name("make.log")
        whole.unlink(missing_ok=True)  # of an earlier step
        try:
            return self._built(source)
        except OptionRefused:
            raise
        except Failure as failure:
            said = keep_log(failure, source, log)
            if _STARVED.search(whole.read_text(errors="replace") if whole.exists() else said):
                raise OSError(0, f"no space or memory to build in: {said}") from failure
            raise NotBuilt(f"{_first_error(said)}; see {log}") from failure

    def _built(self, source: KernelSource) -> Path:
        return build_kernel(source, self.choice.fragments, self.choice.jobs, self._progress)

    def fixed(self, name: str, checkout: Checkout) -> Path:
        """The kernel that stays while others are bisected.

        `name` is a folder that ci/kernel/build printed, a commit of the tree, or "bench": the
        kernel that ci/bench takes by default.

        Raises:
            Failure: It is none of these, or does not build.
        """
        if name == "bench":
            bench = KernelChoice(jobs=self.choice.jobs)
            return (bench.as_reference() if self.choice.reference else bench).build(self._progress)
        if (Path(name) / "bzImage").is_file():
            return Path(name).resolve()
        commit = commit_named(checkout.top, name)
        if commit is None:
            raise Failure(
                f"{name}: neither a commit of {checkout.top}, nor a folder with a bzImage, as "
                "ci/kernel/build prints one, nor `bench`"
            )
        if (known := self.place(commit)).exists():
            return known
        folder = cache_root() / "bisect" / "source"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            with self._progress.step("source") as step:
                step.update(f"commit {commit.short}")
                export(commit, Path(scratch))
            source = self.source(commit, Path(scratch))
            try:
                return self._built(source)
            except Failure as failure:
                raise Failure(f"{name}, which is to stay the same: {failure}") from failure
            finally:
                shutil.rmtree(source.output, ignore_errors=True)
                if source.tree != Path(scratch):
                    shutil.rmtree(source.tree.parent, ignore_errors=True)


def _first_error(said: str) -> str:
    """One line of why a kernel does not build."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[0] if lines else "no reason")
