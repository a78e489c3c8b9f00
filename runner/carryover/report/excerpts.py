# SPDX-License-Identifier: GPL-2.0-only
"""Parts of a run's texts, so that the page stays small whatever their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carryover.report.embed import script_json

# Control characters are shown; those that turn the direction of text would disguise what follows.
_SHOWN: dict[int, int | str] = {
    code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"
}
_SHOWN |= {0x7F: 0x2421}
_SHOWN |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_SHOWN |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # half a pair, which UTF-8 cannot hold


def fair_limit(sizes: Sequence[int], budget: int) -> int:
    """The greatest limit with which sizes that are cut to it add up to at most `budget`.

    What small ones leave of their share goes to the greater ones.
    """
    rest = len(sizes)
    for size in sorted(sizes):
        if size * rest > budget:
            return max(0, budget) // rest
        budget -= size
        rest -= 1
    return max(sizes, default=0)


def clean(text: str) -> str:
    """The text with characters made visible that a page cannot show, or that disguise others."""
    return text.translate(_SHOWN)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text file: all of it, or its two ends.

    Attributes:
        head: From the beginning on; the whole file if nothing is left out.
        tail: Up to the end.
        left_out: Bytes between the two.
        size: Bytes of the file.
    """

    head: str
    tail: str = ""
    left_out: int = 0
    size: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For the page's data."""
        return asdict(self)


def read_excerpt(path: Path, limit: int) -> Excerpt:
    r"""At most `limit` bytes of a file, more of its end than of its beginning, in whole lines.

    Bytes that are no UTF-8 are shown as ``\xff``. Raises OSError.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size <= limit:
            return Excerpt(_text(file.read()), size=size)
        head = file.read(limit // 3)
        head = head[: head.rfind(b"\n") + 1] or head
        file.seek(size - (limit - limit // 3))
        tail = file.read(limit - limit // 3)
        tail = tail[tail.find(b"\n", 0, -1) + 1 :]
    return Excerpt(_text(head), _text(tail), size - len(head) - len(tail), size)


def json_size(text: str) -> int:
    """Bytes of the text in the page's data; an estimate if it is short."""
    return len(text) if len(text) < 40 else len(script_json(text))


def strings_of(value: Any) -> list[str]:
    """All strings in a JSON value, keys apart."""
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return []
    return [text for child in children for text in strings_of(child)]


def shortened(value: Any, limit: int) -> Any:
    """The JSON value with clean strings of `limit` bytes of JSON at most; cut ones say so."""
    if isinstance(value, str):
        text = clean(value)
        if (size := json_size(text)) <= limit:
            return text
        kept = limit * len(text) // size
        return f"{text[:kept]} ... ({len(text) - kept:,} characters more in results.jsonl)"
    if isinstance(value, dict):
        return {clean(str(key)): shortened(child, limit) for key, child in value.items()}
    if isinstance(value, list):
        return [shortened(child, limit) for child in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _text(data: bytes) -> str:
    return clean(data.decode("utf-8", "backslashreplace").replace("\r\n", "\n"))
