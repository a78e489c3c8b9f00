# SPDX-License-Identifier: GPL-2.0-only
import os
from pathlib import Path

import pytest

from carryover_ci.cache import content_key, new_folder, write_whole


def test_key_is_of_content_and_order(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text("x")
    second.write_text("x")
    assert content_key(first) == content_key(second) == content_key("x")
    assert content_key("a", "b") != content_key("b", "a")
    assert content_key("ab", "") != content_key("a", "b")
    second.write_text("y")
    assert content_key(first) != content_key(second)


def test_folder_appears_whole(tmp_path: Path) -> None:
    result = tmp_path / "result"
    with new_folder(result) as folder:
        (folder / "file").touch()
        assert not result.exists()
    assert [file.name for file in result.iterdir()] == ["file"]


def test_interrupted_folder_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_folder(tmp_path / "result") as folder:
            (folder / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_unchanged_content_keeps_its_time(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    write_whole(file, "a")
    os.utime(file, (1000, 1000))
    write_whole(file, "a")
    assert file.stat().st_mtime == 1000
    write_whole(file, "b")
    assert file.read_text() == "b"
    assert file.stat().st_mtime != 1000
