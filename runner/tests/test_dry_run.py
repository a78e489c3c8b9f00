# SPDX-License-Identifier: GPL-2.0-only
"""A dry run names every action, and does none: not on the controller, and not on the target."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FakeBench, Run
from fake.world import World
from lab_with_device import lab_with_device
from test_kernel_image import X86
from test_lab_runs import FakeLab


def dry(fake: FakeBench, *arguments: str) -> Run:
    """A dry run, after which everything is as it was."""
    before = _all(fake.folder)
    run = fake.run("--carryover-dry-run", "-k", "Passes", *arguments)
    asked = fake.folder / "commands"
    if asked.exists():
        verbs = {line.split()[1] for line in asked.read_text().splitlines()}
        assert verbs == {"probe"}, verbs
        asked.unlink()
    assert _all(fake.folder) == before
    assert "Traceback" not in run.output
    return run


def _all(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts and ".pytest_cache" not in path.parts
    }


def in_order(output: str, *patterns: str) -> None:
    position = 0
    for pattern in patterns:
        found = re.compile(pattern, re.MULTILINE).search(output, position)
        assert found, f"{pattern!r} is not where it should be in:\n{output}"
        position = found.end()


def test_the_bench_is_not_started(fake: FakeBench) -> None:
    run = dry(fake)
    assert run.status == 0
    in_order(
        run.output,
        r"^controller +write into .*/out: journal.jsonl",
        r"^machine +start QEMU: qemu .* -append carryover.nonce=\.\.\.'?$",
        r"^target +connect by SSH as root@127.0.0.1, to /bin/program$",
        r"^target +take its lock, as .*@.*, run in .*/out, process \d+$",
        r"^target +unbind 0000:01:00.0 \(8086:10c9\) from its driver "
        r"\(the machine is not started for this\), bind it to vfio-pci",
        r"^target +run 1 test: Rules.Passes without a kexec$",
        r"^target +arm 4 tests: Chain.Passes Igb.Passes Memory.Passes Memory.AlsoPasses$",
        r"^target +kexec 1 of 3: /bin/program kexec --json --owner .* --kernel /boot/bzImage "
        r"--append 'console=ttyS0 carryover.nonce=\.\.\.'?$",
        r"^target +verify \d tests: .*Memory.Passes",
        r"^target +kexec 3 of 3: ",
        r"^target +verify 1 test: Chain.Passes$",
        r"^target +put 0000:01:00.0 back: the driver and driver_override that it had$",
        r"^machine +end QEMU",
        r"^controller +write junit.xml, results.ktap and report.html into .*/out$",
        r"dry run: nothing of this was done$",
    )
    assert not fake.out.exists()


def test_a_test_with_its_own_kexec_has_a_power_cycle(fake: FakeBench) -> None:
    run = dry(fake, "-k", "AlsoPasses or TwoKexecs")
    in_order(
        run.output,
        r"^machine +start QEMU",
        r"^target +arm 1 test: Memory.AlsoPasses$",
        r"^target +kexec 1 of 1: ",
        r"^machine +end QEMU",
        r"^machine +start QEMU",
        r"^target +arm 1 test: Own.TwoKexecs$",
        r"^target +kexec 2 of 2: ",
        r"^target +verify 1 test: Own.TwoKexecs$",
        r"^machine +end QEMU",
        r"^machine +if it dies",
    )


def test_a_device_that_no_test_wants_is_left_alone(fake: FakeBench) -> None:
    run = dry(fake, "-m", "not igb")
    assert "leave 0000:01:00.0 (8086:10c9) alone: no selected test wants igb" in run.output
    assert "unbind" not in run.output


@pytest.fixture
def lab(tmp_path: Path) -> FakeLab:
    """The machine is up, and was there before."""
    lab = lab_with_device(tmp_path)
    World(lab.folder).reboot(nonce="", kexec=False)
    return lab


def test_a_machine_that_is_up_is_asked(lab: FakeLab) -> None:
    run = dry(lab)
    assert run.status == 0
    in_order(
        run.output,
        r"^machine +read its console, console of the fake machine$",
        r"^machine +reboot it into its own kernel, by what works first: SSH reboot, sysrq, "
        r"power cycle, off and on$",
        r"^target +unbind 0000:01:00.0 \(8086:10c9\) from igb, bind it to vfio-pci by "
        r"driver_override$",
        r"^target +put 0000:01:00.0 back: igb, and the driver_override that it had$",
        r"^machine +leave it as it is$",
    )


def test_what_would_be_copied_is_named(lab: FakeLab) -> None:
    (lab.folder / "bzImage").write_bytes(X86)
    lab.edit(
        "    - KexecStrategy:\n", "    - KernelDeployer: {kernel: bzImage}\n    - KexecStrategy:\n"
    )
    run = dry(lab)
    in_order(
        run.output,
        r"^target +copy .*/bzImage to /var/lib/carryover/kernel, unless it is there already$",
        r"^target +kexec into the kernel that was copied: .* --append 'console=ttyS0 "
        r"carryover.nonce=\.\.\.'$",
        r"^target +unbind 0000:01:00.0",
    )


def test_a_refusal_is_foretold(lab: FakeLab) -> None:
    refused = "its interface eth0 carries the default route"
    World(lab.folder).update(refused=refused, held="ann@desk")
    run = dry(lab)
    assert "the machine is held by ann@desk, since 2026" in run.output
    assert "refuse to begin: 0000:01:00.0 (8086:10c9) is not touched: its interface" in run.output


def test_what_an_earlier_run_left_is_named_and_kept(fake: FakeBench) -> None:
    assert fake.run("-k", "Rules and Passes").status == 0
    run = dry(fake)
    in_order(run.output, r"^controller +remove of an earlier run in .*: junit.xml .*results.jsonl ")
    assert (fake.out / "results.jsonl").exists()


@pytest.mark.parametrize("json", [False, True])
def test_the_command_does_it(fake: FakeBench, json: bool) -> None:
    command = [sys.executable, "-m", "carryover", "run", "--dry-run", "--program"]
    command += [str(fake.program), "--target", str(fake.environment), "-p", "fake.machine"]
    command += ["--carryover-out", str(fake.out), "-k", "Passes"]
    before = _all(fake.folder)
    done = subprocess.run(
        [*command, *(["--json"] if json else [])],
        cwd=fake.folder, env=fake.variables, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert _all(fake.folder) == before
    assert "kexec 1 of 3" in (done.stderr if json else done.stdout)
    assert done.stdout.startswith("{") == json


def test_bad_input_is_refused_as_ever(fake: FakeBench) -> None:
    text = fake.environment.read_text()
    fake.environment.write_text(text.replace("boot_limit", "boot_limt"))
    assert dry(fake).status == pytest.ExitCode.USAGE_ERROR
