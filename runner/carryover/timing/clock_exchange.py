# SPDX-License-Identifier: GPL-2.0-only
"""Asks the target what time it is, again and again, between two readings of our own clock."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carryover.errors import Infrastructure, ProtocolError
from carryover.events import Event, parse

_QUESTIONS = 40
_KEPT = 3  # of each bound
_SLOPES = 101


@dataclass(frozen=True, slots=True)
class Answer:
    """One question and its answer.

    Attributes:
        sent: Our CLOCK_MONOTONIC before the question, nanoseconds.
        tsc: What the target's counter said between.
        monotonic: What the target's CLOCK_MONOTONIC said.
        received: Ours after the answer.
    """

    sent: int
    tsc: int
    monotonic: int
    received: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of some questions.

    Attributes:
        answers: Those that bound the target's clock most closely, in order.
        kernel: What the kernel stamped: [counter before, stamp in microseconds, counter after].
        tick_ns: Nanoseconds of a tick of the counter, by the target's CLOCK_MONOTONIC.
        wall: Our wall clock less our CLOCK_MONOTONIC, seconds.
    """

    answers: list[Answer]
    kernel: list[list[int]]
    tick_ns: float
    wall: float


def exchange(
    talk: Callable[[str], subprocess.Popen[bytes]],
    command: str,
    limit: float,
    raw: Callable[[str], None],
    known: Sequence[tuple[int, int]] = (),
) -> Exchange:
    """Runs the verb `clock` on the target.

    Args:
        talk: Starts a command on the target, with pipes.
        command: That verb.
        limit: Seconds for all of it.
        raw: Gets each line as it came.
        known: More pairs of the target's CLOCK_MONOTONIC (nanoseconds) and its counter, of this
            boot: by those of some seconds it is better known how fast the counter runs.

    Raises:
        Infrastructure: The target gives no answers, or has no such counter.
    """
    process = talk(command)
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        with contextlib.closing(_Conversation(process, raw)) as conversation:
            kernel, answers = conversation.hold()
    except (OSError, ProtocolError) as error:
        raise Infrastructure(f"the target's clock cannot be asked: {error}") from error
    finally:
        timer.cancel()
    pairs = [*known, *((answer.monotonic, answer.tsc) for answer in answers)]
    tick = tick_of(pairs)
    return Exchange(
        answers=closest(answers, tick),
        kernel=kernel,
        tick_ns=tick,
        wall=time.time() - time.monotonic(),
    )


def tick_of(pairs: Sequence[tuple[int, int]]) -> float:
    """Nanoseconds of a tick, from readings of CLOCK_MONOTONIC and, just behind it, of the counter.

    A process may have been interrupted between the two: the median of many slopes does not mind.

    Raises:
        Infrastructure: The counter stands still.
    """
    ticks = sorted(pairs, key=lambda pair: pair[1])
    begin, end = ticks[0][1], ticks[-1][1]
    third = (end - begin) // 3
    if third <= 0:
        raise Infrastructure("the target's counter stands still")
    early = [pair for pair in ticks if pair[1] <= begin + third]
    late = [pair for pair in ticks if pair[1] >= end - third]
    count = min(len(early), len(late), _SLOPES)
    chosen = zip(_evenly(early, count), _evenly(late, count), strict=True)
    return statistics.median((b[0] - a[0]) / (b[1] - a[1]) for a, b in chosen)


def _evenly(pairs: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    return [pairs[index * len(pairs) // count] for index in range(count)]


def closest(answers: Sequence[Answer], tick_ns: float) -> list[Answer]:
    """Those answers that bound the clock most closely, on either side."""
    zero = answers[0].tsc
    late = sorted(answers, key=lambda a: a.received - (a.tsc - zero) * tick_ns)[:_KEPT]
    early = sorted(answers, key=lambda a: a.sent - (a.tsc - zero) * tick_ns)[-_KEPT:]
    return [answer for answer in answers if answer in late or answer in early]


class _Conversation:
    def __init__(self, process: subprocess.Popen[bytes], raw: Callable[[str], None]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._raw = process, raw
        self._questions, self._answers = process.stdin, process.stdout

    def hold(self) -> tuple[list[list[int]], list[Answer]]:
        kernel: list[list[int]] = []
        while (event := self._read()[0]).kind != "clock":
            if event.kind == "kernel-clock":
                kernel.append([event.number(key) for key in ("before", "time_us", "after")])
            elif event.kind in ("error", "end"):
                raise ProtocolError(event.text("message", "it says nothing of it"))
        if "tsc" not in event.fields:
            raise ProtocolError("its processor has no counter that runs through a kexec")
        return kernel, [self._ask(number) for number in range(_QUESTIONS)]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._questions.close()
        with contextlib.suppress(OSError, ProtocolError):
            while self._read()[0].kind != "end":
                pass
        # What ends by itself costs a shared connection nothing.
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _ask(self, number: int) -> Answer:
        sent = time.monotonic_ns()
        self._questions.write(b"%d\n" % number)
        event, received = self._read()
        if event.kind != "clock" or event.text("echo") != str(number):
            raise ProtocolError(f"{event.kind} is no answer to question {number}")
        return Answer(sent, event.number("tsc"), event.number("t"), received)

    def _read(self) -> tuple[Event, int]:
        line = self._answers.readline()
        received = time.monotonic_ns()
        if not line.endswith(b"\n"):
            raise ProtocolError("the connection has ended")
        text = line.decode(errors="replace").rstrip("\n")
        self._raw(text)
        return parse(text), received
