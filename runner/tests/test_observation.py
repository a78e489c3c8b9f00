# SPDX-License-Identifier: GPL-2.0-only
"""What killed the machine is told from what was seen, in any order in which it can be seen."""

from __future__ import annotations

import threading
import time

import pytest

from carryover.errors import OutputFailed
from carryover.events import Event
from carryover.kernel.messages import recognise
from carryover.observation import (
    ConsoleLine,
    ConsoleState,
    Crashed,
    DeadlineExpired,
    MachineEvent,
    MachineGone,
    Observation,
    ProgramEvent,
    ReaderFailed,
    Watch,
)
from carryover.verdict import Verdict


def line(text: str) -> ConsoleLine:
    return ConsoleLine(0.0, text, recognise(text))


def shutdown(reason: str) -> MachineEvent:
    return MachineEvent(0.0, "SHUTDOWN", {"reason": reason})


GONE = MachineGone(0.0, "QEMU ended with 0")
PANIC = line("Kernel panic - not syncing: Fatal exception")
PANIC_END = line("---[ end Kernel panic - not syncing: Fatal exception ]---")
TREE = "Kernel panic - not syncing: The incoming tree failed to initialize properly "
TREE_FAILED = line(f"{TREE}[-22], disabling live update")


def watch_after_boot() -> Watch:
    watch = Watch()
    watch.health.observe(line("SeaBIOS (version 1)"))
    watch.health.observe(line("Linux version 7.3.4 (x)"))
    watch.health.firmware_is_expected = False
    return watch


@pytest.mark.parametrize(
    ("seen", "verdict", "reason"),
    [
        ([PANIC, PANIC_END], Verdict.PANIC, "Fatal exception"),
        ([PANIC, shutdown("guest-reset"), GONE], Verdict.PANIC, "Fatal exception"),
        ([line("kernel BUG at mm/x.c:1!"), PANIC, PANIC_END], Verdict.PANIC, "mm/x.c"),
        ([line("LUO state is incompatible"), PANIC, PANIC_END], Verdict.ABI_MISMATCH, "LUO"),
        ([line("LUO state is incompatible"), TREE_FAILED, GONE], Verdict.ABI_MISMATCH, "LUO"),
        ([TREE_FAILED, GONE], Verdict.ABI_MISMATCH, "[-22]"),
        ([line(f"{TREE}[-ENOMEM], disabling"), GONE], Verdict.PANIC, "ENOMEM"),
        ([shutdown("guest-reset"), GONE], Verdict.RESET, "guest-reset"),
        ([shutdown("host-qmp-system-reset"), GONE], Verdict.RESET, "host-qmp-system-reset"),
        ([shutdown("guest-shutdown"), GONE], Verdict.RESET, "went down"),
        ([line("SeaBIOS (version 1)"), GONE], Verdict.RESET, "firmware"),
        ([line("Linux version 7.3.4 (x)"), GONE], Verdict.RESET, "nobody asked for"),
        ([MachineEvent(0.0, "RESET", {"reason": "guest-reset"}), GONE], Verdict.RESET, "reset"),
        ([GONE], Verdict.INFRA, "the machine is gone"),
        ([shutdown("host-signal"), GONE], Verdict.INFRA, "host-signal"),
        ([shutdown("host-qmp-quit"), GONE], Verdict.INFRA, "host-qmp-quit"),
    ],
)  # fmt: skip
def test_cause_of_death(seen: list[Observation], verdict: Verdict, reason: str) -> None:
    watch = watch_after_boot()
    for observation in seen:
        watch.post(observation)
    with pytest.raises(Crashed) as crash:
        while True:
            watch.next(time.monotonic() + 1)
    assert crash.value.verdict is verdict
    assert reason in crash.value.reason


def test_an_expected_kernel_is_no_reset() -> None:
    watch = watch_after_boot()
    watch.health.kernel_is_expected = True
    watch.post(line("Linux version 7.3.4 (x)"))
    watch.next(time.monotonic() + 1)
    assert watch.health.crash is None
    assert watch.health.kernels == ["7.3.4", "7.3.4"]


def test_an_oops_alone_is_no_death() -> None:
    watch = watch_after_boot()
    watch.post(line("BUG: unable to handle page fault"))
    watch.next(time.monotonic() + 1)
    assert watch.health.faults


def test_silence_ends_at_the_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExpired):
        Watch().next(began + 0.05)
    assert 0.04 < time.monotonic() - began < 1


def test_a_panic_without_an_end_is_told_within_five_seconds() -> None:
    watch = watch_after_boot()
    watch.post(PANIC)
    began = time.monotonic()
    with pytest.raises(Crashed, match="Fatal exception"):
        watch.next(began + 60)
    assert time.monotonic() - began < 5


def test_what_a_program_said_before_its_machine_died_is_kept() -> None:
    watch = watch_after_boot()
    watch.post(PANIC)
    watch.post(PANIC_END)
    event = ProgramEvent(1, Event("start", {"name": "A.B", "half": "verify"}))
    threading.Timer(0.05, watch.post, [event]).start()  # the network is slower than the console
    with pytest.raises(Crashed):
        watch.next(time.monotonic() + 1)
    assert watch.late == [event]


def test_a_reader_that_fails_is_not_silence() -> None:
    watch = Watch()
    watch.post(ReaderFailed(OutputFailed("console.log: No space left on device")))
    with pytest.raises(OutputFailed, match="No space left"):
        watch.next(time.monotonic() + 1)


def test_a_flooded_console_does_not_put_off_a_deadline() -> None:
    watch = Watch()
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            for _ in range(1000):
                watch.post(line("flood"))

    thread = threading.Thread(target=flood)
    thread.start()
    begin = time.monotonic()
    try:
        with pytest.raises(Crashed, match=r"within 0\.2 s of the kexec; .*last line: 'flood'"):
            watch.wait_until_ready(0.2, "the kexec")
        watch.begin_anew()
    finally:
        stop.set()
        thread.join()
    assert time.monotonic() - begin < 3


def test_silence_without_a_console_is_no_hang() -> None:
    watch = Watch()
    watch.post(ConsoleState(0.0, "it has ended"))
    with pytest.raises(Crashed, match="so why is not known: it has ended") as e:
        watch.wait_until_ready(0.05, "the kexec")
    assert e.value.verdict is Verdict.INFRA
    watch.post(ConsoleState(0.0, ""))
    with pytest.raises(Crashed) as e:
        watch.wait_until_ready(0.05, "the kexec")
    assert e.value.verdict is Verdict.HANG
