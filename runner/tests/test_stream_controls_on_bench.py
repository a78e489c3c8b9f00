# SPDX-License-Identifier: GPL-2.0-only
"""What must fail, in QEMU: a stream on a kernel that does not carry it, and a rogue device.

And what no stream shows: bus mastering of the bridges above a device, which QEMU does not heed and
hardware does; and memory that a refused kexec takes from the next kernel.
"""

from __future__ import annotations

import json
import re
import time
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
from bench_run import ENVIRONMENT, BenchRun, variables_missing
from conftest import Run

pytestmark = pytest.mark.bench

_DRIVERS = ENVIRONMENT.with_name("drivers.yaml")
_STREAMS = ENVIRONMENT.with_name("streams.yaml")

# "pci_cfg_write pcie-root-port 00:04.0 @0x4 <- 0x507", with -trace pci_cfg_write.
_CONFIG_WRITE = re.compile(
    r"pci_cfg_write pcie-root-port (\S+) @0x([0-9a-f]+) <- 0x([0-9a-f]+)", re.MULTILINE
)
_COMMAND, _SECONDARY_BUS, _MASTER = 0x04, 0x19, 0x4

# The device of DmacStream, and the writes to its command.
_STREAMING = "0000:03:00.0"
_COMMAND_OF_STREAMING = re.compile(r"pci_cfg_write vfio-user-pci 03:00\.0 @0x4 <- 0x([0-9a-f]+)")


def bench_of(folder: Path, environment: Path) -> BenchRun:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    return BenchRun(folder, environment)


def stream_bench(
    folder: Path,
    outgoing: str = "stream",
    incoming: str = "stream",
    *,
    environment: Path = _STREAMS,
) -> BenchRun:
    bench = bench_of(folder, environment)
    bench.kernels(outgoing, incoming, ["memory", "mapping", "stream"])
    return bench


@pytest.fixture
def bench(tmp_path: Path) -> BenchRun:
    return bench_of(tmp_path, _DRIVERS)


@pytest.fixture
def rogue(bench: BenchRun) -> BenchRun:
    """The first dmac goes past bus master and the IOMMU's rights."""
    memory = "-object memory-backend-memfd,id=ram,size=$CARRYOVER_MEMORY,share=on"
    bench.edit(
        "machine: q35,kernel-irqchip=split", "machine: q35,kernel-irqchip=split,memory-backend=ram"
    )
    bench.edit("-nodefaults ", f"-nodefaults {memory} ")
    bench.edit("models: {dmac: dmac,", "models: {dmac: rogue,")
    return bench


def device_log(run: Run, model: str = "dmac") -> list[dict[str, Any]]:
    """What a device did."""
    text = (run.out / "models" / f"{model}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def console(run: Run) -> str:
    return (run.out / "console.log").read_text(errors="replace")


def result_of(run: Run) -> dict[str, Any]:
    (result,) = [record for record in run.records if record["event"] == "result"]
    return result


def test_a_stream_stops_at_bus_master_off_and_that_is_told(bench: BenchRun) -> None:
    """On a kernel without our series, whatever it is said to claim."""
    bench.kernels("plain", "plain", ["memory", "stream"])
    run = bench.run("HiddenStream::IsNotPreserved")
    assert run.verdicts == {"HiddenStream.IsNotPreserved": "FAIL"}, run.output
    result = result_of(run)
    log = device_log(run)
    written = [event["t"] for event in log if event["event"] == "dma" and event["ok"]]
    stopped = int(result["notes"]["stream_lost_from_ns"])
    anew = int(result["notes"]["stream_silent_to_ns"])
    # The first that was refused, and what had gone before: bus master, and nothing else.
    refused = next(event["t"] for event in log if event["event"] == "dma" and not event["ok"])
    off = max(event["t"] for event in log if event["event"] == "master" and event["t"] < refused)
    before = next(event for event in log if event["event"] == "master" and event["t"] == off)
    assert before["on"] is False
    assert not any(event["event"] == "reset" for event in log if off <= event["t"] < refused)
    assert stopped <= off, "it went on without bus master"
    assert off - stopped < 0.1e9, "it had stopped before"
    # Silent until the device was opened anew: the whole kexec and boot.
    assert not any(off < at < anew - 50e6 for at in written)
    assert 0.5e9 < anew - stopped < 60e9
    assert "freeze or device shutdown" in result["reason"], result["reason"]
    assert "it did not go on" in result["reason"]


def test_a_rogue_is_caught_by_a_canary_in_preserved_memory(rogue: BenchRun) -> None:
    rogue.kernels("plain", "plain", ["memory"])
    run = rogue.run("HiddenRogue::WritesIntoPreservedMemory")
    assert run.verdicts == {"HiddenRogue.WritesIntoPreservedMemory": "FAIL"}, run.output
    log = device_log(run)
    written = [event["t"] for event in log if event["event"] == "dma" and event["ok"]]
    off = [event["t"] for event in log if event["event"] == "master" and not event["on"]]
    assert written, "the rogue never came to write"
    assert any(at < written[0] for at in off), "bus master was on"
    (damage,) = result_of(run)["damage"]
    assert (damage["what"], damage["map"]) == ("memory", [[5, 1, "foreign"]])


def test_a_rogue_is_caught_by_the_kernels_own_checks(rogue: BenchRun) -> None:
    """In memory that nobody has: of our tests none can tell."""
    rogue.kernels("plain", "poisoning", ["memory"])
    run = rogue.run("HiddenRogue::WritesIntoFreeMemory", append="page_poison=1")
    told = [record for record in run.records if record["event"] == "kernel-fault"]
    faults = [fault["kind"] for fault in told if fault["severity"] != "notice"]
    assert faults == ["page poison"], run.output
    assert run.status == 1


@pytest.mark.parametrize(
    "test",
    [
        "HiddenRing::HasTooSmallARing",
        "HiddenFrames::HaveTooSmallARing",
        "HiddenFrames::HaveNoRoomAtAll",
    ],
)
def test_a_ring_that_is_too_small_says_nothing_of_the_kernel(tmp_path: Path, test: str) -> None:
    bench = stream_bench(tmp_path)
    run = bench.run(test)
    result = result_of(run)
    reason = result["reason"]
    assert result["verdict"] == "INFRA", run.output
    assert re.search(r"would have needed (\d+|more) (slots|bytes)", reason), reason
    assert "lost in" not in reason, reason


def test_a_kernel_without_the_option_is_told_before_anything_is_armed(tmp_path: Path) -> None:
    bench = stream_bench(tmp_path, "reference", "reference")
    run = bench.run("DmacStream::GoesOn")
    assert (run.status, run.verdicts) == (pytest.ExitCode.USAGE_ERROR, {}), run.output
    assert "CONFIG_VFIO_PCI_LIVEUPDATE_DMA=y (ci/kernel/build --stream)" in run.output


def scalable(bench: BenchRun, *, first_stage: bool = False) -> None:
    """Gives the machine an IOMMU that has scalable mode; kernels use it if they are told to."""
    stages = ",fsts=on" if first_stage else ""
    bench.edit("device-iotlb=on$CARRYOVER_VTD", f"device-iotlb=on,scalable-mode=on{stages}")


def expect_refused(bench: BenchRun, device: str, what: str, suite: str = "HiddenUncovered") -> None:
    """The kernel says that `what` of the device is not covered, and nothing changes."""
    run = bench.run(f"{suite}::IsRefusedAndGoesOn")
    assert run.verdicts == {f"{suite}.IsRefusedAndGoesOn": "PASS"}, run.output
    assert f"{device}: DMAR: liveupdate: cannot freeze: {what} not covered" in console(run)


@pytest.mark.parametrize("first_stage", [False, True])
def test_scalable_mode_is_refused_and_nothing_changes(tmp_path: Path, first_stage: bool) -> None:
    bench = stream_bench(tmp_path)
    scalable(bench, first_stage=first_stage)
    bench.edit("intel_iommu=on", "intel_iommu=on,sm_on")
    expect_refused(bench, "0000:01:00.0", "scalable mode is")


def test_a_device_with_an_alias_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    """A bridge from PCI Express to PCI makes the DMA of all that is below it look like its own."""
    bench = stream_bench(tmp_path)
    bench.edit('"bus":"port33",', '"bus":"pci",')
    bridge = "-device pcie-pci-bridge,id=pci,bus=port33"
    bench.edit("chassis=33,addr=1e.7", f"chassis=33,addr=1e.7 {bridge}")
    bench.edit('address: "0000:01:00.0"', 'address: "0000:21:00.0"')
    bench.edit('address: "0000:20:00.0"', 'address: "0000:01:00.0"')
    expect_refused(bench, "0000:21:00.0", "DMA aliases are")


def test_a_device_with_ats_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    """It has translations of its own, which whoever takes them back has to tell it."""
    bench = stream_bench(tmp_path, environment=_DRIVERS)
    bench.edit("virtio-blk-pci,bus=port6,", "virtio-blk-pci,bus=port6,ats=on,")
    expect_refused(bench, "0000:06:00.0", "ATS is", "HiddenUncoveredDisk")


def is_stopped_before_its_unit(trace: str) -> bool:
    """Of the streaming device, once its mappings are handed over: which of both ends first."""
    lines = iter(trace.splitlines())
    for _ in ("that of the outgoing kernel", "that which is handed over"):
        next(line for line in lines if line.startswith("vtd_reg_dmar_root"))
    for line in lines:
        if line.startswith("vtd_"):
            return False
        write = _COMMAND_OF_STREAMING.match(line)
        if write and not int(write.group(1), 16) & _MASTER:
            return True
    pytest.fail("neither has ended")


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        ("stream", "intel_iommu=sm_on"),
        ("stream", "intel_iommu=off"),
        ("stopped-too-late", "intel_iommu=sm_on"),
    ],
)
def test_a_device_that_the_next_kernel_cannot_take_over_is_stopped(
    tmp_path: Path, kernel: str, told: str
) -> None:
    """Before its translation ends, as it would write anywhere: by what QEMU sees of both."""
    bench = stream_bench(tmp_path, "stream", kernel)
    scalable(bench)
    trace = tmp_path / "trace"
    events = "-trace pci_cfg_write -trace vtd_dmar_enable -trace vtd_reg_dmar_root"
    bench.edit("-nodefaults ", f"-nodefaults {events} -D {trace} ")
    run = bench.run("DmacStream::GoesOn", append=told)
    assert run.verdicts["DmacStream.GoesOn"] != "PASS", run.output
    assert f"{_STREAMING}: DMAR: liveupdate: stopped: the mappings of the" in console(run)
    assert is_stopped_before_its_unit(trace.read_text()) == (kernel == "stream")


@pytest.mark.parametrize(
    ("kernel", "verdict"), [("stream", "PASS"), ("tables-stay-preserved", "FAIL")]
)
def test_a_refused_kexec_leaves_no_tables_preserved(
    tmp_path: Path, kernel: str, verdict: str
) -> None:
    """The next kernel would lack that memory, for as long as it runs."""
    bench = stream_bench(tmp_path, kernel, "stream")
    run = bench.run("HiddenRefusal::LeavesNoTablesPreserved")
    assert run.verdicts == {"HiddenRefusal.LeavesNoTablesPreserved": verdict}, run.output


def masters(trace: str) -> dict[int, list[bool]]:
    """Of the root port above each bus, whether each write to its command lets it master the bus.

    From the first that does on: before it the firmware looks for what there is.
    """
    writes: dict[str, list[bool]] = {}
    bus_below: dict[str, int] = {}
    for port, at, value in _CONFIG_WRITE.findall(trace):
        if int(at, 16) == _COMMAND:
            writes.setdefault(port, []).append(bool(int(value, 16) & _MASTER))
        elif int(at, 16) == _SECONDARY_BUS:
            bus_below[port] = int(value, 16) & 0xFF
    return {
        bus_below[port]: list(dropwhile(lambda on: not on, ons)) for port, ons in writes.items()
    }


@pytest.mark.parametrize("kernel", ["stream", "bridge-loses-master"])
def test_bridges_above_a_stream_keep_bus_mastering(tmp_path: Path, kernel: str) -> None:
    """QEMU passes DMA through a bridge that must not master the bus; hardware does not."""
    bench = stream_bench(tmp_path, kernel, kernel)
    trace = tmp_path / "trace"
    bench.edit("-nodefaults ", f"-nodefaults -trace pci_cfg_write -D {trace} ")
    run = bench.run("DmacStream::GoesOn")
    assert run.verdicts == {"DmacStream.GoesOn": "PASS"}, run.output
    kept = masters(trace.read_text())
    above_stream, above_another = 3, 1
    assert not all(kept[above_another]), "the kexec takes it from nobody"
    assert all(kept[above_stream]) == (kernel == "stream")


@pytest.mark.parametrize("kernel", ["others-keep-master", "others-keep-translation"])
def test_the_iommu_translates_for_preserved_devices_only(tmp_path: Path, kernel: str) -> None:
    """Bus mastering, which a device may ignore, is not what keeps another one from memory."""
    bench = stream_bench(tmp_path, kernel, "stream")
    run = bench.run("HiddenRogue::WritesWhereItsMappingsWere", "DmacStream::GoesOn")
    assert run.verdicts["DmacStream.GoesOn"] == "PASS", run.output
    log = device_log(run, "dmac1")
    rogue_writes = [event for event in log if event["event"] == "dma" and event["length"] == 8]
    first_refused = next(
        event["t"] for event in dropwhile(lambda e: not e["ok"], rogue_writes) if not event["ok"]
    )
    off = [event["t"] for event in log if event["event"] == "master" and not event["on"]]
    assert not any(rogue_writes[0]["t"] < at < first_refused for at in off), "it was stopped"
    (incoming,) = [
        mark["time"]
        for mark in run.records
        if mark["event"] == "mark" and (mark["what"], mark["kexec"]) == ("kernel", 1)
    ]
    incoming_ns = (incoming - (time.time() - time.monotonic())) * 1e9
    assert (first_refused < incoming_ns) == (kernel == "others-keep-master")
    opened = min(at for at in off if at > first_refused)
    between = [event["ok"] for event in rogue_writes if first_refused <= event["t"] < opened]
    assert not any(between), "it wrote after the next kernel had its own tables"
