# SPDX-License-Identifier: GPL-2.0-only
"""The examples of docs/lab.md: real requests through labgrid's coordinator, exporter and client."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import attr
import pytest
from bmc.ipmi_bmc import ipmi_bmc
from bmc.machine import PASSWORD, USERNAME, PaperMachine
from bmc.redfish_bmc import SYSTEM, RunningBmc, redfish_bmc
from conftest import RUNNER
from lab_services import LIMIT, lab_services
from labgrid import Environment
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.util.yaml import load

from carryover.console.serial_port import SerialConsoleDriver
from carryover.console.sol import IpmiSolConsoleDriver
from carryover.environment import check, check_targets
from carryover.errors import BadInput
from carryover.machine.deployer import KernelDeployer
from carryover.machine.lab import LabMachineDriver
from carryover.power.ipmi import IpmiPowerDriver
from carryover.power.redfish import RedfishPowerDriver
from carryover.resources import IpmiBmc, RedfishBmc

PAGE = RUNNER.parent / "docs" / "lab.md"
EXAMPLES = PAGE.with_name("examples") / "lab"
PLACES = ("rack3-07", "rack3-08")


def test_the_environment_is_sound() -> None:
    assert set(check_targets(EXAMPLES / "power.yaml")["targets"]) == {*PLACES, "desk"}


def test_the_machine_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    file = EXAMPLES / "machine.yaml"
    for name in re.findall(r"\$(CARRYOVER_\w+)", file.read_text()):
        monkeypatch.setenv(name, str(EXAMPLES))
    check(file, files=True)
    strategy = Environment(str(file)).get_target().get_driver("KexecStrategy", activate=False)
    assert isinstance(strategy.machine, LabMachineDriver)
    assert isinstance(strategy.machine.console, SerialConsoleDriver)
    assert isinstance(strategy.machine.power, RedfishPowerDriver)
    with pytest.raises(BadInput, match=r"target main: KernelDeployer\.kernel: "):
        strategy.check()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("boot_limit: 300", "boot_limits: 3", "unknown key `boot_limits`; was `boot_limit` meant?"),
        ("boot_limit: 300", "leave: off", "LabMachineDriver.leave is False"),
        ("SerialConsoleDriver: {}", "SerialConsoleDriver: {open_limit: 0}", "open_limit is 0"),
        ("kernel: $CARRYOVER", "kernels: $CARRYOVER", "was `kernel` meant?"),
        ("program: $CARRYOVER_PROGRAM", "folder: here", "KernelDeployer.folder is 'here'"),
        (
            "    - LabMachineDriver:\n        boot",
            "    - LabDriver:\n        boot",
            "no such driver",
        ),
    ],
)
def test_a_mistake_in_a_machine(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (EXAMPLES / "machine.yaml").read_text()
    assert old in text
    file = tmp_path / "machine.yaml"
    file.write_text(text.replace(old, new))
    with pytest.raises(BadInput) as refused:
        check(file, files=False)
    assert said in str(refused.value)
    assert re.search(rf"^{file}:\d+: targets\.main\.", str(refused.value))


def test_what_is_exported_is_what_we_have() -> None:
    with (EXAMPLES / "exporter.yaml").open() as file:
        groups = load(file)
    assert set(groups) == set(PLACES)
    for resources in groups.values():
        for name, arguments in resources.items():
            cls = arguments.pop("cls", name)
            target_factory.make_resource(None, cls, None, arguments)


def is_part(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return all(any(is_part(one, other) for other in whole) for one in part)
    if isinstance(part, Template) and isinstance(whole, Template):
        return part.template == whole.template
    return bool(part == whole)


def test_the_page_shows_the_examples(tmp_path: Path) -> None:
    examples = [load(path.open()) for path in EXAMPLES.glob("*.yaml")]
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        assert any(is_part(load(file.open()), example) for example in examples), block


@pytest.mark.parametrize(
    "cls",
    [
        RedfishBmc,
        IpmiBmc,
        RedfishPowerDriver,
        IpmiPowerDriver,
        LabMachineDriver,
        SerialConsoleDriver,
        IpmiSolConsoleDriver,
        KernelDeployer,
    ],
)
def test_the_page_tells_every_argument(cls: type[Any]) -> None:
    page = PAGE.read_text()
    for field in attr.fields(cls):
        if field.init and field.name not in ("target", "name"):
            assert f"`{field.name}`" in page
            if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
                rows = [row for row in page.splitlines() if f"`{field.name}`" in row]
                assert any(f" {field.default:g}" in row for row in rows)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("username: root", "user: root", "unknown key `user`; was `username` meant?"),
        ("username: root", "", "RedfishPowerDriver: `username` is missing"),
        ("verify: false", "verify: none", "RedfishPowerDriver.verify is 'none'"),
        ("verify: false", "request_limit: 0", "request_limit is 0"),
        ("verify: false", "power_limit: soon", "power_limit is 'soon'"),
        ("host: 192.0.2.7", "host: https://192.0.2.7/", "RedfishBmc.host is 'https://192.0.2.7/'"),
        ("host: 192.0.2.7", "port: 1", "RedfishBmc: `host` is missing"),
        ("host: 192.0.2.7", "host: a\n        port: 70000", "RedfishBmc.port is 70000"),
        ("host: 192.0.2.7", "host: a\n        system: 1", "RedfishBmc.system is 1"),
        ("host: 192.0.2.7", "host: a\n        system: a/b", "RedfishBmc.system is 'a/b'"),
        ("RedfishPowerDriver:", "RedfishDriver:", "was `RedfishPowerDriver` meant?"),
    ],
)
def test_a_mistake_in_it(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (EXAMPLES / "power.yaml").read_text()
    assert old in text
    file = tmp_path / "power.yaml"
    file.write_text(text.replace(old, new))
    with pytest.raises(BadInput) as refused:
        check_targets(file)
    assert said in str(refused.value)
    assert re.search(rf"^{file}:\d+: targets\.", str(refused.value))


@dataclass
class Lab:
    """The examples, with simulated BMCs in place of those of example hosts."""

    folder: Path
    machine: PaperMachine
    redfish: RunningBmc
    ipmi: int
    coordinator: str = ""

    @property
    def environment(self) -> Path:
        return self.folder / "power.yaml"

    @property
    def variables(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(RUNNER), "CARRYOVER_SECRETS": str(self.folder)}

    def write(self) -> None:
        """The examples, as they are but for hosts, ports, and what the simulators cannot do."""
        ports = {"rack3-07": self.redfish.port, "rack3-08": self.ipmi}
        exporter = (EXAMPLES / "exporter.yaml").read_text().replace('"1"', SYSTEM)
        for place in PLACES:
            host = f"host: {place}-bmc.lab.example"
            assert host in exporter
            exporter = exporter.replace(host, f"host: 127.0.0.1\n    port: {ports[place]}")
            password = self.folder / place
            password.write_text(f"{PASSWORD}\n")
            password.chmod(0o600)
        (self.folder / "exporter.yaml").write_text(exporter)
        text = (EXAMPLES / "power.yaml").read_text()
        text = text.replace("username: carryover", f"username: {USERNAME}")
        text = text.replace("username: root", f"username: {USERNAME}")
        text = text.replace(
            "host: 192.0.2.7", f"host: 127.0.0.1\n        port: {self.redfish.port}"
        )
        text = text.replace("IpmiPowerDriver:", "IpmiPowerDriver:\n        cipher_suite: 3")
        self.environment.write_text(text)
        (self.folder / "lab-ca.pem").write_bytes(self.redfish.certificate.read_bytes())

    def client(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "labgrid.remote.client", "-x", self.coordinator]
        command += ["-c", str(self.environment), *arguments]
        done = subprocess.run(
            command, env=self.variables, capture_output=True, text=True, timeout=LIMIT
        )
        assert PASSWORD not in done.stdout + done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    machine = PaperMachine()
    with redfish_bmc(machine, tmp_path) as redfish, ipmi_bmc(machine, tmp_path) as ipmi:
        lab = Lab(tmp_path, machine, redfish, ipmi)
        lab.write()
        yield lab


@pytest.fixture
def shared_lab(lab: Lab) -> Iterator[Lab]:
    """With a coordinator, which knows of the exporter's BMCs."""
    with lab_services(lab.folder) as services:
        lab.coordinator = services.address
        services.start_exporter("rack3", lab.folder / "exporter.yaml", *PLACES)
        yield lab


def test_power_of_places(shared_lab: Lab) -> None:
    lab = shared_lab
    for place in PLACES:
        lab.client("-p", place, "create")
        lab.client("-p", place, "add-match", f"rack3/{place}/*")
    lab.client("-p", PLACES[0], "acquire")  # those of the environment, all of them
    for place in PLACES:
        lab.machine.done.clear()
        lab.client("-p", place, "power", "on")
        assert lab.machine.done == ["on"]
        assert f"power for place {place} is on" in lab.client("-p", place, "power", "get")
        lab.client("-p", place, "power", "off")
        assert lab.machine.done == ["on", "off"]
    logs = [path.read_text(errors="replace") for path in lab.folder.glob("*.log")]
    assert not any(PASSWORD in text for text in logs)


def test_the_machine_on_the_desk(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_BMC_PASSWORD", PASSWORD)
    target = Environment(str(lab.environment)).get_target("desk")
    power = target.get_driver(PowerProtocol)
    power.cycle()
    assert lab.machine.done == ["on"]
