# SPDX-License-Identifier: GPL-2.0-only
"""The lock on a machine, and putting devices back, on a bench machine that is nobody's child."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench_run import variables_missing
from bmc.bench_machine import BenchMachine

from carryover import journal
from carryover.__main__ import main
from carryover.access import access_of

pytestmark = pytest.mark.bench

PROGRAM = "/usr/bin/carryover-selftests"
DEVICE = ("0000:01:00.0", "8086:10c9")
ANN, BOB = "ann@desk, run in /out", "bob@lab"
_LIMIT = 60.0
KEXEC = ["--kernel", "/boot/bzImage", "--initrd", "/boot/initramfs", "--append"]
KEXEC.append("console=ttyS0 intel_iommu=on kho=on liveupdate=on panic=-1 no_timer_check")


@dataclass(frozen=True)
class Answer:
    """What the program said."""

    status: int
    events: list[dict[str, Any]]

    def only(self, kind: str) -> dict[str, Any]:
        found = [event for event in self.events if event["event"] == kind]
        assert len(found) == 1, self.events
        return found[0]

    @property
    def held(self) -> str:
        """Why it refuses."""
        assert self.status == 3, self.events
        error = self.only("error")
        assert error["kind"] == "held"
        return str(error["message"])


class Target:
    """The program on a machine that is on."""

    def __init__(self, machine: BenchMachine) -> None:
        self.machine = machine
        machine.on()
        self.boot_id = machine.wait_until_ready()
        machine.connect()

    def ask(self, verb: str, *words: str, owner: str = "") -> Answer:
        owners = ["--owner", owner] if owner else []
        return self.run(shlex.join([PROGRAM, verb, "--json", *owners, *words]))

    def run(self, command: str) -> Answer:
        out, _, status = self.machine.ssh.run(command, timeout=_LIMIT)
        return Answer(status, [json.loads(line) for line in out])

    def arm(self, owner: str, test: str, *words: str) -> int:
        """Process id of the holder."""
        answer = self.ask("arm", test, *words, owner=owner)
        assert answer.status == 0, answer.events
        return int(answer.only("holding")["pid"])

    def kexec(self, owner: str) -> None:
        """The connection is cut by it: what the command came to is not asked."""
        self.machine.watch.begin_anew()
        words = [PROGRAM, "kexec", "--json", "--owner", owner, *KEXEC]
        self.machine.ssh.run(f"({shlex.join(words)}) >/dev/null 2>&1 </dev/null &", timeout=_LIMIT)
        self.wait_for_another_boot()

    def wait_for_another_boot(self) -> None:
        """Another kernel is no surprise to `machine.watch` since its begin_anew()."""
        self.machine.ssh.drop()
        while (boot_id := self.machine.wait_until_ready()) == self.boot_id:
            pass  # a late word of the old one
        self.boot_id = boot_id
        self.machine.connect()

    def driver(self) -> tuple[str, str]:
        """Driver of the device, and its driver_override."""
        folder = f"/sys/bus/pci/devices/{DEVICE[0]}"
        link, _, _ = self.machine.ssh.run(f"readlink {folder}/driver", timeout=_LIMIT)
        override, _, _ = self.machine.ssh.run(f"cat {folder}/driver_override", timeout=_LIMIT)
        return (link[0].rpartition("/")[2] if link else ""), override[0]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    machine = BenchMachine(tmp_path)
    try:
        yield Target(machine)
    finally:
        machine.end()


def test_a_machine_is_one_runs_until_it_is_verified(target: Target) -> None:
    target.arm(ANN, "MemoryContinuity.OneMiBAndAPage")
    assert target.ask("probe").only("held")["owner"] == ANN
    for verb, words in (
        ("run", []),
        ("arm", []),
        ("verify", []),
        ("kexec", KEXEC),
        ("release", []),
    ):
        held = target.ask(verb, *words, owner=BOB).held
        assert f"held by {ANN}, by `arm`, process " in held
        assert "since 20" in held
    # What nobody is kept from.
    assert target.ask("list").status == target.ask("log").status == 0

    target.kexec(ANN)
    held = target.ask("run", "LiveUpdateRules.*", owner=BOB).held
    assert f"came up by a kexec of {ANN}, who has not verified it yet" in held
    held_by = target.ask("probe").only("held")
    assert (held_by["owner"], held_by["verb"]) == (ANN, "kexec")
    assert "not verified" in target.ask("verify", owner=BOB).held
    verify = target.ask("verify", owner=ANN)  # nobody has taken anything from her
    assert verify.status == 0, verify.events
    assert verify.only("finish")["result"] == "PASS"
    assert not [e for e in target.ask("probe").events if e["event"] == "held"]
    assert target.ask("run", "LiveUpdateRules.TokenInUseIsRefused", owner=BOB).status == 0


def test_two_at_once(target: Target) -> None:
    """Of two programs that begin at the same moment, one gets the machine."""
    one = shlex.join([PROGRAM, "arm", "--json", "--owner", ANN, "MemoryContinuity.*"])
    two = one.replace(ANN, BOB)
    both = (
        f"({one}) >/tmp/1; echo $? >/tmp/1.status & ({two}) >/tmp/2; echo $? >/tmp/2.status; wait"
    )
    target.machine.ssh.run(both, timeout=_LIMIT)
    codes, _, _ = target.machine.ssh.run("cat /tmp/1.status /tmp/2.status", timeout=_LIMIT)
    assert sorted(codes) == ["0", "3"]
    loser = target.run(f"cat /tmp/{codes.index('3') + 1}; exit 3")
    assert "the machine is held by " in loser.held
    winner = (ANN, BOB)[codes.index("0")]
    assert target.ask("release", owner=winner).status == 0
    assert target.ask("release", "--take-over", owner=BOB).status == 0  # nobody is there any more


def test_a_machine_can_be_taken_over(target: Target) -> None:
    target.arm(ANN, "MemoryContinuity.OneMiBAndAPage")
    assert target.ask("release", "--take-over", owner=BOB).status == 0
    assert not [e for e in target.ask("probe").events if e["event"] == "held"]
    # Of a kexec that hands nothing over, nobody has to be kept from.
    target.kexec(BOB)
    assert target.ask("run", "LiveUpdateRules.TokenInUseIsRefused", owner=ANN).status == 0


def test_a_killed_holders_device_is_put_back(target: Target, tmp_path: Path) -> None:
    """By the journal, again after that, and again after a reset of the machine."""
    address, pci_id = DEVICE
    assert target.driver() == ("igb", "(null)")
    holder = target.arm(ANN, "IgbContinuity.OneMiB", "--device", f"{address},{pci_id},igb")
    assert target.driver() == ("vfio-pci", "vfio-pci")
    path = tmp_path / "journal.jsonl"
    lost = journal.Journal(path)
    access = {**access_of(target.machine.ssh, PROGRAM, ANN), "target": "rack3-07"}
    lost.write("access", **access)
    lost.write(
        "bound",
        **{"address": address, "id": pci_id, "from": "igb", "to": "vfio-pci"},
        driver_override=None,
        boot_id=target.boot_id,
    )
    entries = path.read_text()

    def put_back() -> str:
        path.write_text(entries)
        assert main(["restore", str(path)]) == 0
        return path.read_text()

    target.machine.ssh.run(f"kill -9 {holder}", timeout=_LIMIT)
    assert target.driver() == ("vfio-pci", "vfio-pci")
    assert '"restored"' in put_back()
    assert target.driver() == ("igb", "(null)")
    assert '"restored"' in put_back()

    # A live holder is ended first.
    target.arm(ANN, "IgbContinuity.OneMiB", "--device", f"{address},{pci_id},igb")
    assert '"restored"' in put_back()
    assert target.driver() == ("igb", "(null)")

    # Somebody else's is not.
    target.arm(BOB, "IgbContinuity.OneMiB", "--device", f"{address},{pci_id},igb")
    path.write_text(entries)
    assert main(["restore", str(path)]) == 3
    assert target.driver() == ("vfio-pci", "vfio-pci")
    assert list(journal.read(path).bound) == [address]

    target.machine.watch.begin_anew()
    target.machine.reset()
    target.wait_for_another_boot()
    assert target.driver() == ("igb", "(null)")
    assert '"restored"' in put_back()
    # Another device in its place is not touched.
    other = target.ask("restore", "--device", f"{address},8086:1533", "--driver", "igb")
    assert other.status == 3
    assert "8086:1533 was listed" in other.only("error")["message"]
    assert target.driver() == ("igb", "(null)")
