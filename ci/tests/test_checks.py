# SPDX-License-Identifier: GPL-2.0-only
import pytest

from carryover_ci.checks import count


@pytest.mark.parametrize(
    ("output", "succeeded", "expected"),
    [
        ("", True, (1, 0)),
        ("some complaint", False, (0, 1)),
        ("31 passed in 0.14s\n", True, (31, 0)),
        ("1 failed, 30 passed in 0.18s\n", False, (30, 1)),
        ("==== 2 passed, 1 skipped, 1 error in 1.0s ====\n", False, (2, 1)),
        ("31 passed in 0.14s\nINTERNALERROR\n", False, (31, 1)),
        ("100% tests passed, 0 tests failed out of 42\n", True, (42, 0)),
        ("98% tests passed, 1 test failed out of 42\n", False, (41, 1)),
    ],
)
def test_count(output: str, succeeded: bool, expected: tuple[int, int]) -> None:
    assert count(output, succeeded) == expected
