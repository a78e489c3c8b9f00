# SPDX-License-Identifier: GPL-2.0-only
"""A console by IPMI's serial over LAN: ipmitool on a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time

import attr
from labgrid.factory import target_factory

from carryover.console.lab import RecordedConsole
from carryover.errors import BadInput, Infrastructure
from carryover.power.bmc_user import BmcUserDriver
from carryover.power.ipmitool import session_command, variables_with
from carryover.resources import IpmiBmc

_READ = 0.5  # seconds
_END = 3.0  # seconds for ipmitool to take leave, so that the BMC has no session left over
_OPERATIONAL = re.compile(rb"\[SOL Session operational\.[^]]*\]\r?\n?")
_ACTIVE = b"already active on another session"
# ipmitool's escape character counts at the begin of a line only.
_BREAK = b"\r~B"
_LEAVE = b"\r~."


class SolLink:
    """ipmitool with a session that is up."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int, first: bytes) -> None:
        self._process = process
        self._terminal = terminal
        self._first = first

    def read(self) -> bytes:
        first, self._first = self._first, b""
        return first or _read(self._terminal, _READ)

    def write(self, data: bytes) -> object:
        return os.write(self._terminal, data)

    def send_break(self) -> None:
        self.write(_BREAK)

    def close(self) -> None:
        _end(self._process, self._terminal)


@target_factory.reg_driver
@attr.s(eq=False)
class IpmiSolConsoleDriver(BmcUserDriver, RecordedConsole):
    """A console that the BMC shows over IPMI 2.0, by ``ipmitool sol activate``.

    A BMC has one session of it: one that somebody else has is ended.

    Args:
        cipher_suite: As IpmiPowerDriver's.
        open_limit: Seconds until the session is up.
    """

    bindings = {"bmc": IpmiBmc}

    cipher_suite: int = attr.ib(default=17, validator=attr.validators.in_([3, 17]))
    open_limit: float = attr.ib(default=15.0, converter=float, validator=attr.validators.gt(0))

    @property
    def place(self) -> str:
        return (
            f"target {self.target.name}: serial over LAN of IpmiBmc {self.bmc.host}:{self.bmc.port}"
        )

    def open_link(self) -> SolLink:
        deadline = time.monotonic() + self.open_limit
        try:
            return self._activate(deadline)
        except _SessionOfAnother:
            self._deactivate(deadline)
        try:
            return self._activate(deadline)
        except _SessionOfAnother as error:
            raise Infrastructure(f"{self.place}: {error}") from None

    def _activate(self, deadline: float) -> SolLink:
        secret = self.secret(self.place)
        ours, its = pty.openpty()
        try:
            process = self._start("activate", its)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(its)
        said = b""
        try:
            while not (found := _OPERATIONAL.search(said)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Infrastructure(
                        f"{self.place}: no session within {self.open_limit:g} s; is serial over "
                        "LAN switched on in the BMC?"
                    )
                said += _read(ours, left)
        except OSError:  # it has ended
            _end(process, ours)
            text = secret.hide_in(" ".join(said.decode(errors="replace").split()))
            if _ACTIVE in said:
                raise _SessionOfAnother(text) from None
            raise Infrastructure(f"{self.place}: {text or 'ipmitool failed silently'}") from None
        except BaseException:
            _end(process, ours)
            raise
        return SolLink(process, ours, said[found.end() :])

    def _deactivate(self, deadline: float) -> None:
        process = self._start("deactivate", subprocess.DEVNULL)
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self, what: str, terminal: int) -> subprocess.Popen[bytes]:
        command = session_command(self.target, self.bmc, self.username, self.cipher_suite)
        try:
            return subprocess.Popen(
                [*command, "sol", what],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env=variables_with(self.secret(self.place)),
                start_new_session=True,
            )
        except OSError as error:
            raise BadInput(
                f"{self.place}: {command[0]}: {error.strerror}; install ipmitool, or name it in "
                "the environment's tools"
            ) from None  # what it came from has the password among its variables


class _SessionOfAnother(Exception):
    """The BMC's one session is in use."""


def _read(terminal: int, seconds: float) -> bytes:
    ready, _, _ = select.select([terminal], [], [], seconds)
    if not ready:
        return b""
    data = os.read(terminal, 65536)
    if not data:
        raise OSError("ipmitool has ended")
    return data


def _end(process: subprocess.Popen[bytes], terminal: int) -> None:
    try:
        if process.poll() is None:
            try:
                os.write(terminal, _LEAVE)
                process.wait(_END)
            except (OSError, subprocess.TimeoutExpired):
                process.kill()
        process.wait()
    finally:
        os.close(terminal)
