# SPDX-License-Identifier: GPL-2.0-only
"""What a run is of: it can be resumed only with the same."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_SHOWN = 3


def basis(
    programs: Iterable[Path],
    environment: Path,
    tests: Collection[str],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """For the journal. Of files and of variables that an environment names, digests only.

    Args:
        programs: The binaries that the tests were listed by.
        environment: File of labgrid's environment.
        tests: Names of all selected tests.
        settings: What else decides what is tested, by the words of a message: option or key.
    """
    text = environment.read_text()
    names = {one or other for one, other in _VARIABLE.findall(text)}
    return {
        "the program": [_digest(path.read_bytes()) for path in sorted(set(programs))],
        f"the environment {environment}": _digest(text.encode()),
        **{
            f"the environment's variable {name}": _digest(os.environ[name].encode())
            for name in sorted(names & os.environ.keys())
        },
        **settings,
        "tests": sorted(tests),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is another now, in words; empty if nothing is."""
    found = []
    for what in {**before, **now}:
        old, new = before.get(what), now.get(what)
        if old == new:
            continue
        if what == "tests":
            found.append(f"the selection of tests ({_selection(old or [], new or [])})")
        elif what.startswith("the "):
            found.append(what)
        else:
            found.append(f"{what} (was {_shown(old)}, is {_shown(new)})")
    return found


def _selection(old: Collection[str], new: Collection[str]) -> str:
    changes = {"more": sorted(set(new) - set(old)), "fewer": sorted(set(old) - set(new))}
    return "; ".join(f"{len(n)} {how}: {_few(n)}" for how, n in changes.items() if n)


def _few(names: list[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
