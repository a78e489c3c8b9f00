# SPDX-License-Identifier: GPL-2.0-only
"""Sysrq over a serial console: a break, then the key (the kernel's admin-guide/sysrq.rst)."""

from __future__ import annotations

from labgrid.driver import SerialDriver

from carryover.errors import Infrastructure

_BREAK = 0.25  # seconds; longer than any character at any speed


def send_sysrq(console: SerialDriver, key: str) -> None:
    """Sends one key: `b` reboots at once, `c` crashes the kernel.

    Raises:
        Infrastructure: The console cannot send a break, or is lost.
    """
    if getattr(console.port, "protocol", "") == "raw":
        raise Infrastructure(
            "a console of protocol `raw` cannot send a break; let ser2net speak rfc2217"
        )
    try:
        console.serial.send_break(_BREAK)
        console.write(key.encode())
    except OSError as error:  # pyserial's errors are such
        raise Infrastructure(f"the console is lost: {error}") from error
