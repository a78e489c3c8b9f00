# SPDX-License-Identifier: GPL-2.0-only
"""Where this machine gets Debian from: read from its own apt configuration, never assumed.

Both forms of sources.list(5) are understood: deb822 stanzas (*.sources) and one line a
source (*.list).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carryover_ci.run import Failure

_SUITES = re.compile(
    r"(bookworm|trixie|forky|sid|stable|testing|unstable|oldstable)"
    r"(-updates|-backports|-proposed-updates)?/?"
)
_URI = re.compile(r"(https?|file|mirror\+\w+|mirror)://?\S+")


@dataclass(frozen=True)
class Mirror:
    """A Debian archive that this machine trusts: its address, and its key as in Signed-By."""

    uri: str
    signed_by: str | None = None

    def source_line(self, suite: str) -> str:
        """A line of sources.list for the main component of `suite`."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {suite} main"


@dataclass(frozen=True)
class _Source:
    uris: list[str]
    suites: list[str]
    components: list[str]
    signed_by: str | None


def machine_mirror(apt_folder: Path = Path("/etc/apt")) -> Mirror:
    """The first enabled source of Debian's main archive in `apt_folder`; else Failure."""
    files = [apt_folder / "sources.list"]
    parts = apt_folder / "sources.list.d"
    files += sorted([*parts.glob("*.list"), *parts.glob("*.sources")])
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text()
        sources = _stanzas(text) if file.suffix == ".sources" else _lines(text)
        for source in sources:
            known = any(_SUITES.fullmatch(suite) for suite in source.suites)
            if known and "main" in source.components and source.uris:
                return Mirror(source.uris[0].rstrip("/"), source.signed_by)
    raise Failure(
        f"{apt_folder}: no enabled source of Debian's main archive in sources.list or "
        "sources.list.d. Add one for this machine's release (see sources.list(5)); the kernel "
        "source and QEMU are fetched from the same archive."
    )


def _stanzas(text: str) -> Iterator[_Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                fields[name] = fields.get(name, "") + "\n" + line
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value
        if fields.get("enabled", "yes").strip().lower() in ("no", "false", "off", "0"):
            continue
        if "deb" in fields.get("types", "").split():
            signed_by = fields.get("signed-by", "").strip() or None
            if signed_by and not signed_by.startswith("/"):
                signed_by = None  # a key written into the stanza: apt's own key folders serve
            yield _Source(
                fields.get("uris", "").split(),
                fields.get("suites", "").split(),
                fields.get("components", "").split(),
                signed_by,
            )


def _lines(text: str) -> Iterator[_Source]:
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        match = re.fullmatch(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)", line)
        if not match or not _URI.match(match[2]):
            continue
        options = dict(word.split("=", 1) for word in (match[1] or "").split() if "=" in word)
        yield _Source([match[2]], [match[3]], match[4].split(), options.get("signed-by"))
