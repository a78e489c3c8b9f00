# SPDX-License-Identifier: GPL-2.0-only
"""A machine that no run starts: it hangs, and its BMC does not answer."""

import contextlib
import re
import socket
from collections.abc import Iterator

import attr
from carryover.environment import check
from carryover.errors import Infrastructure
from carryover.machine.bench import BenchDriver
from carryover.observation import Crashed, Watch
from labgrid import Environment
from labgrid.factory import target_factory

from carryover_ci.fault_run import FaultRun
from carryover_ci.run import Failure

_BOOT_LIMIT = 40.0
_ADDRESS = "        address: 127.0.0.1\n"
_DRIVERS = """\
    - RedfishPowerDriver:
        username: nobody
        password_variable: CARRYOVER_FAULT_PASSWORD
        verify: false
        request_limit: 2
    - LabMachineDriver:
        boot_limit: 20
        delay: 0.1
    - TargetSSHDriver:
        keyfile: $CARRYOVER_SSH_KEY
        connection_timeout: 4.0
"""


@target_factory.reg_driver
@attr.s(eq=False)
class RebootingMachine(BenchDriver):  # type: ignore[misc]
    """A bench machine that goes through a reset, as hardware does."""

    def get_qemu_base_args(self) -> list[str]:
        """As the bench's, without an end by a reset."""
        return [word for word in super().get_qemu_base_args() if word != "-no-reboot"]


def bmc_unreachable(run: FaultRun, test: str, other: str) -> tuple[int, float]:
    """While a test is verified, and the other has its result, the machine stops for good.

    Returns the exit status, and when that was.
    """
    with _machine(run) as ssh_port, _nobody() as bmc_port:
        run.environment.write_text(_on_lab(run.environment.read_text(), ssh_port, bmc_port))
        run.variables = {"CARRYOVER_FAULT_PASSWORD": "unheard"}
        run.start()
        run.wait_for(event="start", name=test, half="verify")
        run.wait_for_result(other)
        when = run.machine("stop")
        status = run.finish()
        for words in ("the machine is sick", f"127.0.0.1:{bmc_port}"):
            if words not in run.printed:
                raise Failure(f"the run does not say `{words}`")
    return status, when


@contextlib.contextmanager
def _machine(run: FaultRun) -> Iterator[int]:
    """It is up, and its SSH is at this port; it ends with the block."""
    environment = run.folder / "machine.yaml"
    environment.write_text(
        run.environment.read_text().replace("- BenchDriver:", "- RebootingMachine:")
    )
    check(environment, files=True)
    target = Environment(str(environment)).get_target()
    machine = target.get_driver(BenchDriver, activate=False)
    watch = Watch()
    with (run.folder / "machine.log").open("w") as log:

        def write(when: float, *lines: str) -> None:
            log.writelines(f"{line}\n" for line in lines)

        try:
            machine.power_on(watch, write, run.folder / "qemu.log", "")
            watch.wait_until_ready(_BOOT_LIMIT, "power-on")
            yield machine.ssh_port
        except (Crashed, Infrastructure) as error:
            raise Failure(f"the machine does not come up: {error}") from error
        finally:
            machine.power_off()


@contextlib.contextmanager
def _nobody() -> Iterator[int]:
    """A port at which nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _on_lab(bench: str, ssh_port: int, bmc_port: int) -> str:
    """The bench's environment for a machine that is there already, and has a BMC."""
    resources, drivers = bench.split("    drivers:\n")
    bmc = f"    - RedfishBmc:\n        host: 127.0.0.1\n        port: {bmc_port}\n"
    resources = resources.replace(_ADDRESS, f"{_ADDRESS}        port: {ssh_port}\n") + bmc
    strategy = re.search(r"^    - KexecStrategy:\n(?:        .*\n)+", drivers, re.MULTILINE)
    if strategy is None:
        raise Failure("ci/bench.yaml has no KexecStrategy")
    return f"{resources}    drivers:\n{_DRIVERS}{strategy[0]}"
