# SPDX-License-Identifier: GPL-2.0-only
"""Each verdict, really caused on a real kernel in QEMU, by the tests that go wrong on purpose."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from bench_run import BenchRun, variables_missing
from conftest import Run

from carryover.outputs import journal

pytestmark = pytest.mark.bench

STARTED = re.compile(r"^ *[\d.]+ s +(\w+) +.*\.\.\.$")


@pytest.fixture
def bench(tmp_path: Path) -> BenchRun:
    if missing := variables_missing():
        pytest.fail(
            f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them, '
            "-m 'not bench' leaves these tests out"
        )
    return BenchRun(tmp_path)


def power_cycles(run: Run) -> int:
    return (run.out / "journal.jsonl").read_text().count('"step": "power-on"')


def machine_of(out: Path) -> tuple[int, int]:
    machine = journal.read(out / "journal.jsonl").machine
    assert machine is not None
    return machine


def wait_for_console(out: Path, text: str, times: int = 1, limit: float = 60.0) -> None:
    """The log is written by another process: there is nothing to wait on but the file."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        log = out / "console.log"
        if log.exists() and log.read_text(errors="replace").count(text) >= times:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {text!r} on the console")


def read_until(process: subprocess.Popen[str], phase: str) -> str:
    """What it printed up to the begin of a phase."""
    printed = ""
    assert process.stdout is not None
    for line in process.stdout:
        printed += line
        found = STARTED.match(line)
        if found and found.group(1) == phase:
            return printed
    raise AssertionError(f"{phase} has not begun:\n{printed}")


def finished(bench: BenchRun, process: subprocess.Popen[str], printed: str = "") -> Run:
    rest, _ = process.communicate(timeout=120)
    run = Run(process.returncode, printed + rest, bench.out)
    assert "Traceback" not in run.output, run.output
    return run


def test_verdicts_of_one_batch(bench: BenchRun) -> None:
    run = bench.run(
        "IsSound", "ArmsWithoutPreserving", "CorruptsOneByte", "FailsToArm", "IsSkipped"
    )
    assert run.verdicts == {
        "HiddenFault.IsSound": "PASS",
        "HiddenFault.ArmsWithoutPreserving": "LOST",
        "HiddenFault.CorruptsOneByte": "FAIL",
        "HiddenFault.FailsToArm": "FAIL",
        "HiddenFault.IsSkipped": "SKIP",
    }, run.output
    assert power_cycles(run) == 1
    assert run.status == 1


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ("PanicsWhileArming", "PANIC"),
        ("PanicsInVerify", "PANIC"),
        ("ResetsInVerify", "RESET"),
        ("HangsWhileArming", "HANG"),
        ("HangsInVerify", "HANG"),
    ],
)
def test_a_test_that_ends_the_machine(bench: BenchRun, test: str, verdict: str) -> None:
    run = bench.run("IsSound", test)
    assert run.verdicts == {"HiddenFault.IsSound": "PASS", f"HiddenFault.{test}": verdict}, (
        run.output
    )


def test_the_probe_tells_what_would_be_done_with_each_device(bench: BenchRun) -> None:
    run = bench.run("IsSound")
    events = [json.loads(line) for line in (run.out / "events.jsonl").read_text().splitlines()]
    devices = {event["address"]: event for event in events if event["event"] == "device"}
    ours = devices["0000:01:00.0"]
    assert (ours["listed"], ours["harness_driver"], ours["refused"]) == (True, "igb", None)
    assert (ours["driver"], ours["scratch"], ours["group_mates"]) == ("igb", None, [])
    assert "flr" in ours["reset_methods"]
    refused = [device for device in devices.values() if device["refused"]]
    assert [(device["id"], device["listed"]) for device in refused] == [("1af4:1000", False)]
    assert "carries the SSH connection" in refused[0]["refused"]


def test_a_driver_that_takes_the_device(bench: BenchRun) -> None:
    run = bench.run("HiddenIntruder::TakesTheDevice")
    assert run.verdicts == {"HiddenIntruder.TakesTheDevice": "FAIL"}, run.output
    reason = run.results["HiddenIntruder.TakesTheDevice"]["failures"][0]
    assert "unbound from vfio-pci by somebody else" in reason or "driver igb was bound" in reason


@pytest.mark.parametrize(("fault", "verdict"), [("panic", "PANIC"), ("reset", "RESET")])
def test_an_incoming_kernel_that_dies(bench: BenchRun, fault: str, verdict: str) -> None:
    run = bench.run("IsSound", append=f"carryover.fault={fault}")
    assert run.verdicts == {"HiddenFault.IsSound": verdict}, run.output


def test_an_incoming_kernel_that_never_comes_up(bench: BenchRun) -> None:
    bench.edit("boot_limit: 20", "boot_limit: 6")
    run = bench.run("IsSound", append="carryover.fault=hang")
    assert run.verdicts == {"HiddenFault.IsSound": "HANG"}, run.output
    assert "no kernel was ready within" in run.results["HiddenFault.IsSound"]["reason"]


def test_a_kexec_that_the_kernel_refuses(bench: BenchRun) -> None:
    bench.edit("kernel: /boot/bzImage", "kernel: /boot/initramfs")
    run = bench.run("IsSound")
    assert run.verdicts == {"HiddenFault.IsSound": "REFUSED"}, run.output


def test_a_reset_in_the_gap(bench: BenchRun) -> None:
    monitor = bench.folder / "monitor"
    bench.edit("-nodefaults", f"-nodefaults -qmp unix:{monitor},server=on,wait=off")
    process = bench.start("IsSound")
    wait_for_console(bench.out, "Linux version", times=2)
    with socket.socket(socket.AF_UNIX) as qmp:
        qmp.connect(str(monitor))
        qmp.sendall(b'{"execute": "qmp_capabilities"}\n{"execute": "system_reset"}\n')
        run = finished(bench, process)
    assert run.verdicts == {"HiddenFault.IsSound": "RESET"}, run.output


def test_a_machine_that_is_killed(bench: BenchRun) -> None:
    process = bench.start("IsSound")
    printed = read_until(process, "kexec")
    os.kill(machine_of(bench.out)[0], signal.SIGKILL)
    run = finished(bench, process, printed)
    assert run.verdicts == {"HiddenFault.IsSound": "INFRA"}, run.output
    assert run.status == 1
    assert "killed by signal 9" in run.results["HiddenFault.IsSound"]["reason"]


@pytest.mark.parametrize("phase", ["boot", "arm", "kexec", "verify"])
def test_interrupt(bench: BenchRun, phase: str) -> None:
    test = {"arm": "HangsWhileArming", "verify": "HangsInVerify"}.get(phase, "IsSound")
    process = bench.start(test)
    printed = read_until(process, phase)
    machine = None if phase == "boot" else machine_of(bench.out)
    process.send_signal(signal.SIGINT)
    run = finished(bench, process, printed)
    assert run.status == pytest.ExitCode.INTERRUPTED, run.output
    assert machine is None or not journal.is_alive(*machine)
    state = journal.read(bench.out / "journal.jsonl")
    assert state.closed
    assert state.machine is None
    assert run.records[-1] | {"time": 0} == {
        "event": "end", "how": "cut short", "counts": {}, "time": 0,
    }  # fmt: skip
    assert run.verdicts == {}


def test_a_runner_that_is_killed_takes_the_machine_along(bench: BenchRun) -> None:
    process = bench.start("HangsInVerify")
    read_until(process, "arm")
    machine = machine_of(bench.out)
    ended = os.pidfd_open(machine[0])
    process.kill()
    process.communicate()
    assert select.select([ended], [], [], 5.0)[0], "the machine lives on"
    os.close(ended)
    assert not journal.is_alive(*machine)
    assert not journal.read(bench.out / "journal.jsonl").closed
    assert "last step: arm" in journal.close_left_over(bench.out / "journal.jsonl")


def test_a_disk_that_fills_up(bench: BenchRun, small_disk: Path) -> None:
    bench.out = small_disk
    process = bench.start("IsSound")
    printed = read_until(process, "boot")
    wait_for_console(bench.out, "Linux version")
    with (
        (small_disk / "filler").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No"),
    ):
        while True:
            file.write(bytes(1 << 12))
    run = finished(bench, process, printed)
    assert run.status != 0
    assert "No space left on device" in run.output
    assert "1 INFRA" in run.output
    assert " passed" not in run.output
    assert not (run.out / "junit.xml").exists()


def test_a_port_in_use(bench: BenchRun) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        bench.edit("hostfwd=tcp:127.0.0.1:0-", f"hostfwd=tcp:127.0.0.1:{port}-")
        run = bench.run("IsSound")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "the host port is in use: give another" in run.output
    assert "Traceback" not in run.output
    assert run.verdicts == {}


def test_a_kernel_without_handover(bench: BenchRun) -> None:
    bench.edit("kho=on", "kho=off")
    run = bench.run("IsSound")
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert "the target's kernel lacks what the tests need" in run.output
    assert run.verdicts == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("memory: $CARRYOVER_MEMORY", "memory: 1G", "memory: "),
        ('address: "0000:01:00.0"', 'address: "0000:09:00.0"', "0000:09:00.0"),
        ("-device igb,bus=port1", "-device e1000e,bus=port1", "8086:10d3"),
        ("-device intel-iommu,intremap=on,caching-mode=on,device-iotlb=on", "", "IOMMU"),
    ],
    ids=["too-little-memory", "no-such-device", "another-device", "no-iommu"],
)
def test_a_target_that_cannot(bench: BenchRun, old: str, new: str, said: str) -> None:
    bench.edit(old, new)
    run = bench.run("IsSound")
    assert run.status == pytest.ExitCode.USAGE_ERROR, run.output
    assert said in run.output
    assert "Traceback" not in run.output
    assert run.verdicts == {}
    assert not (run.out / "junit.xml").exists()
