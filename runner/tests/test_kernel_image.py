# SPDX-License-Identifier: GPL-2.0-only
"""What is no kernel is told before anything is done with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from carryover.errors import BadInput
from carryover.kernel.image import check_kernel_image


def image(**marks: tuple[int, bytes]) -> bytes:
    data = bytearray(4096)
    for at, magic in marks.values():
        data[at : at + len(magic)] = magic
    return bytes(data)


X86 = image(boot=(0x1FE, b"\x55\xaa"), header=(0x202, b"HdrS"))


@pytest.mark.parametrize(
    "data", [X86, image(efi=(0, b"MZ"), magic=(56, b"ARM\x64")), image(magic=(56, b"ARM\x64"))]
)
def test_a_kernel(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "Image"
    file.write_bytes(data)
    check_kernel_image("here", file)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"\x7fELF" + bytes(1000), "it is an ELF file, as vmlinux is"),
        (b"\x1f\x8b" + bytes(1000), "it is compressed by gzip"),
        (b"\x28\xb5\x2f\xfd", "it is compressed by zstd"),
        (b"#!/bin/sh\n", "it has neither x86's boot header nor arm64's"),
        (image(boot=(0x1FE, b"\x55\xaa")), "neither"),
        (image(header=(0x202, b"HdrS")), "neither"),
        (X86[:0x203], "neither"),
    ],
)
def test_something_else(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "Image"
    file.write_bytes(data)
    with pytest.raises(BadInput, match="is no kernel image: ") as refused:
        check_kernel_image("target main: KernelDeployer.kernel", file)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"target main: KernelDeployer.kernel: {file} ")
    assert "give arch/x86/boot/bzImage" in str(refused.value)


def test_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"here: .*: No such file"):
        check_kernel_image("here", tmp_path / "nothing")
