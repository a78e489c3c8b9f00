# SPDX-License-Identifier: GPL-2.0-only
"""Where passwords come from, and that they show nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from carryover.errors import BadInput
from carryover.power.secret import Secret, read_secret


def test_from_a_file_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "bmc"
    file.write_text("pass word \nnot this\n")
    file.chmod(0o600)
    assert read_secret("x", file, "").reveal() == "pass word "


def test_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMC_PASSWORD", "hidden")
    assert read_secret("x", None, "BMC_PASSWORD").reveal() == "hidden"


def test_it_shows_in_no_text() -> None:
    secret = Secret("hidden")
    assert "hidden" not in f"{secret} {secret!r} {[secret]} {secret.hide_in('a hidden b')}"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "bmc"
    file.write_text("hidden\n")
    file.chmod(mode)
    with pytest.raises(BadInput, match=r"place: password_file .*others can read it; chmod 600"):
        read_secret("place", file, "")


@pytest.mark.parametrize("content", [b"", b"\n", b"\nhidden\n", b"hid\0den\n", b"\xff\n"])
def test_a_file_without_a_password(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bmc"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(BadInput, match="place: password_file") as refused:
        read_secret("place", file, "")
    assert "den" not in str(refused.value)


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BMC_PASSWORD", raising=False)
    with pytest.raises(BadInput, match="No such file"):
        read_secret("place", tmp_path / "none", "")
    with pytest.raises(BadInput, match=r"place: \$BMC_PASSWORD: there is no password"):
        read_secret("place", None, "BMC_PASSWORD")


@pytest.mark.parametrize(("file", "variable"), [(None, ""), (Path("a"), "b")])
def test_one_of_both_is_given(file: Path | None, variable: str) -> None:
    with pytest.raises(BadInput, match="give one of password_file and password_variable"):
        read_secret("place", file, variable)
