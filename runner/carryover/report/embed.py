# SPDX-License-Identifier: GPL-2.0-only
"""Data and code inside of an HTML page, such that neither can be taken for the other."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup


def script_json(value: Any) -> Markup:
    """JSON for the inside of a ``<script>``: plain ASCII, in which no markup can begin or end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def content_security_policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """A policy by which the page runs its own code alone, and nothing is fetched from anywhere."""
    script = " ".join(map(_hash, scripts))
    style = " ".join(map(_hash, styles))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
