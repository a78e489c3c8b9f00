# SPDX-License-Identifier: GPL-2.0-only
"""Command lines in docs and examples, held against what the commands know."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from python_path import PYTHON_PATH

from carryover_ci.program import ROOT

_MODULE = re.compile(r"^\(?carryover_run_module (\S+)", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z][\w-]*)")


def complaints(lines: Iterable[str]) -> list[str]:
    """What is wrong with lines of shell: commands of ci/ that do not exist, unknown options."""
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        for at, word in enumerate(words):
            if command := re.fullmatch(r"(?:.*/)?(ci/[a-z/]+)", word):
                found += [f"{line}: {text}" for text in _wrong(command[1], words[at + 1 :])]
                break
    return found


def commands(lines: Iterable[str]) -> set[str]:
    """The commands of ci/ that these lines of shell use."""
    return {name for line in lines for name in re.findall(r"\bci/[a-z/]+[a-z]\b", line)}


def _wrong(command: str, words: list[str]) -> list[str]:
    script = ROOT / command
    if not script.is_file() or not os.access(script, os.X_OK):
        return [f"there is no {command}"]
    until = next((i for i, word in enumerate(words) if word in ("|", "||", "&&", ";")), len(words))
    words = words[:until]
    own, rest = words, list[str]()
    if command == "ci/bisect" and "--" in words:
        own, rest = words[: words.index("--")], words[words.index("--") + 1 :]
    verb = tuple(own[:1]) if command == "ci/carryover" else ()
    known = set(_OPTION.findall(_help(script, *verb)))
    if command == "ci/bench":
        known |= _pytest_options()
    wrong = [w for w in _options(own) if w not in known]
    wrong += [w for w in _options(rest) if w not in _pytest_options()]
    return [f"{command} has no option {word}" for word in wrong]


def _options(words: Iterable[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if _OPTION.match(word)]


@cache
def _help(script: Path, *verb: str) -> str:
    module = _MODULE.search(script.read_text())
    assert module, f"{script}: which module does it run?"
    return _output("-m", module[1], *verb, "--help")


@cache
def _pytest_options() -> set[str]:
    settings = ["-c", str(ROOT / "runner" / "pyproject.toml")]
    return set(
        _OPTION.findall(_output("-m", "pytest", *settings, "-p", "carryover.plugin", "--help"))
    )


def _output(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
