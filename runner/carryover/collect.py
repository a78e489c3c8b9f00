# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the program as pytest items: ``PROGRAM::Suite::Test``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from carryover.errors import BadInput
from carryover.events import TestInfo
from carryover.program import list_tests
from carryover.program_options import ProgramOptions


class ProgramFile(pytest.File):
    """The program's binary. Its tests are listed on the controller; nothing is touched."""

    def collect(self) -> Iterator[Suite]:
        try:
            tests = list_tests(self.path, ProgramOptions.of(self.config))
        except BadInput as error:
            raise self.CollectError(str(error)) from error
        for line in sorted(_marker_lines(tests)):
            self.config.addinivalue_line("markers", line)
        tests.sort(key=lambda test: test.suite)
        for name, group in groupby(tests, key=lambda test: test.suite):
            yield Suite.from_parent(self, name=name, tests=list(group))


class Suite(pytest.Collector):
    """A test suite of the program."""

    def __init__(self, *, tests: list[TestInfo], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tests = tests

    def collect(self) -> Iterator[ProgramItem]:
        for test in self._tests:
            yield ProgramItem.from_parent(self, name=test.test, info=test)


class ProgramItem(pytest.Item):
    """One test of the program. It is run by the campaign, not by itself."""

    def __init__(self, *, info: TestInfo, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.info = info
        self.add_marker(info.kind)
        for word in (info.claim, info.driver):
            if word:
                self.add_marker(_as_marker(word))

    def runtest(self) -> None:
        raise AssertionError("the campaign runs it")

    def reportinfo(self) -> tuple[Path, int | None, str]:
        file = Path(self.info.file) if self.info.file else self.path
        return file, max(0, self.info.line - 1), self.info.name


def _marker_lines(tests: Iterable[TestInfo]) -> set[str]:
    """Markers that these tests carry, as pytest wants them registered."""
    lines = {
        "continuity: tests in two halves across a kexec",
        "run: tests that need no kexec",
    }
    for test in tests:
        if test.claim:
            lines.add(f"{_as_marker(test.claim)}: tests of the claim `{test.claim}`")
        if test.driver:
            lines.add(
                f"{_as_marker(test.driver)}: tests that need a device of driver {test.driver}"
            )
    return lines


def _as_marker(word: str) -> str:
    return word.replace("-", "_")
