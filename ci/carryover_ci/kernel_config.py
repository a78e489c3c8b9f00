# SPDX-License-Identifier: GPL-2.0-only
"""Fragments of a kernel configuration, and whether a configuration is what they asked for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from carryover_ci.run import Failure

_VALUE = re.compile(r'(CONFIG_\w+)=(y|m|n|-?\d+|0x[0-9a-fA-F]+|"(?:[^"\\]|\\.)*")\s*')
_NOT_SET = re.compile(r"# (CONFIG_\w+) is not set\s*")


class OptionRefused(Failure):
    """An option did not come out as it was asked for."""


@dataclass(frozen=True)
class Option:
    """One option as a fragment asks for it; `n` also stands for "is not set"."""

    name: str
    value: str
    file: Path
    line: int


def read_fragment(file: Path) -> list[Option]:
    """The options that `file` asks for; Failure with file and line if a line is none."""
    if not file.is_file():
        raise Failure(f"{file}: no such configuration fragment")
    options = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if match := _VALUE.fullmatch(line):
            options.append(Option(match[1], match[2], file, number))
        elif match := _NOT_SET.fullmatch(line):
            options.append(Option(match[1], "n", file, number))
        elif line.strip() and not line.startswith("#"):
            raise Failure(
                f"{file}:{number}: not a line of a kernel configuration: {line!r}. "
                'Write CONFIG_NAME=y, =n, a number or a "string".'
            )
    return options


def merged(fragments: Iterable[list[Option]]) -> dict[str, Option]:
    """All options by name; of two that ask for the same one the later counts."""
    return {option.name: option for fragment in fragments for option in fragment}


def as_text(options: dict[str, Option]) -> str:
    """The options as a file for KCONFIG_ALLCONFIG."""
    return "".join(f"{option.name}={option.value}\n" for option in options.values())


def check(asked: dict[str, Option], configuration: str) -> None:
    """OptionRefused that names every option of `asked` that is not so in the text of a .config."""
    got = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", configuration, re.MULTILINE))
    wrong = [option for option in asked.values() if got.get(option.name, "n") != option.value]
    if wrong:
        lines = [
            f"  {option.file}:{option.line}: {option.name}={option.value} came out as "
            f"{got.get(option.name, 'n (not set, or this kernel has no such option)')}"
            for option in wrong
        ]
        raise OptionRefused(
            "the kernel's configuration is not what the fragments ask for:\n"
            + "\n".join(lines)
            + "\nLook at what these options depend on (their `depends on` in Kconfig)."
        )
