# SPDX-License-Identifier: GPL-2.0-only
"""The bench: labgrid's QEMUDriver, made to be observed.

What labgrid's own lacks: a console that is read from before power-on, events of the machine, an
end without a reset, and an error instead of a wait when QEMU does not start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import attr
from labgrid.driver import QEMUDriver
from labgrid.factory import target_factory

from carryover.console.recorder import ConsoleRecorder, LineSink
from carryover.errors import BadInput, Infrastructure
from carryover.machine.machine import MachineProtocol
from carryover.machine.models import MODELS, DeviceModels
from carryover.machine.peers import PEERS, PeerSettings, TrafficPeers, peer_settings, planned
from carryover.machine.qmp import QmpClient
from carryover.observation import MachineGone, Watch

_QUIT_LIMIT = 2.0
_CONSOLE_BUFFER = 1 << 20  # the most that everybody may ask for (pipe(7), pipe-max-size)
_FORWARDED = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+22\b")


@target_factory.reg_driver
@attr.s(eq=False)
class BenchDriver(QEMUDriver, MachineProtocol):  # type: ignore[misc]
    """A QEMU machine that is observed from before its first instruction to its end.

    ``cpu`` and ``extra_args`` may name environment variables. The latter must hold a ``user``
    network that forwards a host port to guest port 22; port 0 lets a free one be chosen
    (``hostfwd=tcp:127.0.0.1:0-:22``).

    Args:
        models: Device models to run beside QEMU: NAME: DEVICE. ``extra_args`` has
            ``$CARRYOVER_MODELS/NAME`` as the socket of each, for QEMU's ``vfio-user-pci``.
        model_program: ``carryover-model``; may name environment variables.
        peers: Traffic peers to run beside QEMU: NAME: {to: MAC, rate: HZ, size: BYTES}.
            ``extra_args`` has ``$CARRYOVER_PEERS/NAME`` as the socket of each, for QEMU's
            ``-netdev stream,server=off``.
        peer_program: ``carryover-peer``; may name environment variables.
    """

    models: dict[str, str] = attr.ib(
        factory=dict,
        validator=attr.validators.deep_mapping(
            attr.validators.instance_of(str), attr.validators.instance_of(str)
        ),
    )
    model_program: str = attr.ib(default="", validator=attr.validators.instance_of(str))

    peers: dict[str, PeerSettings] = attr.ib(factory=dict, converter=peer_settings)
    peer_program: str = attr.ib(default="", validator=attr.validators.instance_of(str))

    is_ours = True

    # Set by labgrid, whose code has no types.
    boot_args: str | None
    cpu: str
    extra_args: str
    _child: subprocess.Popen[bytes] | None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.ssh_port = 0
        self._more_append = ""
        self._recorder: ConsoleRecorder | None = None
        self._waiter: threading.Thread | None = None
        self.device_models: DeviceModels | None = None
        self.violations: list[str] = []  # DeviceModels.violations, until somebody takes them
        self._traffic_peers: TrafficPeers | None = None
        self._notes: list[str] = []

    @property
    def pid(self) -> int:
        """QEMU's process id; 0 if it does not run."""
        return self._child.pid if self._child is not None else 0

    def get_qemu_base_args(self) -> list[str]:
        """Labgrid's arguments, with environment variables put in, and without reboot."""
        written = (self.cpu, self.memory, self.boot_args, self.extra_args)  # type: ignore[has-type]
        extra_args = written[3]
        if self.device_models is not None:
            extra_args = extra_args.replace(f"${MODELS}", str(self.device_models.folder))
        if self._traffic_peers is not None:
            extra_args = extra_args.replace(f"${PEERS}", str(self._traffic_peers.folder))
        filled = (self.cpu, written[1], written[2] or "", extra_args)
        self.cpu, self.memory, self.boot_args, self.extra_args = map(os.path.expandvars, filled)
        try:
            arguments: list[str] = super().get_qemu_base_args()
        finally:
            self.cpu, self.memory, self.boot_args, self.extra_args = written
        # A reset must end the machine, a kexec does not.
        return [*arguments, "-no-reboot"]

    def get_qemu_version(self, qemu_bin: str) -> tuple[int, int, int]:
        """Not asked for: only labgrid's egl-headless display depends on it."""
        return (11, 0, 0)

    def planned_boot(self, append: str) -> list[str]:
        """What power_on() would do."""
        models = [f"start carryover-model {name}: {kind}" for name, kind in self.models.items()]
        command = [
            *self.get_qemu_base_args(),
            "-append",
            os.path.expandvars(f"{self.boot_args or ''} {append}").strip(),
        ]
        return [*models, *planned(self.peers), f"start QEMU: {shlex.join(command)}"]

    def planned_end(self) -> list[str]:
        """What power_off() would do."""
        return ["end QEMU, and with it all that the target is"]

    def power_on(self, watch: Watch, console: LineSink, error_log: Path, append: str) -> None:
        """Starts the machine; every reader runs before its first instruction.

        Args:
            watch: Hears of console lines and of the machine's events.
            console: Gets each line of the console.
            error_log: What QEMU itself says.
            append: More words for the kernel's command line.

        Raises:
            Infrastructure: QEMU does not start. The message has what it said.
            BadInput: The host port for SSH is in use.
        """
        if self.models:
            program = os.path.expandvars(self.model_program)
            self.device_models = DeviceModels(program, self.models, error_log.parent / "models")
        if self.peers:
            program = os.path.expandvars(self.peer_program)
            self._traffic_peers = TrafficPeers(program, self.peers, error_log.parent / "peers")
        try:
            if self.device_models is not None:
                self.device_models.start(watch)
            if self._traffic_peers is not None:
                self._traffic_peers.start(watch)
            self._start(watch, console, error_log, append)
        except BaseException:
            self._end_companions()
            raise
        self.qmp.execute("cont")

    def _start(self, watch: Watch, console: LineSink, error_log: Path, append: str) -> None:
        """QEMU, which waits, and whoever reads from it."""
        self.target.activate(self)
        # A pipe, not labgrid's socket: QEMU writes byte by byte, a socket holds some 300 such
        # messages, and what does not fit is dropped.
        console_end, machine_end = os.pipe()
        self._recorder = ConsoleRecorder(os.fdopen(console_end, "rb", buffering=0), console, watch)
        self._recorder.start()
        try:
            fcntl.fcntl(machine_end, fcntl.F_SETPIPE_SZ, _CONSOLE_BUFFER)
            command = self._command(append, f"/proc/self/fd/{machine_end}")
            self.logger.debug("Starting with: %s", command)
            with error_log.open("ab") as errors:
                self._child = child = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    pass_fds=(machine_end,),
                    start_new_session=True,  # Ctrl-C at the terminal is for us, not for QEMU
                )
        finally:
            os.close(machine_end)
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            self.qmp = QmpClient(child.stdout, child.stdin, watch)
            self.status = 1
            self.ssh_port = self._find_ssh_port()
        except Exception as error:
            self.power_off()
            said = error_log.read_text(errors="replace").strip()
            raise _explanation(f"QEMU does not start: {error}", said) from error
        self._waiter = threading.Thread(
            target=self._wait, args=(child, watch, error_log), name="qemu", daemon=True
        )
        self._waiter.start()

    def power_off(self) -> None:
        """Ends QEMU and waits until all it said is recorded. Does nothing if it does not run."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.poll() is None:
            # Nothing in the guest is worth an orderly end: its disks are read-only or in memory.
            child.send_signal(signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent bytes for a process that is gone
                    pipe.close()
        if self._recorder is not None:
            self._recorder.join(_QUIT_LIMIT)
        if self._waiter is not None:
            self._waiter.join(_QUIT_LIMIT)
        self._end_companions()
        self.status = 0
        self.target.deactivate(self)

    def take_notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes

    def _end_companions(self) -> None:
        if self._traffic_peers is not None:
            self._traffic_peers.close()
            self._notes += self._traffic_peers.notes
            self._traffic_peers = None
        if self.device_models is not None:
            self.device_models.close()
            self.violations += self.device_models.violations
            self.device_models = None

    def let_go(self) -> None:
        """Its place is somebody else's now. The process is this run's own still: it ends."""
        self.power_off()

    def on(self) -> None:
        """Not for the bench: its power goes on with power_on(), and readers."""
        raise NotImplementedError("power_on() observes the machine; on() would not")

    def off(self) -> None:
        self.power_off()

    def _command(self, append: str, console: str) -> list[str]:
        command = [
            f"file,id=serialsocket,path={console}" if "id=serialsocket" in word else word
            for word in self._cmd
        ]
        if append and "-append" in command:
            at = command.index("-append") + 1
            command[at] = f"{command[at]} {append}"
        # QEMU is to die with the runner, however that dies.
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]
        return command

    def _find_ssh_port(self) -> int:
        text = self.qmp.execute("human-monitor-command", {"command-line": "info usernet"})
        found = _FORWARDED.search(text)
        if not found:
            raise Infrastructure(
                "no host port leads to the target's port 22 (hostfwd in extra_args)"
            )
        return int(found.group(1))

    def _wait(self, child: subprocess.Popen[bytes], watch: Watch, error_log: Path) -> None:
        status = child.wait()
        self.qmp.join(_QUIT_LIMIT)
        if self._recorder is not None:
            self._recorder.join(_QUIT_LIMIT)
        how = f"QEMU was killed by signal {-status}" if status < 0 else f"QEMU ended with {status}"
        watch.post(MachineGone(time.monotonic(), f"{how} (see {error_log})"))


def _explanation(problem: str, said: str) -> Exception:
    last = said.splitlines()[-1] if said else ""
    if "hostfwd" in last or "host forwarding" in last:
        return BadInput(
            f"{problem}: {last}; the host port is in use: give another in the environment's "
            "extra_args, or 0 to have a free one chosen"
        )
    return Infrastructure(f"{problem}: {last}" if last else problem)
