# SPDX-License-Identifier: GPL-2.0-only
"""With whose credentials a driver speaks to a BMC."""

from __future__ import annotations

import os
from pathlib import Path

import attr
from labgrid.driver import Driver

from carryover.power.secret import Secret, read_secret


@attr.s(eq=False)
class BmcUserDriver(Driver):  # type: ignore[misc]
    """A driver that logs in to a BMC.

    The password is read anew each time, and kept nowhere. Paths may name environment variables,
    and are seen from the environment file.

    Args:
        username: Of the BMC.
        password_file: Whose first line is the password; only its owner may read it.
        password_variable: The environment variable that is the password, instead.
    """

    username: str = attr.ib(validator=attr.validators.instance_of(str))
    password_file: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    password_variable: str = attr.ib(default="", validator=attr.validators.instance_of(str))

    def secret(self, where: str) -> Secret:
        """The password. Raises BadInput, which begins with `where`, if there is none."""
        file = self.resolved(self.password_file) if self.password_file else None
        return read_secret(where, file, self.password_variable)

    def resolved(self, path: str) -> Path:
        """A path of the environment file."""
        if self.target.env:
            return Path(self.target.env.config.resolve_path(path))
        return Path(os.path.expandvars(path)).expanduser()
