# SPDX-License-Identifier: GPL-2.0-only
"""What is copied to the target, by the deployer's own commands in a shell of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import IO

import attr
import pytest
from labgrid import Environment
from labgrid.factory import target_factory
from test_kernel_image import X86

from carryover.errors import BadInput, Infrastructure
from carryover.machine.deployer import KernelDeployer
from carryover.machine.remote import TargetSSHDriver

ENVIRONMENT = """
targets:
  main:
    resources:
    - NetworkService: {{address: 127.0.0.1, username: root}}
    drivers:
    - LocalShell: {{}}
    - KernelDeployer:
        kernel: bzImage
        initrd: $INITRD_OF_TEST
        program: program
        folder: {folder}
"""


@target_factory.reg_driver
@attr.s(eq=False)
class LocalShell(TargetSSHDriver):
    """A target whose files are in a folder of this machine."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.sent = 0
        self.is_cut_short = False

    def run_to_end(self, command: str, limit: float, given: IO[bytes] | None = None) -> str:
        assert limit > 0
        data = b""
        if given is not None:
            self.sent += 1
            data = given.read()[: 10 if self.is_cut_short else None]
        done = subprocess.run(["sh", "-c", command], input=data, capture_output=True)
        if done.returncode != 0:
            raise Infrastructure(done.stderr.decode())
        return done.stdout.decode()


@pytest.fixture
def deployer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelDeployer:
    monkeypatch.setenv("INITRD_OF_TEST", str(tmp_path / "initramfs"))
    (tmp_path / "bzImage").write_bytes(X86)
    (tmp_path / "initramfs").write_bytes(b"070701" * 1000)
    (tmp_path / "program").write_bytes(b"#!/bin/sh\n")
    environment = tmp_path / "environment.yaml"
    environment.write_text(ENVIRONMENT.format(folder=tmp_path / "the target"))
    target = Environment(str(environment)).get_target()
    found: KernelDeployer = target.get_driver(KernelDeployer, activate=False)
    return found


def test_all_is_there_and_is_not_copied_again(deployer: KernelDeployer, tmp_path: Path) -> None:
    deployer.check()
    assert deployer.copy() == ["kernel", "initrd", "carryover-selftests"]
    folder = tmp_path / "the target"
    assert sorted(path.name for path in folder.iterdir()) == [
        "carryover-selftests",
        "initrd",
        "kernel",
    ]
    assert (folder / "kernel").read_bytes() == X86
    assert (folder / "carryover-selftests").stat().st_mode & 0o111
    assert deployer.on_target("kernel") == f"{folder}/kernel"
    assert deployer.copy() == []
    assert deployer.ssh.sent == 3
    (folder / "initrd").write_bytes(b"something else")
    assert deployer.copy() == ["initrd"]


def test_what_arrives_otherwise_is_told(deployer: KernelDeployer) -> None:
    deployer.ssh.is_cut_short = True
    with pytest.raises(Infrastructure, match="/kernel on the target is not what was sent"):
        deployer.copy()


def test_no_kernel_is_told_before_the_target_is_touched(
    deployer: KernelDeployer, tmp_path: Path
) -> None:
    (tmp_path / "bzImage").write_bytes(b"\x7fELF")
    for act in (deployer.check, deployer.copy):
        with pytest.raises(BadInput, match=r"target main: KernelDeployer.kernel: .*bzImage is no"):
            act()
    assert not (tmp_path / "the target").exists()


def test_no_program(deployer: KernelDeployer, tmp_path: Path) -> None:
    (tmp_path / "program").unlink()
    with pytest.raises(BadInput, match=r"KernelDeployer: .*/program: No such file"):
        deployer.check()


def test_without_initrd_and_program(deployer: KernelDeployer) -> None:
    deployer.initrd = deployer.program = ""
    assert deployer.copy() == ["kernel"]
    assert deployer.on_target("initrd") == ""
