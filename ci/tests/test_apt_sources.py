# SPDX-License-Identifier: GPL-2.0-only
from pathlib import Path

import pytest

from carryover_ci.apt_sources import Mirror, machine_mirror
from carryover_ci.run import Failure

STANZAS = """\
# a comment
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/example.gpg
"""


def sources(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return folder


def test_stanza_with_key(tmp_path: Path) -> None:
    apt = sources(tmp_path, "sources.list.d/debian.sources", STANZAS)
    mirror = machine_mirror(apt)
    assert mirror == Mirror("http://mirror.example/debian", "/usr/share/keyrings/example.gpg")
    assert mirror.source_line("trixie") == (
        "deb [signed-by=/usr/share/keyrings/example.gpg] http://mirror.example/debian trixie main"
    )


def test_disabled_stanza_does_not_count(tmp_path: Path) -> None:
    disabled = "Enabled: no\nTypes: deb\nURIs: http://a/\nSuites: bookworm\nComponents: main\n"
    apt = sources(tmp_path, "sources.list.d/a.sources", disabled)
    sources(tmp_path, "sources.list.d/b.sources", STANZAS)
    assert machine_mirror(apt).uri == "http://mirror.example/debian"


def test_key_inside_the_stanza_is_left_to_apt(tmp_path: Path) -> None:
    text = (
        "Types: deb\nURIs: http://a/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n"
    )
    apt = sources(tmp_path, "sources.list.d/a.sources", text)
    assert machine_mirror(apt) == Mirror("http://a/debian", None)


@pytest.mark.parametrize(
    ("line", "mirror"),
    [
        ("deb http://a/debian bookworm main", Mirror("http://a/debian")),
        (
            "deb [arch=amd64 signed-by=/k.gpg] https://a/debian stable main non-free # c",
            Mirror("https://a/debian", "/k.gpg"),
        ),
    ],
)
def test_one_line_form(tmp_path: Path, line: str, mirror: Mirror) -> None:
    text = f"# deb http://old/debian bookworm main\ndeb-src http://s/debian bookworm main\n{line}\n"
    assert machine_mirror(sources(tmp_path, "sources.list", text)) == mirror


def test_sources_that_are_not_debians_archive(tmp_path: Path) -> None:
    text = "deb https://vendor.example/repo nodistro main\n"
    text += "deb http://security.example/debian-security bookworm-security main\n"
    with pytest.raises(Failure, match="no enabled source of Debian's main archive"):
        machine_mirror(sources(tmp_path, "sources.list.d/x.list", text))
