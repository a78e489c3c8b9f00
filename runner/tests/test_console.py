# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

import socket
import time

import pytest

from carryover.console import ConsoleRecorder
from carryover.errors import OutputFailed
from carryover.kernel_messages import Meaning
from carryover.observation import ConsoleLine, DeadlineExpired, Watch


def record(*pieces: bytes) -> tuple[list[str], list[ConsoleLine]]:
    ours, theirs = socket.socketpair()
    lines: list[str] = []
    watch = Watch()
    recorder = ConsoleRecorder(ours, lambda when, line: lines.append(f"{when:.3f} {line}"), watch)
    recorder.start()
    for piece in pieces:
        theirs.sendall(piece)
    theirs.close()
    assert recorder.join(5)
    seen: list[ConsoleLine] = []
    with pytest.raises(DeadlineExpired):
        while True:
            observation = watch.next(time.monotonic())
            assert isinstance(observation, ConsoleLine)
            seen.append(observation)
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
    def full(when: float, line: str) -> None:
        raise OutputFailed("console.log: No space left on device")

    ours, theirs = socket.socketpair()
    watch = Watch()
    recorder = ConsoleRecorder(ours, full, watch)
    recorder.start()
    theirs.sendall(b"x\n")
    with pytest.raises(OutputFailed, match="No space left"):
        watch.next(time.monotonic() + 5)
    theirs.close()
