# SPDX-License-Identifier: GPL-2.0-only
"""A console behind a serial port: of this machine, or of another by ser2net."""

from __future__ import annotations

import attr
import serial  # type: ignore[import-untyped]
from labgrid.factory import target_factory
from labgrid.resource import SerialPort
from labgrid.util.proxy import proxymanager

from carryover.console.lab import RecordedConsole
from carryover.errors import BadInput, Infrastructure

_READ = 0.5  # seconds
_BREAK = 0.25  # seconds; longer than any character at any speed
_RFC2217, _RAW = "rfc2217", "raw"


class SerialLink:
    """An open serial port; errors of pyserial are OSErrors."""

    def __init__(self, port: serial.SerialBase) -> None:
        self._port = port

    def read(self) -> bytes:
        first: bytes = self._port.read(1)
        if first and (more := self._port.in_waiting):
            first += self._port.read(more)
        return first

    def write(self, data: bytes) -> object:
        return self._port.write(data)

    def send_break(self) -> None:
        self._port.send_break(_BREAK)

    def close(self) -> None:
        self._port.close()


@target_factory.reg_driver
@attr.s(eq=False)
class SerialConsoleDriver(RecordedConsole):
    """A console by labgrid's RawSerialPort, USBSerialPort or NetworkSerialPort.

    Args:
        open_limit: Seconds for the other side to agree on what rfc2217 is about.
    """

    bindings = {"port": {"SerialPort", "NetworkSerialPort"}}

    open_limit: float = attr.ib(default=5.0, converter=float, validator=attr.validators.gt(0))

    @property
    def place(self) -> str:
        if isinstance(self.port, SerialPort):
            where = str(self.port.port)
        else:
            where = f"{self.port.host}:{self.port.port} ({self.port.protocol})"
        return f"target {self.target.name}: console {where}"

    @property
    def can_break(self) -> bool:
        """Not over a bare TCP connection: there is no way to say it."""
        return isinstance(self.port, SerialPort) or self.port.protocol != _RAW

    def open_link(self) -> SerialLink:
        try:
            if isinstance(self.port, SerialPort):
                port = serial.Serial(self.port.port, self.port.speed, timeout=_READ, exclusive=True)
            else:
                port = self._over_network()
        except (OSError, ValueError) as error:
            raise Infrastructure(f"{self.place}: {error}") from error
        return SerialLink(port)

    def _over_network(self) -> serial.SerialBase:
        host, number = proxymanager.get_host_and_port(self.port)
        if self.port.protocol == _RFC2217:
            url = f"rfc2217://{host}:{number}?ign_set_control&timeout={self.open_limit:g}"
        elif self.port.protocol == _RAW:
            url = f"socket://{host}:{number}"
        else:
            raise BadInput(f"{self.place}: protocol is to be {_RFC2217} or {_RAW}")
        return serial.serial_for_url(url, self.port.speed, timeout=_READ)
