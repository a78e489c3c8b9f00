# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from carryover.console.recorder import ConsoleRecorder
from carryover.errors import OutputFailed
from carryover.kernel.messages import Meaning
from carryover.observation import ConsoleLine, ConsoleLines, ConsoleState, Watch


def record(*pieces: bytes) -> tuple[list[str], list[ConsoleLine]]:
    ours, theirs = socket.socketpair()
    lines: list[str] = []
    watch = Watch()
    recorder = ConsoleRecorder(
        ours, lambda when, *new: lines.extend(f"{when:.3f} {line}" for line in new), watch
    )
    recorder.start()
    for piece in pieces:
        theirs.sendall(piece)
    theirs.close()
    assert recorder.join(5)
    seen: list[ConsoleLine] = []
    while not isinstance(observation := watch.next(time.monotonic()), ConsoleState):
        assert isinstance(observation, ConsoleLine)
        seen.append(observation)
    assert watch.health.console_lost == "it has ended"
    return lines, seen


def test_lines_are_written_down_with_time_and_posted() -> None:
    lines, seen = record(b"one\r\ntwo\r\n")
    assert [line.split(" ")[1] for line in lines] == ["one", "two"]
    assert [line.split(" ")[0] for line in lines] == [f"{line.time:.3f}" for line in seen]
    assert seen[0].time == pytest.approx(time.time(), abs=60)
    assert [line.text for line in seen] == ["one", "two"]


def test_a_line_may_come_in_pieces_and_be_cut_in_a_character() -> None:
    text = "BUG: unable to handle ünlucky\n".encode()
    at = text.index(b"\xc3") + 1
    _, seen = record(text[:5], text[5:at], text[at:])
    assert seen[0].text.endswith("ünlucky")
    assert seen[0].message is not None
    assert seen[0].message.meaning is Meaning.FAULT


def test_the_last_line_counts_without_its_end() -> None:
    lines, seen = record(b"whole\nBUG: unable to handle: no newline")
    assert len(lines) == 2
    assert seen[1].message is not None


def test_bytes_that_are_no_text_do_not_stop_it() -> None:
    lines, _ = record(b"\xff\xfe\x00bad\n", b"good\n")
    assert lines[-1].endswith("good")


def test_a_log_that_cannot_be_written_is_reported() -> None:
    def full(when: float, *lines: str) -> None:
        raise OutputFailed("console.log: No space left on device")

    ours, theirs = socket.socketpair()
    watch = Watch()
    recorder = ConsoleRecorder(ours, full, watch)
    recorder.start()
    theirs.sendall(b"x\n")
    with pytest.raises(OutputFailed, match="No space left"):
        watch.next(time.monotonic() + 5)
    theirs.close()


FLOOD = b"[ 9999.999999][ T9999] flood: the quick brown fox jumps over a lazy dog\n"
PANIC = (
    b"[    3.203337][   T61] Kernel panic - not syncing: sysrq triggered crash\r\n"
    b"[    3.203400][   T61] CPU: 0 UID: 0 PID: 61 Comm: carryover Not tainted 7.3.4\r\n"
    b"[    3.203500][   T61] Call Trace:\r\n"
    b"[    3.203600][   T61]  <TASK>\r\n"
    b"[    3.203700][   T61]  sysrq_handle_crash+0x1a/0x20\r\n"
    b"[    3.203900][   T61] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\r\n"
)


def flooded(data: bytes) -> tuple[int, Watch, list[str]]:
    """How many lines came, who watched, and what was written down."""
    reading, writing = os.pipe()
    written: list[str] = []
    watch = Watch()
    stream = os.fdopen(reading, "rb", buffering=0)
    recorder = ConsoleRecorder(stream, lambda when, *lines: written.extend(lines), watch)
    recorder.start()

    def write() -> None:
        with os.fdopen(writing, "wb") as console:
            console.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    count = 0
    for seen in iter(lambda: watch._take(time.monotonic() + 10), None):
        if isinstance(seen, ConsoleState):
            break
        count += len(seen.texts) if isinstance(seen, ConsoleLines) else 1
    writer.join()
    return count, watch, written


def test_a_panic_in_a_flood_is_found_whole() -> None:
    lines = PANIC.splitlines(keepends=True)
    data = FLOOD * 2000 + (FLOOD * 700).join(lines) + FLOOD * 2000
    count, watch, written = flooded(data)
    assert count == len(written) == data.count(b"\n")  # none is lost
    (fault,) = watch.oracle.faults()
    assert fault.report.kind.name == "panic"
    assert len(fault.report.lines) == len(lines)
    assert not any("flood" in line for line in fault.report.lines)
    assert watch.health.crash is not None


def test_a_flood_costs_little() -> None:
    """10 MB/s: half of a processor, and no more."""
    data = (FLOOD[:-1] + b"x" * 29 + b"\n") * 100_000
    before = time.process_time()
    count, _, _ = flooded(data)
    spent = time.process_time() - before
    assert count == 100_000
    assert len(data) / spent > 10e6, f"{spent:.2f} s of a processor for {len(data) >> 20} MiB"
