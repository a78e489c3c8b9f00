# SPDX-License-Identifier: GPL-2.0-only
"""Sysrq over a serial console: a break, then the key (the kernel's admin-guide/sysrq.rst)."""

from __future__ import annotations

from carryover.console.lab import ConsoleLink
from carryover.errors import Infrastructure


def send_sysrq(link: ConsoleLink, key: str) -> None:
    """Sends one key: `b` reboots at once, `h` prints a line of help.

    Raises:
        Infrastructure: The console cannot send a break, or is lost.
    """
    try:
        link.send_break()
        link.write(key.encode())
    except OSError as error:  # pyserial's errors are such
        raise Infrastructure(f"the console is lost: {error}") from error
