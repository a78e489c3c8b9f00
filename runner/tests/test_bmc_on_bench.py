# SPDX-License-Identifier: GPL-2.0-only
"""A bench machine in the hands of a simulated BMC: powered by real requests, and recovered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attr
import pytest
from bench_run import ENVIRONMENT, variables_missing
from bmc.ipmi_bmc import ipmi_bmc
from bmc.machine import PASSWORD
from bmc.redfish_bmc import redfish_bmc
from labgrid import Environment
from labgrid.factory import target_factory
from test_bmc_power import ipmi_driver, redfish_driver

from carryover.bench import BenchDriver
from carryover.bmc_power import BmcPowerDriver
from carryover.environment import check
from carryover.journal import start_time
from carryover.observation import ConsoleLine, Observation, Watch
from carryover.power_ladder import MachineSick, PowerLadder, rungs_of
from carryover.remote import TargetSSHDriver

pytestmark = pytest.mark.bench

BOOT_LIMIT = 40.0


@target_factory.reg_driver
@attr.s(eq=False)
class RebootingBenchDriver(BenchDriver):
    """A bench machine that goes through a reset, as hardware does."""

    def get_qemu_base_args(self) -> list[str]:
        return [word for word in super().get_qemu_base_args() if word != "-no-reboot"]


class ConsoleAlone(Watch):
    """Hands on what can be seen of a machine that is not our process."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def post(self, seen: Observation) -> None:
        if isinstance(seen, ConsoleLine):
            self._watch.post(seen)


class BenchMachine:
    """What the BMC has in hand.

    Its QEMU dies with the thread that started it (prctl(2), PR_SET_PDEATHSIG): that is one of its
    own, not that of a request.
    """

    def __init__(self, folder: Path) -> None:
        environment = folder / "bench.yaml"
        text = ENVIRONMENT.read_text()
        environment.write_text(text.replace("- BenchDriver:", "- RebootingBenchDriver:"))
        check(environment, files=True)
        self.target = Environment(str(environment)).get_target()
        self.bench: RebootingBenchDriver = self.target.get_driver(BenchDriver, activate=False)
        self.ssh: TargetSSHDriver = self.target.get_driver(TargetSSHDriver, activate=False)
        self._folder = folder
        self._console = (folder / "console.log").open("w")
        self._thread = ThreadPoolExecutor(1)
        self.watch = Watch()

    @property
    def is_on(self) -> bool:
        return start_time(self.bench.pid) != 0

    def on(self) -> None:
        if not self.is_on:
            self._thread.submit(self._on).result()

    def _on(self) -> None:
        seen = ConsoleAlone(self.watch)
        self.bench.power_on(seen, self._write, self._folder / "qemu.log", "")

    def _write(self, when: float, *lines: str) -> None:
        self._console.writelines(f"{line}\n" for line in lines)

    def off(self) -> None:
        self._thread.submit(self.bench.power_off).result()

    def reset(self) -> None:
        self.bench.qmp.execute("system_reset")

    def hang(self) -> None:
        """No instruction is executed any more."""
        self.bench.qmp.execute("stop")

    def wait_until_ready(self) -> str:
        """The boot id of the kernel that is ready."""
        return self.watch.wait_until_ready(BOOT_LIMIT, "power-on").values["boot_id"]

    def connect(self) -> None:
        self.ssh.connect(self.bench.ssh_port)

    def run(self, command: str) -> None:
        self.connect()
        self.ssh.run(command)

    def end(self) -> None:
        self.ssh.drop()
        self.off()
        self._thread.shutdown()
        self._console.close()


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

    # The bench's kernel takes no sysrq over its console (MAGIC_SYSRQ_SERIAL), which is write-only.
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
