# SPDX-License-Identifier: GPL-2.0-only
"""How ipmitool is told of a BMC and its user: the password is never on a command line."""

from __future__ import annotations

import os

from labgrid import Target

from carryover.power.secret import Secret
from carryover.resources import IpmiBmc


def session_command(target: Target, bmc: IpmiBmc, username: str, cipher_suite: int) -> list[str]:
    """The command up to what is to be done; the program may be among the environment's tools."""
    tool = target.env.config.get_tool("ipmitool") if target.env else "ipmitool"
    command = [tool, "-I", "lanplus", "-H", bmc.host, "-p", str(bmc.port)]
    return [*command, "-U", username, "-E", "-L", "OPERATOR", "-C", str(cipher_suite)]


def variables_with(secret: Secret) -> dict[str, str]:
    """Its environment, which nobody but its user can read; do not keep it."""
    # Of these, ipmitool takes the first that is set.
    password = {"IPMITOOL_PASSWORD": secret.reveal(), "IPMI_PASSWORD": secret.reveal()}
    return {**os.environ, "LC_ALL": "C", **password}
