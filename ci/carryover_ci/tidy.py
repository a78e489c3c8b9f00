# SPDX-License-Identifier: GPL-2.0-only
"""ci/test's clang-tidy: on each source of a build, but not again on one that was clean as it is."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from carryover_ci.cache import cache_root, content_key, write_whole
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, output_of

_FOLDERS = (ROOT / "drivers", ROOT / "fixtures", ROOT / "selftests")
# Of the Python package. The script that it installs calls Python by where the environment was made.
_TIDY = str(files("clang_tidy") / "data" / "bin" / "clang-tidy")
# The unknown option is one of g++'s.
_KNOWN = ("--extra-arg=-Wno-unknown-warning-option",)
_ANALYZER = ("-Xclang", "-analyzer-config", "-Xclang", "mode=shallow")
_ARGUMENTS = {True: _KNOWN, False: (*_KNOWN, *(f"--extra-arg={word}" for word in _ANALYZER))}


def clang_tidy(commands: Path, progress: Progress, *, deep: bool) -> None:
    """Check every source of `commands`, a compile_commands.json; Failure with all complaints.

    The static analyzer follows calls to any depth if `deep` is true, which takes up to five times
    as long.
    """
    version = output_of([_TIDY, "--version"])
    words = [_TIDY, "--quiet", "-p", str(commands.parent), *_ARGUMENTS[deep]]
    with progress.step("clang-tidy") as step, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        # Any header: which of them a source includes only a compiler knows.
        headers = sorted(header for folder in _FOLDERS for header in folder.rglob("*.h"))
        common = content_key(version, *_ARGUMENTS[deep], ROOT / ".clang-tidy", *headers)
        sources = {entry["file"]: entry["command"] for entry in json.loads(commands.read_text())}
        stamps = {
            source: cache_root() / "tidy" / content_key(common, command, Path(source))
            for source, command in sources.items()
        }
        todo = [source for source, stamp in stamps.items() if not stamp.exists()]
        complaints = []
        for done, (source, complaint) in enumerate(
            zip(todo, pool.map(lambda file: _complaint(words, file), todo), strict=True), 1
        ):
            step.update(
                f"{done} of {len(todo)} files, {len(sources) - len(todo)} known to be clean"
            )
            if complaint:
                complaints.append(complaint)
            else:
                write_whole(stamps[source], "clean\n")
    if complaints:
        raise Failure("\n".join(complaints))


def _complaint(words: list[str], source: str) -> str:
    """What clang-tidy has to say of `source`; empty if it is clean."""
    done = subprocess.run([*words, source], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout or done.stderr).strip()
