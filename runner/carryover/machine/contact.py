# SPDX-License-Identifier: GPL-2.0-only
"""Contact: which boot of a machine answers over SSH, asked again and again while it boots.

A distribution does not tell on its console that it can be reached, and a console can be lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from carryover.errors import Infrastructure, OutputFailed
from carryover.kernel.messages import KernelMessage, Meaning
from carryover.observation import Reached, ReaderFailed, Watch

_INTERVAL = 0.5  # seconds between two attempts: there is nothing that one could wait on
_LIMIT = 5.0  # seconds for one attempt
_SLACK = 2.0  # seconds: a kernel's clock begins a little before it is asked to run

# What is run on the target for it.
QUESTION = "cat /proc/sys/kernel/random/boot_id; uname -r; cat /proc/uptime"


@dataclass(frozen=True, slots=True)
class Contact:
    """Who answered.

    Attributes:
        boot_id: Of the boot.
        release: Of its kernel, `uname -r`.
        uptime: Seconds since that kernel began.
    """

    boot_id: str
    release: str
    uptime: float

    @classmethod
    def from_answer(cls, text: str) -> Contact:
        """From what QUESTION prints. Raises Infrastructure if that is something else."""
        try:
            boot_id, release, times = text.splitlines()[-3:]
            return cls(boot_id.strip(), release.strip(), float(times.split()[0]))
        except (ValueError, IndexError):
            raise Infrastructure(f"SSH: the target answers with nonsense: {text[:200]!r}") from None


class ContactSeeker:
    """Asks until it is stopped, and posts each answer of a boot that is not the known one.

    Args:
        ask: Asks once, within a number of seconds; TargetSSHDriver.contact().
        watch: Hears of each answer, as Reached.
        known: Boot id of the boot that is over, whose late answers are none; empty if that is not
            known: then a kernel that began before this object did is that of the old boot.
        any_boot: Every boot's answer is posted.
    """

    def __init__(
        self,
        ask: Callable[[float], Contact],
        watch: Watch,
        known: str = "",
        *,
        any_boot: bool = False,
    ) -> None:
        self._ask = ask
        self._watch = watch
        self._known = known
        self._any_boot = any_boot
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.last_error = ""
        self._thread = threading.Thread(target=self._run, name="contact", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nothing is posted after return; an attempt under way is not waited for."""
        with self._lock:
            self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._ask(_LIMIT)
            except Infrastructure as error:
                self.last_error = str(error)
            except OSError as error:
                self._watch.post(ReaderFailed(error))
                return
            else:
                if self._is_wanted(found):
                    self._post(found)
            self._stop.wait(_INTERVAL)

    def _is_wanted(self, found: Contact) -> bool:
        if self._any_boot:
            return True
        if self._known:
            return found.boot_id != self._known
        return found.uptime < time.monotonic() - self._began + _SLACK

    def _post(self, found: Contact) -> None:
        text = f"SSH leads to boot {found.boot_id} of Linux {found.release}"
        values = {"boot_id": found.boot_id, "release": found.release}
        message = KernelMessage(Meaning.TARGET_READY, text, values)
        with self._lock:
            if self._stop.is_set():
                return
            try:
                self._watch.post(Reached(time.time(), message))
            except OutputFailed as error:
                self._watch.post(ReaderFailed(error))
