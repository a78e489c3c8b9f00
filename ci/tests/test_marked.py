# SPDX-License-Identifier: GPL-2.0-only
from pathlib import Path

import pytest

from carryover_ci.marked import with_marked
from carryover_ci.run import Failure


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- b -->\nafter\n")
    new = with_marked(page, "<!-- a -->\n", "<!-- b -->\n", "new")
    assert new == "before\n<!-- a -->\n\nnew\n<!-- b -->\nafter\n"
    page.write_text(new)
    assert with_marked(page, "<!-- a -->\n", "<!-- b -->\n", "new") == new
    page.write_text("before\n")
    with pytest.raises(Failure, match=r"page\.md: the marks are missing"):
        with_marked(page, "<!-- a -->\n", "<!-- b -->\n", "new")
