# SPDX-License-Identifier: GPL-2.0-only
"""Somebody takes the place of a run: with labgrid's own programs, on the loopback."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from carryover_ci.fault_run import FaultRun
from carryover_ci.run import Failure

PLACE = "bench-1"
_LIMIT = 30.0
_RESOURCES = re.compile(r"^    resources:\n.*?(?=^    drivers:)", re.MULTILINE | re.DOTALL)
_DEVICE = {"cls": "PciTestDevice", "id": "8086:10c9", "driver": "igb"}
_EXPORTS = {
    PLACE: {
        "NetworkService": {"address": "127.0.0.1", "username": "root"},
        "igb0": {**_DEVICE, "address": "0000:01:00.0"},
        "igb1": {**_DEVICE, "address": "0000:02:00.0"},
    }
}


class Lab:
    """A coordinator with one place, whose machine is the bench's."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder, self.address = folder, address

    def client(self, *words: str, user: str) -> str:
        """What labgrid-client prints when this user asks."""
        done = subprocess.run(
            [sys.executable, "-m", "labgrid.remote.client", "-x", self.address, *words],
            env={**os.environ, "LG_USERNAME": user},
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        if done.returncode != 0:
            raise Failure(f"labgrid-client {' '.join(words)}: {done.stdout}{done.stderr}".strip())
        return done.stdout

    def program(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """One of labgrid's that goes on running."""
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"labgrid.remote.{name}", *words],
                cwd=self._folder,  # where a coordinator keeps its places
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """It is ended with the block."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    one = Lab(folder, f"127.0.0.1:{port}")
    exports = folder / "exporter.yaml"
    exports.write_text(json.dumps(_EXPORTS))  # which is YAML, too
    running = []
    try:
        running.append(one.program("coordinator", "-l", one.address))
        _until(lambda: _listens(port), "labgrid's coordinator does not listen")
        running.append(one.program("exporter", "-c", one.address, "-n", "bench", str(exports)))
        there = f"bench/{PLACE}/NetworkService"
        _until(lambda: there in one.client("resources", user="lab"), "nothing is exported")
        one.client("-p", PLACE, "create", user="lab")
        one.client("-p", PLACE, "add-match", f"bench/{PLACE}/*", user="lab")
        yield one
    finally:
        for process in running:
            process.kill()
            process.wait()


def place_stolen(run: FaultRun, test: str) -> tuple[int, float]:
    """While the test is verified, somebody has the place released, and acquires it.

    Returns the exit status, and when that was.
    """
    text = run.environment.read_text()
    place = "    resources:\n    - RemotePlace: {name: !template $LG_PLACE}\n"
    run.environment.write_text(_RESOURCES.sub(place, text))
    with lab(run.folder / "lab") as one:
        run.start("--coordinator", one.address, "--place", PLACE)
        run.wait_for(event="start", name=test, half="verify")
        when = time.time()
        one.client("-p", PLACE, "release", "--kick", user="mallory")
        with contextlib.suppress(Failure):  # the run may be over before
            one.client("-p", PLACE, "acquire", user="mallory")
        status = run.finish()
        if "was taken from this run" not in run.printed:
            raise Failure("the run does not say that its place was taken")
    return status, when


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _until(condition: Callable[[], bool], what: str) -> None:
    """labgrid's programs do not tell when they are ready."""
    end = time.monotonic() + _LIMIT
    while not condition():
        if time.monotonic() > end:
            raise Failure(what)
        time.sleep(0.05)
