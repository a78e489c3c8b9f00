# SPDX-License-Identifier: GPL-2.0-only
"""A process that sleeps until each tick, and does nothing else: how late a machine is by itself.

python -m carryover_ci.sleeper PROCESSOR HZ: by SCHED_FIFO on that processor, until SIGTERM, or for
a minute. Says `ready`, and in the end the worst lateness in milliseconds. It is no thread of a
program that does more, whose other threads would keep the interpreter from it.
"""

import os
import signal
import sys
import time

_LONGEST_S = 60


def _main(processor: int, hz: int) -> None:
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    worst = 0.0
    due = time.monotonic()
    end = due + _LONGEST_S
    while not ended and due < end:
        due += 1 / hz
        now = time.monotonic()
        if due > now:
            time.sleep(due - now)
            now = time.monotonic()
        worst = max(worst, now - due)
    sys.stdout.write(f"{worst * 1000:.3f}\n")


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
