# SPDX-License-Identifier: GPL-2.0-only
"""How a target is reached over SSH, written down so that another controller can do it, too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from labgrid import Target
from labgrid.resource import NetworkService

from carryover.machine.remote import TargetSSHDriver


@dataclass(frozen=True)
class Access:
    """Where a target is, and the program on it. There is no secret in it.

    Attributes:
        target: Name of labgrid's target.
        address: Host name or address.
        port: Of SSH.
        username: Who logs in.
        keyfile: Path of the private key on the controller that wrote this; empty: ssh finds one.
        program: Path of carryover-selftests on the target.
        owner: Who had the machine.
    """

    target: str
    address: str
    port: int
    username: str
    keyfile: str
    program: str
    owner: str = ""

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> Access:
        """From a journal's entry `access`. Raises KeyError or TypeError if it is none."""
        return cls(**{field.name: entry[field.name] for field in fields(cls)})

    @contextlib.contextmanager
    def connected(self) -> Iterator[TargetSSHDriver]:
        """An SSH connection.

        Raises:
            Infrastructure: The target does not let us in.
        """
        target = Target(self.target)
        NetworkService(
            target, name=None, address=self.address, username=self.username, port=self.port
        )
        # A key of another controller's is of no use: ssh looks for one of its own then.
        keyfile = self.keyfile if Path(self.keyfile).is_file() else ""
        ssh = TargetSSHDriver(target, name=None, keyfile=keyfile)  # type: ignore[call-arg]
        try:
            ssh.connect()
            yield ssh
        finally:
            ssh.drop()

    def __str__(self) -> str:
        return f"{self.target} ({self.username}@{self.address}:{self.port})"


def access_of(ssh: TargetSSHDriver, program: str, owner: str) -> dict[str, Any]:
    """For a journal: how `ssh` reaches its target."""
    service = ssh.networkservice
    keyfile = ssh.keyfile
    if keyfile and ssh.target.env:
        keyfile = ssh.target.env.config.resolve_path(keyfile)
    return asdict(
        Access(
            target=ssh.target.name,
            address=service.address,
            port=service.port,
            username=ssh.username or service.username,
            keyfile=keyfile,
            program=program,
            owner=owner,
        )
    )
