# SPDX-License-Identifier: GPL-2.0-only
"""ci/test's clang-tidy: on each source of a build, but not again on one that was clean as it is."""

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from carryover_ci.cache import cache_root, content_key, write_whole
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, output_of

_TIDY = str(Path(sys.executable).with_name("clang-tidy"))  # as ci/requirements.txt has it
# The unknown option is one of g++'s.
_KNOWN = ("--extra-arg=-Wno-unknown-warning-option",)
_ANALYZER = ("-Xclang", "-analyzer-config", "-Xclang", "mode=shallow")
_ARGUMENTS = {True: _KNOWN, False: (*_KNOWN, *(f"--extra-arg={word}" for word in _ANALYZER))}


@dataclass(frozen=True)
class _Unit:
    source: Path
    command: str
    inputs: list[Path]  # the source and every header that it was compiled with


def clang_tidy(build: Path, settings: Path, progress: Progress, *, deep: bool) -> None:
    """Check every source that `build` compiles; Failure with all complaints.

    `build` has been built: the list of each source's headers is the compiler's own. The static
    analyzer follows calls to any depth if `deep` is true, which takes up to five times as long.
    """
    version = output_of([_TIDY, "--version"])
    words = [_TIDY, "--quiet", "-p", str(build), *_ARGUMENTS[deep]]
    with progress.step("clang-tidy") as step, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        units = _units(build)
        tool: list[str | Path] = [version, *_ARGUMENTS[deep], settings]
        keys = {unit.source: content_key(*tool, unit.command, *unit.inputs) for unit in units}
        stamps = {source: cache_root() / "tidy" / key for source, key in keys.items()}
        todo = [unit.source for unit in units if not stamps[unit.source].exists()]
        complaints = []
        for done, (source, complaint) in enumerate(
            zip(todo, pool.map(lambda file: _complaint(words, file), todo), strict=True), 1
        ):
            step.update(f"{done} of {len(todo)} files, {len(units) - len(todo)} known to be clean")
            if complaint:
                complaints.append(complaint)
            else:
                write_whole(stamps[source], "clean\n")
    if complaints:
        raise Failure("\n".join(complaints))


def _units(build: Path) -> list[_Unit]:
    commands = json.loads((build / "compile_commands.json").read_text())
    headers = _headers(build)
    units = []
    for entry in commands:
        words = shlex.split(entry["command"])
        output = words[words.index("-o") + 1]
        if output not in headers:
            raise Failure(f"{build}: {output} has not been built; build everything first")
        units.append(_Unit(Path(entry["file"]), entry["command"], headers[output]))
    return units


def _headers(build: Path) -> dict[str, list[Path]]:
    """By object file, what ninja remembers of the compiler's list of its inputs."""
    found: dict[str, list[Path]] = {}
    current: list[Path] = []
    for line in output_of(["ninja", "-C", build, "-t", "deps"]).splitlines():
        if line.startswith("    "):
            current.append(build / line.strip())
        elif ": #deps " in line:
            current = found.setdefault(line.partition(": #deps ")[0], [])
    return found


def _complaint(words: list[str], source: Path) -> str:
    """What clang-tidy has to say of `source`; empty if it is clean."""
    done = subprocess.run([*words, str(source)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout or done.stderr).strip()
