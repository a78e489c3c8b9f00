#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU with somebody between it and its console, who floods it or cuts it off.

Run as a program, it starts $CARRYOVER_FAULTY_QEMU with its own arguments, and hands on what the
machine prints, line by line. With $CARRYOVER_FLOOD it puts so many other lines between these that
there are 10 MB/s, and writes into that file how many. When the file $CARRYOVER_CUT appears, the
console ends.
"""

import fcntl
import json
import os
import re
import select
import sys
import time
from pathlib import Path

TEXT = "flood: "  # is in each line of a flood
_QEMU, _FLOOD, _CUT = "CARRYOVER_FAULTY_QEMU", "CARRYOVER_FLOOD", "CARRYOVER_CUT"
_CONSOLE = re.compile(r"/proc/self/fd/(\d+)")
_RATE = 11.5e6  # bytes a second: some more, for what is lost on a machine that does more
_LINE = (
    f"[ 9999.999999][ T9999] {TEXT}".encode() + b"the quick brown fox jumps over a lazy dog " * 2
)
_BLOCK = (_LINE[:99] + b"\n") * 500
_BUFFER = 1 << 20
_LOOK = 0.02  # seconds between two looks for the file


def flooding(report: Path) -> dict[str, str]:
    """Variables that let the bench run this instead of its QEMU, with a flood."""
    return {**_instead(), _FLOOD: str(report)}


def cutting(file: Path) -> dict[str, str]:
    """Likewise, with a console that ends when there is that file."""
    return {**_instead(), _CUT: str(file)}


def rate(report: Path) -> float:
    """MB/s of the power cycle that was flooded slowest; 0 if none was."""
    cycles = [json.loads(line) for line in report.read_text().splitlines()]
    return min((cycle["bytes"] / cycle["seconds"] / 1e6 for cycle in cycles), default=0.0)


def _instead() -> dict[str, str]:
    return {"CARRYOVER_QEMU": __file__, _QEMU: os.environ["CARRYOVER_QEMU"]}


def _flood(console: int, machine: int) -> tuple[int, float]:
    """Until the machine ends. Bytes and seconds of the flood."""
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


def _until_cut(console: int, machine: int, file: Path) -> None:
    """From then on, what the machine prints goes nowhere."""
    is_cut = False
    while True:
        readable, _, _ = select.select([machine], [], [], _LOOK)
        if not is_cut and file.exists():
            os.close(console)
            is_cut = True
        if readable:
            if not (data := os.read(machine, 65536)):
                return
            if not is_cut:
                _write(console, data)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _between(console: int, machine: int) -> None:
    if report := os.environ.get(_FLOOD):
        written, seconds = _flood(console, machine)
        with Path(report).open("a") as file:
            file.write(json.dumps({"bytes": written, "seconds": seconds}) + "\n")
    else:
        _until_cut(console, machine, Path(os.environ[_CUT]))


def _main() -> None:
    arguments = sys.argv[1:]
    at = next(n for n, word in enumerate(arguments) if _CONSOLE.search(word))
    match = _CONSOLE.search(arguments[at])
    assert match is not None
    console = int(match[1])
    ours, machine = os.pipe()
    if os.fork() == 0:
        os.close(machine)
        # These are QEMU's, and have to end with it.
        os.close(0)
        os.close(1)
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
