# SPDX-License-Identifier: GPL-2.0-only
"""A bench machine in the hands of a simulated BMC: powered by real requests, and recovered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_run import variables_missing
from bmc.bench_machine import BOOT_LIMIT, BenchMachine
from bmc.ipmi_bmc import ipmi_bmc
from bmc.machine import PASSWORD
from bmc.redfish_bmc import redfish_bmc
from test_bmc_power import ipmi_driver, redfish_driver

from carryover.machine.power_ladder import MachineSick, PowerLadder, rungs_of
from carryover.power.bmc import BmcPowerDriver

pytestmark = pytest.mark.bench


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchMachine]:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)
    machine = BenchMachine(tmp_path)
    try:
        yield machine
    finally:
        machine.end()


@pytest.fixture(params=["redfish", "ipmi"])
def power(
    request: pytest.FixtureRequest, machine: BenchMachine, tmp_path: Path
) -> Iterator[BmcPowerDriver]:
    with contextlib.ExitStack() as stack:
        if request.param == "redfish":
            yield redfish_driver(stack.enter_context(redfish_bmc(machine, tmp_path)))
        else:
            yield ipmi_driver(stack.enter_context(ipmi_bmc(machine, tmp_path)))


def ladder_of(
    machine: BenchMachine, power: BmcPowerDriver, told: list[str], limit: float = BOOT_LIMIT
) -> PowerLadder:
    def journal(step: str, **_: Any) -> None:
        """Nobody resumes this."""

    # The bench's console is write-only: it takes no sysrq.
    rungs = rungs_of(lambda: machine.ssh.reboot(5.0), None, power, delay=0.1)
    return PowerLadder(rungs, limit, journal, told.append)


def test_on_off_cycle_reset(machine: BenchMachine, power: BmcPowerDriver) -> None:
    power.on()
    boots = [machine.wait_until_ready()]
    assert power.get() is True
    for act in (power.cycle, power.reset):
        machine.watch.begin_anew()
        act()
        boots.append(machine.wait_until_ready())
    assert len(set(boots)) == 3
    power.off()
    assert power.get() is False
    assert not machine.is_on


def test_a_hung_machine_is_back_by_a_power_cycle(
    machine: BenchMachine, power: BmcPowerDriver
) -> None:
    power.on()
    before = machine.wait_until_ready()
    machine.connect()
    machine.hang()
    told: list[str] = []
    after = ladder_of(machine, power, told).climb(machine.watch, "it was stopped", before)
    assert after != before
    assert told[0] == "SSH reboot: SSH: the target took no command within 5 s"
    assert told[1] == "sysrq: left out: the target's console cannot send a break"
    assert told[2].startswith("power cycle: back after ")
    assert len(told) == 3
    machine.ssh.drop()
    machine.run("true")


@pytest.mark.parametrize("power", ["redfish"], indirect=True)
def test_a_machine_whose_ssh_is_lost_is_back_by_a_power_cycle(
    machine: BenchMachine, power: BmcPowerDriver
) -> None:
    power.on()
    before = machine.wait_until_ready()
    machine.run("busybox killall dropbear")
    machine.ssh.drop()
    machine.ssh.connection_timeout = 3.0
    told: list[str] = []
    assert ladder_of(machine, power, told).climb(machine.watch, "SSH is lost", before) != before
    assert told[0].startswith("SSH reboot: SSH to the target fails: ")
    assert told[2].startswith("power cycle: back after ")
    assert len(told) == 3


@pytest.mark.parametrize("power", ["redfish"], indirect=True)
def test_a_machine_that_is_well_reboots_over_ssh(
    machine: BenchMachine, power: BmcPowerDriver
) -> None:
    power.on()
    before = machine.wait_until_ready()
    machine.connect()
    told: list[str] = []
    assert ladder_of(machine, power, told).climb(machine.watch, "for a try", before) != before
    assert [line.partition(" after")[0] for line in told] == ["SSH reboot: back"]


def test_a_bmc_that_does_not_answer_leaves_a_sick_machine(
    machine: BenchMachine, power: BmcPowerDriver
) -> None:
    power.on()
    before = machine.wait_until_ready()
    machine.connect()
    machine.hang()
    power.bmc.port, power.request_limit = 9, 1.0
    told: list[str] = []
    with pytest.raises(MachineSick) as sick:
        ladder_of(machine, power, told, limit=1).climb(machine.watch, "it was stopped", before)
    assert "the machine is sick: it was stopped\n  SSH reboot: " in str(sick.value)
    assert str(sick.value).count("127.0.0.1:9: ") == 2
    assert PASSWORD not in str(sick.value)
