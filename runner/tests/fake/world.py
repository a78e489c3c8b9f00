# SPDX-License-Identifier: GPL-2.0-only
"""What the fake machine and the fake program share: one file, and two sockets to the machine."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

VARIABLE = "CARRYOVER_FAKE_WORLD"
# Lines with this text are in the kernel's log, and not on the console.
LOSES = "CARRYOVER_FAKE_LOSES"
_STAMPED = re.compile(r"\[ *(\d+)\.(\d+)\] (.*)")
KERNEL = "7.3.4-fake"


class World:
    """A folder with the state of a fake machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A process that outlives its power cycle must not be heard in the next one.
        self.cycle: int = self.state.get("cycle", 0)

    @classmethod
    def of_this_process(cls) -> World:
        """That of the place, if the machine is one of a place."""
        folder = Path(os.environ[VARIABLE]) / os.environ.get("LG_PLACE", "")
        folder.mkdir(exist_ok=True)
        return cls(folder)

    @property
    def state(self) -> dict[str, Any]:
        path = self.folder / "state.json"
        state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return state

    def update(self, **changes: Any) -> None:
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps({**self.state, **changes}))
        partial.replace(self.folder / "state.json")

    def power_on(self) -> None:
        """Another power cycle begins."""
        self.cycle += 1
        self.update(cycle=self.cycle)

    @property
    def console_socket(self) -> Path:
        return self.folder / f"console-{self.cycle}.sock"

    @property
    def machine_socket(self) -> Path:
        return self.folder / f"machine-{self.cycle}.sock"

    def reboot(self, *, nonce: str, kexec: bool) -> None:
        """A new kernel: cold, or through a kexec."""
        state = self.state
        number = state.get("boots", 0) + 1
        self.update(
            boots=number,
            boot_id=f"boot-{number}",
            nonce=nonce,
            tainted=0,
            counts_are_lost=False,
            kho_count=(state.get("kho_count") or 0) + 1 if kexec else 0,
            luo_number=(state.get("luo_number") or 0) + 1 if kexec else None,
        )
        self.log.write_text("")
        if not kexec:
            self.update(ledger=None, luo_number=None)

    @property
    def log(self) -> Path:
        """Of the kernel that runs: its stamped lines."""
        return self.folder / "kernel.log"

    def log_records(self) -> list[dict[str, Any]]:
        """What the kernel has logged, as the program tells it."""
        found = map(_STAMPED.match, self.log.read_text().splitlines())
        return [
            {
                "level": 4,
                "sequence": sequence,
                "time_us": int(match[1]) * 1_000_000 + int(f"{match[2]:0<6}"),
                "caller": "",
                "text": match[3],
            }
            for sequence, match in enumerate(found)
            if match
        ]

    def console(self, *lines: str) -> None:
        """The machine prints."""
        with self.log.open("a") as log:
            log.writelines(f"{line}\n" for line in lines if _STAMPED.match(line))
        if lost := os.environ.get(LOSES):
            lines = tuple(line for line in lines if lost not in line)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for line in lines:
                sender.sendto(f"{line}\r\n".encode(), str(self.console_socket))

    def machine(self, **event: Any) -> None:
        """QMP says something, or QEMU ends (``gone=...``)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(json.dumps(event).encode(), str(self.machine_socket))

    def sign_on(self) -> None:
        """What a kernel of the bench prints until it is ready."""
        state = self.state
        lines = [f"[    0.000000] Linux version {KERNEL} (fake)"]
        if state["kho_count"]:
            lines.append(f"[    0.1] KHO: exec from: {KERNEL} (count {state['kho_count']})")
            number = state["luo_number"]
            lines.append(f"[    0.2] luo: Retrieved live update data, liveupdate number: {number}")
        if fault := os.environ.get("CARRYOVER_FAKE_BOOT_FAULT"):
            lines.append(f"[    0.4] {fault}")
        lines.append("[    0.5] Run /init as init process")
        ready = f"carryover: target ready boot_id={state['boot_id']} nonce={state['nonce']}"
        self.console(*lines, ready)
