# SPDX-License-Identifier: GPL-2.0-only
"""BMCs that are slow, broken or old, and what a user is told of them."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bmc.machine import PASSWORD
from bmc.redfish_bmc import RunningBmc, make_certificate
from test_bmc_power import redfish_driver

from carryover.errors import BadInput, Infrastructure

SYSTEM = "/redfish/v1/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"


class Script:
    """What a BMC answers, and what it was told.

    Attributes:
        power: What PowerState says, one after the other; the last stays.
        reset_types: Those that it knows; None: it does not tell.
        status: Of every answer, with `body` if it is not 200.
    """

    def __init__(self) -> None:
        self.power = ["On"]
        self.reset_types: list[str] | None = None
        self.status = 200
        self.body = b""
        self.pause = 0.0  # seconds before each byte
        self.posted: list[tuple[str, str]] = []
        self.failures = 0  # so many requests fail first, once something was posted

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.posted and self.failures:
            self.failures -= 1
            return 503, b"busy"
        if self.status != 200 or self.body:
            return self.status, self.body
        if path == "/redfish/v1/Systems":
            return 200, json.dumps({"Members": [{"@odata.id": SYSTEM}]}).encode()
        action: dict[str, Any] = {"target": RESET}
        if self.reset_types is not None:
            action["ResetType@Redfish.AllowableValues"] = self.reset_types
        power = self.power.pop(0) if len(self.power) > 1 else self.power[0]
        system = {"PowerState": power, "Actions": {"#ComputerSystem.Reset": action}}
        return 200, json.dumps(system).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    script: Script

    def do_GET(self) -> None:
        self._send(*self.script.answer(self.path))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.script.posted.append((self.path, body["ResetType"]))
        self._send(204, b"")

    def _send(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        if not self.script.pause:
            self.wfile.write(head + body)
            return
        for byte in head + body:
            time.sleep(self.script.pause)
            try:
                self.wfile.write(bytes([byte]))
            except OSError:  # the other side has had enough
                return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def bmc(tmp_path: Path, script: Script) -> Iterator[RunningBmc]:
    certificate, key = make_certificate(tmp_path, "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = type("Scripted", (Handler,), {"script": script})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield RunningBmc(server.server_port, certificate)
        server.shutdown()
        thread.join()


def test_a_cycle_that_the_bmc_does_itself(bmc: RunningBmc, script: Script) -> None:
    script.reset_types = ["On", "ForceOff", "PowerCycle"]
    script.power = ["On", "On", "Off", "PoweringOn", "On"]
    redfish_driver(bmc).cycle()
    assert script.posted == [(RESET, "PowerCycle")]
    assert script.power == ["On"]


def test_a_bmc_that_knows_only_force_on(bmc: RunningBmc, script: Script) -> None:
    script.reset_types = ["ForceOn", "ForceOff"]
    script.power = ["Off", "Off", "On"]
    redfish_driver(bmc).on()
    assert script.posted == [(RESET, "ForceOn")]


def test_a_bmc_that_does_not_tell_what_it_knows(bmc: RunningBmc, script: Script) -> None:
    script.power = ["On", "On", "PoweringOff", "Off"]
    redfish_driver(bmc).off()
    assert script.posted == [(RESET, "ForceOff")]


def test_a_bmc_that_cannot(bmc: RunningBmc, script: Script) -> None:
    script.reset_types = ["GracefulShutdown"]
    power = redfish_driver(bmc)
    with pytest.raises(Infrastructure, match=r"target main: .*it cannot switch its machine off"):
        power.off()
    with pytest.raises(Infrastructure, match="it cannot reset its machine; use a cycle"):
        power.reset()
    assert script.posted == []


def test_a_machine_on_its_way_has_power(bmc: RunningBmc, script: Script) -> None:
    script.power = ["PoweringOff"]
    assert redfish_driver(bmc).get() is True


def test_a_bmc_that_is_busy_while_it_switches(bmc: RunningBmc, script: Script) -> None:
    script.failures = 2
    script.power = ["On", "On", "Off"]
    redfish_driver(bmc).off()
    assert script.failures == 0


def test_a_bmc_that_stays_busy(bmc: RunningBmc, script: Script) -> None:
    script.failures = 1000
    with pytest.raises(Infrastructure, match=r"is not after 0\.7 s; .*503 Said"):
        redfish_driver(bmc, power_limit=0.7).off()


@pytest.mark.parametrize("pause", [3.0, 0.02], ids=["silent", "a-byte-now-and-then"])
def test_a_bmc_that_is_slow(bmc: RunningBmc, script: Script, pause: float) -> None:
    """Neither is waited for; the second answers each single read in time."""
    script.pause = pause
    begin = time.monotonic()
    with pytest.raises(Infrastructure, match=r"no whole answer within 0\.4 s"):
        redfish_driver(bmc, request_limit=0.4).get()
    assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (403, b"", BadInput, "user 'operator' may not do this .*Operator"),
        (301, b"", Infrastructure, "301 Said"),
        (500, b'{"error": {"message": "it is ' + PASSWORD.encode() + b'"}}', Infrastructure,
         r"500 Said: it is \*\*\*$"),
        (400, b'{"error": {"message": "x", "@Message.ExtendedInfo": [{"Message": "do y"}]}}',
         Infrastructure, "400 Said: do y$"),
        (200, b"<html>", Infrastructure, "no JSON object; is this a Redfish service"),
        (200, b"[1]", Infrastructure, "no JSON object"),
        (200, b"{}", Infrastructure, "Systems has no Members"),
        (200, b'{"Members": [], "x": 1}', BadInput, r"name its `system`, it has 0 \(none\)"),
    ],
)  # fmt: skip
def test_answers_that_are_none(
    bmc: RunningBmc, script: Script, status: int, body: bytes, kind: type[Exception], said: str
) -> None:
    script.status, script.body = status, body
    with pytest.raises(kind, match=said) as refused:
        redfish_driver(bmc).get()
    assert str(refused.value).startswith("target main: RedfishBmc 127.0.0.1:")
    assert PASSWORD not in str(refused.value)


def test_a_power_state_that_nobody_knows(bmc: RunningBmc, script: Script) -> None:
    script.power = ["Melting"]
    with pytest.raises(Infrastructure, match=f"{SYSTEM} has PowerState 'Melting'"):
        redfish_driver(bmc).get()


def test_a_port_that_does_not_speak_tls(tmp_path: Path, script: Script) -> None:
    certificate, _ = make_certificate(tmp_path, "IP:127.0.0.1")
    handler = type("Scripted", (Handler,), {"script": script})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with pytest.raises(Infrastructure, match=r"TLS fails: .*is this the port of HTTPS"):
            redfish_driver(RunningBmc(server.server_port, certificate)).get()
        server.shutdown()
