# SPDX-License-Identifier: GPL-2.0-only
"""ci/kernel/build: the kernel under test.

Prints the folder that holds bzImage, vmlinux, config, release, modules/ (as modules_install lays
them out) and include/ (the UAPI headers).
"""

import argparse
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from carryover_ci.kernel_build import build_kernel, install_headers
from carryover_ci.kernel_source import KernelSource, kernel_source
from carryover_ci.progress import Progress
from carryover_ci.run import exit_with

_PATCHES = Path(__file__).parents[1] / "kernel" / "patches"
# What the reference kernel has beyond the default one.
REFERENCE_CONFIG = _PATCHES / "vfio-pci.config"
# What it has beyond that where preserved devices go on with DMA.
STREAM_CONFIG = _PATCHES / "stream.config"
STREAM_HELP = "the reference kernel on which preserved devices go on with DMA"
REFERENCE_HELP = "the reference kernel: with the options of our patches on, if it needs them at all"


@dataclass(frozen=True)
class KernelChoice:
    """Which kernel the user wants; the default is Debian's with our patches and configuration."""

    source: Path | None = None
    patches: Path | None = None
    more: list[Path] = field(default_factory=list)
    fragments: list[Path] = field(default_factory=list)
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    reference: bool = False

    def as_reference(self) -> "KernelChoice":
        """The same, but sure to preserve vfio-pci's files, by our patches if not by itself."""
        return replace(self.with_fragment(REFERENCE_CONFIG), reference=True)

    def as_streaming(self) -> "KernelChoice":
        """The reference kernel on which preserved devices go on with DMA."""
        return self.as_reference().with_fragment(STREAM_CONFIG)

    def with_fragment(self, options: Path) -> "KernelChoice":
        """The same with more options, on top of all others."""
        return replace(self, fragments=[*self.fragments, options])

    def with_patch(self, patch: Path) -> "KernelChoice":
        """The same with one more patch, after all others."""
        return replace(self, more=[*self.more, patch])

    def build(self, progress: Progress) -> Path:
        """The folder of the built kernel."""
        return build_kernel(self._tree(progress), self.fragments, self.jobs, progress)

    def headers(self, progress: Progress) -> Path:
        """The include folder of the kernel's UAPI headers; needs no compiled kernel."""
        return install_headers(self._tree(progress), progress)

    def _tree(self, progress: Progress) -> KernelSource:
        return kernel_source(
            self.source, self.patches, self.more, progress, reference=self.reference
        )


def add_kernel_options(
    parser: argparse.ArgumentParser, prefix: str = "", *, source: bool = True
) -> None:
    """The options of ci/kernel/build, for other commands with `prefix` ("kernel-").

    Without `source`, the command has a tree already.
    """
    if source:
        parser.add_argument(
            f"--{prefix}source",
            type=Path,
            metavar="DIR",
            help="a kernel tree of your own; it is not written to",
        )
    parser.add_argument(
        f"--{prefix}config",
        type=Path,
        metavar="FRAGMENT",
        action="append",
        default=[],
        help="options on top of ci/kernel/base.config; may be repeated",
    )
    parser.add_argument(
        f"--{prefix}patches",
        type=Path,
        metavar="DIR",
        help="apply DIR/*.patch instead of ci/kernel/patches/VERSION",
    )
    parser.add_argument(
        f"--{prefix}patch",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="apply one more patch, after all others; may be repeated",
    )
    parser.add_argument(
        f"--{prefix}jobs",
        type=int,
        metavar="N",
        default=os.cpu_count() or 1,
        help="compilers at once (default: one a processor)",
    )


def kernel_choice(arguments: argparse.Namespace, prefix: str = "") -> KernelChoice:
    """What add_kernel_options() parsed."""
    given = vars(arguments)
    stem = prefix.replace("-", "_")
    return KernelChoice(
        given.get(f"{stem}source"),
        given[f"{stem}patches"],
        given[f"{stem}patch"],
        given[f"{stem}config"],
        given[f"{stem}jobs"],
    )


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/kernel/build", description=__doc__)
    add_kernel_options(parser)
    parser.add_argument(
        "--headers",
        action="store_true",
        help="only install the UAPI headers, and print their include folder",
    )
    series = parser.add_mutually_exclusive_group()
    series.add_argument("--reference", action="store_true", help=REFERENCE_HELP)
    series.add_argument("--stream", action="store_true", help=STREAM_HELP)
    arguments = parser.parse_args()
    choice = kernel_choice(arguments)
    if arguments.reference:
        choice = choice.as_reference()
    if arguments.stream:
        choice = choice.as_streaming()
    progress = Progress()
    result = choice.headers(progress) if arguments.headers else choice.build(progress)
    sys.stdout.write(f"{result}\n")


if __name__ == "__main__":
    exit_with(_main, "ci/kernel/build")
