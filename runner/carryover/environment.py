# SPDX-License-Identifier: GPL-2.0-only
"""Checks an environment file before anything is done.

labgrid by itself warns of an unknown key and goes on, and ends with a traceback at a wrong value.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attr
import yaml
from labgrid.exceptions import InvalidConfigError, NoConfigFoundError
from labgrid.factory import target_factory
from labgrid.util.yaml import load

# labgrid finds the classes that an environment names once they are imported.
from carryover import (  # noqa: F401
    bench,
    deployer,
    ipmi_power,
    lab_machine,
    redfish_power,
    remote,
    serial_console,
    sol_console,
    strategy,
)
from carryover.errors import BadInput
from carryover.models import MODELS

_TOP = ("targets", "images", "tools", "paths", "options", "imports", "features")
_TARGET = ("resources", "drivers", "options", "features")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def check(path: Path, *, files: bool) -> None:
    """Checks the file's keys and values, and with `files` that what it names is there.

    Raises:
        BadInput: Says which key of which file is wrong, and what was probably meant.
    """
    data = check_targets(path)
    if "main" not in data["targets"]:
        raise BadInput(f"{path}: targets: a target named `main` is needed")
    drivers = data["targets"]["main"].get("drivers") or {}
    if "KexecStrategy" not in {cls for cls, _ in _entries(path, "targets.main.drivers", drivers)}:
        raise BadInput(f"{path}: targets.main.drivers: a KexecStrategy is needed")
    if files:
        _check_files(path, data)


def check_targets(path: Path) -> dict[str, Any]:
    """Checks the keys and values of all targets, which may serve for anything; returns the file.

    Raises:
        BadInput: As check().
    """
    data = _load(path)
    _known(path, "", data, _TOP)
    targets = data.get("targets")
    if not isinstance(targets, dict):
        raise BadInput(f"{path}: targets is {targets!r}, a mapping was meant")
    for name, target in targets.items():
        where = f"targets.{name}"
        if not isinstance(target, dict):
            raise BadInput(f"{path}: {where} is {target!r}, a mapping was meant")
        _known(path, where, target, _TARGET)
        for kind in ("resources", "drivers"):
            for cls, arguments in _entries(path, f"{where}.{kind}", target.get(kind) or {}):
                _check_class(path, f"{where}.{kind}.{cls}", cls, arguments, kind)
        _check_devices(path, f"targets.{name}.resources", target.get("resources") or {})
    return data


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            data = load(file)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; give an environment file by --lg-env") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML: {error}") from error
    except (InvalidConfigError, NoConfigFoundError) as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise BadInput(f"{path}: a mapping with `targets:` was meant")
    return data


def _entries(path: Path, where: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Class and arguments of each entry, in both ways that labgrid lets them be written."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = []
        for item in value:
            if not isinstance(item, dict) or (len(item) != 1 and "cls" not in item):
                raise BadInput(f"{path}: {where}: {item!r}, `- CLASS: {{...}}` was meant")
            if "cls" in item:
                pairs.append((item["cls"], {k: v for k, v in item.items() if k != "cls"}))
            else:
                pairs += item.items()
    else:
        raise BadInput(f"{path}: {where} is {value!r}, a mapping or a list was meant")
    for cls, arguments in pairs:
        if not isinstance(arguments, dict):
            raise BadInput(f"{path}: {where}.{cls} is {arguments!r}, a mapping was meant ({{}})")
        yield str(cls), arguments


def _check_class(path: Path, where: str, cls: str, arguments: dict[str, Any], kind: str) -> None:
    known = target_factory.resources if kind == "resources" else target_factory.drivers
    if cls not in known:
        raise BadInput(f"{path}: {where}: labgrid has no such {kind[:-1]}{_meant(cls, known)}")
    fields = {f.name: f for f in attr.fields(known[cls]) if f.init and f.name != "target"}
    accepted = [*fields, "name", "cls", *(["bindings"] if kind == "drivers" else [])]
    _known(path, where, arguments, accepted)
    for name, field in fields.items():
        if name not in arguments:
            if field.default is attr.NOTHING and name != "name":
                raise BadInput(f"{path}: {where}: `{name}` is missing")
            continue
        try:
            value = field.converter(arguments[name]) if field.converter else arguments[name]
            if field.validator is not None:
                field.validator(None, field, value)
        except (TypeError, ValueError) as error:
            said = str(error.args[0]) if error.args else str(error)
            raise BadInput(
                f"{path}: {where}.{name} is {arguments[name]!r}: {said.partition(' (got')[0]}"
            ) from error


def _check_devices(path: Path, where: str, resources: Any) -> None:
    seen = set()
    for cls, arguments in _entries(path, where, resources):
        if cls == "PciTestDevice":
            address = arguments["address"]
            if address in seen:
                raise BadInput(f"{path}: {where}: PciTestDevice {address} is listed twice")
            seen.add(address)


def _check_files(path: Path, data: dict[str, Any]) -> None:
    for name in sorted({*_variables(data)} - {MODELS}):
        if name not in os.environ:
            raise BadInput(
                f"{path}: ${name} is named there and not set; `ci/bench` sets all that "
                "ci/bench.yaml needs"
            )
    for kind in ("images", "tools"):
        for name, value in (data.get(kind) or {}).items():
            file = Path(os.path.expandvars(str(value))).expanduser()
            if not file.is_absolute():
                file = path.parent / file
            if not file.is_file():
                raise BadInput(f"{path}: {kind}.{name}: there is no file {file}; build it first")
            if kind == "tools" and not os.access(file, os.X_OK):
                raise BadInput(f"{path}: {kind}.{name}: {file} cannot be executed")


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


def _known(path: Path, where: str, mapping: dict[str, Any], known: Iterable[str]) -> None:
    known = list(known)
    for key in mapping:
        if key not in known:
            prefix = f"{where}: " if where else ""
            raise BadInput(f"{path}: {prefix}unknown key `{key}`{_meant(str(key), known)}")


def _meant(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; was `{near[0]}` meant?" if near else ""
