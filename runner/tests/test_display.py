# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from carryover.display import Display
from carryover.observation import Crashed
from carryover.verdict import TestResult, Verdict

PASS = TestResult("Memory.Keeps", Verdict.PASS, duration=0.012)
LOST = TestResult("Memory.Loses", Verdict.LOST, "no session\nmore", duration=1.5)


def shown(*, terminal: bool, quiet: bool = False) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=100, height=30, highlight=False
    )
    display = Display(console, quiet=quiet)
    display.begin(2)
    display.plan(["2 tests for the first kexec: 1 kexec", "1 test [skipped]"])
    with display.phase("boot", "power on") as found:
        found.append("Linux 7.3.4")
    with display.phase("verify", "2 tests"):
        display.doing("verify Memory.Keeps")
        if terminal:
            console.print(display._draw())
        display.verdict(PASS)
        display.verdict(LOST)
    with pytest.raises(Crashed), display.phase("kexec", "2 tests"):
        raise Crashed(Verdict.PANIC, "x")
    display.summary([PASS, LOST], Path("/dev/fd"), [("cold boot", "Linux 7.3.4 [x]")])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_without_a_terminal() -> None:
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert "boot     power on ..." in text
    assert "Linux 7.3.4" in text
    assert "PASS     Memory.Keeps  12 ms" in text
    assert "LOST     Memory.Loses  1.50 s  no session" in text
    assert "2 tests: PANIC" in text
    assert "1 PASS  1 LOST" in text
    assert "Linux 7.3.4 [x]" in text


def test_a_terminal_gets_a_live_line_and_colours() -> None:
    text = shown(terminal=True)
    assert "\x1b[" in text
    assert "[0/2]" in text
    assert "verify Memory.Keeps" in text
    assert text.index("\x1b[?25l") < text.index("\x1b[?25h")  # the cursor comes back


def test_quiet_leaves_out_what_passed() -> None:
    text = shown(terminal=False, quiet=True)
    assert "Memory.Keeps" not in text
    assert "Memory.Loses" in text


def test_plan_is_one_block_before_all_else() -> None:
    text = shown(terminal=False)
    assert text.startswith(
        "plan      2 tests for the first kexec: 1 kexec\n          1 test [skipped]\n"
    )
    assert "for the first kexec" not in shown(terminal=False, quiet=True)
