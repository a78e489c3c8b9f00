# SPDX-License-Identifier: GPL-2.0-only
"""Whether somebody has a machine that is up: asked before it is rebooted, without the program.

The program takes a lock (docs/protocol.md), but a reboot would come before that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import unquote

from carryover.errors import Infrastructure

_PARTS = (
    "/run/carryover/lock",
    "/run/carryover/verified",
    "/proc/locks",
    "/proc/cmdline",
    "/proc/sys/kernel/random/boot_id",
)
_MARK = "-- carryover --"
_OWNER = "carryover.owner="

# What is run on the target for it; it takes no lock.
QUESTION = "; ".join(f"cat {part} 2>/dev/null; echo '{_MARK}'" for part in _PARTS)


def who_holds(ask: Callable[[str], str], me: str = "") -> str:
    """Who else has the machine, in words; empty if nobody.

    Args:
        ask: Runs a shell command on the target and returns what it prints.
        me: An owner that is no other.

    Raises:
        Infrastructure: It answers with something else.
    """
    answer = ask(QUESTION).split(f"{_MARK}")
    if len(answer) != len(_PARTS) + 1:
        raise Infrastructure(f"SSH: the target answers with nonsense: {str(answer)[:200]}")
    lock, verified, locks, command_line, boot_id = (part.strip() for part in answer[:-1])
    if owner := _by_kexec(command_line, verified, boot_id):
        since = "who has not verified his kexec yet"
    else:
        owner, since = _by_lock(lock, locks)
    return f"{owner}, {since}" if owner and owner != me else ""


def _by_lock(lock: str, locks: str) -> tuple[str, str]:
    """The record stays in the file when the lock is free; the kernel says whether it is."""
    try:
        record = json.loads(lock)
        owner, pid = record["owner"], int(record["pid"])
    except (ValueError, KeyError, TypeError):
        return "", ""
    # proc_locks(5), "1: FLOCK ADVISORY WRITE PID": that process may have left a holder and ended.
    words = [line.split() for line in locks.splitlines()]
    if any(line[1:2] == ["FLOCK"] and line[4:5] == [str(pid)] for line in words):
        return owner, f"since {record.get('since')}"
    return "", ""


def _by_kexec(command_line: str, verified: str, boot_id: str) -> str:
    owners = [word for word in command_line.split() if word.startswith(_OWNER)]
    if not owners or verified == boot_id:
        return ""
    return unquote(owners[-1].removeprefix(_OWNER))
