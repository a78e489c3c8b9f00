# SPDX-License-Identifier: GPL-2.0-only
"""What a person sees on standard error while things are built: one line a step, kept alive.

On a terminal the running steps share one line that is redrawn; elsewhere each step says how far it
is every ten seconds. A step that had nothing to do is not mentioned.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_WORTH_TELLING_S = 0.5
_REDRAW_S = 0.2
_REPEAT_S = 10.0


class Step:
    """One running step. `update()` says how far it is."""

    def __init__(self, progress: "Progress", name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.text = ""
        self.told = self.started
        self._progress = progress

    def update(self, text: str) -> None:
        """Say what is being done now; cheap, may be called for each line of a compiler."""
        self.text = text
        self._progress.changed(self)

    def line(self) -> str:
        """The step as it is now."""
        return f"{self.name} {time.monotonic() - self.started:.0f} s  {self.text}"


class Progress:
    """Shows steps that may run in several threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._running: list[Step] = []
        self._drawn = 0.0
        self._told: set[str] = set()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step from the start of the block to its end, with the time it took."""
        step = Step(self, name)
        with self._lock:
            self._running.append(step)
        ended = "failed"
        try:
            yield step
            ended = "done"
        finally:
            seconds = time.monotonic() - step.started
            with self._lock:
                self._running.remove(step)
                if seconds >= _WORTH_TELLING_S or ended == "failed":
                    self._write(f"  {name:<10} {seconds:7.1f} s  {ended}  {step.text}")

    def tell(self, name: str, text: str) -> None:
        """A decision that a person should know of, once however often it is taken."""
        with self._lock:
            if text not in self._told:
                self._told.add(text)
                self._write(f"  {name:<10} {text}")

    def changed(self, step: Step) -> None:
        """Redraw, if it is time."""
        now = time.monotonic()
        with self._lock:
            if self._terminal and now - self._drawn >= _REDRAW_S:
                self._drawn = now
                text = "   ".join(running.line() for running in self._running)
                self._stream.write(f"\r\033[K  {text[:110]}")
                self._stream.flush()
            elif not self._terminal and now - step.told >= _REPEAT_S:
                step.told = now
                self._write(f"  {step.name:<10} {now - step.started:7.1f} s        {step.text}")

    def _write(self, line: str) -> None:
        erase = "\r\033[K" if self._terminal else ""
        self._stream.write(f"{erase}{line.rstrip()}\n")
        self._stream.flush()
