# SPDX-License-Identifier: GPL-2.0-only
"""The function that does nothing, as QEMU sees it."""

import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from carryover.errors import Infrastructure
from carryover.idle_function import Command, IdleFunction, IdleFunctionServer, Refused, serve

HEADER = struct.Struct("<HHIII")


def read(function: IdleFunction, offset: int, size: int, region: int = 7) -> bytes:
    answer = function.answer(Command.REGION_READ, struct.pack("<QII", offset, region, size))
    return answer[16:]


def write(function: IdleFunction, offset: int, data: bytes, region: int = 7) -> None:
    function.answer(Command.REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data)


def test_it_has_a_bar_and_configuration_space() -> None:
    function = IdleFunction()
    sizes = {}
    for region in range(9):
        data = struct.pack("<IIIIQQ", 32, 0, region, 0, 0, 0)
        answer = function.answer(Command.GET_REGION_INFO, data)
        sizes[region] = struct.unpack("<IIIIQQ", answer)[4]
    assert sizes == {region: 4096 if region in (0, 7) else 0 for region in range(9)}


def test_its_bar_can_be_sized_and_placed() -> None:
    function = IdleFunction()
    write(function, 0x10, b"\xff\xff\xff\xff")
    assert read(function, 0x10, 4) == struct.pack("<I", 0xFFFFF000)
    write(function, 0x10, struct.pack("<I", 0xFEB12345))
    assert read(function, 0x10, 4) == struct.pack("<I", 0xFEB12000)


def test_what_is_not_writable_is_not_written() -> None:
    function = IdleFunction()
    before = read(function, 0, 4096)
    write(function, 0x00, b"\xff" * 4)
    write(function, 0x08, b"\xff" * 4)
    write(function, 0x100, b"\xff" * 64)
    assert read(function, 0, 4096) == before


def test_it_is_a_pci_express_endpoint() -> None:
    function = IdleFunction()
    at = read(function, 0x34, 1)[0]
    capability, following, flags = struct.unpack("<BBH", read(function, at, 4))
    assert (capability, following, flags >> 4 & 0xF) == (0x10, 0, 0)


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (0, b""),
        (99, b""),
        (Command.REGION_READ, b"short"),
        (Command.REGION_READ, struct.pack("<QII", 4095, 7, 2)),
        (Command.REGION_READ, struct.pack("<QII", 2**63, 7, 4)),
        (Command.REGION_READ, struct.pack("<QII", 0, 5, 1)),
        (Command.REGION_WRITE, struct.pack("<QII", 0, 7, 4) + b"ab"),
        (Command.GET_REGION_INFO, b""),
        (Command.GET_REGION_IO_FDS, b""),
    ],
)
def test_what_cannot_be_answered_is_refused(command: int, data: bytes) -> None:
    with pytest.raises(Refused):
        IdleFunction().answer(command, data)


@pytest.fixture
def peer() -> Iterator[tuple[socket.socket, list[BaseException]]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            serve(theirs, IdleFunction())
        except (OSError, Infrastructure) as error:
            failures.append(error)
        finally:
            theirs.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield ours, failures
    ours.close()
    thread.join(5.0)


def test_answers_have_the_number_of_the_question(
    peer: tuple[socket.socket, list[BaseException]],
) -> None:
    ours, _ = peer
    descriptor = os.open("/dev/null", os.O_RDONLY)
    socket.send_fds(ours, [HEADER.pack(7, Command.SET_IRQS, 16, 0, 0)], [descriptor])
    os.close(descriptor)
    assert HEADER.unpack(ours.recv(100)) == (7, Command.SET_IRQS, 16, 1, 0)
    ours.sendall(HEADER.pack(8, 99, 16, 0, 0))
    assert HEADER.unpack(ours.recv(100)) == (8, 99, 16, 1 | 1 << 5, 22)
    ours.sendall(HEADER.pack(9, Command.RESET, 16, 1 << 4, 0))  # wants no answer
    ours.sendall(HEADER.pack(10, Command.RESET, 16, 0, 0))
    assert HEADER.unpack(ours.recv(100))[0] == 10


@pytest.mark.parametrize("size", [0, 15, 2**32 - 1])
def test_a_message_of_an_impossible_size_ends_it(
    peer: tuple[socket.socket, list[BaseException]], size: int
) -> None:
    ours, failures = peer
    ours.sendall(HEADER.pack(1, Command.RESET, size, 0, 0))
    ours.shutdown(socket.SHUT_WR)
    assert ours.recv(1) == b""
    assert "bytes" in str(failures[0])


def test_the_server_ends_with_its_user_and_without() -> None:
    server = IdleFunctionServer()
    with socket.socket(socket.AF_UNIX) as ours:
        ours.settimeout(5.0)
        ours.connect(str(server.path))
        ours.sendall(HEADER.pack(1, Command.RESET, 16, 0, 0))
        assert HEADER.unpack(ours.recv(100))[0] == 1
    server.close()
    assert not server.path.exists()
    IdleFunctionServer().close()
