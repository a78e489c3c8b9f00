# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import pytest

from carryover.kernel.literals import literals
from carryover.kernel.messages import TABLE, Meaning, Row, recognise, recognise_all


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("[    4.2] Kernel panic - not syncing: sysrq triggered crash", Meaning.PANIC),
        ("[    4.3][  T1] ---[ end Kernel panic - not syncing: x ]---", Meaning.PANIC_END),
        ("[    4.3] BUG: unable to handle page fault for address: 0", Meaning.FAULT),
        ("[    4.3] Oops: Oops: 0002 [#1] SMP", Meaning.FAULT),
        ("[   30.1] watchdog: BUG: soft lockup - CPU#1 stuck for 26s!", Meaning.FAULT),
        ("[    5.0] WARNING: possible circular locking dependency detected", Meaning.FAULT),
        ("[    5.0][  T9] WARNING: CPU: 0 PID: 9 at mm/slub.c:1 f+0x1/0x2", Meaning.FAULT),
        ("[    5.0] BUG: KASAN: slab-use-after-free in f+0x1/0x2", Meaning.FAULT),
        ("\x1bc\x1b[?7l\x1b[2JSeaBIOS (version 1.17.0)", Meaning.FIRMWARE),
        ("Booting from Hard Disk...", Meaning.FIRMWARE),
        ("Booting from ROM..[    0.000000] Linux version 7.3.4 (x)", Meaning.KERNEL),
        ("[    1.2] Run /init as init process", Meaning.INIT),
        ("[    0.7] KHO: exec from: 7.3.4 (count 3)", Meaning.KHO_COUNT),
        ("[ 0.7] luo: Retrieved live update data, liveupdate number: 2", Meaning.LUO_NUMBER),
        ("luo: Freeze failed for token[0x7] handler[memfd] err[-16]", Meaning.FREEZE_FAILED),
        ("[    0.7] luo: LUO state is incompatible with 'luo-v9'", Meaning.ABI),
        ("[    0.7] KHO: setup: handover FDT (0x1) is incompatible with 'k': -22", Meaning.ABI),
        ("[    0.7] luo: No registered handler for compatible 'vfio-v9'", Meaning.ABI),
        (
            "[    0.3] Kernel panic - not syncing: The incoming tree failed to initialize properly "
            "[-EINVAL], disabling live update",
            Meaning.ABI_PANIC,
        ),
        ("carryover: target ready boot_id=a-b nonce=12", Meaning.TARGET_READY),
    ],
)  # fmt: skip
def test_known_lines(line: str, meaning: Meaning) -> None:
    message = recognise(line)
    assert message is not None
    assert message.meaning is meaning


def test_values() -> None:
    kho = recognise("[ 0.7] KHO: exec from: 7.3.4-debug (count 12)")
    assert kho is not None
    assert kho.values == {"release": "7.3.4-debug", "count": "12"}
    ready = recognise("carryover: target ready boot_id=a-b nonce=")
    assert ready is not None
    assert ready.values == {"boot_id": "a-b", "nonce": ""}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[    0.0] Command line: panic=-1 console=ttyS0",
        "login:",
        "the kernel may panic",
        "[ 1.0] x: WARNING: y",
    ],
)
def test_other_lines_mean_nothing(line: str) -> None:
    assert recognise(line) is None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.example)
def test_what_a_row_is_looked_for_by_is_in_its_lines(row: Row) -> None:
    assert all(len(literal) >= 3 for literal in row.literals), "each line would need a closer look"
    assert row.may_match(row.example)


def test_many_lines_at_once_are_recognised_as_each_by_itself() -> None:
    lines = [line for row in TABLE for line in ("nothing", f"[    1.5][   T61] {row.example}")]
    lines += ["------------[ cut here ]------------", "carryover: begin run A.B", "", "nothing"]
    found = recognise_all(lines)
    assert {n: m for n, m in found.items() if m} == {
        n: message for n, line in enumerate(lines) if (message := recognise(line))
    }
    assert sorted(set(found) - {n for n, line in enumerate(lines) if recognise(line)}) == [
        len(lines) - 4,
        len(lines) - 3,
    ]
    assert recognise_all(["nothing"] * 3) == {}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"BUG: (soft|hard) lockup", (" lockup",)),
        (r"^WARNING: |kernel BUG at ", ("WARNING: ", "kernel BUG at ")),
        (r"Warning?s: [a-z ]+\(count \d+\)", ("(count ",)),
        (r"a{2,3}bcd.x*", ("bcd",)),
        (r"\w+", ("",)),
    ],
)
def test_literals(pattern: str, expected: tuple[str, ...]) -> None:
    assert literals(pattern) == expected
