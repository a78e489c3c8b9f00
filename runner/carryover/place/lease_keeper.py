# SPDX-License-Identifier: GPL-2.0-only
"""Gives a run's places back when the run is gone, however it went: an acquired place never expires.

    python -m carryover.place.lease_keeper COORDINATOR USER

It holds one end of a pipe, and the run the other. Until that is closed it only waits: nothing is
loaded, and nothing is asked of the coordinator. A byte in the pipe says that the run has given back
all by itself. A run's user is of this run alone, so what it holds is this run's.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from carryover.errors import BadInput, Infrastructure

# Seconds. A coordinator may be restarted, and a place that is not given back is lost to all.
_LIMIT = 600.0
_PAUSE = 2.0
_START_LIMIT = 15.0
_PACKAGES = str(Path(__file__).parents[2])


class LeaseKeeper:
    """The keeper of one run, seen from the run."""

    def __init__(self, coordinator: str, user: str) -> None:
        """Starts it; to be done before anything is acquired or reserved.

        Args:
            coordinator: Its address.
            user: The run's own, as Coordinator takes it.

        Raises:
            Infrastructure: It does not start.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "carryover.place.lease_keeper", coordinator, user],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C, and the end of the terminal, are for the run
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGES, *sys.path])},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        with process.stdout as answer:
            if not select.select([answer], [], [], _START_LIMIT)[0] or not answer.read(1):
                process.kill()
                raise Infrastructure(
                    f"the keeper of this run's place does not start (status {process.wait()})"
                )
        self._process = process
        self._pipe: IO[bytes] = process.stdin

    def dismiss(self) -> None:
        """All has been given back: it ends."""
        with contextlib.suppress(BrokenPipeError):  # somebody has killed it
            self._pipe.write(b".")
            self._pipe.close()
        try:
            self._process.wait(_START_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def let_it_work(self) -> None:
        """Something could not be given back: it goes on trying, while the run ends."""
        self._pipe.close()


def main(arguments: list[str]) -> int:
    """Waits; gives back if need be. Status 1 if that could not be done."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever ends all of a job's processes ends the run
    address, user = arguments
    os.write(1, b".")  # from now on a place is safe with it
    if os.read(0, 1):
        return 0
    from carryover.place.coordinator import Coordinator

    deadline = time.monotonic() + _LIMIT
    while time.monotonic() < deadline:
        try:
            with Coordinator(address, user) as coordinator:
                coordinator.give_all_back()
        except (BadInput, Infrastructure):
            time.sleep(_PAUSE)  # nothing tells when it is there again
        else:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
