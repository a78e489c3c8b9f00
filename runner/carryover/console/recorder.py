# SPDX-License-Identifier: GPL-2.0-only
"""The console recorder: one reader, from before power-on to the end; matching is done elsewhere."""

from __future__ import annotations

import codecs
import os
import threading
import time
from typing import Protocol

from carryover.errors import OutputFailed
from carryover.kernel.messages import plain, recognise, recognise_all
from carryover.observation import ConsoleLine, ConsoleLines, ConsoleState, ReaderFailed, Watch

# Lines that come at once and are more are a flood.
_FLOOD = 50


class LineSink(Protocol):
    """Gets lines, without the newline, and the wall clock (time.time()) when they were read."""

    def __call__(self, when: float, *lines: str) -> object: ...


class Stream(Protocol):
    """What is read: a file or a socket."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


class ConsoleRecorder:
    """Reads a pipe or socket to its end, and closes it: each line is written down, then posted."""

    def __init__(self, stream: Stream, sink: LineSink, watch: Watch) -> None:
        self._stream = stream
        self._sink = sink
        self._watch = watch
        self._partial = ""
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)

    def start(self) -> None:
        """Starts the reader."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Waits until all that the machine said is recorded. False if it is still open."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        try:
            while True:
                try:
                    data = os.read(self._stream.fileno(), 65536)
                except ConnectionResetError:
                    data = b""  # QEMU was killed
                self._feed(decoder.decode(data, final=not data), last=not data)
                if not data:
                    self._stream.close()
                    self._watch.post(ConsoleState(time.time(), "it has ended"))
                    return
        except OSError as error:
            self._watch.post(ReaderFailed(OutputFailed(f"console.log: {error.strerror}")))
        except OutputFailed as error:
            self._watch.post(ReaderFailed(error))

    def _feed(self, text: str, *, last: bool) -> None:
        *lines, self._partial = (self._partial + text.replace("\r", "")).split("\n")
        if last and self._partial:
            lines.append(self._partial)
            self._partial = ""
        if len(lines) > _FLOOD:
            self._flood(lines)
            return
        for line in lines:
            now = time.time()
            shown = plain(line)
            self._sink(now, shown)
            self._watch.post(ConsoleLine(now, shown, recognise(shown)))

    def _flood(self, lines: list[str]) -> None:
        """What needs no closer look is posted together."""
        now = time.time()
        shown = plain("\n".join(lines)).split("\n")
        self._sink(now, *shown)
        done = 0
        for number, message in recognise_all(shown).items():
            if number > done:
                self._watch.post(ConsoleLines(now, shown[done:number]))
            self._watch.post(ConsoleLine(now, shown[number], message))
            done = number + 1
        if done < len(shown):
            self._watch.post(ConsoleLines(now, shown[done:]))
