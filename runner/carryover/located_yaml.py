# SPDX-License-Identifier: GPL-2.0-only
"""YAML as labgrid reads it, with the line of each key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from labgrid.util.yaml import Loader

from carryover.errors import BadInput


class Located(OrderedDict[str, Any]):
    """A mapping that knows where it was written.

    Attributes:
        line: Of the file, from 1, where the mapping begins.
        lines: The line of each key.
    """

    def __init__(
        self,
        pairs: Iterable[tuple[str, Any]] = (),
        line: int = 1,
        lines: dict[str, int] | None = None,
    ) -> None:
        super().__init__(pairs)
        self.line = line
        self.lines = lines or {}

    def __repr__(self) -> str:
        return repr(dict(self))


class _LocatingLoader(Loader):  # type: ignore[misc]
    """labgrid's; all its tags are known."""


def _mapping(loader: _LocatingLoader, node: yaml.MappingNode) -> Located:
    lines: dict[str, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if key in lines:
            raise BadInput(
                f"{loader.name}:{line}: key `{key}` is there already, in line {lines[key]}"
            )
        lines[key] = line
    return Located(loader.construct_pairs(node, deep=True), node.start_mark.line + 1, lines)


_LocatingLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path) -> Any:
    """What the file holds; its mappings are ``Located``.

    Raises:
        OSError: It cannot be read.
        BadInput: It is no YAML, or a mapping has the same key twice.
    """
    with path.open(encoding="utf-8") as file:
        try:
            return yaml.load(file, Loader=_LocatingLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadInput(f"{path}: not YAML: {error}") from error
