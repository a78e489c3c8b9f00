# SPDX-License-Identifier: GPL-2.0-only
"""What ci/kernel/check makes of what its tools say."""

from pathlib import Path

import pytest

from carryover_ci.kernel_check import checkpatch, new_warnings, warnings
from carryover_ci.run import Failure


def tool(tree: Path, script: str) -> Path:
    """A tree whose checkpatch.pl is `script`, and a patch."""
    (tree / "scripts").mkdir()
    program = tree / "scripts" / "checkpatch.pl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    patch = tree / "0001-x.patch"
    patch.write_text("a patch\n")
    return patch


def test_a_patch_with_nothing_to_say_about_is_good(tmp_path: Path) -> None:
    checkpatch(tool(tmp_path, 'grep -q "a patch" && echo trouble with ply >&2'), tmp_path)


@pytest.mark.parametrize("script", ["echo 'WARNING: x'", "echo 'ERROR: x'; exit 1", "exit 2"])
def test_a_complaint_names_the_patch(tmp_path: Path, script: str) -> None:
    with pytest.raises(Failure, match=r"0001-x\.patch: checkpatch\.pl says"):
        checkpatch(tool(tmp_path, script), tmp_path)


def test_warnings_are_found() -> None:
    assert warnings("  CC a.o\na.c:1:2: warning: unused\nnote: x\n") == ["a.c:1:2: warning: unused"]
    assert warnings("  CC a.o\n") == []


def test_warnings_that_were_there_before_are_none_of_a_patch() -> None:
    before = ["a.c:1:2: warning: unused", "b.c:9:9: warning: old"]
    log = "a.c:7:5: warning: unused\nc.c:1:2: warning: unused\n"
    assert new_warnings(log, before) == ["c.c:1:2: warning: unused"]
