# SPDX-License-Identifier: GPL-2.0-only
"""A git repository that looks like a kernel's, and is small."""

import os
import subprocess
from pathlib import Path

FILES = {
    "Makefile": "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n",
    "Kbuild": "",
    "Kconfig": "",
    "include/uapi/linux/a.h": "1",
    "mm/a.c": "0",
}


class KernelRepository:
    """Made with one commit, "base"."""

    def __init__(self, top: Path) -> None:
        self.top = top
        top.mkdir()
        self.git("init", "-q", "-b", "master")
        self.git("config", "user.name", "A B")
        self.git("config", "user.email", "a@example.org")
        self.commit("base", FILES)

    def git(self, *words: str) -> str:
        """What git prints."""
        done = subprocess.run(
            ["git", "-C", str(self.top), *words],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"},
        )
        return done.stdout.strip()

    def commit(self, subject: str, files: dict[str, str]) -> str:
        """Writes the files and commits them; returns the commit."""
        for name, text in files.items():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)
        return self.git("rev-parse", "HEAD")
