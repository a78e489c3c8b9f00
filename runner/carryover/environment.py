# SPDX-License-Identifier: GPL-2.0-only
"""Checks an environment file before anything is done.

labgrid by itself warns of an unknown key and goes on, and ends with a traceback at a wrong value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attr
from labgrid.factory import target_factory
from labgrid.util.yaml import resolve_templates

# labgrid finds the classes that an environment names once they are imported.
from carryover.campaign import strategy  # noqa: F401
from carryover.console import serial_port, sol  # noqa: F401
from carryover.errors import BadInput
from carryover.located_yaml import Located, load
from carryover.machine import bench, deployer, lab, remote  # noqa: F401
from carryover.machine.models import MODELS
from carryover.machine.peers import PEERS
from carryover.nearest import meant
from carryover.power import ipmi, redfish  # noqa: F401

_TOP = ("targets", "images", "tools", "paths", "options", "imports", "features")
_TARGET = ("resources", "drivers", "options", "features")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True)
class _Spot:
    """A value in the file: where it is, in words and by line."""

    file: Path
    line: int
    where: str = ""

    def refused(self, what: str) -> BadInput:
        where = f"{self.where}: " if self.where else ""
        return BadInput(f"{self.file}:{self.line}: {where}{what}")

    def wrong(self, said: str) -> BadInput:
        return BadInput(f"{self.file}:{self.line}: {self.where}{said}")

    def under(self, mapping: Located, key: str) -> _Spot:
        """The value of a key of this mapping, which need not be there."""
        where = f"{self.where}.{key}" if self.where else key
        return _Spot(self.file, mapping.lines.get(key, mapping.line), where)


@dataclass(frozen=True)
class _Entry:
    """One resource or driver."""

    cls: str
    arguments: Located
    spot: _Spot


def check(path: Path, *, files: bool) -> None:
    """Checks the file's keys and values, and with `files` that what it names is there.

    Raises:
        BadInput: Says which key in which line is wrong, and what was probably meant.
    """
    data = check_targets(path)
    top = _Spot(path, data.line)
    targets = top.under(data, "targets")
    if "main" not in data["targets"]:
        raise targets.refused("a target named `main` is needed")
    main = data["targets"]["main"]
    drivers = targets.under(data["targets"], "main").under(main, "drivers")
    if "KexecStrategy" not in {entry.cls for entry in _entries(drivers, main.get("drivers") or [])}:
        raise drivers.refused("a KexecStrategy is needed")
    if files:
        _check_files(top, data)


def check_place(path: Path, place: str) -> None:
    """Checks that the resources of target `main` are those of this place of the coordinator.

    Raises:
        BadInput: The environment names no place, or another one.
    """
    data = _load(path)  # classes of plugins are not known yet
    top = _Spot(path, data.line)
    targets = data.get("targets") or Located()
    main = (targets.get("main") if isinstance(targets, Located) else None) or Located()
    spot = top.under(data, "targets").under(targets, "main").under(main, "resources")
    named = [
        entry.arguments.get("name")
        for entry in _entries(spot, main.get("resources") or [])
        if entry.cls == "RemotePlace"
    ]
    if place not in named:
        has = f"its place is {named[0]}" if named else "it has no RemotePlace"
        raise spot.refused(
            f"{has}, and the run is to be on {place}; "
            "`- RemotePlace: {name: !template $LG_PLACE}` stands for the place that was asked for"
        )


def check_targets(path: Path) -> Located:
    """Checks the keys and values of all targets, which may serve for anything; returns the file.

    Raises:
        BadInput: As check().
    """
    data = _load(path)
    top = _Spot(path, data.line)
    _known(top, data, _TOP)
    targets, spot = data.get("targets"), top.under(data, "targets")
    if not isinstance(targets, Located):
        raise spot.wrong(f" is {targets!r}, a mapping was meant")
    for name, target in targets.items():
        of_target = spot.under(targets, name)
        if not isinstance(target, Located):
            raise of_target.wrong(f" is {target!r}, a mapping was meant")
        _known(of_target, target, _TARGET)
        for kind in ("resources", "drivers"):
            entries = list(_entries(of_target.under(target, kind), target.get(kind) or []))
            for entry in entries:
                _check_class(entry, kind)
            _check_devices(entries)
    return data


def _load(path: Path) -> Located:
    try:
        data = load(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; give an environment file by --lg-env") from error
    if not isinstance(data, Located):
        raise BadInput(f"{path}: a mapping with `targets:` was meant")
    _put_variables_in(path, data)
    return data


def _put_variables_in(path: Path, data: Located) -> None:
    """``!template``, as labgrid's Config does it."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("LG_")}
    try:
        resolve_templates(data, {**variables, "BASE": str(path.parent.absolute())})
    except KeyError as error:
        name = error.args[0]
        remedy = "give --place NAME or --tag KEY=VALUE" if name == "LG_PLACE" else "set it"
        raise BadInput(f"{path}: ${name} is named there and not set; {remedy}") from error
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from error


def _entries(spot: _Spot, value: Any) -> Iterator[_Entry]:
    """Class and arguments of each entry, in both ways that labgrid lets them be written."""
    if isinstance(value, Located):
        found = [(cls, arguments, spot.under(value, cls)) for cls, arguments in value.items()]
    elif isinstance(value, list):
        found = []
        for item in value:
            if not isinstance(item, Located) or (len(item) != 1 and "cls" not in item):
                line = item.line if isinstance(item, Located) else spot.line
                at = _Spot(spot.file, line, spot.where)
                raise at.refused(f"{item!r}, `- CLASS: {{...}}` was meant")
            if "cls" in item:
                cls = str(item["cls"])
                rest = [(key, argument) for key, argument in item.items() if key != "cls"]
                at = _Spot(spot.file, item.line, f"{spot.where}.{cls}")
                found.append((cls, Located(rest, item.line, item.lines), at))
                continue
            found += [(cls, arguments, spot.under(item, cls)) for cls, arguments in item.items()]
    else:
        raise spot.wrong(f" is {value!r}, a mapping or a list was meant")
    for cls, arguments, at in found:
        if not isinstance(arguments, Located):
            raise at.wrong(f" is {arguments!r}, a mapping was meant ({{}})")
        yield _Entry(str(cls), arguments, at)


def _check_class(entry: _Entry, kind: str) -> None:
    known = target_factory.resources if kind == "resources" else target_factory.drivers
    cls, arguments, spot = entry.cls, entry.arguments, entry.spot
    if cls not in known:
        raise spot.refused(f"labgrid has no such {kind[:-1]}{meant(cls, known)}")
    fields = {f.name: f for f in attr.fields(known[cls]) if f.init and f.name != "target"}
    _known(spot, arguments, [*fields, "name", *(["bindings"] if kind == "drivers" else [])])
    for name, field in fields.items():
        if name not in arguments:
            if field.default is attr.NOTHING and name != "name":
                raise spot.refused(f"`{name}` is missing")
            continue
        try:
            value = field.converter(arguments[name]) if field.converter else arguments[name]
            if field.validator is not None:
                field.validator(None, field, value)
        except (TypeError, ValueError) as error:
            said = str(error.args[0]) if error.args else str(error)
            said = said.partition(" (got")[0]
            at = spot.under(arguments, name)
            raise at.wrong(f" is {arguments[name]!r}: {said}") from error


def _check_devices(entries: list[_Entry]) -> None:
    seen: dict[str, int] = {}
    for entry in entries:
        if entry.cls == "PciTestDevice":
            address = entry.arguments["address"]
            if address in seen:
                before = f"it is in line {seen[address]} already"
                raise entry.spot.refused(f"device {address} is listed twice; {before}")
            seen[address] = entry.spot.line


def _check_files(top: _Spot, data: Located) -> None:
    for name in sorted({*_variables(data)} - {MODELS, PEERS}):
        if name not in os.environ:
            raise BadInput(
                f"{top.file}: ${name} is named there and not set; `ci/bench` sets all that "
                "ci/bench.yaml needs"
            )
    for kind in ("images", "tools"):
        named = data.get(kind) or Located()
        spot = top.under(data, kind)
        if not isinstance(named, Located):
            raise spot.wrong(f" is {named!r}, a mapping was meant")
        for name, value in named.items():
            file = Path(os.path.expandvars(str(value))).expanduser()
            if not file.is_absolute():
                file = top.file.parent / file
            if not file.is_file():
                raise spot.under(named, name).refused(f"there is no file {file}; build it first")
            if kind == "tools" and not os.access(file, os.X_OK):
                raise spot.under(named, name).refused(f"{file} cannot be executed")


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        for plain, braced in _VARIABLE.findall(value):
            yield plain or braced
    elif isinstance(value, dict):
        for item in value.values():
            yield from _variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from _variables(item)


def _known(spot: _Spot, mapping: Located, known: Iterable[str]) -> None:
    known = list(known)
    for key in mapping:
        if key not in known:
            at = _Spot(spot.file, mapping.lines[key], spot.where)
            raise at.refused(f"unknown key `{key}`{meant(str(key), known)}")
