# SPDX-License-Identifier: GPL-2.0-only
"""Bad input ends with one clear message and a non-zero exit, and leaves nothing like a result."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import FakeBench, Run
from fake import machine  # noqa: F401
from fake.world import World

from carryover.environment import check
from carryover.errors import BadInput


def assert_refused(run: Run, *parts: str) -> None:
    errors = [line for line in run.output.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 1, run.output
    for part in parts:
        assert part in run.output
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in run.output
    assert "PASS" not in run.output
    assert not (run.out / "junit.xml").exists()


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("boot_limit: 1.5", "boot_limt: 1.5", ["unknown key `boot_limt`", "`boot_limit`"]),
        ("boot_limit: 1.5", "boot_limit: soon", ["KexecStrategy.boot_limit is 'soon'"]),
        ("boot_limit: 1.5", "boot_limit: -1", ["KexecStrategy.boot_limit is -1"]),
        ("boot_limit: 1.5", "claims: memory", ["KexecStrategy.claims is 'memory'"]),
        ("boot_limit: 1.5", "claims: [memroy]", ["claims is ['memroy']"]),
        ("kernel: /boot/bzImage", "", ["KexecStrategy: `kernel` is missing"]),
        ("KexecStrategy:", "KexecStratgy:", ["no such driver", "was `KexecStrategy` meant?"]),
        ("    resources:", "    resource:", ["unknown key `resource`", "`resources`"]),
        ("targets:", "target:", ["unknown key `target`"]),
        ("  main:", "  other:", ["a target named `main`"]),
        ("targets:", "targets: [", ["not YAML"]),
        ("id: \"8086:10c9\"", "id: 8086", ["PciTestDevice.id is 8086", "8086:10c9"]),
        ("0000:01:00.0", "01:00.0", ["PciTestDevice.address is '01:00.0'", "0000:01:00.0"]),
        ("driver: igb", "driver: IGB", ["PciTestDevice.driver is 'IGB'"]),
        ("- FakeSSH: {}", "- FakeSSH:", ["FakeSSH is None", "a mapping was meant"]),
        ("qemu_bin: qemu,", "qemu_bin: qemu, extra_args: -bios $CARRYOVER_NOTHING,",
         ["$CARRYOVER_NOTHING is named there and not set"]),
        ("targets:", "images: {kernel: /nowhere/bzImage}\ntargets:",
         ["yaml:2: images.kernel: there is no file /nowhere/bzImage"]),
        ("targets:", "tools: {qemu: /etc/passwd}\ntargets:", ["/etc/passwd cannot be executed"]),
    ],
)  # fmt: skip
def test_environment(fake: FakeBench, old: str, new: str, parts: list[str]) -> None:
    text = fake.environment.read_text()
    assert old in text
    fake.environment.write_text(text.replace(old, new))
    with pytest.raises(BadInput) as refused:
        check(fake.environment, files=True)
    for part in parts:
        assert part in str(refused.value)
    assert str(fake.environment) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("targets:\n  main:\n    drivers:\n    - FakeSSH: {}\n      x: 1\n",
         "4: targets.main.drivers: {'FakeSSH': {}, 'x': 1}, `- CLASS: {...}` was meant"),
        ("targets:\n  main:\n    driver: []\n",
         "3: targets.main: unknown key `driver`; was `drivers` meant?"),
        ("targets:\n  main:\n    resources:\n    - cls: PciTestDevice\n      id: 8086:10c9\n"
         "      address: '01:00.0'\n",
         "6: targets.main.resources.PciTestDevice.address is '01:00.0'"),
        ("targets:\n  main:\n    resources:\n      NetworkService:\n        address: a\n"
         "        user: b\n", "6: targets.main.resources.NetworkService: unknown key `user`"),
        ("targets: {}\n\ntargets: {}\n", "3: key `targets` is there already, in line 1"),
        ("# a comment\n\ntargets: []\n", "3: targets is [], a mapping was meant"),
        ("targets:\n  main: [1]\n", "2: targets.main is [1], a mapping was meant"),
        ("targets:\n  main:\n    drivers: 7\n", "3: targets.main.drivers is 7, a mapping or"),
        ("images: 1\ntargets:\n  main:\n    drivers:\n    - KexecStrategy: {program: a, kernel: b, "
         "append: c}\n", "1: images is 1, a mapping was meant"),
    ],
)  # fmt: skip
def test_the_line_is_told(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "environment.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as refused:
        check(file, files=True)
    assert str(refused.value).startswith(f"{file}:{said}")


def test_a_malformed_environment_ends_the_run(fake: FakeBench) -> None:
    text = fake.environment.read_text()
    fake.environment.write_text(text.replace("boot_limit", "boot_limt"))
    run = fake.run("-k", "Passes")
    assert_refused(run, "environment.yaml:14: targets.main.drivers.KexecStrategy: unknown key")
    assert not (run.out / "results.jsonl").exists()


def test_no_environment_file(fake: FakeBench) -> None:
    fake.environment.unlink()
    assert_refused(fake.run(), "environment.yaml", "No such file", "--lg-env")


def test_no_hardware_listed(fake: FakeBench) -> None:
    text = fake.environment.read_text()
    device = next(line for line in text.splitlines() if "PciTestDevice" in line)
    fake.environment.write_text(text.replace(device, ""))
    run = fake.run("-k", "Igb")
    assert_refused(run, "a device of driver igb", "list one, or leave these tests out")
    assert fake.run("-k", "Memory and AlsoPasses").status == 0  # others do not need it


def test_the_same_device_twice(fake: FakeBench) -> None:
    text = fake.environment.read_text()
    device = next(line for line in text.splitlines() if "PciTestDevice" in line)
    fake.environment.write_text(text.replace(device, f"{device}\n{device}"))
    run = fake.run("-k", "Passes")
    assert_refused(run, "environment.yaml", "0000:01:00.0 is listed twice")


def test_a_kernel_without_kho(fake: FakeBench) -> None:
    World(fake.folder).update(no_kho=True)
    run = fake.run("-k", "Passes")
    assert_refused(run, "the target's kernel lacks", "kho", "boot with kho=on")
    assert run.verdicts == {}


def test_a_kernel_without_streams_that_is_said_to_claim_them(fake: FakeBench) -> None:
    World(fake.folder).update(no_stream=True)
    run = fake.run("-k", "Passes", "--carryover-claim", "stream")
    assert_refused(run, "stream: preserved devices are reset", "VFIO_PCI_LIVEUPDATE_DMA=y")
    assert run.verdicts == {}
    assert fake.run("-k", "Passes").status == 0  # nobody claims it


def test_no_program(fake: FakeBench) -> None:
    fake.program.unlink()
    run = fake.run()
    assert run.status != 0
    assert "file or directory not found" in run.output


def test_a_program_that_cannot_run(fake: FakeBench) -> None:
    fake.program.write_bytes(b"\x7fELFnonsense")
    run = fake.run()
    assert run.status != 0
    assert "Exec format error; give the path of a built carryover-selftests" in run.output
    assert "Traceback" not in run.output


def test_another_program(fake: FakeBench) -> None:
    fake.program.write_text("#!/bin/sh\necho hello\n")
    run = fake.run()
    assert run.status != 0
    assert "the program wrote a line that is no JSON: 'hello'" in run.output


def test_an_output_directory_that_is_a_file(fake: FakeBench) -> None:
    fake.out.write_text("mine")
    assert_refused(fake.run("-k", "Passes"), "File exists", "--carryover-out")
    assert fake.out.read_text() == "mine"


def test_two_runs_in_one_directory(fake: FakeBench) -> None:
    first = fake.start("-k", "HangsInVerify")
    try:
        assert first.stdout is not None
        for line in first.stdout:
            if "verify" in line:
                break
        second = FakeBench(fake.folder)
        assert_refused(second.run("-k", "Passes"), "another run writes there")
    finally:
        first.kill()
        first.wait()
