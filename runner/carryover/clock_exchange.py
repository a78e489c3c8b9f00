# SPDX-License-Identifier: GPL-2.0-only
"""Asks the target what time it is, again and again, between two readings of our own clock."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carryover.errors import Infrastructure, ProtocolError
from carryover.events import Event, parse

_QUESTIONS = 40
_KEPT = 3  # of each bound


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
) -> Exchange:
    """Runs the verb `clock` on the target.

    Args:
        talk: Starts a command on the target, with pipes.
        command: That verb.
        limit: Seconds for all of it.
        raw: Gets each line as it came.

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
    first, last = answers[0], answers[-1]
    if last.tsc <= first.tsc:
        raise Infrastructure("the target's counter stands still")
    return Exchange(
        answers=closest(
            answers, tick := (last.monotonic - first.monotonic) / (last.tsc - first.tsc)
        ),
        kernel=kernel,
        tick_ns=tick,
        wall=time.time() - time.monotonic(),
    )


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
