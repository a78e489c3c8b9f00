# SPDX-License-Identifier: GPL-2.0-only
"""labgrid's coordinator, exporter and client, on the loopback, as they are."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from conftest import RUNNER
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages

from carryover.place.coordinator import Coordinator

LIMIT = 30.0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """labgrid's processes do not tell when they are ready."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


@dataclass
class LabServices:
    """A coordinator, which keeps its places in a folder, and what speaks to it.

    Attributes:
        folder: Of the coordinator, and of logs.
        variables: Of each process.
    """

    folder: Path
    variables: dict[str, str] = field(
        default_factory=lambda: {**os.environ, "PYTHONPATH": str(RUNNER)}
    )
    address: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_coordinator(self) -> None:
        """Starts it, or starts it again; places are what it finds in the folder."""
        if not self.address:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.coordinator = self._start("coordinator", "-l", self.address)
        wait_until(self._listens, self.coordinator, self.folder / "coordinator.log")

    def start_exporter(self, name: str, file: Path, *groups: str) -> subprocess.Popen[bytes]:
        """Exports a file of resources, until the coordinator knows of these groups."""
        exporter = self._start("exporter", "-c", self.address, "-n", name, str(file))
        with Coordinator(self.address) as coordinator:
            wait_until(
                lambda: set(coordinator.session.resources.get(name, ())) >= set(groups),
                exporter, self.folder / "exporter.log",
            )  # fmt: skip
        return exporter

    def add_places(self, exporter: str, names: Sequence[str], **tags: str) -> None:
        """A place for each of these groups of an exporter."""
        with Coordinator(self.address) as coordinator:
            for name in names:
                match = f"{exporter}/{name}/*"
                coordinator.request("AddPlace", messages.AddPlaceRequest(name=name))
                coordinator.request(
                    "AddPlaceMatch", messages.AddPlaceMatchRequest(placename=name, pattern=match)
                )
                coordinator.set_tags(name, tags)

    def client(self, *arguments: str, user: str = "", status: int = 0) -> str:
        """What labgrid-client prints."""
        variables = {**self.variables, **({"LG_USERNAME": user} if user else {})}
        done = subprocess.run(
            [sys.executable, "-m", "labgrid.remote.client", "-x", self.address, *arguments],
            env=variables, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"labgrid.remote.{program}", *arguments],
                cwd=self.folder,  # where a coordinator keeps its places
                env=self.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def _listens(self) -> bool:
        host, _, port = self.address.partition(":")
        with socket.socket() as client:
            return client.connect_ex((host, int(port))) == 0


@contextmanager
def lab_services(folder: Path) -> Iterator[LabServices]:
    """With a coordinator that knows of nothing."""
    folder.mkdir(exist_ok=True)
    services = LabServices(folder)
    try:
        services.start_coordinator()
        yield services
    finally:
        services.stop()
