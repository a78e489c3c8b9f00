# SPDX-License-Identifier: GPL-2.0-only
"""Running other programs, and ending with one clear message."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


class Failure(Exception):
    """Something that the user can do something about: what is wrong, where, and what to do."""


def output_of(command: Sequence[str | Path], remedy: str = "", folder: Path | None = None) -> str:
    """What `command`, run in `folder`, prints on its standard output.

    Failure with its complaint and `remedy` if it fails.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    except FileNotFoundError:
        raise Failure(f"{words[0]}: no such program. {remedy or 'Run ci/setup.'}") from None
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip()
        said = f"{' '.join(words)}: exit status {done.returncode}\n{complaint}\n{remedy}"
        raise Failure(said.strip())
    return done.stdout


def exit_with(main: Callable[[], None], name: str) -> None:
    """Run the main function of command `name`; a Failure becomes its message and exit status 1."""
    try:
        main()
    except Failure as failure:
        sys.stderr.write(f"{name}: error: {failure}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{name}: interrupted; nothing unfinished was left in the cache\n")
        sys.exit(130)
