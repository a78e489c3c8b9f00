# SPDX-License-Identifier: GPL-2.0-only
"""Commands on the target over SSH, their output as a live stream of events."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import attr
from labgrid.driver import SSHDriver
from labgrid.factory import target_factory
from labgrid.util.proxy import proxymanager

from carryover.errors import Infrastructure, ProtocolError
from carryover.events import parse
from carryover.machine.contact import QUESTION, Contact
from carryover.observation import ProgramEvent, ProgramGone, ReaderFailed, Watch

# An emulated processor pays for each step of a handshake: the cheapest that both sides know.
_FAST = (
    "KexAlgorithms=curve25519-sha256,curve25519-sha256@libssh.org",
    "HostKeyAlgorithms=ssh-ed25519",
    "Ciphers=chacha20-poly1305@openssh.com,aes128-ctr",
    "PreferredAuthentications=publickey",
    "IdentitiesOnly=yes",
    "GSSAPIAuthentication=no",
    "ServerAliveInterval=10",
)
_STOP_LIMIT = 2.0
_SSH_FAILED = 255  # OpenSSH's own status
# Of a command, in characters. Dropbear takes 9000, and ends the connection at one more; what is
# longer goes to a shell's standard input.
_LONGEST = 4000
_numbers = itertools.count(1)


class RemoteCommand:
    """A running command whose standard output is events (docs/protocol.md)."""

    def __init__(
        self,
        arguments: list[str],
        watch: Watch,
        raw: Callable[[str], None],
        given: str | None = None,
    ) -> None:
        """Starts it.

        Args:
            arguments: The local command, e.g. ssh and its options.
            watch: Hears of each event, and of the end.
            raw: Gets each line as it came.
            given: Its standard input; None for none.
        """
        self.number = next(_numbers)
        self._watch = watch
        self._raw = raw
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stderr = threading.Thread(
            target=self._read_errors, args=(self._process.stderr,), name="stderr", daemon=True
        )
        self._stderr.start()
        self._thread = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="events", daemon=True
        )
        self._thread.start()
        if given is not None:
            assert self._process.stdin is not None
            # One that has ended, says so itself.
            with contextlib.suppress(BrokenPipeError), self._process.stdin as stream:
                stream.write(given)

    def stop(self, *, has_ended: bool = False) -> None:
        """Ends the local side; what ran on the target is left to itself.

        The reader may live on until the connection is dropped: a shared connection holds the pipe.

        Args:
            has_ended: The command has said its last; its connection closes by itself, and killing
                it in the middle of that has cost the shared connection.
        """
        if has_ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_LIMIT)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _read(self, stdout: IO[str]) -> None:
        try:
            for line in stdout:
                if not line.endswith("\n"):
                    break  # cut off: it did not happen
                self._raw(line.rstrip("\n"))
                self._watch.post(ProgramEvent(self.number, parse(line)))
        except (Infrastructure, ProtocolError, OSError) as error:
            self._watch.post(ReaderFailed(error))
        status = self._process.wait()
        self._stderr.join(_STOP_LIMIT)
        self._watch.post(ProgramGone(self.number, status, "\n".join(self._errors).strip()))

    def _read_errors(self, stderr: IO[str]) -> None:
        for line in stderr:
            self._errors.append(line.rstrip("\n"))
            del self._errors[:-50]


@target_factory.reg_driver
@attr.s(eq=False)
class TargetSSHDriver(SSHDriver):  # type: ignore[misc]
    """labgrid's SSHDriver for a machine that is rebooted under it, many times.

    A connection belongs to one boot: connect() at its begin, drop() at its end.
    """

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._port = 0

    def connect(self, port: int = 0) -> None:
        """Connects to this boot of the target; `port` replaces the resource's unless 0.

        Raises:
            Infrastructure: The target does not let us in.
        """
        self._port = port or self._port
        try:
            self.target.activate(self)
        except Exception as error:
            cause = error.__cause__ or error
            raise Infrastructure(f"SSH to the target fails: {error} ({cause})") from error

    def on_activate(self) -> None:
        self._take_port()
        super().on_activate()

    def _take_port(self) -> None:
        """Of this boot; labgrid sets a resource of a place back to what was exported."""
        if self._port:
            self.networkservice.port = self._port

    def drop(self) -> None:
        """Forgets the connection; works whether the target is alive or gone."""
        self.target.deactivate(self)

    def reboot(self, limit: float = 10.0) -> None:
        """Tells the target to reboot in good order; connects for that, and drops the connection.

        Args:
            limit: Seconds until the target has taken the command. To connect may take as long as
                ``connection_timeout``.

        Raises:
            Infrastructure: It does not.
        """
        try:
            self.connect()
            # In the background: the answer is here before the connection is cut.
            command = "(sleep 1; reboot) </dev/null >/dev/null 2>&1 &"
            done = _completed([*self._arguments(), command], limit)
        except subprocess.TimeoutExpired:
            raise Infrastructure(f"SSH: the target took no command within {limit:g} s") from None
        finally:
            self.drop()
        if done.returncode != 0:
            said = done.stderr.strip() or f"status {done.returncode}"
            raise Infrastructure(f"SSH: the target does not reboot: {said}")

    def run_to_end(self, command: str, limit: float, given: IO[bytes] | None = None) -> str:
        """Runs a shell command on the target, and returns what it said.

        Args:
            command: For the target's shell.
            limit: Seconds until it has ended.
            given: An open file, its standard input.

        Raises:
            Infrastructure: It fails, or does not end in time.
        """
        try:
            done = subprocess.run(
                [*self._arguments(), command],
                stdin=given or subprocess.DEVNULL,
                capture_output=True,
                timeout=max(0.0, limit),
            )
        except subprocess.TimeoutExpired:
            what = f"`{command[:60]}` did not end in time"
            raise Infrastructure(f"SSH: on the target, {what}") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
            raise Infrastructure(f"SSH: on the target, `{command[:60]}` fails: {said}")
        return done.stdout.decode(errors="replace")

    def contact(self, limit: float) -> Contact:
        """Which boot answers now, by a connection of its own; may be called from any thread.

        Raises:
            Infrastructure: None does within `limit` seconds.
        """
        return Contact.from_answer(self.ask_once(QUESTION, limit))

    def ask_once(self, command: str, limit: float = 10.0) -> str:
        """What a command prints, by a connection of its own, whatever its status.

        Args:
            command: For the target's shell.
            limit: Seconds for it and for the connection.

        Raises:
            Infrastructure: The target does not let us in, or does not answer.
        """
        try:
            done = _completed([*self._alone(limit), command], limit)
        except subprocess.TimeoutExpired:
            raise Infrastructure(f"SSH: no answer within {limit:g} s") from None
        if done.returncode == _SSH_FAILED:
            raise Infrastructure(f"SSH: {done.stderr.strip() or 'the connection is lost'}")
        return done.stdout

    def _alone(self, limit: float) -> list[str]:
        """As _arguments(), whether there is a shared connection or not."""
        self._take_port()
        service = self.networkservice
        address, _, interface = service.address.partition("%")
        options = ["LogLevel=ERROR", "BatchMode=yes", "ControlPath=none", *_FAST]
        options += [f"ConnectTimeout={max(1, round(limit))}"]
        options += ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no"]
        if proxy := proxymanager.get_command(service, address, service.port, interface or None):
            options.append(f"ProxyCommand={' '.join(proxy)}")
        arguments = [self._ssh, "-x", "-F", "none"]
        for option in options:
            arguments += ["-o", option]
        if self.keyfile:
            config = self.target.env.config if self.target.env else None
            arguments += ["-i", config.resolve_path(self.keyfile) if config else self.keyfile]
        return [*arguments, "-p", str(service.port), "-l", self._get_username(), address]

    def stream(self, command: str, watch: Watch, raw: Callable[[str], None]) -> RemoteCommand:
        """Starts a shell command on the target and streams its events."""
        arguments = self._arguments()
        if len(command) > _LONGEST:
            return RemoteCommand([*arguments, "sh"], watch, raw, f"exec {command}\n")
        return RemoteCommand([*arguments, command], watch, raw)

    def talk(self, command: str) -> subprocess.Popen[bytes]:
        """Starts a shell command on the target that is asked and answers, by unbuffered pipes."""
        return subprocess.Popen(
            [*self._arguments(), command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    def _arguments(self) -> list[str]:
        """The local command, up to what is to run on the target."""
        self._take_port()
        arguments = [self._ssh, "-x", *self.ssh_prefix, "-p", str(self.networkservice.port)]
        return [*arguments, "-l", self._get_username(), self.networkservice.address]

    def _start_own_master(self) -> str:
        for option in _FAST:
            self.ssh_prefix += ["-o", option]
        master: str = super()._start_own_master()
        return master

    def _start_keepalive(self) -> None:
        """None: the master's ServerAliveInterval does it, and a handshake costs time."""

    def _check_keepalive(self) -> bool:
        return self.control is not None and Path(self.control).exists()

    def _stop_keepalive(self) -> None:
        """None was started."""


def _completed(command: list[str], limit: float) -> subprocess.CompletedProcess[str]:
    """A local command's end and all that it said. Raises subprocess.TimeoutExpired."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit,
    )
