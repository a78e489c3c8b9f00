# SPDX-License-Identifier: GPL-2.0-only
"""What somebody has meant who wrote a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(word: str, known: Iterable[str], count: int = 1) -> str:
    """The end of a message, with up to `count` names that are like it; empty if none is."""
    near = difflib.get_close_matches(word, list(known), n=count)
    return f"; was {' or '.join(f'`{one}`' for one in near)} meant?" if near else ""
