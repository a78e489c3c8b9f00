#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Speaks docs/protocol.md. What each test does is the last word of its name (see BEHAVIOURS)."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from fake.recording import Recording
from fake.world import KERNEL, World

recording = Recording.of_this_process()
TESTS: list[tuple[str, str, int, str | None]] = recording.rows() or [
    ("Rules.Passes", "run", 0, None),
    ("Rules.Fails", "run", 0, None),
    ("Rules.Skips", "run", 0, None),
    ("Rules.MayDiffer", "run", 0, None),
    ("Rules.DiesOfSignal", "run", 0, None),
    ("Rules.Hangs", "run", 0, None),
    ("Rules.MakesTheKernelWarn", "run", 0, None),
    ("Rules.WarnsAsDeclared", "run", 0, None),
    ("Rules.DeclaresNonsense", "run", 0, None),
    ("Rules.TaintsInSilence", "run", 0, None),
    ("Rules.MakesTheKernelOops", "run", 0, None),
    ("Memory.Passes", "continuity", 1, None),
    ("Memory.AlsoPasses", "continuity", 1, None),
    ("Memory.Fails", "continuity", 1, None),
    ("Memory.IsDamaged", "continuity", 1, None),
    ("Memory.FailsToArm", "continuity", 1, None),
    ("Memory.Skips", "continuity", 1, None),
    ("Memory.IsLost", "continuity", 1, None),
    ("Memory.IsForgotten", "continuity", 1, None),
    ("Memory.CannotBeRead", "continuity", 1, None),
    ("Memory.PanicsWhileArming", "continuity", 1, None),
    ("Memory.PanicsInTheGap", "continuity", 1, None),
    ("Memory.PanicsOnce", "continuity", 1, None),
    ("Memory.PanicsInVerify", "continuity", 1, None),
    ("Memory.OopsesWhileArming", "continuity", 1, None),
    ("Memory.MakesTheKernelOops", "continuity", 1, None),
    ("Memory.ResetsInTheGap", "continuity", 1, None),
    ("Memory.HangsWhileArming", "continuity", 1, None),
    ("Memory.HangsInVerify", "continuity", 1, None),
    ("Memory.HangsInTheGap", "continuity", 1, None),
    ("Memory.BreaksTheAbi", "continuity", 1, None),
    ("Memory.BootsCold", "continuity", 1, None),
    ("Memory.IsRefused", "continuity", 1, None),
    ("Memory.KillsMachine", "continuity", 1, None),
    ("Memory.LosesSsh", "continuity", 1, None),
    ("Memory.EndsUnheard", "continuity", 1, None),
    ("Memory.BootsInSilence", "continuity", 1, None),
    ("Memory.DiesInSilence", "continuity", 1, None),
    ("Memory.RefusesSsh", "continuity", 1, None),
    ("Memory.CutsTheConsoleAndHangs", "continuity", 1, None),
    ("Memory.CutsTheConsole", "continuity", 1, None),
    ("Memory.LosesSshInTheGap", "continuity", 1, None),
    ("Memory.IsCutOffInMidWord", "continuity", 1, None),
    ("Memory.LosesItsHolder", "continuity", 1, None),
    ("Memory.FillsTheDisk", "continuity", 1, None),
    ("Memory.HasAStaleLedger", "continuity", 1, None),
    ("Memory.TalksNonsense", "continuity", 1, None),
    ("Chain.Passes", "continuity", 3, None),
    ("Chain.FailsToCarry", "continuity", 3, None),
    ("Memory.FloodsTheKernelsLog", "continuity", 3, None),
    ("Own.Kexec", "continuity", 1, None),
    ("Own.TwoKexecs", "continuity", 2, None),
    ("Igb.Passes", "continuity", 1, "igb"),
]
TESTS += [
    (f"Many.Passes{number}", "run", 0, None)
    for number in range(int(os.environ.get("CARRYOVER_FAKE_MANY", "0")))
]

# A zeroed page, and one bit of another.
DAMAGE = {
    "what": "memory",
    "checked": 65536,
    "page": 4096,
    "damaged": {"zeroed": 4096, "bit flip": 8},
    "extents": [
        {
            "offset": 8192,
            "length": 4096,
            "damage": "zeroed",
            "detail": "",
            "iova": None,
            "physical": 0x12345000,
        },
        {
            "offset": 20480,
            "length": 8,
            "damage": "bit flip",
            "detail": "bit 3 of the word at 0x5000",
            "iova": None,
            "physical": None,
        },
    ],
    "extent_count": 2,
    "map": [[2, 1, "zeroed"], [5, 1, "bit flip"]],
}


def say(event: str, **fields: Any) -> None:
    sys.stdout.write(
        json.dumps({"event": event, "t": time.monotonic_ns(), "tsc": counter(), **fields}) + "\n"
    )
    sys.stdout.flush()


def end(code: int) -> NoReturn:
    say("end", exit_code=code)
    sys.exit(code)


def finish(name: str, half: str, generation: int, result: str, reason: str | None = None) -> None:
    if result in ("FAIL", "LOST"):
        say("failure", name=name, half=half, file="fake.cc", line=7, message=reason or "")
    say(
        "finish",
        name=name,
        half=half,
        generation=generation,
        result=result,
        reason=reason,
        duration_us=1500,
    )


_started_by = os.getppid()


def wait_for_ever() -> NoReturn:
    """Until whoever started this process, the runner or the connection, has ended."""
    while os.getppid() == _started_by:
        time.sleep(1)
    os._exit(0)


def leave_to_machine() -> None:
    """What follows is done by the machine, which does not end with the connection."""
    global _started_by  # a process has one
    sys.stdout.flush()
    connection = os.getpid()
    if os.fork():
        wait_for_ever()
    _started_by = connection
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def panic(world: World) -> NoReturn:
    leave_to_machine()
    world.update(dead=True)
    world.console(
        "[   3.1] Kernel panic - not syncing: sysrq triggered crash",
        "[   3.2] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---",
    )
    world.machine(event="SHUTDOWN", data={"guest": True, "reason": "guest-reset"})
    world.machine(gone="QEMU ended with 0")
    os._exit(0)


def oops(world: World) -> NoReturn:
    world.console("[ 4.0] Oops: general protection fault: 0000 [#1] SMP")
    time.sleep(0.1)  # the kernel printed before it killed the process
    say("error", kind="holder", message="the holder ended with 0")
    end(3)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def selected(patterns: list[str], kind: str) -> list[tuple[str, str, int, str | None]]:
    words = ":".join(patterns).split(":") if patterns else ["*"]
    chosen = [t for t in TESTS if t[1] == kind and any(fnmatchcase(t[0], w) for w in words)]
    if not chosen:
        say("error", kind="usage", message=f"no test matches {words}")
        end(2)
    return chosen


def run(world: World, patterns: list[str]) -> NoReturn:
    run_each(world, selected(patterns, "run"))
    end(0)


def run_each(world: World, tests: list[tuple[str, str, int, str | None]]) -> None:
    for name, *_ in tests:
        say("start", name=name, half="run", generation=0)
        recording.pause(name, "run")
        action = name.split(".")[1]
        if action == "DiesOfSignal":
            sys.exit(139)
        if action == "Hangs":
            wait_for_ever()
        if action == "WarnsAsDeclared":
            say("expect-message", name=name, pattern="recursive locking")
        if action == "DeclaresNonsense":
            say("expect-message", name=name, pattern="(")
        if action in ("MakesTheKernelWarn", "WarnsAsDeclared"):
            time.sleep(0.1)  # its clock says nothing: the runner is to have heard of the test
            world.console("[ 4.0] WARNING: possible recursive locking detected")
            time.sleep(0.1)  # a serial line is slower than this, and the kernel printed first
        if action == "TaintsInSilence":
            world.update(tainted=512)
        if action == "MakesTheKernelOops":
            oops(world)
        result = {"Fails": "FAIL", "Skips": "SKIP"}.get(action, "PASS")
        if action == "MayDiffer" and (world.folder / "differs").exists():
            result = "FAIL"
        finish(name, "run", 0, result, None if result == "PASS" else "on purpose")


def arm(
    world: World, patterns: list[str], nonce: str, with_run: bool, claims: list[str]
) -> NoReturn:
    armed = []
    if with_run:
        run_each(world, selected(patterns, "run"))
    for name, _, generations, driver in selected(patterns, "continuity"):
        action = name.split(".")[1]
        if driver:
            say(
                "bound",
                address="0000:01:00.0",
                id="8086:10c9",
                to="vfio-pci",
                driver_override=None,
                **{"from": "igb"},
            )
        say("start", name=name, half="arm", generation=0)
        if driver:
            say("uses", name=name, address="0000:01:00.0")
        say("note", name=name, key="claims", value=claims)
        recording.pause(name, "arm")
        if action == "PanicsWhileArming":
            panic(world)
        if action == "OopsesWhileArming":
            oops(world)
        if action == "HangsWhileArming":
            wait_for_ever()
        if action == "FillsTheDisk":
            if folder := os.environ.get("CARRYOVER_FAKE_FILL"):
                fill(Path(folder))
        if action == "TalksNonsense":
            sys.stdout.write("Segmentation fault\n")
            sys.stdout.flush()
            wait_for_ever()
        if action in ("FailsToArm", "Skips"):
            finish(name, "arm", 0, "FAIL" if action == "FailsToArm" else "SKIP", "on purpose")
            continue
        finish(name, "arm", 0, "ARMED")
        armed.append([name, generations])
    world.update(ledger={"generation": 0, "armed": armed, "nonce": nonce})
    if armed:
        hold(armed, 0)
    end(0)


def hold(armed: list[list[Any]], generation: int) -> None:
    remaining = max(generations for _, generations in armed) - generation
    say(
        "holding",
        pid=1,
        armed=[n for n, _ in armed],
        sessions=len(armed) + 1,
        generation=generation,
        remaining=remaining,
    )


def kexec(world: World, append: str) -> NoReturn:
    state = world.state
    actions = {name.split(".")[1] for name, _ in state["ledger"]["armed"]}
    nonce = append.split("carryover.nonce=")[-1]
    if "LosesSshInTheGap" in actions:
        os._exit(255)
    if "LosesItsHolder" in actions:
        say("error", kind="holder", message="process 1 is gone")
        end(3)
    if "IsCutOffInMidWord" not in actions:
        say("loaded", kernel="k", initrd="i", append=append)
        say("jump")
    if "IsRefused" in actions:
        world.console("[ 5.0] luo: Freeze failed for token[0x1] handler[memfd-v1] err[-EINVAL]")
        time.sleep(0.1)  # a serial line is slower than this, and the kernel printed first
        say("refused", errno=22, message="reboot(KEXEC): Invalid argument")
        end(4)
    leave_to_machine()
    world.console("[ 5.0] kexec_core: Starting new kernel")
    if "ResetsInTheGap" in actions:
        world.machine(event="SHUTDOWN", data={"reason": "host-qmp-system-reset"})
        world.machine(gone="QEMU ended with 0")
        os._exit(0)
    if "KillsMachine" in actions:
        world.machine(gone="QEMU was killed by signal 9")
        os._exit(0)
    if "HangsInTheGap" in actions:
        world.console("[ 0.0] Linux version 7.3.4-fake (fake)", "[ 0.9] stuck here")
        os._exit(0)
    if "BreaksTheAbi" in actions:
        world.console(
            "[ 0.0] Linux version 7.3.4-fake (fake)",
            "[ 0.1] luo: LUO state is incompatible with 'luo-v5'",
        )
        panic(world)
    once = "PanicsOnce" in actions and not state.get("panicked")
    if "PanicsInTheGap" in actions or once:
        world.update(panicked=True)
        world.console("[ 0.0] Linux version 7.3.4-fake (fake)")
        panic(world)
    time.sleep(recording.kexec)
    world.reboot(nonce=nonce, kexec=True)
    if "BootsCold" in actions:
        world.update(kho_count=0)
    world.sign_on()
    os._exit(0)


def verify(world: World, patterns: list[str]) -> NoReturn:
    ledger = world.state["ledger"]
    if ledger is None:
        say("error", kind="ledger-missing", message="no session carryover-ledger")
        end(3)
    if any("CannotBeRead" in name for name, _ in ledger["armed"]):
        world.console("[ 3.1] luo: No registered handler for compatible 'vfio-pci-v1'")
        time.sleep(0.1)  # a serial line is slower than this, and the kernel printed first
        say("error", kind="handover-refused", message="open /dev/liveupdate: Input/output error")
        end(3)
    nonce = (
        "of-another-run" if any("StaleLedger" in n for n, _ in ledger["armed"]) else ledger["nonce"]
    )
    say("ledger", generation=ledger["generation"], nonce=nonce, boot_id="", kho_count=0, tests=1)
    generation = ledger["generation"] + 1
    armed = []
    for name, generations in ledger["armed"]:
        if not any(fnmatchcase(name, w) for w in ":".join(patterns).split(":")):
            continue
        action = name.split(".")[1]
        if action == "IsForgotten":
            continue
        say("start", name=name, half="verify", generation=generation)
        if action == "PanicsInVerify":
            panic(world)
        if action == "MakesTheKernelOops":
            oops(world)
        if action == "HangsInVerify":
            wait_for_ever()
        if action == "EndsUnheard":
            world.console(f"[ 4.0] carryover: end verify {name}")
            wait_for_ever()
        if action == "BootsInSilence":
            world.reboot(nonce="", kexec=False)
            sys.exit(255)
        if action == "DiesInSilence":
            world.update(dead=True)
            sys.exit(255)
        if action == "RefusesSsh":
            world.update(refuses_ssh=True)
            sys.exit(255)
        if action.startswith("CutsTheConsole"):
            world.update(console_cut=True)
            time.sleep(0.3)
        if action == "CutsTheConsoleAndHangs":
            world.update(dead=True)
            wait_for_ever()
        if action == "FloodsTheKernelsLog":
            world.update(counts_are_lost=True)
        if action == "LosesSsh":
            sys.stderr.write("Connection to 127.0.0.1 closed by remote host.\n")
            sys.exit(255)
        say("note", name=name, key="bytes", value="4096")
        if name.startswith("Igb."):
            say("note", name=name, key="stream_longest_gap_us", value="2000")
        recording.pause(name, "verify")
        if action == "IsDamaged":
            say("note", name=name, key="damage", value=DAMAGE)
        bad = {"Fails": "FAIL", "IsDamaged": "FAIL", "IsLost": "LOST"}
        result = bad.get(action, "PASS")
        finish(name, "verify", generation, result, None if result == "PASS" else "on purpose")
        if result == "PASS" and generation < generations:
            failed = action == "FailsToCarry"
            say("start", name=name, half="carry", generation=generation)
            finish(name, "carry", generation, "FAIL" if failed else "ARMED", "on purpose")
            if not failed:
                armed.append([name, generations])
    world.update(ledger={"generation": generation, "armed": armed, "nonce": ledger["nonce"]})
    if armed:
        hold(armed, generation)
    end(0)


def counter() -> int:
    return time.monotonic_ns() * 2


def clock() -> NoReturn:
    """Of 2 GHz; the kernel began when the counter did."""
    if os.environ.get("CARRYOVER_FAKE_NO_CLOCK"):
        say("error", kind="usage", message="there is no verb clock")
        end(2)
    before = counter()
    stamp = time.monotonic_ns() // 1000
    say("kernel-clock", before=before, time_us=stamp, after=counter())
    say("clock", echo=None)
    for line in sys.stdin:
        say("clock", echo=line.rstrip("\n"))
    end(0)


def list_tests(hidden: bool) -> NoReturn:
    for line, (name, kind, generations, driver) in enumerate(TESTS, 1):
        say(
            "test",
            name=name,
            kind=kind,
            claim="memory" if generations else None,
            driver=driver,
            generations=generations,
            own_kexec=name.startswith("Own."),
            time_limit_ms=60_000 if recording.tests else 500,
            file="/src/fake.cc",
            line=line,
            summary=name,
        )
    end(0)


def main() -> NoReturn:
    verb, *words = sys.argv[1:]
    if verb == "list":
        say(
            "hello",
            schema=1,
            verb=verb,
            version="fake",
            kernel=KERNEL,
            boot_id="host",
            cmdline="",
            kho_count=None,
            luo_number=None,
        )
        list_tests("--hidden" in words)
    world = World.of_this_process()
    state = world.state
    if state.get("counts_are_lost"):
        state = {**state, "kho_count": None, "luo_number": None}
    say(
        "hello",
        schema=1,
        verb=verb,
        version="fake",
        kernel=KERNEL,
        boot_id=state["boot_id"],
        cmdline=f"console=ttyS0 carryover.nonce={state['nonce']}",
        kho_count=state["kho_count"],
        luo_number=state["luo_number"],
        tainted=state.get("tainted", 0),
    )
    patterns, append, nonce, with_run, after = [], "", "", False, -1
    claims: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--append":
            append = words.pop(0)
        elif word == "--claim":
            claims.append(words.pop(0))
        elif word == "--nonce":
            nonce = words.pop(0)
        elif word == "--with-run":
            with_run = True
        elif word == "--after":
            after = int(words.pop(0))
        elif word in ("--json", "--hidden"):
            continue
        elif word.startswith("--"):
            words.pop(0)
        else:
            patterns.append(word)
    if verb == "probe":
        present = not state.get("no_kho", False)
        say(
            "feature",
            name="kho",
            present=present,
            detail="/sys/kernel/debug/kho is not there",
            remedy="boot with kho=on",
        )
        if {"mapping", "stream"} & set(claims):
            say(
                "feature",
                name="stream",
                present=not state.get("no_stream", False),
                detail="preserved devices are reset",
                remedy="build with CONFIG_VFIO_PCI_LIVEUPDATE_DMA=y",
            )
        if held := state.get("held"):
            say("held", owner=held, verb="arm", since="2026-01-01T00:00:00Z")
        say(
            "device",
            address="0000:01:00.0",
            id="8086:10c9",
            driver="igb",
            listed=True,
            refused=state.get("refused"),
        )
        end(0)
    if verb == "restore":
        if reason := state.get("cannot_restore"):
            say("error", kind="device", message=reason)
            end(3)
        say("restored", address="0000:01:00.0", to="igb", was="vfio-pci")
        end(0)
    if verb == "clock":
        clock()
    if verb == "log":
        for record in world.log_records():
            if record["sequence"] > after:
                say("kernel-message", **record)
        end(0)
    if verb == "kexec":
        kexec(world, append)
    if verb == "arm":
        arm(world, patterns, nonce, with_run, claims)
    {"run": run, "verify": verify}[verb](world, patterns)
    end(0)


main()
