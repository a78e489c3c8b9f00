# SPDX-License-Identifier: GPL-2.0-only
"""Labgrid resources of our own."""

from __future__ import annotations

import re

import attr
from labgrid.factory import target_factory
from labgrid.resource import Resource

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_DRIVER = re.compile(r"[a-z][a-z0-9_-]*")
_SCRATCH = re.compile(r"(?:[0-9]+\+[0-9]+)?")
_SERIAL = re.compile(r"(?:[0-9a-f]{2}(?:-[0-9a-f]{2}){7})?")
_HOST = re.compile(r"[0-9A-Za-z.:_-]+")
_SYSTEM = re.compile(r"[^\s/?#%]*")


def _matches(pattern: re.Pattern[str], example: str):  # type: ignore[no-untyped-def]
    def check(instance: object, attribute: attr.Attribute[str], value: object) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{attribute.name}: {value!r}, something like {example!r} was meant")

    return check


def _is_port(instance: object, attribute: attr.Attribute[int], value: object) -> None:
    if not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"{attribute.name}: {value!r}, a port number was meant")


@target_factory.reg_resource
@attr.s(eq=False)
class PciTestDevice(Resource):  # type: ignore[misc]
    """A PCI function of the target that tests may take from its driver, and give back.

    Args:
        address: DOMAIN:BUS:DEVICE.FUNCTION as sysfs has it, lower case.
        id: VENDOR:DEVICE. A device at this address with another id is never touched.
        driver: Which of Carryover's drivers is to drive it.
        scratch: FIRST+COUNT: the logical blocks of a disk that tests may overwrite. What else is on
            it is not touched.
        serial: What its PCIe Device Serial Number capability has, as ``lspci -vv`` prints it:
            another card in its place is not touched. Empty: any card of this id.
        fed: A traffic peer (``peers`` of the machine's driver) sends frames to this NIC.
    """

    address: str = attr.ib(validator=_matches(_ADDRESS, "0000:01:00.0"))
    id: str = attr.ib(validator=_matches(_ID, "8086:10c9"))
    driver: str = attr.ib(validator=_matches(_DRIVER, "igb"))
    scratch: str = attr.ib(default="", validator=_matches(_SCRATCH, "2048+8192"))
    serial: str = attr.ib(default="", validator=_matches(_SERIAL, "00-1b-21-ff-ff-8a-3c-10"))
    fed: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))

    @property
    def option(self) -> str:
        """As the program's ``--device`` takes it."""
        scratch = f",scratch={self.scratch}" if self.scratch else ""
        serial = f",serial={self.serial}" if self.serial else ""
        fed = ",fed" if self.fed else ""
        return f"{self.address},{self.id},{self.driver}{scratch}{serial}{fed}"


@target_factory.reg_resource
@attr.s(eq=False)
class RedfishBmc(Resource):  # type: ignore[misc]
    """A machine's BMC, as it is reached over Redfish. Whoever uses it brings the credentials.

    Args:
        host: Its name, as its certificate has it, or its address.
        port: Of HTTPS.
        system: Which of its systems the machine is: the last part of /redfish/v1/Systems/ID. Empty
            if it has one only.
    """

    host: str = attr.ib(validator=_matches(_HOST, "bmc-of-rack3-07"))
    port: int = attr.ib(default=443, validator=_is_port)
    system: str = attr.ib(default="", validator=_matches(_SYSTEM, "1"))


@target_factory.reg_resource
@attr.s(eq=False)
class IpmiBmc(Resource):  # type: ignore[misc]
    """A machine's BMC, as it is reached over IPMI 2.0. Whoever uses it brings the credentials.

    Args:
        host: Its name or address.
        port: Of RMCP+ (UDP).
    """

    host: str = attr.ib(validator=_matches(_HOST, "bmc-of-rack3-07"))
    port: int = attr.ib(default=623, validator=_is_port)
