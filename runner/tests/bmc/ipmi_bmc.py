# SPDX-License-Identifier: GPL-2.0-only
"""An IPMI BMC: OpenIPMI's ipmi_sim, with a machine of ours behind it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmc.machine import PASSWORD, USERNAME, Machine

_CHASSIS = """#!/bin/sh
exec {python} -S {script} {socket} "$@"
"""
# The first user is the one without a name.
_LAN = """name "bench"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_admin none md5 straight
    allowed_auths_operator none md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{chassis}"{sol}
  user 1 true "" "" user 10 none
  user 2 true "{username}" "{password}" operator 10 none md5 straight
"""
_BMC = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""
_START_LIMIT = 10.0


class _Chassis(socketserver.StreamRequestHandler):
    """One command of chassis_control.py: what ipmi_sim wants of the machine."""

    def handle(self) -> None:
        machine: Machine = self.server.machine  # type: ignore[attr-defined]
        words = self.rfile.readline().decode().split()
        if words == ["get", "power"]:
            self.wfile.write(f"power:{int(machine.is_on)}\n".encode())
        elif words == ["set", "power", "1"]:
            machine.on()
        elif words == ["set", "power", "0"]:
            machine.off()
        elif words[:2] == ["set", "reset"]:
            machine.reset()
        self.wfile.write(b"done\n")


@contextlib.contextmanager
def ipmi_bmc(machine: Machine, folder: Path, console_port: int = 0) -> Iterator[int]:
    """Runs one on a free UDP port of 127.0.0.1, and tells the port.

    Args:
        machine: What it switches.
        folder: For its files.
        console_port: Of the machine's telnet console, for serial over LAN; 0 if there is none.
    """
    for program in ("ipmi_sim", "ipmitool"):
        if shutil.which(program) is None:
            pytest.fail(f"there is no {program}; ci/setup --test installs it")
    path = folder / "chassis"
    with socketserver.ThreadingUnixStreamServer(str(path), _Chassis) as server:
        server.machine = machine  # type: ignore[attr-defined]
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), name="chassis", daemon=True
        )
        thread.start()
        try:
            yield from _simulator(folder, path, console_port)
        finally:
            server.shutdown()
            thread.join()


def _simulator(folder: Path, path: Path, console_port: int) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    script = folder / "chassis.sh"
    control = Path(__file__).with_name("chassis_control.py")
    script.write_text(_CHASSIS.format(python=sys.executable, script=control, socket=path))
    script.chmod(0o755)
    lan, bmc = folder / "lan.conf", folder / "bmc.emu"
    sol = f'\n  sol "telnet:127.0.0.1:{console_port}" 115200' if console_port else ""
    config = _LAN.format(port=port, chassis=script, username=USERNAME, password=PASSWORD, sol=sol)
    lan.write_text(config)
    bmc.write_text(_BMC)
    command = ["ipmi_sim", "-n", "-c", str(lan), "-f", str(bmc), "-s", str(folder / "state")]
    with (folder / "ipmi_sim.log").open("wb") as log:
        simulator = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_for_port(simulator, port, folder / "ipmi_sim.log")
        yield port
    finally:
        simulator.kill()
        simulator.wait()


def _wait_for_port(simulator: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """It says nothing when it is ready: there is only the kernel's list of ports to look at."""
    end = time.monotonic() + _START_LIMIT
    wanted = f"0100007F:{port:04X}"
    while wanted not in Path("/proc/net/udp").read_text():
        if simulator.poll() is not None or time.monotonic() > end:
            pytest.fail(f"ipmi_sim does not start: {log.read_text()}")
        time.sleep(0.02)
