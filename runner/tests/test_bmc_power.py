# SPDX-License-Identifier: GPL-2.0-only
"""Power by a BMC, over Redfish and over IPMI: by real requests to simulated BMCs."""

from __future__ import annotations

import base64
import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bmc.ipmi_bmc import ipmi_bmc
from bmc.machine import PASSWORD, USERNAME, PaperMachine
from bmc.redfish_bmc import SYSTEM, RunningBmc, redfish_bmc
from labgrid import Target

from carryover.errors import BadInput, Infrastructure
from carryover.power.bmc import BmcPowerDriver
from carryover.power.ipmi import IpmiPowerDriver
from carryover.power.redfish import RedfishPowerDriver
from carryover.resources import IpmiBmc, RedfishBmc

WRONG = "wr0ng-staple"


@dataclass
class Desk:
    """A machine, its BMC, and how to get a driver of it."""

    machine: PaperMachine
    driver: Callable[..., BmcPowerDriver]


def redfish_driver(
    running: RunningBmc, host: str = "127.0.0.1", system: str = "", **arguments: Any
) -> RedfishPowerDriver:
    target = Target("main")
    where: dict[str, Any] = {"name": "bmc", "host": host, "port": running.port, "system": system}
    RedfishBmc(target, **where)
    given: dict[str, Any] = {"username": USERNAME, "password_variable": "BMC_PASSWORD"}
    given |= {"delay": 0.01, "ca_file": str(running.certificate)}
    driver = RedfishPowerDriver(target, "power", **(given | arguments))
    target.activate(driver)
    return driver


def ipmi_driver(port: int, host: str = "127.0.0.1", **arguments: Any) -> IpmiPowerDriver:
    target = Target("main")
    where: dict[str, Any] = {"name": "bmc", "host": host, "port": port}
    IpmiBmc(target, **where)
    given: dict[str, Any] = {"username": USERNAME, "password_variable": "BMC_PASSWORD"}
    given |= {"delay": 0.01, "cipher_suite": 3}  # the simulator knows no newer one
    driver = IpmiPowerDriver(target, "power", **(given | arguments))
    target.activate(driver)
    return driver


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)


@pytest.fixture
def redfish(tmp_path: Path) -> Iterator[RunningBmc]:
    with redfish_bmc(PaperMachine(), tmp_path) as running:
        yield running


@pytest.fixture(params=["redfish", "ipmi"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    machine = PaperMachine()
    if request.param == "redfish":
        with redfish_bmc(machine, tmp_path) as running:
            yield Desk(machine, lambda **arguments: redfish_driver(running, **arguments))
    else:
        with ipmi_bmc(machine, tmp_path) as port:
            yield Desk(machine, lambda **arguments: ipmi_driver(port, **arguments))


def test_on_off_cycle_reset_get(desk: Desk) -> None:
    power, machine = desk.driver(), desk.machine
    assert power.get() is False
    power.on()
    assert machine.is_on
    assert power.get() is True
    power.reset()
    power.cycle()
    assert machine.done == ["on", "reset", "off", "on"]
    power.off()
    assert not machine.is_on
    assert power.get() is False


def test_on_and_off_do_nothing_twice(desk: Desk) -> None:
    power = desk.driver()
    power.off()
    power.on()
    power.on()
    power.off()
    assert desk.machine.done == ["on", "off"]


def test_a_machine_that_is_off_is_on_after_cycle_and_reset(desk: Desk) -> None:
    power = desk.driver()
    power.cycle()
    power.off()
    power.reset()
    assert desk.machine.done == ["on", "off", "on"]


def test_a_password_from_a_file(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    assert desk.driver(password_variable="", password_file=str(file)).get() is False


@pytest.mark.parametrize("given", [{"username": "nobody"}, {}], ids=["user", "password"])
def test_wrong_credentials(
    desk: Desk, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BMC_PASSWORD", WRONG)
    with pytest.raises(BadInput) as refused:
        desk.driver(**given).on()
    said = str(refused.value)
    assert f"does not let user '{given.get('username', USERNAME)}' in" in said
    assert "target main: " in said
    assert "check username and" in said
    assert desk.machine.done == []


def test_a_password_file_that_is_not_there(desk: Desk) -> None:
    with pytest.raises(BadInput, match=r"target main: .*password_file /nowhere: No such file"):
        desk.driver(password_variable="", password_file="/nowhere").on()


def test_a_machine_that_does_not_go_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    power = desk.driver(power_limit=1.2)
    power.on()
    monkeypatch.setattr(desk.machine, "off", lambda: None)
    with pytest.raises(Infrastructure, match=r"told to switch off, and is not after 1\.2 s"):
        power.off()


def command_lines() -> str:
    """Of all processes, as anybody can read them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:  # it has ended
            continue
    return "\n".join(found)


def shows(secret: str, text: str) -> bool:
    """As it is, or as HTTP sends it."""
    encoded = base64.b64encode(f"{USERNAME}:{secret}".encode()).decode()
    return secret in text or encoded in text


def all_that_a_traceback_tells(error: Exception) -> str:
    """With the variables of each frame, but for this test's own."""
    assert error.__traceback__ is not None
    frames = error.__traceback__.tb_next
    told = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    return "".join(told.format())


@pytest.mark.parametrize("secret", [PASSWORD, WRONG])
def test_the_secret_shows_nowhere(
    desk: Desk,
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Command lines while requests run, logs, output, and tracebacks with all their variables."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("BMC_PASSWORD", secret)
    seen: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.002):
            seen.append(command_lines())

    watcher = threading.Thread(target=look)
    watcher.start()
    power = desk.driver(request_limit=10)
    try:
        for action in (power.on, power.get, power.off):
            try:
                action()
            except BadInput as error:
                seen.append(all_that_a_traceback_tells(error))
    finally:
        stop.set()
        watcher.join()
    output = capfd.readouterr()
    everything = [*seen, repr(power), repr(vars(power)), caplog.text, output.out, output.err]
    assert [text for text in everything if shows(secret, text)] == []
    if isinstance(power, IpmiPowerDriver):
        assert any("ipmitool" in text and "lanplus" in text for text in seen), "nothing was seen"


def test_the_secret_is_not_in_the_frames_of_a_request_that_fails(
    redfish: RunningBmc, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("ssl.SSLSocket.sendall", fail)
    with pytest.raises(Infrastructure, match="Broken pipe; check `host`") as refused:
        redfish_driver(redfish).get()
    assert not shows(PASSWORD, all_that_a_traceback_tells(refused.value))


def test_nobody_there(desk: Desk) -> None:
    power = desk.driver(request_limit=1)
    power.bmc.port = 9  # discard
    with pytest.raises(Infrastructure, match=r"target main: .*:9") as refused:
        power.get()
    assert "reachable" in str(refused.value) or "check `host` and `port`" in str(refused.value)


def test_a_host_that_has_no_address(desk: Desk) -> None:
    with pytest.raises(Infrastructure, match=r"no address.*check `host`"):
        desk.driver(host="nowhere.invalid").get()


def test_a_certificate_of_nobody_we_trust(redfish: RunningBmc) -> None:
    with pytest.raises(BadInput, match=r"certificate is not accepted: self-signed.*ca_file"):
        redfish_driver(redfish, ca_file="").get()


def test_a_certificate_for_another_host(redfish: RunningBmc) -> None:
    with pytest.raises(BadInput, match="certificate is not accepted: Hostname mismatch"):
        redfish_driver(redfish, host="localhost").get()


def test_verification_is_switched_off_explicitly(redfish: RunningBmc) -> None:
    assert redfish_driver(redfish, host="localhost", ca_file="", verify=False).get() is False


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("hello", "no certificate")])
def test_a_ca_file_that_is_none(
    redfish: RunningBmc, tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput, match=f"ca_file {file}: {said}"):
        redfish_driver(redfish, ca_file=str(file)).get()


def test_a_system_by_its_id(redfish: RunningBmc) -> None:
    assert redfish_driver(redfish, system=SYSTEM).get() is False


def test_a_system_that_does_not_exist(redfish: RunningBmc) -> None:
    with pytest.raises(BadInput, match=f"it has no system 'blade9'; it has {SYSTEM}"):
        redfish_driver(redfish, system="blade9").on()


def test_two_systems_and_none_is_named(tmp_path: Path) -> None:
    with (
        redfish_bmc(PaperMachine(), tmp_path, systems=2) as running,
        pytest.raises(BadInput, match=f"name its `system`, it has 2 .*{SYSTEM}"),
    ):
        redfish_driver(running).on()


@pytest.fixture
def ipmi(tmp_path: Path) -> Iterator[int]:
    with ipmi_bmc(PaperMachine(), tmp_path) as port:
        yield port


def test_a_password_that_ipmi_cannot_have(ipmi: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMC_PASSWORD", "0123456789" * 3)
    with pytest.raises(BadInput, match=r"longer than IPMI's 20 bytes"):
        ipmi_driver(ipmi).get()


def test_the_user_s_own_variable_of_ipmitool_does_not_count(
    ipmi: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPMITOOL_PASSWORD", WRONG)
    monkeypatch.setenv("IPMI_PASSWORD", WRONG)
    assert ipmi_driver(ipmi).get() is False


def test_a_cipher_suite_that_the_bmc_does_not_know(ipmi: int) -> None:
    with pytest.raises(BadInput, match=r"does not know cipher suite 17; .*cipher_suite: 3"):
        ipmi_driver(ipmi, cipher_suite=17).get()


def test_no_ipmitool(ipmi: int, monkeypatch: pytest.MonkeyPatch) -> None:
    power = ipmi_driver(ipmi)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match=r"ipmitool: No such file.*install ipmitool"):
        power.get()


@pytest.mark.parametrize(
    ("last_words", "kind", "said"),
    [
        ("Set Chassis Power Control to Up/On failed: Insufficient privilege level", BadInput,
         "user 'operator' may not do this; it has to be Operator"),
        ("RAKP 2 message indicates an error : unauthorized role or privilege level requested",
         BadInput, "unauthorized role"),
        ("IANA PEN registry open failed: No such file\nSomething new", Infrastructure,
         "status: Something new$"),
        ("", Infrastructure, "ipmitool failed silently"),
    ],
)  # fmt: skip
def test_what_ipmitool_says(
    tmp_path: Path,
    last_words: str,
    kind: type[Exception],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the simulator never says."""
    tool = tmp_path / "ipmitool"
    tool.write_text(f"#!/bin/sh\necho '{last_words}' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(kind, match=said):
        ipmi_driver(1).get()
