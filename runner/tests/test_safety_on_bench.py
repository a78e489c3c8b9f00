# SPDX-License-Identifier: GPL-2.0-only
"""The lock on a machine, and putting devices back, on a bench machine that is nobody's child."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import ENVIRONMENT
from program_on_bench import DEVICE, KEXEC, PROGRAM, Target, target_on_bench

from carryover.__main__ import main
from carryover.machine.access import access_of
from carryover.outputs import journal

pytestmark = pytest.mark.bench

ANN, BOB = "ann@desk, run in /out", "bob@lab"
_LIMIT = 60.0


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with target_on_bench(tmp_path) as target:
        yield target


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


def test_a_handover_that_is_given_up(tmp_path: Path) -> None:
    """By release, by putting a device back, by taking the machine over: then it is anybody's."""
    word = "carryover.owner=ann%40desk%2C%20run%20in%20/out"  # as a kexec of hers writes it
    text = ENVIRONMENT.read_text().replace("boot_args: ", f"boot_args: {word} ")
    test = "LiveUpdateRules.TokenInUseIsRefused"
    device = ["--device", ",".join(DEVICE), "--driver", "igb"]
    with target_on_bench(tmp_path, text) as target:
        for owner, verb, words, status in (
            (ANN, "release", [], 3),  # there is no holder
            (ANN, "restore", device, 0),
            (BOB, "run", ["--take-over", test], 0),
        ):
            target.do("rm -f /run/carryover/verified")
            assert f"a kexec of {ANN}" in target.ask("run", test, owner=BOB).held
            assert f"a kexec of {ANN}" in target.ask("restore", *device, owner=BOB).held
            given_up = target.ask(verb, *words, owner=owner)
            assert given_up.status == status, given_up.events
            assert target.ask("run", test, owner=BOB).status == 0


def test_release_puts_devices_back(target: Target) -> None:
    holder = target.arm(ANN, "IgbContinuity.OneMiB", "--device", f"{','.join(DEVICE)},igb")
    assert target.driver() == ("vfio-pci", "vfio-pci")
    assert target.ask("release", owner=ANN).status == 0
    assert target.driver() == ("igb", "(null)")
    target.do(f"! kill -0 {holder}")


def test_another_process_of_a_holders_id_is_not_ended(target: Target) -> None:
    """A holder has died, its file is left, and its process id is given out again."""
    holder = '{"pid": %d, "start_time": 1}'
    target.do(
        "mkdir -p /run/carryover",
        "sleep 600 </dev/null >/dev/null 2>&1 & echo $! >/tmp/other",
        f"printf '{holder}' $(cat /tmp/other) >/run/carryover/holder.json",
    )
    assert target.ask("release", "--take-over", owner=BOB).status == 0
    restored = target.ask("restore", "--device", ",".join(DEVICE), "--driver", "igb", owner=BOB)
    assert restored.status == 0, restored.events
    target.do("kill -0 $(cat /tmp/other)")


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
