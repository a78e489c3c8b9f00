# SPDX-License-Identifier: GPL-2.0-only
"""Writes initramfs archives in the kernel's "newc" format, without root and the same every time.

The format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

_TRAILER = "TRAILER!!!"


@dataclass
class Archive:
    """An archive in memory. Folders come before what is in them; owner is root, all times are 0."""

    _data: bytearray = field(default_factory=bytearray)
    _inode: int = 0
    _folders: set[str] = field(default_factory=set)

    def add_folder(self, path: str, mode: int = 0o755) -> None:
        """Add the folder `path` (no leading slash) and those above it that are not there yet."""
        if path in self._folders or path in ("", "."):
            return
        self.add_folder(os.path.dirname(path))
        self._folders.add(path)
        self._append(path, stat.S_IFDIR | mode, b"")

    def add_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self.add_folder(os.path.dirname(path))
        self._append(path, stat.S_IFREG | mode, content)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self.add_folder(os.path.dirname(path))
        self._append(path, stat.S_IFLNK | 0o777, target.encode())

    def add_tree(self, source: Path) -> None:
        """Add all files below `source`; their permission bits are kept."""
        for file in sorted(source.rglob("*")):
            name = str(file.relative_to(source))
            if file.is_symlink():
                self.add_link(name, str(file.readlink()))
            elif file.is_dir():
                self.add_folder(name)
            else:
                self.add_file(name, file.read_bytes(), 0o755 if os.access(file, os.X_OK) else 0o644)

    def whole(self) -> bytes:
        """The archive with its trailer, padded to 512 bytes."""
        end = Archive(bytearray(self._data), -1)
        end._append(_TRAILER, 0, b"")
        return bytes(end._data) + bytes(-len(end._data) % 512)

    def _append(self, name: str, mode: int, content: bytes) -> None:
        self._inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        self._data += b"070701" + b"".join(b"%08X" % number for number in fields) + encoded
        self._data += bytes(-len(self._data) % 4)
        self._data += content
        self._data += bytes(-len(self._data) % 4)
