# SPDX-License-Identifier: GPL-2.0-only
"""A QMP client that never loses an event.

labgrid's own reads only while a command waits for its answer, and drops the events that it meets:
a RESET between two commands would go unseen.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import IO, Any

from carryover.errors import Infrastructure
from carryover.observation import MachineEvent, Watch

_ANSWER_LIMIT = 10.0


class QmpClient:
    """Speaks QMP over two pipes. Events go to the watch; `closed` is called at the end."""

    def __init__(self, from_qemu: IO[bytes], to_qemu: IO[bytes], watch: Watch) -> None:
        self._from = from_qemu
        self._to = to_qemu
        self._watch = watch
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="qmp", daemon=True)
        self._thread.start()
        greeting = self._answer("greeting")
        if "QMP" not in greeting:
            raise Infrastructure(f"QEMU's monitor does not greet: {greeting}")
        self.execute("qmp_capabilities")

    def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """Executes a command and returns its answer.

        Raises:
            Infrastructure: QEMU refuses it, is gone, or does not answer in time.
        """
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        with self._lock:
            try:
                self._to.write(json.dumps(request).encode() + b"\n")
                self._to.flush()
            except OSError as error:
                raise Infrastructure(f"QEMU's monitor is gone ({command})") from error
            answer = self._answer(command)
        if "error" in answer:
            raise Infrastructure(f"QEMU refuses {command}: {answer['error'].get('desc')}")
        return answer["return"]

    def join(self, timeout: float) -> None:
        """Waits until all events have been posted."""
        self._thread.join(timeout)

    def _answer(self, what: str) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=_ANSWER_LIMIT)
        except queue.Empty:
            raise Infrastructure(f"QEMU's monitor does not answer ({what})") from None
        if answer is None:
            self._answers.put(None)
            raise Infrastructure(f"QEMU's monitor is gone ({what})")
        return answer

    def _run(self) -> None:
        for line in self._from:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # not QMP: a library of QEMU's that prints
            if "event" in message:
                data = message.get("data", {})
                self._watch.post(MachineEvent(time.monotonic(), message["event"], data))
            else:
                self._answers.put(message)
        self._answers.put(None)
