# SPDX-License-Identifier: GPL-2.0-only
"""Running other programs, and ending with one clear message."""

import errno
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
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


def run_logged(
    command: Sequence[str | Path],
    log: Path,
    on_line: Callable[[str], object] = lambda line: None,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """The exit status of `command`, all of whose output goes to `log`.

    `on_line` gets each line, with its end, as soon as it is there. An exception, Ctrl-C too, ends
    the command.
    """
    with (
        log.open("w") as file,
        subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                on_line(line)
        except BaseException:
            process.terminate()
            raise
    return process.returncode


def exit_with(main: Callable[[], None], name: str, *, failure: int = 1, broken: int = 1) -> None:
    """Run the main function of command `name`.

    A Failure becomes its message and exit status `failure`, an OSError likewise `broken`.
    """
    try:
        main()
    except Failure as what:
        sys.stderr.write(f"{name}: error: {what}\n")
        sys.exit(failure)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = ". Free some space; XDG_CACHE_HOME puts the caches elsewhere"
        sys.stderr.write(f"{name}: error: {where}{error.strerror}{remedy}\n")
        sys.exit(broken)
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{name}: interrupted; nothing unfinished was left in the cache\n")
        sys.exit(130)
