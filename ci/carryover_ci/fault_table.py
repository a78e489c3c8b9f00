# SPDX-License-Identifier: GPL-2.0-only
"""The fault matrix: what is broken on purpose in a run on the bench, and what has to come of it."""

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carryover_ci import console_fault
from carryover_ci.fault_bmc import bmc_unreachable
from carryover_ci.fault_place import place_stolen
from carryover_ci.fault_run import FaultRun
from carryover_ci.run import Failure

GOOD, BAD, INFRA = 0, 1, 3  # exit status of `carryover run`
SOUND, SLOW, SKIPPED = "HiddenFault.IsSound", "HiddenFault.TakesItsTime", "HiddenFault.IsSkipped"

# Leads a run that was prepared to its end. Returns the exit status, and when the fault was.
Lead = Callable[[FaultRun], tuple[int, float]]


@dataclass(frozen=True)
class Fault:
    """One row of the matrix.

    Attributes:
        name: Short.
        what: What is done, and when.
        verdicts: What each selected test has to get; the one that the fault hits comes first.
        status: Exit status that the run has to have.
        lead: Does it.
        options: More for `carryover run`.
        limit: Seconds from the fault to the verdict, at most; None if there is no such figure.
    """

    name: str
    what: str
    verdicts: dict[str, str]
    status: int
    lead: Lead
    options: tuple[str, ...] = ()
    limit: float | None = None


def _panic(culprit: str) -> Lead:
    """The test does it; what counts is from the panic's last line to the verdict."""

    def lead(run: FaultRun) -> tuple[int, float]:
        run.start()
        status = run.finish()
        result = run.result(culprit)
        died = run.last_line(result["time"], but=console_fault.TEXT) if result else None
        if died is None:
            raise Failure(f"no panic of {culprit} on the console")
        return status, died

    return lead


def _hang(culprit: str) -> Lead:
    """The test does it; from the last time that it began."""

    def lead(run: FaultRun) -> tuple[int, float]:
        run.start()
        status = run.finish()
        began = run.last(event="start", name=culprit)
        if began is None:
            raise Failure(f"{culprit} has not begun")
        return status, began.time

    return lead


def _wait_for_the_middle(run: FaultRun) -> None:
    """One test has its result, and another is being verified."""
    run.wait_for(event="start", name=SLOW, half="verify")
    run.wait_for_result(SOUND)


def _while_verifying(do: Callable[[FaultRun], float]) -> Lead:
    """In the middle of the second half of a test that lasts."""

    def lead(run: FaultRun) -> tuple[int, float]:
        run.start()
        _wait_for_the_middle(run)
        when = do(run)
        return run.finish(), when

    return lead


def _console_lost(run: FaultRun) -> tuple[int, float]:
    cut = run.folder / "cut"
    run.variables = console_fault.cutting(cut)
    run.start()
    run.wait_for(event="holding")
    when = time.time()
    cut.touch()
    return run.finish(), when


def _console_faulted(run: FaultRun) -> tuple[int, float]:
    report = run.folder / "flood.json"
    run.variables = console_fault.flooding(report)
    status, when = _panic("HiddenFault.PanicsInVerify")(run)
    rate = console_fault.rate(report)
    if rate < 10.0:
        run.short = f"the console was flooded at {rate:.1f} MB/s only"
    if not any(_is_whole_panic(record) for record in run.records):
        raise Failure("the panic's report was not found whole in the flood")
    return status, when


def _is_whole_panic(record: Mapping[str, Any]) -> bool:
    """As the console has it without a flood, from its first line to its last."""
    if record["event"] != "kernel-fault" or record["kind"] != "panic":
        return False
    lines = record["lines"]
    is_pure = not any(console_fault.TEXT in line for line in lines)
    return is_pure and "sysrq triggered crash" in lines[0] and "Kernel Offset" in lines[-1]


def _controller_killed(run: FaultRun) -> tuple[int, float]:
    run.start()
    _wait_for_the_middle(run)
    when = run.kill()
    if left := run.left_running():
        raise Failure(f"the machine outlives its runner: process {left}")
    before = run.result(SOUND)
    run.start("--resume")
    status = run.finish()
    if run.result(SOUND) != before:
        raise Failure(f"{SOUND} lost its result")
    return status, when


def _disk_full(run: FaultRun) -> tuple[int, float]:
    with _small_disk(run.folder / "disk") as disk:
        run.out = disk / "out"
        run.start()
        _wait_for_the_middle(run)
        filler = disk / "filler"
        when = time.time()
        _fill(filler)
        status = run.finish()
        if status != INFRA or "No space left on device" not in run.printed:
            raise Failure(f"a full disk ended the run with {status}, and INFRA was wanted")
        if "Traceback" in run.printed:
            raise Failure("a full disk is a traceback")
        before = run.result(SOUND)
        filler.unlink()
        run.start("--resume")
        status = run.finish()
        if run.result(SOUND) != before:
            raise Failure(f"{SOUND} lost its result")
        run.keep(run.folder / "out")
    return status, when


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=18m", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"a small disk cannot be mounted: {done.stderr.strip()}; be root for that")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    os.sync()


def faults() -> list[Fault]:
    """All of them, in the order of the table."""
    hidden = "HiddenFault."
    return [
        Fault(
            "panic, outgoing",
            "a test panics the kernel while it is armed",
            {f"{hidden}PanicsWhileArming": "PANIC", SOUND: "PASS"},
            BAD,
            _panic(f"{hidden}PanicsWhileArming"),
            limit=5.0,
        ),
        Fault(
            "panic, incoming",
            "a test panics the kernel while it is verified",
            {f"{hidden}PanicsInVerify": "PANIC", SOUND: "PASS"},
            BAD,
            _panic(f"{hidden}PanicsInVerify"),
            limit=5.0,
        ),
        Fault(
            "hang, outgoing",
            "a test stops every processor while it is armed",
            {f"{hidden}HangsTheKernelWhileArming": "HANG", SOUND: "PASS"},
            BAD,
            _hang(f"{hidden}HangsTheKernelWhileArming"),
        ),
        Fault(
            "hang, incoming",
            "a test stops every processor while it is verified",
            {f"{hidden}HangsTheKernelInVerify": "HANG", SOUND: "PASS"},
            BAD,
            _hang(f"{hidden}HangsTheKernelInVerify"),
        ),
        Fault(
            "silent reset",
            "the machine is reset while a test is verified; nothing is on the console",
            {SLOW: "RESET", SOUND: "PASS"},
            BAD,
            _while_verifying(lambda run: run.machine("system_reset")),
        ),
        Fault(
            "SSH lost",
            "the controller's SSH processes get SIGKILL while a test is verified",
            {SLOW: "INFRA", SOUND: "PASS"},
            INFRA,
            _while_verifying(lambda run: run.kill_ssh()),
        ),
        Fault(
            "network lost",
            "the target's network goes while a test is verified, and nobody is told; the console "
            "has the kernel's debug messages",
            {SLOW: "INFRA", SOUND: "PASS"},
            INFRA,
            _while_verifying(lambda run: run.machine("netdev_del", id="management")),
            ("--carryover-boot-append=ignore_loglevel",),
        ),
        Fault(
            "console lost",
            "the console ends when everything is armed: nobody sees the incoming kernel",
            {SOUND: "INFRA", SKIPPED: "SKIP"},
            INFRA,
            _console_lost,
        ),
        Fault(
            "console flooded",
            "10 MB/s between the kernel's lines, in which it panics while a test is verified",
            {f"{hidden}PanicsInVerify": "PANIC", SOUND: "PASS"},
            BAD,
            _console_faulted,
            limit=5.0,
        ),
        Fault(
            "BMC unreachable",
            "a machine that no run starts stops for good while a test is verified, and neither SSH "
            "nor its BMC brings it back",
            {SLOW: "INFRA", SOUND: "PASS"},
            INFRA,
            lambda run: bmc_unreachable(run, SLOW, SOUND),
        ),
        Fault(
            "controller killed",
            "the runner gets SIGKILL while a test is verified, and the run is resumed",
            {SLOW: "PASS", SOUND: "PASS"},
            GOOD,
            _controller_killed,
        ),
        Fault(
            "disk full",
            "the controller's disk fills up while a test is verified; the run is resumed later",
            {SLOW: "PASS", SOUND: "PASS"},
            GOOD,
            _disk_full,
        ),
        Fault(
            "place stolen",
            "somebody else takes the place from labgrid's coordinator while a test is verified",
            {SLOW: "INFRA", SOUND: "PASS"},
            INFRA,
            lambda run: place_stolen(run, SLOW),
        ),
    ]
