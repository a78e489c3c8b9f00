# SPDX-License-Identifier: GPL-2.0-only
"""What /proc/sys/kernel/tainted says (Documentation/admin-guide/tainted-kernels.rst)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of the kernel's taint.

    Attributes:
        letter: As the kernel prints it.
        meaning: In the words of the kernel's documentation.
        kinds: Kinds of reports that explain it; any fatal one does so for D. Without one of these
            it means that a report was not seen. Empty: it tells of the machine, of how the kernel
            was built or of what was loaded into it, and is no surprise on a kernel that has begun
            with it.
    """

    letter: str
    meaning: str
    kinds: frozenset[str] = frozenset()


_OF_WARN = frozenset(
    {"WARNING", "BUG", "refcount", "list corruption", "debug objects", "atomic context", "oops"}
)
_OF_PAGE = frozenset({"KASAN", "KFENCE", "bad page", "BUG"})
# By bit. kernel/panic.c, taint_flags.
FLAGS: tuple[Flag, ...] = (
    Flag("P", "proprietary module was loaded"),
    Flag("F", "module was force loaded"),
    Flag("S", "kernel running on an out of specification system"),
    Flag("R", "module was force unloaded"),
    Flag("M", "processor reported a Machine Check Exception", frozenset({"machine check"})),
    Flag("B", "bad page referenced or some unexpected page flags", _OF_PAGE),
    Flag("U", "taint requested by userspace application"),
    Flag("D", "kernel died recently, i.e. there was an OOPS or BUG", frozenset({"oops", "BUG"})),
    Flag("A", "ACPI table overridden by user"),
    Flag("W", "kernel issued warning", _OF_WARN),
    Flag("C", "staging driver was loaded"),
    Flag("I", "workaround for bug in platform firmware applied"),
    Flag("O", "externally-built (out-of-tree) module was loaded"),
    Flag("E", "unsigned module was loaded"),
    Flag("L", "soft lockup occurred", frozenset({"soft lockup"})),
    Flag("K", "kernel has been live patched"),
    Flag("X", "auxiliary taint, defined for and used by distros"),
    Flag("T", "kernel was built with the struct randomization plugin"),
    Flag("N", "an in-kernel test has been run"),
    Flag("J", "userspace used a mutating debug operation in fwctl"),
)


def flags(mask: int) -> Iterator[Flag]:
    """The flags of the number that the kernel gives."""
    for bit in range(mask.bit_length()):
        if mask >> bit & 1:
            known = bit < len(FLAGS)
            yield FLAGS[bit] if known else Flag(f"#{bit}", "a flag that is not known here")
