# SPDX-License-Identifier: GPL-2.0-only
"""KernelDeployer: brings the kernel under test onto a machine that boots another one."""

from __future__ import annotations

import hashlib
import shlex
import time
from pathlib import Path, PurePosixPath

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory

from carryover.errors import BadInput, Infrastructure
from carryover.kernel.image import check_kernel_image
from carryover.machine.remote import TargetSSHDriver

KERNEL = "kernel"
INITRD = "initrd"
PROGRAM = "carryover-selftests"


def _is_absolute(instance: object, attribute: attr.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not PurePosixPath(value).is_absolute():
        raise ValueError(f"{attribute.name}: {value!r}, an absolute path on the target was meant")


@target_factory.reg_driver
@attr.s(eq=False)
class KernelDeployer(Driver):  # type: ignore[misc]
    """Copies a kernel, its initial RAM file system and the program to the target, and has it boot.

    Paths of the controller may name environment variables, and are seen from the environment file.

    Args:
        kernel: A bzImage (x86) or Image (arm64).
        initrd: Its initial RAM file system; empty for none.
        program: carryover-selftests, as it has to run in the target's own system; empty if the
            target has it where KexecStrategy says.
        folder: Where they go on the target, as `kernel`, `initrd` and `carryover-selftests`.
        append: The kernel's command line; empty: KexecStrategy's `append`.
        copy_limit: Seconds for all of them to be there, before KexecStrategy's `time_scale`.
    """

    bindings = {"ssh": TargetSSHDriver}

    kernel: str = attr.ib(validator=attr.validators.instance_of(str))
    initrd: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    program: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    folder: str = attr.ib(default="/var/lib/carryover", validator=_is_absolute)
    append: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    copy_limit: float = attr.ib(default=120.0, converter=float, validator=attr.validators.gt(0))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._sums: dict[str, str] = {}

    @property
    def files(self) -> dict[str, Path]:
        """Name on the target, and file on the controller, of all that is copied."""
        given = {KERNEL: self.kernel, INITRD: self.initrd, PROGRAM: self.program}
        return {name: self._resolved(path) for name, path in given.items() if path}

    def on_target(self, name: str) -> str:
        """Where one of `files` is on the target; empty if it is none of them."""
        return str(PurePosixPath(self.folder) / name) if name in self.files else ""

    def check(self) -> None:
        """Checks the controller's files. Nothing is done to the target.

        Raises:
            BadInput: One is not there, or the kernel is no kernel.
        """
        where = f"target {self.target.name}: KernelDeployer"
        check_kernel_image(f"{where}.kernel", self._resolved(self.kernel))
        for name, path in self.files.items():
            try:
                with path.open("rb") as file:
                    self._sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise BadInput(f"{where}: {path}: {error.strerror}") from error

    def planned(self) -> list[str]:
        """What copy() would do, in words."""
        return [
            f"copy {path} to {self.on_target(name)}, unless it is there already"
            for name, path in self.files.items()
        ]

    def copy(self, time_scale: float = 1.0) -> list[str]:
        """Has all files on the target, and returns the names of those that were copied.

        Args:
            time_scale: Multiplies `copy_limit`.

        Raises:
            BadInput: As check().
            Infrastructure: They are not all there, as they are here, in time.
        """
        if not self._sums:
            self.check()
        deadline = time.monotonic() + self.copy_limit * time_scale
        missing = self._different(deadline)
        for name in missing:
            self._send(name, deadline)
        if missing and (bad := self._different(deadline)):
            raise Infrastructure(
                f"{self.folder}/{bad[0]} on the target is not what was sent: its SHA-256 differs"
            )
        return missing

    def _different(self, deadline: float) -> list[str]:
        """Those that the target does not have, or has otherwise."""
        folder = shlex.quote(self.folder)
        names = " ".join(self.files)
        command = f"mkdir -p {folder} && cd {folder} && {{ sha256sum {names} 2>/dev/null; true; }}"
        said = self.ssh.run_to_end(command, deadline - time.monotonic())
        found = {}
        for line in said.splitlines():
            digest, _, name = line.partition("  ")
            found[name] = digest
        return [name for name in self.files if found.get(name) != self._sums[name]]

    def _send(self, name: str, deadline: float) -> None:
        to = shlex.quote(f"{self.folder}/{name}")
        mode = "755" if name == PROGRAM else "644"
        command = f"cat >{to}.partial && chmod {mode} {to}.partial && mv {to}.partial {to}"
        with self.files[name].open("rb") as file:
            self.ssh.run_to_end(command, deadline - time.monotonic(), file)

    def _resolved(self, path: str) -> Path:
        return Path(self.target.env.config.resolve_path(path))
