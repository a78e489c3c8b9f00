# SPDX-License-Identifier: GPL-2.0-only
"""The console of a machine that is not ours: read from the run's begin to its end.

A link that is lost is opened again, as often as it takes. That it was lost is in console.log, and
nothing is concluded from the silence meanwhile (Watch.silence).
"""

from __future__ import annotations

import codecs
import contextlib
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import attr
from labgrid.driver import Driver

from carryover.console.recorder import ConsoleRecorder, LineSink
from carryover.errors import BadInput, Infrastructure, OutputFailed
from carryover.observation import ConsoleState, Observation, ReaderFailed, Watch

# Seconds between two attempts to open a link.
_AGAIN = 1.0
_STOP_LIMIT = 10.0


class ConsoleLink(Protocol):
    """An open way to a console. What fails raises OSError."""

    def read(self) -> bytes:
        """What has come; empty if nothing did within half a second."""

    def write(self, data: bytes) -> object: ...
    def send_break(self) -> None: ...
    def close(self) -> None: ...


@attr.s(eq=False)
class RecordedConsole(Driver):  # type: ignore[misc]
    """A machine's console, however one gets to it."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Which console of which target, for messages."""

    @property
    def can_break(self) -> bool:
        """Whether a break can be sent, which sysrq needs."""
        return True

    @abstractmethod
    def open_link(self) -> ConsoleLink:
        """Opens a way to it, within seconds.

        Raises:
            BadInput: The environment is wrong.
            Infrastructure: It cannot be opened now.
        """


class _Nobody(Watch):
    """Watches when no power cycle does: what is read is only written down."""

    def post(self, seen: Observation) -> None:
        pass


class LabConsoleRecorder(ConsoleRecorder):
    """One reader for all power cycles of a run, whatever becomes of its links.

    Attributes:
        link: The way to the console that is open now; None if it is lost.
    """

    def __init__(
        self, open_link: Callable[[], ConsoleLink], sink: LineSink, again: float = _AGAIN
    ) -> None:
        """Opens the first link.

        Args:
            open_link: RecordedConsole.open_link().
            sink: Gets each line.
            again: Seconds between two attempts to open a link.

        Raises:
            BadInput, Infrastructure: As RecordedConsole.open_link().
        """
        self.link: ConsoleLink | None = open_link()
        super().__init__(_NoStream(), sink, _Nobody())
        self._open_link = open_link
        self._again = again
        self._lost = ""
        self._stop = threading.Event()

    def hand_to(self, watch: Watch | None) -> None:
        """Lines that are read from now on are posted there; None: nowhere."""
        self._watch = watch or _Nobody()
        if self._lost:
            self._watch.post(ConsoleState(time.time(), self._lost))

    def stop(self) -> None:
        """The reader ends, and the link with it. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_LIMIT)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self.link is not None:
                    self._read(self.link)
                else:
                    self._reopen()
        except OutputFailed as error:
            self._watch.post(ReaderFailed(error))
        finally:
            self._close()

    def _read(self, link: ConsoleLink) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        why = ""
        try:
            while not self._stop.is_set():
                self._feed(decoder.decode(link.read()), last=False)
        except OSError as error:
            why = str(error) or type(error).__name__
        self._feed(decoder.decode(b"", final=True), last=True)
        if why:
            self._close()
            self._say(why, f"the console is lost: {why}")

    def _reopen(self) -> None:
        since = time.monotonic()
        while not self._stop.wait(self._again):
            try:
                self.link = self._open_link()
            except (Infrastructure, BadInput):
                continue  # it is known to be lost
            missed = time.monotonic() - since
            self._say("", f"the console is back; what it said in {missed:.1f} s is missing here")
            return

    def _say(self, lost: str, text: str) -> None:
        self._lost = lost
        self._sink(time.time(), f"carryover: {text}")
        self._watch.post(ConsoleState(time.time(), lost))

    def _close(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            with contextlib.suppress(OSError):  # it is given up for that
                link.close()


class _NoStream:
    """Links are opened and closed by the reader itself."""

    def fileno(self) -> int:
        raise OSError("no stream")

    def close(self) -> None: ...
