# SPDX-License-Identifier: GPL-2.0-only
"""ci/kernel/check: holds our series of patches to the kernel's own standards.

checkpatch.pl has nothing to say about any of them, the kernel builds with the first of them, with
the first two, and so on, and what each touches compiles at W=1 without a warning that it had not
had before.
"""

import argparse
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
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


_PLACE = re.compile(r":\d+:\d+:")


def new_warnings(log: str, before: Iterable[str]) -> list[str]:
    """Those of `log` that are not among the warnings of `before`, wherever in its file each is."""
    known = {_PLACE.sub(":", line) for line in before}
    return [line for line in warnings(log) if _PLACE.sub(":", line) not in known]


def check_builds(source: KernelSource, series: list[Path], progress: Progress) -> None:
    """The kernel of `source` with the first patch, with the first two, and so on."""
    folder = source.tree.parent
    asked = asked_options([REFERENCE_CONFIG, STREAM_CONFIG])
    output = cache_root() / "kernel" / "output" / "check"
    with lock("kernel-check"):

        def with_first(number: int) -> KernelSource:
            prepare = partial(_apply, PatchedTree(source.tree, folder), series[:number])
            return dataclasses.replace(source, output=output, prepare=prepare)

        touched = sorted({name for patch in series for name in touched_files(patch.read_text())})
        before = warnings(_build(with_first(0), "without a patch", touched, asked, progress))
        for number, patch in enumerate(series, 1):
            files = sorted(touched_files(patch.read_text()))
            try:
                log = _build(with_first(number), patch.stem[5:75], files, asked, progress)
            except Failure as failure:
                raise Failure(f"{patch}: {failure}") from failure
            if found := new_warnings(log, before):
                raise Failure(f"{patch}: warns at W=1:\n" + "\n".join(found))
        kernel_config.check(asked, (output / ".config").read_text())


def _apply(tree: PatchedTree, series: list[Path], _: Progress) -> None:
    tree.apply(series)


def _build(
    source: KernelSource,
    what: str,
    touched: list[str],
    asked: dict[str, kernel_config.Option],
    progress: Progress,
) -> str:
    """Builds the kernel; returns what the compiler says of the `touched` files at W=1."""
    log = source.output / "build.log"
    with source.prepared(progress), progress.step(what) as step:
        # Options that a later patch brings are not there yet.
        configure(source, asked)

        def make(fault: str, *arguments: str, on_line: Callable[[str], object]) -> None:
            command = make_command(source, source.output, f"-j{os.cpu_count() or 1}", *arguments)
            if run_logged(command, log, on_line) != 0:
                tail = "\n".join(log.read_text().splitlines()[-12:])
                raise Failure(f"{fault}:\n{tail}\nAll of it: {log}")

        make("the kernel does not build", on_line=lambda line: step.update(line.strip()[:70]))
        objects = [
            str(Path(name).with_suffix(".o"))
            for name in touched
            if name.endswith(".c")
            and (source.tree / name).exists()
            and (source.output / name).with_suffix(".o").exists()
        ]
        if not objects:
            return ""
        step.update(f"W=1 {' '.join(objects)}"[:70])
        make("does not compile at W=1", "W=1", *objects, on_line=lambda line: None)
        return log.read_text()


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
