# SPDX-License-Identifier: GPL-2.0-only
"""Which boots are told of, of those that answer over SSH; and what they mean for the machine."""

from __future__ import annotations

import time

import pytest

from carryover.errors import Infrastructure
from carryover.kernel.messages import KernelMessage, Meaning, recognise
from carryover.machine.contact import Contact, ContactSeeker
from carryover.observation import (
    ConsoleLine,
    ConsoleState,
    Crashed,
    DeadlineExpired,
    Reached,
    Watch,
)
from carryover.verdict import Verdict

OLD = Contact("11-old", "6.1", 5000.0)
NEW = Contact("22-new", "7.3", 1.0)


def sought(answers: list[Contact | None], known: str = "", **options: bool) -> str:
    """The boot id that is told of first; empty if none is within a second."""
    watch = Watch()
    left = iter([*answers, *answers[-1:] * 100])

    def ask(limit: float) -> Contact:
        assert limit > 0
        found = next(left)
        if found is None:
            raise Infrastructure("SSH: connection refused")
        return found

    seeker = ContactSeeker(ask, watch, known, **options)
    try:
        seen = watch.next(time.monotonic() + 1.2)
    except DeadlineExpired:
        return ""
    finally:
        seeker.stop()
    assert isinstance(seen, Reached)
    return seen.message.values["boot_id"]


@pytest.mark.parametrize(
    ("answers", "known", "told"),
    [
        ([OLD, NEW], "11-old", "22-new"),
        ([OLD], "11-old", ""),
        ([None, NEW], "11-old", "22-new"),
        ([OLD], "", ""),  # it began before anything was done
        ([OLD, NEW], "", "22-new"),
        ([None], "", ""),
    ],
)
def test_the_old_boot_is_not_taken_for_a_new_one(
    answers: list[Contact | None], known: str, told: str
) -> None:
    assert sought(answers, known) == told


def test_any_boot() -> None:
    assert sought([None, OLD], any_boot=True) == "11-old"


def test_an_answer() -> None:
    text = "Welcome!\n11-old\n6.1.0-amd64\n5000.25 19000.00\n"
    assert Contact.from_answer(text) == Contact("11-old", "6.1.0-amd64", 5000.25)


@pytest.mark.parametrize("text", ["", "11-old\n6.1\n", "11-old\n6.1\nsoon 1\n", "a\nb\n\n"])
def test_no_answer(text: str) -> None:
    with pytest.raises(Infrastructure, match="nonsense"):
        Contact.from_answer(text)


def reached(boot_id: str) -> Reached:
    values = {"boot_id": boot_id, "release": "7.3"}
    return Reached(0.0, KernelMessage(Meaning.TARGET_READY, f"SSH leads to boot {boot_id}", values))


def line(text: str) -> ConsoleLine:
    return ConsoleLine(0.0, text, recognise(text))


def test_a_kernel_that_the_console_has_lost() -> None:
    watch = Watch()
    watch.health.observe(reached("1"))
    assert watch.health.kernels == ["7.3"]
    watch.health.observe(reached("1"))
    watch.health.kernel_is_expected = True
    watch.health.observe(reached("2"))
    assert watch.health.kernels == ["7.3", "7.3"]
    assert watch.health.crash is None


def test_a_kernel_that_the_console_has_shown() -> None:
    watch = Watch()
    watch.health.observe(reached("1"))
    watch.health.kernel_is_expected = True
    watch.health.observe(line("Linux version 7.3.4 (x)"))
    watch.health.observe(reached("2"))
    assert watch.health.kernels == ["7.3", "7.3.4"]
    assert watch.health.crash is None


def test_a_console_that_is_slower_than_ssh() -> None:
    watch = Watch()
    watch.health.observe(reached("1"))
    watch.health.observe(line("Linux version 7.3.4 (x)"))
    watch.health.observe(line("carryover: target ready boot_id=1 nonce=x"))
    assert watch.health.crash is None
    watch.health.observe(line("Linux version 7.3.4 (x)"))
    assert watch.health.crash is not None
    assert watch.health.crash.verdict is Verdict.RESET


def test_a_kernel_that_nobody_asked_for() -> None:
    watch = Watch()
    watch.health.observe(reached("1"))
    watch.health.observe(reached("2"))
    assert watch.health.crash is not None
    assert watch.health.crash.verdict is Verdict.RESET
    assert "SSH leads to boot 2" in watch.health.crash.reason


def test_a_late_word_of_the_boot_that_is_over() -> None:
    watch = Watch()
    watch.post(line("carryover: target ready boot_id=1 nonce=x"))
    watch.post(reached("1"))
    watch.post(reached("2"))
    assert watch.wait_until_ready(1.0, "the kexec", "1").values["boot_id"] == "2"


@pytest.mark.parametrize(
    ("states", "verdict", "reason"),
    [
        ([], Verdict.HANG, "within 0 s of the kexec"),
        (["ser2net is gone"], Verdict.INFRA, "the console is lost, .*: ser2net is gone"),
        (["ser2net is gone", ""], Verdict.HANG, "within 0 s of the kexec"),
    ],
)
def test_silence_of_a_lost_console_is_no_hang(
    states: list[str], verdict: Verdict, reason: str
) -> None:
    watch = Watch()
    for lost in states:
        watch.health.observe(ConsoleState(0.0, lost))
    watch.begin_anew()
    with pytest.raises(Crashed, match=reason) as crashed:
        watch.wait_until_ready(0.0, "the kexec")
    assert crashed.value.verdict is verdict
