# SPDX-License-Identifier: GPL-2.0-only
"""Who has a machine: what others read who find it held."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path


def someone() -> str:
    """``user@host`` of this process."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"user-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def owner_of_run(directory: Path) -> str:
    """The owner that this process's run into `directory` is, and no other run."""
    return f"{someone()}, run in {directory}, process {os.getpid()}"
