# SPDX-License-Identifier: GPL-2.0-only
"""The one table of console messages that the runner knows, and what each means."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Meaning(enum.Enum):
    """What a console line says about the machine."""

    PANIC = "panic"  # the kernel has stopped for good
    PANIC_END = "panic-end"  # ... and has said all about it
    ABI = "abi"  # the incoming kernel does not understand what was handed over
    ABI_PANIC = "abi-panic"  # ... and has stopped for that
    FAULT = "fault"  # oops, lockup, warning, what a debug kernel finds; the kernel goes on
    FIRMWARE = "firmware"  # the machine went through a reset
    KERNEL = "kernel"  # a kernel begins
    INIT = "init"  # ... and starts user space
    KHO_COUNT = "kho-count"
    LUO_NUMBER = "luo-number"
    FREEZE_FAILED = "freeze-failed"
    TARGET_READY = "target-ready"


@dataclass(frozen=True, slots=True)
class KernelMessage:
    """A line that the table knows.

    Attributes:
        meaning: What it says about the machine.
        text: The line without its time stamp.
        values: Named parts of it, e.g. ``count``.
    """

    meaning: Meaning
    text: str
    values: dict[str, str]


# First match counts. Sources: kernel/panic.c, lib/bug.c, kernel/locking/lockdep.c,
# kernel/liveupdate/, init/main.c and init/version.c of Linux 7.3; SeaBIOS's and OVMF's sign-on
# lines; the bench image's own line.
_TABLE: tuple[tuple[Meaning, str], ...] = (
    (
        Meaning.TARGET_READY,
        r"carryover: target ready boot_id=(?P<boot_id>\S*) nonce=(?P<nonce>\S*)",
    ),
    (Meaning.PANIC_END, r"---\[ end Kernel panic"),
    (Meaning.ABI, r"LUO state is incompatible|handover FDT \(\S+\) is incompatible"),
    (Meaning.ABI, r"No registered handler for compatible '(?P<handler>[^']*)'"),
    (
        Meaning.ABI_PANIC,
        r"Kernel panic - not syncing: The incoming tree failed to initialize properly "
        r"\[-(22|EINVAL)\]",
    ),
    (Meaning.PANIC, r"Kernel panic - not syncing"),
    (Meaning.FAULT, r"\bOops: |BUG: unable to handle|BUG: kernel NULL|general protection fault"),
    (Meaning.FAULT, r"kernel BUG at |BUG: KASAN|BUG: KFENCE|UBSAN: "),
    (Meaning.FAULT, r"watchdog: BUG: (soft|hard) lockup|rcu.*self-detected stall"),
    (Meaning.FAULT, r"INFO: task .* blocked for more than"),
    (Meaning.FAULT, r"^WARNING: |^BUG: |list_(add|del) corruption|refcount_t: |ODEBUG: "),
    # Before firmware: SeaBIOS's last words and the kernel's first share a line.
    (Meaning.KERNEL, r"Linux version (?P<release>\S+)"),
    (Meaning.INIT, r"Run (?P<path>/\S+) as init process"),
    (Meaning.FIRMWARE, r"SeaBIOS \(version|^UEFI firmware|Booting from (ROM|Hard Disk|DVD)"),
    (Meaning.KHO_COUNT, r"KHO: exec from: (?P<release>\S+) \(count (?P<count>\d+)\)"),
    (Meaning.LUO_NUMBER, r"luo: Retrieved live update data, liveupdate number: (?P<number>-?\d+)"),
    (
        Meaning.FREEZE_FAILED,
        r"luo: Freeze failed for token\[(?P<token>\S+)\] handler\[(?P<handler>.*)\]",
    ),
)
_COMPILED = tuple((meaning, re.compile(pattern)) for meaning, pattern in _TABLE)
_TIME_STAMP = re.compile(r"^(<\d+>)?\[\s*\d+\.\d+\](\[\s*[TC]\d+\])? ?")
# What terminals get besides text: firmware clears the screen on the serial line.
_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|c|[()][A-Z0-9])|[\x00-\x08\x0b-\x1f\x7f]")


def plain(line: str) -> str:
    """The line without terminal control sequences."""
    return _CONTROL.sub("", line)


def recognise(line: str) -> KernelMessage | None:
    """What the table knows about a console line; None for most lines."""
    text = _TIME_STAMP.sub("", plain(line))
    for meaning, pattern in _COMPILED:
        if match := pattern.search(text):
            values = {key: value for key, value in match.groupdict().items() if value is not None}
            return KernelMessage(meaning, text.strip(), values)
    return None
