# SPDX-License-Identifier: GPL-2.0-only
"""Runs on a machine that nobody started for them: it dies, and the ladder brings it back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench_run import variables_missing
from bmc.ipmi_bmc import ipmi_bmc
from bmc.machine import PASSWORD, USERNAME
from bmc.redfish_bmc import redfish_bmc
from conftest import Run
from lab.bench import LabBenchMachine, LabRun
from lab.console_server import ConsoleServer
from test_on_bench import wait_for_console

pytestmark = pytest.mark.bench


@dataclass
class Lab:
    """A machine that runs, and what a controller has of it."""

    machine: LabBenchMachine
    run: LabRun
    variables: dict[str, str]
    console: ConsoleServer | None = None

    def start(self, *tests: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        program = self.variables["CARRYOVER_PROGRAM"]
        command = self.run.command(program, *tests, options=options)
        return self.run.start(*command, variables=self.variables)

    def test(self, *tests: str, options: tuple[str, ...] = ()) -> Run:
        run = self.run.end_of(self.start(*tests, options=options))
        assert PASSWORD not in run.output
        return run

    def recovered(self) -> list[str]:
        """The rungs by which the machine came back, in order."""
        entries = map(json.loads, (self.run.out / "journal.jsonl").read_text().splitlines())
        return [entry["rung"] for entry in entries if entry["step"] == "recovered"]


def machine_in(stack: contextlib.ExitStack, folder: Path) -> tuple[LabBenchMachine, LabRun]:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    machine = LabBenchMachine(folder)
    stack.callback(machine.end)
    password = folder / "rack3-07"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    return machine, LabRun(folder, machine)


def variables(folder: Path) -> dict[str, str]:
    return {**os.environ, "CARRYOVER_SECRETS": str(folder)}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """By Redfish and ser2net, as docs/examples/lab/machine.yaml has it. The machine is on."""
    with contextlib.ExitStack() as stack:
        machine, run = machine_in(stack, tmp_path)
        console = ConsoleServer(machine.console_port)
        stack.callback(console.stop)
        bmc = stack.enter_context(redfish_bmc(machine, tmp_path))
        run.edit(
            "host: console1.lab.example\n        port: 7007",
            f"host: 127.0.0.1\n        port: {console.port}",
        )
        run.edit("host: rack3-07-bmc.lab.example", f"host: 127.0.0.1\n        port: {bmc.port}")
        run.edit("ca_file: lab-ca.pem", f"ca_file: {bmc.certificate}")
        run.edit("username: carryover", f"username: {USERNAME}")
        machine.on()
        machine.contact()
        yield Lab(machine, run, variables(tmp_path), console)


def test_a_machine_that_is_well_reboots_in_good_order_and_is_put_back(lab: Lab) -> None:
    before = lab.machine.contact().boot_id
    run = lab.test("IsSound", "CorruptsOneByte", "IgbContinuity::OneMiB")
    assert run.verdicts == {
        "IgbContinuity.OneMiB": "PASS",
        "HiddenFault.IsSound": "PASS",
        "HiddenFault.CorruptsOneByte": "FAIL",
    }, run.output
    assert run.status == 1
    assert lab.recovered() == ["SSH reboot", "SSH reboot"]
    sound = run.results["HiddenFault.IsSound"]
    boots = [sound["cold_boot"], *sound["kexecs"]]
    assert all("carryover.nonce=" in boot["cmdline"] for boot in boots)
    after = lab.machine.contact().boot_id
    assert after not in {before, *(boot["boot_id"] for boot in boots)}
    assert "nonce" not in lab.machine.said_over_ssh("cat /proc/cmdline")
    driver = lab.machine.said_over_ssh("readlink /sys/bus/pci/devices/0000:01:00.0/driver")
    assert driver.strip().endswith("/igb")


@pytest.fixture
def quick(lab: Lab) -> Lab:
    """What is under test has all files by itself: fewer are copied."""
    lab.run.edit("/var/lib/carryover/carryover-selftests", "/usr/bin/carryover-selftests")
    lab.run.edit("/var/lib/carryover/kernel", "/boot/bzImage")
    lab.run.edit("/var/lib/carryover/initrd", "/boot/initramfs")
    return lab


def seconds_to_verdict(run: Run, name: str, text: str) -> float:
    """From the last line of the console that has this text to the verdict."""
    began = next(r["time"] for r in run.records if r["event"] == "begin")
    lines = (run.out / "console.log").read_text().splitlines()
    last = [float(line[1:].partition("]")[0]) for line in lines if text in line]
    verdict = float(run.results[name]["time"]) - float(began)
    return verdict - last[-1]


def test_a_panic_is_told_within_5_s_and_the_run_goes_on(quick: Lab) -> None:
    """Its kernel stops for good: the BMC has to help."""
    run = quick.test("PanicsWhileArming", "IsSound")
    assert run.verdicts == {"HiddenFault.PanicsWhileArming": "PANIC", "HiddenFault.IsSound": "PASS"}
    assert quick.recovered() == ["SSH reboot", "power cycle", "power cycle", "SSH reboot"], (
        run.output
    )
    assert "SSH reboot: left out: its kernel has stopped" in run.output
    seconds = seconds_to_verdict(run, "HiddenFault.PanicsWhileArming", "end Kernel panic")
    assert 0 < seconds < 5, seconds


def test_a_reset_is_told_and_the_machine_comes_back_by_itself(quick: Lab) -> None:
    run = quick.test("ResetsInVerify", "IsSound")
    assert run.verdicts == {"HiddenFault.ResetsInVerify": "RESET", "HiddenFault.IsSound": "PASS"}
    assert quick.recovered() == ["SSH reboot", "by itself"], run.output


def test_an_incoming_kernel_that_hangs_is_reset_by_sysrq(quick: Lab) -> None:
    run = quick.test("IsSound", options=("--carryover-append", "carryover.fault=hang"))
    assert run.verdicts == {"HiddenFault.IsSound": "HANG"}
    assert quick.recovered() == ["SSH reboot", "sysrq"], run.output


def test_a_machine_that_stops_dead_is_power_cycled(quick: Lab) -> None:
    """No instruction is executed any more: neither SSH nor sysrq works."""
    process = quick.start("HangsInVerify", options=("--carryover-reruns", "0"))
    wait_for_console(quick.run.out, "target ready", times=3)
    quick.machine.hang()
    run = quick.run.end_of(process)
    assert run.verdicts == {"HiddenFault.HangsInVerify": "HANG"}, run.output
    assert quick.recovered() == ["SSH reboot", "power cycle"], run.output


def test_without_its_console_a_death_is_not_told(quick: Lab) -> None:
    assert quick.console is not None
    process = quick.start("PanicsInVerify")
    wait_for_console(quick.run.out, "target ready", times=2)
    quick.console.cut()
    run = quick.run.end_of(process)
    assert run.verdicts == {"HiddenFault.PanicsInVerify": "INFRA"}, run.output


def test_serial_over_lan(tmp_path: Path) -> None:
    """The console and the power by IPMI; the machine's own kernel is the one under test."""
    with contextlib.ExitStack() as stack:
        machine, lab_run = machine_in(stack, tmp_path)
        port = stack.enter_context(ipmi_bmc(machine, tmp_path, machine.console_port))
        lab_run.edit("    - RedfishBmc:", "    - IpmiBmc:")
        lab_run.edit("host: rack3-07-bmc.lab.example", f"host: 127.0.0.1\n        port: {port}")
        text = lab_run.environment.read_text()
        text = re.sub(r"    - NetworkSerialPort:\n(        .*\n)+", "", text)
        user = f"username: {USERNAME}\n        password_file: {tmp_path}/rack3-07\n"
        user += "        cipher_suite: 3"
        text = re.sub(
            r"    - RedfishPowerDriver:\n(        .*\n)+    - SerialConsoleDriver: {}\n",
            f"    - IpmiPowerDriver:\n        {user}\n"
            f"    - IpmiSolConsoleDriver:\n        {user}\n",
            text,
        )
        text = re.sub(r"    - KernelDeployer:\n(        .*\n)+", "", text)
        lab_run.environment.write_text(text)
        lab_run.edit("/var/lib/carryover/carryover-selftests", "/usr/bin/carryover-selftests")
        lab_run.edit("/var/lib/carryover/kernel", "/boot/bzImage")
        lab_run.edit("/var/lib/carryover/initrd", "/boot/initramfs")
        machine.on()
        machine.contact()
        lab = Lab(machine, lab_run, variables(tmp_path))
        run = lab.test("IsSound", "PanicsInVerify")
    assert run.verdicts == {"HiddenFault.IsSound": "PASS", "HiddenFault.PanicsInVerify": "PANIC"}
    assert lab.recovered() == ["SSH reboot", "power cycle"], run.output
    sound = run.results["HiddenFault.IsSound"]
    assert "nonce" not in sound["cold_boot"]["cmdline"]
    assert "carryover.nonce=" in sound["kexecs"][0]["cmdline"]
