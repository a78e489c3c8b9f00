# SPDX-License-Identifier: GPL-2.0-only
"""A device that the bench machine needs is not touched, though it is listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import ENVIRONMENT
from program_on_bench import DEVICE, Target, target_on_bench

pytestmark = pytest.mark.bench

MANAGEMENT = "1af4:1000"
NVME = "1b36:0010"
PARTITIONED, OTHER_NAMESPACE = "0000:03:00.0", "0000:04:00.0"
_DISK_BYTES = 16 << 20
# One entry, of type 0x83: blocks 2048 to 3071.
_ENTRY = bytes((0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0))
_PARTITION_TABLE = bytes(446) + _ENTRY + bytes(48) + b"\x55\xaa"


def _disk(path: Path, content: bytes = b"") -> str:
    path.write_bytes(content.ljust(_DISK_BYTES, b"\0"))
    return f"if=none,id={path.name},format=raw,file={path}"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """A machine with two NVMe controllers more: one with a partition, one without namespace 1."""
    last = "-device igb,bus=port2,romfile="
    more = [
        last,
        "-device pcie-root-port,id=port3,bus=pcie.0,chassis=3",
        f"-drive {_disk(tmp_path / 'disk3', _PARTITION_TABLE)}",
        "-device nvme,bus=port3,drive=disk3,serial=one",
        "-device pcie-root-port,id=port4,bus=pcie.0,chassis=4",
        f"-drive {_disk(tmp_path / 'disk4')}",
        "-device nvme,bus=port4,id=nvme4,serial=two",
        "-device nvme-ns,bus=nvme4,drive=disk4,nsid=2",
    ]
    text = ENVIRONMENT.read_text()
    assert last in text
    with target_on_bench(tmp_path, text.replace(last, "\n          ".join(more))) as target:
        yield target


def test_the_card_of_a_console_is_not_touched(target: Target) -> None:
    """This kernel has no driver of serial cards: a port is laid over its tables."""
    address, pci_id = DEVICE
    device = f"{address},{pci_id},igb"
    below_it = f"$(readlink -f /sys/bus/pci/devices/{address}/vendor)"
    target.do(
        "cp /proc/consoles /tmp/consoles",
        "echo 'ttyS4                -W- (EC a  )    4:68' >>/tmp/consoles",
        "mkdir /tmp/tty",
        "cp -a /sys/class/tty/ttyS0 /tmp/tty",
        f"ln -s {below_it} /tmp/tty/ttyS4",
        "mount -o bind /tmp/consoles /proc/consoles",
        "mount -o bind /tmp/tty /sys/class/tty",
    )
    reason = "its ttyS4 is a console of the kernel"
    for verb in ("run", "arm"):
        answer = target.ask(verb, "--device", device, "LiveUpdateRules.*")
        assert f"{address} is not touched: {reason}" in answer.device_refused
        assert target.driver() == ("igb", "(null)")
    refused = {
        event["address"]: event["refused"]
        for event in target.ask("probe").events
        if event["event"] == "device"
    }
    assert refused[address] == reason
    assert refused["0000:02:00.0"] is None

    target.do("umount /proc/consoles", "umount /sys/class/tty")
    assert target.ask("probe", "--device", device).status == 0


def test_the_management_interface_is_not_touched(target: Target) -> None:
    devices = [event for event in target.ask("probe").events if event["event"] == "device"]
    (address,) = (event["address"] for event in devices if event["id"] == MANAGEMENT)
    answer = target.ask("run", "--device", f"{address},{MANAGEMENT},none")
    assert "carries the SSH connection" in answer.device_refused
    assert target.driver(address) == ("virtio-pci", "(null)")
    # Not to put it back, either: it was given to another driver since, and is at work.
    answer = target.ask("restore", "--device", f"{address},{MANAGEMENT}", "--driver", "igb")
    assert "bound to virtio-pci by now and is not touched" in answer.device_refused
    assert target.driver(address) == ("virtio-pci", "(null)")


def test_blocks_that_hold_something_are_not_overwritten(target: Target) -> None:
    def refused(address: str, scratch: str) -> str:
        answer = target.ask("run", "--device", f"{address},{NVME},nvme,scratch={scratch}")
        assert target.driver(address) == ("nvme", "(null)")
        return answer.device_refused

    for scratch in ("2047+8192", "3071+1", "0+8192"):
        assert "overlap the partition nvme" in refused(PARTITIONED, scratch)
    assert "overlap the partition table" in refused(PARTITIONED, "33+1")
    assert "has 32768 blocks of 512 bytes" in refused(PARTITIONED, "32768+1")
    # Its disk is the kernel's first of that controller, and not what is written to.
    assert "namespace 1" in refused(OTHER_NAMESPACE, "8192+8192")
    sound = target.ask("probe", "--device", f"{PARTITIONED},{NVME},nvme,scratch=8192+8192")
    assert sound.status == 0, sound.events
