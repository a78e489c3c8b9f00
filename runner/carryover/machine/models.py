# SPDX-License-Identifier: GPL-2.0-only
"""Device models: processes that are PCI devices, for QEMU's ``vfio-user-pci``.

Each is a ``carryover-model`` (drivers/vfio_user/program), with a socket that QEMU connects to, and
a log of all DMA, interrupts and resets of its device.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carryover.errors import Infrastructure
from carryover.machine.companion import Companion
from carryover.observation import MachineGone, Watch

# The variable that an environment names the folder of the sockets by.
MODELS = "CARRYOVER_MODELS"
_ANSWER_LIMIT = 5.0


class DeviceModels:
    """The models of one power cycle of a machine.

    Attributes:
        violations: After close(), what was done with the devices that their specifications forbid:
            a driver's fault, which its device may have survived.

    Args:
        program: ``carryover-model``.
        models: Which device, by the name of its socket. Options of ``carryover-model`` may follow:
            ``ioat,bandwidth=51200``.
        logs: Folder for what they log, NAME.jsonl, and what they complain of, NAME.log.
    """

    def __init__(self, program: str, models: Mapping[str, str], logs: Path) -> None:
        self._program = program
        self._models = dict(models)
        self._logs = logs
        self._running: dict[str, Companion] = {}
        self._logged: dict[str, int] = {}  # bytes of each log that are older than this object
        self.violations: list[str] = []
        # The name of a unix socket has 107 bytes at most: not below the output folder.
        self._folder = Path(tempfile.mkdtemp(prefix="carryover-models-"))

    @property
    def folder(self) -> Path:
        """Where the sockets are, by name."""
        return self._folder

    def start(self, watch: Watch) -> None:
        """Starts all; QEMU can connect then. One that ends before `close()` ends the machine.

        Raises:
            BadInput: The program cannot be run, or has no such device.
            Infrastructure: A model does not start.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        for name, device in self._models.items():
            self._start(name, device, watch)

    def _start(self, name: str, device: str, watch: Watch) -> None:
        log = self._logs / f"{name}.log"
        events = self._events(name)
        self._logged[name] = events.stat().st_size if events.exists() else 0
        kind, *options = device.split(",")
        words = [self._program, "--device", kind]
        for option in options:
            word, _, value = option.partition("=")
            words += [f"--{word}", value]
        words += ["--socket", str(self._folder / name)]
        words += ["--control", str(self._folder / f"{name}.control")]
        words += ["--log", str(events)]

        def died(how: str) -> None:
            watch.post(MachineGone(time.monotonic(), f"the device model {name} {how}"))

        self._running[name] = Companion(f"model {name} ({device})", words, log, died)

    def request(self, name: str, **faults: object) -> None:
        """Asks a model for faults: ``hung=True`` (drivers/vfio_user/program/control.h).

        Raises:
            Infrastructure: It refuses, or does not answer.
        """
        ours = self._folder / f"{name}.ours"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            asking.bind(str(ours))
            asking.settimeout(_ANSWER_LIMIT)
            try:
                asking.sendto(json.dumps(faults).encode(), str(self._folder / f"{name}.control"))
                answer: dict[str, Any] = json.loads(asking.recv(4096))
            except OSError as error:
                raise Infrastructure(f"model {name} does not answer: {error}") from error
            finally:
                ours.unlink()
        if "error" in answer:
            raise Infrastructure(f"model {name} refuses {faults}: {answer['error']}")

    def pid(self, name: str) -> int:
        """Of a model's process."""
        return self._running[name].pid

    def _events(self, name: str) -> Path:
        return self._logs / f"{name}.jsonl"

    def _read_violations(self, name: str) -> None:
        events = self._events(name)
        if not events.exists():
            return
        with events.open("rb") as log:
            log.seek(self._logged[name])
            for line in log:
                # The last line of a model that was killed may be cut short.
                if b'"violation"' in line and line.endswith(b"\n"):
                    event = json.loads(line)
                    if event["event"] == "violation":
                        self.violations.append(f"model {name}: {event['what']}")

    def close(self) -> None:
        """Ends all; QEMU is gone by then. Idempotent."""
        for running in self._running.values():
            running.ask_to_end()
        for running in self._running.values():
            running.end()
        for name in self._running:
            self._read_violations(name)
        self._running.clear()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder)
