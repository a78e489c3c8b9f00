# SPDX-License-Identifier: GPL-2.0-only
"""Source lines for the functions of a kernel's report, from the vmlinux of that kernel.

As scripts/decode_stacktrace.sh of the kernel's tree does it, with nm and addr2line.
"""

from __future__ import annotations

import mmap
import re
import subprocess
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from carryover.errors import BadInput

_LIMIT = 60.0
_PLACE = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*)\+0x(?P<offset>[0-9a-f]+)/0x(?P<size>[0-9a-f]+)(?! \[)"
)
_CODE = ("T", "t", "W", "w")
_DISCRIMINATOR = re.compile(r" \(discriminator \d+\)$")
_UNKNOWN = re.compile(r"^\?\?|:(\?|0)$")


@dataclass(frozen=True)
class Vmlinux:
    """An uncompressed kernel with its symbols."""

    path: Path
    _places: dict[int, str] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path) -> Vmlinux:
        """Raises BadInput if the file is no kernel, or has no source lines in it."""
        try:
            head = path.open("rb").read(4)
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}; give the vmlinux of a kernel") from error
        if head != b"\x7fELF":
            raise BadInput(
                f"{path}: this is no vmlinux (no ELF file); a bzImage has no symbols: give the "
                "vmlinux that was built with it"
            )
        if "debug_line" not in _run(["readelf", "--section-headers", "--wide", str(path)], path):
            raise BadInput(
                f"{path}: it has no source lines; build the kernel with "
                "CONFIG_DEBUG_KERNEL=y and CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y"
            )
        return cls(path)

    def is_of(self, banner: str) -> bool:
        """Whether this is the kernel that begins with that line ("Linux version ...")."""
        if not banner:
            return False
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            return data.find(banner.encode()) >= 0

    def decode(self, lines: Sequence[str]) -> list[str]:
        """The lines, with ``(FILE:LINE)`` behind each function that is in this kernel."""
        found = [(match, self._address(match)) for line in lines if (match := _place_in(line))]
        self._look_up({address for _, address in found if address is not None})
        return [self._decoded(line) for line in lines]

    def _decoded(self, line: str) -> str:
        match = _place_in(line)
        place = self._places.get(self._address(match) or 0, "") if match else ""
        return f"{line} ({place})" if place else line

    def _address(self, match: re.Match[str]) -> int | None:
        """Of names that several functions have, the one of the same size is meant."""
        size, offset = int(match["size"], 16), int(match["offset"], 16)
        fitting = [start for start in self._symbols[match["name"]] if self._size(start) == size]
        if not fitting:
            return None
        # A trace has the address to return to, which may be of the next line.
        is_call = not match.string.lstrip().startswith("RIP:")
        return min(fitting) + offset - (1 if is_call and offset else 0)

    @cached_property
    def _symbols(self) -> dict[str, list[int]]:
        symbols: dict[str, list[int]] = defaultdict(list)
        for line in _run(["nm", str(self.path)], self.path).splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in _CODE:
                symbols[words[2]].append(int(words[0], 16))
        return symbols

    @cached_property
    def _starts(self) -> list[int]:
        return sorted({start for starts in self._symbols.values() for start in starts})

    def _size(self, start: int) -> int:
        """As the kernel has it: up to the next symbol."""
        at = bisect_right(self._starts, start)
        return self._starts[at] - start if at < len(self._starts) else 0

    @cached_property
    def _tree(self) -> str:
        """The folder of the kernel's source, where it was built: a known function is in it."""
        if starts := self._symbols["start_kernel"]:
            place = self._lines(starts[:1])[0]
            return place.partition("init/main.c")[0]
        return ""

    def _lines(self, addresses: Sequence[int]) -> list[str]:
        command = ["addr2line", "-e", str(self.path), *(f"{address:x}" for address in addresses)]
        return _run(command, self.path).splitlines()

    def _look_up(self, addresses: set[int]) -> None:
        wanted = sorted(addresses - self._places.keys())
        if not wanted:
            return
        for address, line in zip(wanted, self._lines(wanted), strict=True):
            place = _DISCRIMINATOR.sub("", line)
            known = "" if _UNKNOWN.search(place) else place.removeprefix(self._tree)
            self._places[address] = known


def _place_in(line: str) -> re.Match[str] | None:
    return _PLACE.search(line)


def _run(command: list[str], path: Path) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_LIMIT
        )
    except FileNotFoundError as error:
        raise BadInput(f"{command[0]} is not installed; it is in binutils") from error
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"{path}: {command[0]} does not end within {_LIMIT:g} s") from error
    if done.returncode != 0:
        raise BadInput(f"{path}: {command[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
