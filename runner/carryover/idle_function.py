# SPDX-License-Identifier: GPL-2.0-only
"""A PCI function that does nothing, for QEMU's ``vfio-user-pci``.

Tests of what the kernel makes of a device's identity need no more: QEMU gives it the ids and the
class that its ``x-pci-...`` properties say. It has configuration space with a PCI Express
capability, one memory BAR of 4 KiB that reads as zeros, no interrupts, and does no DMA.

Source: docs/interop/vfio-user.rst of QEMU; PCI 3.0, 6.1; PCI Express 6.0, 7.5.3.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import tempfile
import threading
from enum import IntEnum
from pathlib import Path

from carryover.errors import Infrastructure

_LOGGER = logging.getLogger(__name__)

_HEADER = struct.Struct("<HHIII")  # message id, command, size with header, flags, errno
_REPLY = 1
_NO_REPLY = 1 << 4
_ERROR = 1 << 5
_MOST = 1 << 20  # bytes of a message: more is no message of this protocol
_EINVAL = 22

_CONFIG_REGION = 7  # VFIO_PCI_CONFIG_REGION_INDEX
_REGIONS = 9
_IRQS = 5
_CONFIG_SIZE = 4096
_BAR_SIZE = 4096
_READ_WRITE = 3  # VFIO_REGION_INFO_FLAG_READ, _WRITE
_DEVICE_FLAGS = 3  # VFIO_DEVICE_FLAGS_RESET, _PCI
_REGION = struct.Struct("<QII")  # offset, region, count


class Command(IntEnum):
    """What QEMU asks for."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    GET_INFO = 4
    GET_REGION_INFO = 5
    GET_REGION_IO_FDS = 6
    GET_IRQ_INFO = 7
    SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    RESET = 13


class Refused(Exception):
    """A message that cannot be answered; QEMU gets EINVAL."""


class IdleFunction:
    """The function's answers, message by message."""

    def __init__(self) -> None:
        self._config = bytearray(_CONFIG_SIZE)
        struct.pack_into("<HH", self._config, 0x00, 0x1234, 0x0000)
        struct.pack_into("<H", self._config, 0x06, 0x0010)  # Status: Capabilities List
        struct.pack_into("<B", self._config, 0x34, 0x40)
        # PCI Express capability, version 2, endpoint; a link of 2.5 GT/s, one lane.
        struct.pack_into("<BBH", self._config, 0x40, 0x10, 0, 0x0002)
        struct.pack_into("<I", self._config, 0x4C, 0x11)
        struct.pack_into("<H", self._config, 0x52, 0x11)

    def answer(self, command: int, data: bytes) -> bytes:
        """The reply's payload.

        Raises:
            Refused: An unknown command, or a payload that is too short or out of range.
        """
        try:
            return self._answer(Command(command), data)
        except (ValueError, struct.error) as error:
            raise Refused(f"command {command}: {error}") from error

    def _answer(self, command: Command, data: bytes) -> bytes:
        match command:
            case Command.VERSION:
                capabilities = {"max_msg_fds": 8, "max_dma_maps": 65535}
                text = json.dumps({"capabilities": capabilities}).encode() + b"\0"
                return data[:4] + text
            case Command.GET_INFO:
                return struct.pack("<IIII", 16, _DEVICE_FLAGS, _REGIONS, _IRQS)
            case Command.GET_REGION_INFO:
                _, _, index, _ = struct.unpack_from("<IIII", data)
                size = {0: _BAR_SIZE, _CONFIG_REGION: _CONFIG_SIZE}.get(index, 0)
                flags = _READ_WRITE if size else 0
                return struct.pack("<IIIIQQ", 32, flags, index, 0, size, 0)
            case Command.GET_IRQ_INFO:
                _, _, index, _ = struct.unpack_from("<IIII", data)
                return struct.pack("<IIII", 16, 0, index, 0)
            case Command.REGION_READ:
                offset, region, count = self._region(data)
                content = self._content(region)[offset : offset + count]
                return data[: _REGION.size] + content
            case Command.REGION_WRITE:
                offset, region, count = self._region(data)
                written = data[_REGION.size : _REGION.size + count]
                if len(written) != count:
                    raise ValueError(f"{count} bytes are announced, {len(written)} are there")
                self._write(region, offset, written)
                return data[: _REGION.size]
            case Command.GET_REGION_IO_FDS:
                raise ValueError("no region has descriptors")
            case Command.DMA_UNMAP:
                return data
            case Command.DMA_MAP | Command.SET_IRQS | Command.RESET:
                return b""

    def _region(self, data: bytes) -> tuple[int, int, int]:
        offset, region, count = _REGION.unpack_from(data)
        if offset + count > len(self._content(region)):
            raise ValueError(f"{count} bytes at {offset:#x} of region {region}")
        return offset, region, count

    def _content(self, region: int) -> bytes:
        if region == _CONFIG_REGION:
            return bytes(self._config)
        return bytes(_BAR_SIZE if region == 0 else 0)

    def _write(self, region: int, offset: int, written: bytes) -> None:
        if region != _CONFIG_REGION:
            return
        for at, byte in enumerate(written, start=offset):
            if at == 0x04:
                self._config[at] = byte & 0x07
            elif 0x11 <= at < 0x14:  # BAR 0, whose low twelve bits are its size
                self._config[at] = byte & (0xF0 if at == 0x11 else 0xFF)
            elif at == 0x3C:
                self._config[at] = byte


class IdleFunctionServer:
    """Serves one QEMU on a unix socket of its own, from before QEMU starts until `close()`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="carryover-")
        self.path = Path(self._folder.name) / "idle-function"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(1)
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, name="idle-function", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the connection and forgets the socket; QEMU is gone by then."""
        for end in (self._listener, self._connection):
            if end is not None:
                with contextlib.suppress(OSError):  # not connected
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._thread.join(5.0)
        self._folder.cleanup()

    def _serve(self) -> None:
        try:
            self._connection, _ = self._listener.accept()
            serve(self._connection, IdleFunction())
        except (OSError, Infrastructure) as error:
            _LOGGER.debug("ended: %s", error)


def serve(connection: socket.socket, function: IdleFunction) -> None:
    """Answers until the other side closes.

    Raises:
        Infrastructure: What comes is no message of the protocol.
        OSError: The connection was lost.
    """
    while header := _receive(connection, _HEADER.size):
        identity, command, size, flags, _ = _HEADER.unpack(header)
        if not _HEADER.size <= size <= _MOST:
            raise Infrastructure(f"vfio-user: a message of {size} bytes")
        data = _receive(connection, size - _HEADER.size)
        error = 0
        try:
            answer = function.answer(command, data)
        except Refused as refused:
            _LOGGER.debug("refused: %s", refused)
            answer, error = b"", _EINVAL
        if flags & _NO_REPLY:
            continue
        reply = _REPLY | (_ERROR if error else 0)
        size = _HEADER.size + len(answer)
        connection.sendall(_HEADER.pack(identity, command, size, reply, error) + answer)


def _receive(connection: socket.socket, size: int) -> bytes:
    """`size` bytes; fewer only if none were there at the end. Descriptors are closed unused."""
    data = b""
    while len(data) < size:
        part, descriptors, _, _ = socket.recv_fds(connection, size - len(data), 8)
        for descriptor in descriptors:
            socket.close(descriptor)
        if not part:
            if data:
                raise Infrastructure("vfio-user: the connection ends in the middle of a message")
            return b""
        data += part
    return data
