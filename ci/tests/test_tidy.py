# SPDX-License-Identifier: GPL-2.0-only
import json
from pathlib import Path

import pytest

from carryover_ci import tidy
from carryover_ci.progress import Progress
from carryover_ci.run import Failure
from carryover_ci.tidy import clang_tidy


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that compile_commands.json beside it has."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "source.cc"
    source.write_text("int Seven() { return 7; }\n")
    (tmp_path / ".clang-tidy").write_text("Checks: '-*,modernize-use-nullptr'\n")
    command = {"directory": str(tmp_path), "file": str(source), "command": f"c++ -c {source}"}
    (tmp_path / "compile_commands.json").write_text(json.dumps([command]))
    return source


def check(source: Path) -> None:
    clang_tidy(source.with_name("compile_commands.json"), Progress(), deep=False)


def test_a_source_that_was_clean_is_not_read_again(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(source)
    monkeypatch.setattr(tidy, "_complaint", lambda words, file: pytest.fail(file))
    check(source)


def test_complaints_are_told_each_time_until_they_are_gone(source: Path) -> None:
    check(source)
    clean = source.read_text()
    source.write_text("#error\n")
    for _ in range(2):
        with pytest.raises(Failure, match=r"source\.cc:1:2: error"):
            check(source)
    source.write_text(clean)
    check(source)
