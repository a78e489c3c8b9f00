# SPDX-License-Identifier: GPL-2.0-only
"""A Redfish BMC: sushy-tools' emulator, with a machine of ours behind it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import bcrypt
from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems.fakedriver import FakeDriver
from werkzeug.serving import make_server

from bmc.machine import PASSWORD, USERNAME, Machine

SYSTEM = "437xr1138r2"


class _Systems(FakeDriver):  # type: ignore[misc]
    """One system, whose power is the machine's."""

    machine: Machine

    def get_power_state(self, identity: str) -> str:
        self._get(identity)
        return "On" if self.machine.is_on else "Off"

    def set_power_state(self, identity: str, state: str) -> None:
        self._get(identity)
        if state == "On":
            self.machine.on()
        elif state == "ForceOff":
            self.machine.off()
        elif state == "ForceRestart":
            self.machine.reset()
        else:
            raise AssertionError(f"nobody should ask for {state}")


@dataclass
class RunningBmc:
    """Where it listens, and the certificate that it shows."""

    port: int
    certificate: Path


def make_certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that signed itself, for these names (DNS:NAME, IP:ADDRESS), and its key."""
    certificate, key = folder / "bmc.pem", folder / "bmc.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=bmc", "-out", str(certificate)]
    command += ["-keyout", str(key), "-addext", f"subjectAltName={','.join(names)}"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@contextlib.contextmanager
def redfish_bmc(machine: Machine, folder: Path, systems: int = 1) -> Iterator[RunningBmc]:
    """Runs one; its certificate is for 127.0.0.1."""
    certificate, key = make_certificate(folder, "IP:127.0.0.1")
    users = folder / "htpasswd"
    users.write_text(f"{USERNAME}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    names = [SYSTEM, *(f"another-{number}" for number in range(1, systems))]
    config: dict[str, Any] = {
        "SUSHY_EMULATOR_STATE_DIR": str(folder / "sushy"),
        "SUSHY_EMULATOR_FAKE_SYSTEMS": [
            {"uuid": name, "name": f"name of {name}", "power_state": "Off"} for name in names
        ],
        "SUSHY_EMULATOR_FEATURE_SET": "minimum",
    }
    main.app.config.update(config)
    driver = _Systems.initialize(main.app.config, main.app.logger)()
    driver.machine = machine
    with mock.patch.object(main.Application, "systems", driver):
        application = main.RedfishAuthMiddleware(main.app, str(users))
        server = make_server(
            "127.0.0.1", 0, application, threaded=True, ssl_context=(str(certificate), str(key))
        )
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), name="redfish", daemon=True
        )
        thread.start()
        try:
            yield RunningBmc(server.port, certificate)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
