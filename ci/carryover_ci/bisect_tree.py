# SPDX-License-Identifier: GPL-2.0-only
"""The user's kernel tree as git has it: which commit is checked out, and nothing else with it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from carryover_ci.kernel_source import version_of
from carryover_ci.run import Failure, output_of

# What `make headers_install` is made of: the same of all these give the same headers.
_UAPI = ("Makefile", "include/uapi", "arch/x86/include/uapi", "arch/x86/entry/syscalls", "scripts")
_SHOWN_FILES = 5


@dataclass(frozen=True)
class Checkout:
    """A commit, as it lies in the working tree."""

    top: Path
    commit: str
    tree: str  # git's name of its content
    subject: str

    @property
    def short(self) -> str:
        """The commit as people write it."""
        return self.commit[:12]

    def uapi(self) -> list[str]:
        """git's names of what the UAPI headers are made of; "" of what this commit lacks."""
        found = _git(self.top, "ls-tree", self.commit, "--", *_UAPI)
        of = {line.partition("\t")[2]: line.split()[2] for line in found.splitlines()}
        return [of.get(name, "") for name in _UAPI]


def checkout_of(folder: Path) -> Checkout:
    """The commit that is checked out in the kernel tree that holds `folder`.

    Raises:
        Failure: No git repository, no kernel tree, or tracked files differ from the commit.
    """
    if not folder.is_dir():
        raise Failure(f"{folder}: no such folder; --tree takes a git checkout of a kernel")
    found = _git(folder, "rev-parse", "--show-toplevel", check=False)
    if not found:
        raise Failure(
            f"{folder}: not in a git repository. Run this in a git checkout of a kernel, or name "
            "one by --tree"
        )
    top = Path(found)
    version_of(top)
    if _git(top, "rev-parse", "-q", "--verify", "BISECT_HEAD", check=False):
        raise Failure(
            f"{top}: git bisect was started with --no-checkout, so that what lies here is not the "
            "commit in question. Start it without"
        )
    changed = _git(top, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        more = [f"and {len(changed) - _SHOWN_FILES} more"] if len(changed) > _SHOWN_FILES else []
        files = "\n  ".join([*changed[:_SHOWN_FILES], *more])
        raise Failure(
            f"{top}: tracked files differ from the commit that is checked out, whose result this "
            f"would not be:\n  {files}\nCommit or stash them; a patch that all commits need is "
            "for --kernel-patch"
        )
    said = _git(top, "log", "-1", "--format=%H%n%T%n%s").split("\n", 2)
    return Checkout(top, said[0], said[1], said[2])


def commit_named(top: Path, name: str) -> Checkout | None:
    """The commit that git knows as `name` in the repository at `top`, if it knows one."""
    commit = _git(top, "rev-parse", "-q", "--verify", f"{name}^{{commit}}", check=False)
    if not commit:
        return None
    said = _git(top, "log", "-1", "--format=%H%n%T%n%s", commit).split("\n", 2)
    return Checkout(top, said[0], said[1], said[2])


def export(checkout: Checkout, folder: Path) -> None:
    """Writes the files of a commit that need not be checked out into `folder`."""
    output_of(
        [
            "bash",
            "-o",
            "pipefail",
            "-c",
            'git -C "$1" archive --format=tar "$2" | tar -x -C "$3"',
            "export",
            checkout.top,
            checkout.commit,
            folder,
        ]
    )


def _git(folder: Path, *words: str, check: bool = True) -> str:
    command = ["git", "-C", str(folder), *words]
    if check:
        return output_of(command, "Is this repository whole (git fsck)?").strip("\n")
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        raise Failure("git: no such program. Install git") from None
