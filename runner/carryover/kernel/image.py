# SPDX-License-Identifier: GPL-2.0-only
"""Whether a file is a kernel that kexec_file_load() may take, by what its first bytes say."""

from __future__ import annotations

from pathlib import Path

from carryover.errors import BadInput

_HEAD = 0x240
# Documentation/arch/x86/boot.rst; Documentation/arch/arm64/booting.rst.
_X86 = ((0x1FE, b"\x55\xaa"), (0x202, b"HdrS"))
_ARM64 = ((56, b"ARM\x64"),)
_ELF = b"\x7fELF"
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def check_kernel_image(where: str, path: Path) -> None:
    """Checks that a file on this machine is a bootable kernel: x86's bzImage, or arm64's Image.

    Args:
        where: Who names it, for the message.
        path: The file.

    Raises:
        BadInput: It is not there, or is something else; the message says what, and what to give.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise BadInput(f"{where}: {path}: {error.strerror}") from error
    if any(_has(head, marks) for marks in (_X86, _ARM64)):
        return
    raise BadInput(
        f"{where}: {path} is no kernel image: {_what(head)}; give arch/x86/boot/bzImage, or "
        "arch/arm64/boot/Image"
    )


def _has(head: bytes, marks: tuple[tuple[int, bytes], ...]) -> bool:
    return all(head[at : at + len(magic)] == magic for at, magic in marks)


def _what(head: bytes) -> str:
    if not head:
        return "it is empty"
    if head.startswith(_ELF):
        return "it is an ELF file, as vmlinux is"
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            return f"it is compressed by {name}"
    return "it has neither x86's boot header nor arm64's"
