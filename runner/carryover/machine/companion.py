# SPDX-License-Identifier: GPL-2.0-only
"""Processes that run beside a machine: they say ``ready``, and end when they are told to."""

from __future__ import annotations

import select
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from carryover.errors import BadInput, Infrastructure

_READY_LIMIT = 10.0
_END_LIMIT = 5.0
# Exit statuses: of a program whose options are wrong, and of setpriv that cannot run it.
_NOT_USED_RIGHT = (2, 126, 127)


class Companion:
    """A process of this run, which dies with it.

    Args:
        name: What it is, for messages: ``model dmac1 (dmac)``.
        command: Its program and words.
        log: Gets what it says on standard error.
        ended: Hears how it ended if that was not asked for; called from a thread of its own.

    Raises:
        BadInput: The program cannot be run, or does not take its words.
        Infrastructure: It does not say that it is ready.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, ended: Callable[[str], object]
    ) -> None:
        self._log = log
        self._tell = ended
        self._ending = False
        # It is to die with the runner, however that dies.
        setpriv = shutil.which("setpriv")
        words = [setpriv, "--pdeathsig", "KILL", *command] if setpriv else [*command]
        self._said: IO[bytes] = log.open("ab")
        before = self._said.tell()  # what others of its name said, in former power cycles
        try:
            self._child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C at the terminal is for us
            )
        except OSError as error:
            self._said.close()
            raise BadInput(f"{name}: {command[0]}: {error.strerror}") from error
        assert self._child.stdout is not None
        if not _says_ready(self._child.stdout):
            self._child.kill()
            self._child.wait()
            self._close()
            said = log.read_bytes()[before:].decode(errors="replace").strip()
            why = said or "it does not say that it is ready"
            refused = self._child.returncode in _NOT_USED_RIGHT
            kind: type[Exception] = BadInput if refused else Infrastructure
            raise kind(f"{name} does not start: {why}")
        self._waiter = threading.Thread(target=self._wait, name=name, daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask_to_end(self) -> None:
        """By SIGTERM, once; end() waits for it."""
        if not self._ending:
            self._ending = True
            self._child.terminate()

    def end(self) -> int:
        """Returns its exit status; negative if a signal ended it."""
        self.ask_to_end()
        try:
            self._child.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._waiter.join(_END_LIMIT)
        self._close()
        return self._child.returncode

    def _wait(self) -> None:
        status = self._child.wait()
        if not self._ending:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            self._tell(f"{how} (see {self._log})")

    def _close(self) -> None:
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._said.close()


def _says_ready(output: IO[bytes]) -> bool:
    """False if it ends, or says something else, or nothing in time."""
    readable, _, _ = select.select([output], [], [], _READY_LIMIT)
    return bool(readable) and output.readline() == b"ready\n"
