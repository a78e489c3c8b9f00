# SPDX-License-Identifier: GPL-2.0-only
"""ci/kernel/check: holds our series of patches to the kernel's own standards.

checkpatch.pl has nothing to say about any of them, the kernel builds with the first of them, with
the first two, and so on, and what each touches compiles without a warning at W=1.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from carryover_ci import kernel_config
from carryover_ci.cache import cache_root, lock
from carryover_ci.kernel import REFERENCE_CONFIG, STREAM_CONFIG
from carryover_ci.kernel_build import asked_options, configure, make_command
from carryover_ci.kernel_patches import PatchedTree, patches_for, touched_files
from carryover_ci.kernel_source import KernelSource, kernel_source
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, exit_with, run_logged

# A new file's maintainer is whom MAINTAINERS names for its folder.
_IGNORED = "FILE_PATH_CHANGES"


def checkpatch(patch: Path, tree: Path) -> None:
    """Failure with what the tree's checkpatch.pl has to say about the patch, if anything."""
    command = [str(tree / "scripts" / "checkpatch.pl"), f"--root={tree}", "-q", "--show-types"]
    # By its standard input: a file that git knows is taken for a source file.
    done = subprocess.run(
        [*command, "--ignore", _IGNORED, "-"],
        stdin=patch.open(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or done.stdout.strip():
        raise Failure(f"{patch}: checkpatch.pl says:\n{(done.stdout or done.stderr).strip()}")


def warnings(log: str) -> list[str]:
    """The lines of a compiler's output that warn of something."""
    return [line for line in log.splitlines() if "warning:" in line]


def check_builds(source: KernelSource, series: list[Path], progress: Progress) -> None:
    """The kernel of `source` with the first patch, with the first two, and so on."""
    folder = source.tree.parent
    asked = asked_options([REFERENCE_CONFIG, STREAM_CONFIG])
    with lock("kernel-check"):
        for number, patch in enumerate(series, 1):
            prepare = partial(_apply, PatchedTree(source.tree, folder), series[:number])
            output = cache_root() / "kernel" / "output" / "check"
            step = dataclasses.replace(source, output=output, prepare=prepare)
            _check_build(step, patch, asked, progress)
        kernel_config.check(asked, (output / ".config").read_text())


def _apply(tree: PatchedTree, series: list[Path], _: Progress) -> None:
    tree.apply(series)


def _check_build(
    source: KernelSource,
    patch: Path,
    asked: dict[str, kernel_config.Option],
    progress: Progress,
) -> None:
    log = source.output / "build.log"
    with source.prepared(progress), progress.step(patch.name[:4]) as step:
        # Options that a later patch brings are not there yet.
        configure(source, asked)

        def make(what: str, *arguments: str, on_line: Callable[[str], object]) -> None:
            command = make_command(source, source.output, f"-j{os.cpu_count() or 1}", *arguments)
            if run_logged(command, log, on_line) != 0:
                tail = "\n".join(log.read_text().splitlines()[-12:])
                raise Failure(f"{patch}: {what}:\n{tail}\nAll of it: {log}")

        make("the kernel does not build", on_line=lambda line: step.update(line.strip()[:70]))
        objects = [
            str(Path(name).with_suffix(".o"))
            for name in sorted(touched_files(patch.read_text()))
            if name.endswith(".c") and (source.output / name).with_suffix(".o").exists()
        ]
        if objects:
            step.update(f"W=1 {' '.join(objects)}"[:70])
            make("does not compile at W=1", "W=1", *objects, on_line=lambda line: None)
            if found := warnings(log.read_text()):
                raise Failure(f"{patch}: warns at W=1:\n" + "\n".join(found))
        step.update(patch.stem[5:75])


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/kernel/check", description=__doc__)
    parser.add_argument(
        "--style", action="store_true", help="only checkpatch.pl, which takes a few seconds"
    )
    arguments = parser.parse_args()
    progress = Progress()
    source = kernel_source(None, None, [], progress)
    series = patches_for(source.version)
    for patch in series:
        checkpatch(patch, source.tree)
    if not arguments.style:
        check_builds(source, series, progress)
    sys.stdout.write(f"{len(series)} patches for Linux {source.version}: nothing to complain of\n")


if __name__ == "__main__":
    exit_with(_main, "ci/kernel/check")
