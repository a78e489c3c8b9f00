# SPDX-License-Identifier: GPL-2.0-only
"""What the exit status of `carryover run` says."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit status of a run."""

    GOOD = 0
    BAD = 1
    BAD_INPUT = 2
    INFRA = 3
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """In words, for docs and scripts."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.GOOD: "every test is PASS or SKIP, and no kernel complained",
    ExitCode.BAD: "a kernel failed: a bad verdict, a kernel fault, or something forbidden was done",
    ExitCode.BAD_INPUT: "bad input: nothing was tested, and the message says what to do",
    ExitCode.INFRA: "the harness failed: nothing can be said of the kernel",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
}
