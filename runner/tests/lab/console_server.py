# SPDX-License-Identifier: GPL-2.0-only
"""What ser2net is in a lab: a machine's serial line, over the network by rfc2217.

The line is QEMU's telnet console, in which a break is a break of the machine's serial port.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import serial.rfc2217  # type: ignore[import-untyped]

_IAC, _BREAK = 0xFF, 0xF3
_AGAIN = 0.02  # seconds: a machine that is off has no console to wait on


class _Line:
    """As much of a serial.Serial as PortManager uses: settings go nowhere, a break to the line."""

    def __init__(self, server: ConsoleServer) -> None:
        self._server = server
        self.baudrate, self.bytesize, self.parity, self.stopbits = 115200, 8, "N", 1
        self.xonxoff = self.rtscts = self.dsrdtr = False
        self.rts = self.dtr = self.cts = self.dsr = self.cd = True
        self.ri = False

    @property
    def break_condition(self) -> bool:
        return False

    @break_condition.setter
    def break_condition(self, is_on: bool) -> None:
        if is_on:
            self._server.send(bytes([_IAC, _BREAK]))

    def reset_input_buffer(self) -> None: ...
    def reset_output_buffer(self) -> None: ...


class ConsoleServer:
    """Serves the console at `qemu_port` on `port`, one client at a time."""

    def __init__(self, qemu_port: int, port: int = 0) -> None:
        self._qemu_port = qemu_port
        self._lock = threading.Lock()
        self._machine: socket.socket | None = None
        self._client: socket.socket | None = None
        self._manager: Any = None
        self._stopped = threading.Event()
        self._listener: socket.socket | None = None
        self.port = port
        self.listen()
        self._reader = threading.Thread(target=self._read_machine, name="line", daemon=True)
        self._reader.start()

    def listen(self) -> None:
        """Clients may come, again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(
            target=self._serve, args=(self._listener,), name="ser2net", daemon=True
        ).start()

    def cut(self) -> None:
        """Ends the client's connection, and takes no other."""
        assert self._listener is not None
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            if self._client is not None:
                with contextlib.suppress(OSError):
                    self._client.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._stopped.set()
        self.cut()
        with self._lock:
            if self._machine is not None:
                with contextlib.suppress(OSError):
                    self._machine.shutdown(socket.SHUT_RDWR)
        self._reader.join()

    def send(self, data: bytes) -> None:
        """To the machine, if it is on."""
        with self._lock:
            if self._machine is not None:
                with contextlib.suppress(OSError):
                    self._machine.sendall(data)

    def write(self, data: bytes) -> None:
        """To the client, as it is; PortManager's own answers come so."""
        with self._lock:
            if self._client is not None:
                with contextlib.suppress(OSError):
                    self._client.sendall(data)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                with self._lock:
                    self._client = client
                manager = serial.rfc2217.PortManager(_Line(self), self)
                self._manager = manager
                with contextlib.suppress(OSError):
                    while data := client.recv(4096):
                        self.send(b"".join(manager.filter(data)))
                self._manager = None
                with self._lock:
                    self._client = None

    def _read_machine(self) -> None:
        while not self._stopped.is_set():
            try:
                machine = socket.create_connection(("127.0.0.1", self._qemu_port))
            except OSError:
                time.sleep(_AGAIN)
                continue
            with machine:
                with self._lock:
                    self._machine = machine
                with contextlib.suppress(OSError):
                    self._hand_on(machine)
                with self._lock:
                    self._machine = None

    def _hand_on(self, machine: socket.socket) -> None:
        option = b""  # QEMU's telnet negotiates by three bytes, and answers nothing
        while data := machine.recv(65536):
            text = bytearray()
            for byte in data:
                if option or byte == _IAC:
                    option += bytes([byte])
                    if len(option) == 3:
                        option = b""
                else:
                    text.append(byte)
            manager = self._manager
            if manager is not None and text:
                self.write(b"".join(manager.escape(bytes(text))))
