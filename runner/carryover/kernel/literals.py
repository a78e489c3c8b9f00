# SPDX-License-Identifier: GPL-2.0-only
"""What a text has to hold for a regular expression to match: that is quickly looked for, first."""

from __future__ import annotations

_CLASSES = "wWsSdDbBAZ"


def literals(pattern: str) -> tuple[str, ...]:
    """Of each alternative, the longest piece of plain text outside of brackets.

    Whatever the expression matches holds at least one of them. One that is empty says nothing.
    """
    found: list[str] = []
    pieces = [""]
    depth, at = 0, 0
    while at < len(pattern):
        one = pattern[at]
        if one == "\\":
            at += 1
            if pattern[at] in _CLASSES:
                pieces.append("")
            elif depth == 0:
                pieces[-1] += pattern[at]
        elif one == "[":
            pieces.append("")
            at = pattern.index("]", at + 2)
        elif one in "()":
            depth += 1 if one == "(" else -1
            pieces.append("")
        elif depth:
            pass
        elif one in "?*{":  # what is before it need not be there
            pieces[-1] = pieces[-1][:-1]
            pieces.append("")
            at = pattern.index("}", at) if one == "{" else at
        elif one in ".^$+":
            pieces.append("")
        elif one == "|":
            found.append(max(pieces, key=len))
            pieces = [""]
        else:
            pieces[-1] += one
        at += 1
    return (*found, max(pieces, key=len))
