#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU whose console is flooded: what the machine prints goes through here, line by line.

Run as a program, it starts $CARRYOVER_FLOODED_QEMU with its own arguments. Between the lines of the
console it puts so many others that there are 10 MB/s, and writes down how many.
"""

import fcntl
import json
import os
import re
import select
import sys
import time
from pathlib import Path

_QEMU, _REPORT = "CARRYOVER_FLOODED_QEMU", "CARRYOVER_FLOOD_REPORT"
_CONSOLE = re.compile(r"/proc/self/fd/(\d+)")
_RATE = 10.5e6  # bytes a second
_LINE = b"[ 9999.999999][ T9999] flood: " + b"the quick brown fox jumps over a lazy dog " * 2
_BLOCK = (_LINE[:99] + b"\n") * 500
_BUFFER = 1 << 20


def variables(report: Path) -> dict[str, str]:
    """What lets the bench run this instead of its QEMU."""
    here = {"CARRYOVER_QEMU": __file__}
    return {**here, _QEMU: os.environ["CARRYOVER_QEMU"], _REPORT: str(report)}


def rate(report: Path) -> float:
    """MB/s of the power cycle that was flooded slowest."""
    cycles = [json.loads(line) for line in report.read_text().splitlines()]
    return min((cycle["bytes"] / cycle["seconds"] / 1e6 for cycle in cycles), default=0.0)


def _flood(console: int, machine: int) -> tuple[int, float]:
    """Until the machine ends. Bytes and seconds."""
    began = time.monotonic()
    written, partial = 0, b""
    while True:
        ahead = written / _RATE - (time.monotonic() - began)
        readable, _, _ = select.select([machine], [], [], max(0.0, ahead))
        if readable:
            data = os.read(machine, 65536)
            whole, newline, partial = (partial + data).rpartition(b"\n")
            _write(console, whole + newline if data else partial)
            if not data:
                return written, time.monotonic() - began
        elif ahead <= 0:
            _write(console, _BLOCK)
            written += len(_BLOCK)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _between(console: int, machine: int) -> None:
    written, seconds = _flood(console, machine)
    line = json.dumps({"bytes": written, "seconds": seconds}) + "\n"
    with Path(os.environ[_REPORT]).open("a") as report:
        report.write(line)


def _main() -> None:
    arguments = sys.argv[1:]
    at = next(n for n, word in enumerate(arguments) if _CONSOLE.search(word))
    match = _CONSOLE.search(arguments[at])
    assert match is not None
    console = int(match[1])
    ours, machine = os.pipe()
    if os.fork() == 0:
        os.close(machine)
        # QEMU's other files end with QEMU.
        for fd in (0, 1):
            os.close(fd)
        _between(console, ours)
        os._exit(0)
    os.close(ours)
    os.close(console)
    os.set_inheritable(machine, True)
    fcntl.fcntl(machine, fcntl.F_SETPIPE_SZ, _BUFFER)
    arguments[at] = arguments[at].replace(match[0], f"/proc/self/fd/{machine}")
    qemu = os.environ[_QEMU]
    os.execv(qemu, [qemu, *arguments])


if __name__ == "__main__":
    _main()
