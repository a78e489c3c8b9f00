# SPDX-License-Identifier: GPL-2.0-only
"""Power over IPMI, by ipmitool."""

from __future__ import annotations

import re
import subprocess

import attr
from labgrid.factory import target_factory

from carryover.errors import BadInput, Infrastructure
from carryover.power.bmc import BmcPowerDriver, Order
from carryover.power.ipmitool import session_command, variables_with
from carryover.resources import IpmiBmc

_STATUS = re.compile(r"^Chassis Power is (on|off)$", re.MULTILINE)
# What ipmitool -v says of a session that is not let in: RAKP messages are those of the log-in.
_CREDENTIALS = re.compile(r"RAKP . (HMAC is invalid|message indicates an error : (?P<why>.*))")
_PRIVILEGE = re.compile(
    r"(failed: Insufficient privilege level|Set Session Privilege Level .* failed)"
)
_CIPHER = re.compile(
    r"invalid (authentication|integrity|confidentiality) algorithm|[Cc]ipher suite.*not"
)
_LONG = re.compile(r"password is longer than \d+ bytes")
_SILENT = re.compile(r"Get Auth Capabilities error|Error issuing Get Channel Auth")
_NO_ADDRESS = re.compile(r"Address lookup for .* failed")
_NOISE = re.compile(r"PEN [Rr]egistry|Channel Cipher Suites|HPM\.x Capabilities")


@target_factory.reg_driver
@attr.s(eq=False)
class IpmiPowerDriver(BmcPowerDriver):
    """A machine's power by ``ipmitool``, in the environment's ``tools`` or in the PATH.

    The password goes to it by its environment, which nobody but its user can read.

    Args:
        cipher_suite: 17 (SHA-256), or 3 (SHA-1) for a BMC that does not know it.
    """

    bindings = {"bmc": IpmiBmc}

    cipher_suite: int = attr.ib(default=17, validator=attr.validators.in_([3, 17]))

    @property
    def place(self) -> str:
        return f"target {self.target.name}: IpmiBmc {self.bmc.host}:{self.bmc.port}"

    def _power(self) -> bool | None:
        said = self._ipmitool("status")
        found = _STATUS.search(said)
        if not found:
            raise Infrastructure(f"{self.place}: ipmitool tells no power status: {said!r}")
        return found[1] == "on"

    def _order(self, order: Order) -> bool:
        self._ipmitool(order.value)
        return True

    def _ipmitool(self, what: str) -> str:
        command = session_command(self.target, self.bmc, self.username, self.cipher_suite)
        command += ["-N", "1", "-R", "3", "-v"]
        secret = self._secret()
        try:
            done = subprocess.run(
                [*command, "chassis", "power", what],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.request_limit,
                env=variables_with(secret),
            )
        except OSError as error:
            raise BadInput(
                f"{self.place}: {command[0]}: {error.strerror}; install ipmitool, or name it in "
                "the environment's tools"
            ) from None  # what it came from has the password among its variables
        except subprocess.TimeoutExpired:
            raise Infrastructure(
                f"{self.place}: chassis power {what}: no answer within {self.request_limit:g} s; "
                "is it reachable, and IPMI over LAN switched on?"
            ) from None
        if done.returncode != 0:
            said = secret.hide_in(done.stderr + done.stdout)
            raise self._failure(f"{self.place}: chassis power {what}", said)
        return secret.hide_in(done.stdout)

    def _failure(self, doing: str, said: str) -> Exception:
        """What ipmitool's last words mean."""
        source = "password_file" if self.password_file else f"${self.password_variable}"
        if refused := _CREDENTIALS.search(said):
            why = refused["why"] or "wrong password"
            return BadInput(
                f"{doing}: it does not let user {self.username!r} in ({why}); check username and "
                f"{source}"
            )
        if _LONG.search(said):
            return BadInput(f"{doing}: the password in {source} is longer than IPMI's 20 bytes")
        if _PRIVILEGE.search(said):
            return BadInput(
                f"{doing}: user {self.username!r} may not do this; it has to be Operator"
            )
        if _CIPHER.search(said):
            return BadInput(
                f"{doing}: it does not know cipher suite {self.cipher_suite}; give another as "
                f"cipher_suite: {20 - self.cipher_suite}"
            )
        if _NO_ADDRESS.search(said):
            return Infrastructure(f"{doing}: this host has no address; check `host`")
        if _SILENT.search(said):
            return Infrastructure(
                f"{doing}: no answer; is it reachable, and IPMI over LAN switched on?"
            )
        lines = [line for line in said.splitlines() if line.strip() and not _NOISE.search(line)]
        return Infrastructure(f"{doing}: {'; '.join(lines[-3:]) or 'ipmitool failed silently'}")
