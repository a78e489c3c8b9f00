# SPDX-License-Identifier: GPL-2.0-only
"""Power over Redfish."""

from __future__ import annotations

import ssl
from typing import Any

import attr
from labgrid.factory import target_factory

from carryover.errors import BadInput, Infrastructure
from carryover.power.bmc import BmcPowerDriver, Order
from carryover.power.redfish_client import NotFound, RedfishClient
from carryover.resources import RedfishBmc

_SYSTEMS = "/redfish/v1/Systems"
_ACTION = "#ComputerSystem.Reset"
# ResetType of each order, the better one first (DMTF DSP2046, Resource.ResetType).
_RESET_TYPES = {
    Order.ON: ("On", "ForceOn"),
    Order.OFF: ("ForceOff",),
    Order.CYCLE: ("PowerCycle",),
    Order.RESET: ("ForceRestart",),
}
# What a BMC that does not tell its ResetTypes knows for sure.
_EXPECTED = ("On", "ForceOff", "ForceRestart")


@target_factory.reg_driver
@attr.s(eq=False)
class RedfishPowerDriver(BmcPowerDriver):
    """A machine's power by its BMC's ComputerSystem.Reset.

    Args:
        ca_file: The certificate that signed the BMC's, or the BMC's own if it signed itself (PEM).
            Empty: those that the controller trusts.
        verify: False: anybody may say that he is this BMC, and gets the password.
    """

    bindings = {"bmc": RedfishBmc}

    ca_file: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    verify: bool = attr.ib(default=True, validator=attr.validators.instance_of(bool))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._path = ""

    @property
    def place(self) -> str:
        return f"target {self.target.name}: RedfishBmc {self.bmc.host}:{self.bmc.port}"

    def _power(self) -> bool | None:
        state = self._system(self._client()).get("PowerState")
        if state not in ("On", "Off", "PoweringOn", "PoweringOff", "Paused"):
            raise Infrastructure(f"{self.place}: {self._path} has PowerState {state!r}")
        return {"On": True, "Off": False}.get(state)

    def _order(self, order: Order) -> bool:
        client = self._client()
        action = (self._system(client).get("Actions") or {}).get(_ACTION) or {}
        target = action.get("target")
        if not isinstance(target, str) or not target.startswith("/"):
            raise Infrastructure(f"{self.place}: {self._path} has no action {_ACTION}")
        allowed = action.get("ResetType@Redfish.AllowableValues") or _EXPECTED
        for reset_type in _RESET_TYPES[order]:
            if reset_type in allowed:
                client.post(target, {"ResetType": reset_type})
                return True
        return False

    def _client(self) -> RedfishClient:
        return RedfishClient(
            place=self.place,
            host=self.bmc.host,
            port=self.bmc.port,
            tls=self._tls(),
            username=self.username,
            secret=self._secret(),
            limit=self.request_limit,
        )

    def _tls(self) -> ssl.SSLContext:
        if not self.verify:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        if not self.ca_file:
            return ssl.create_default_context()
        path = self.resolved(self.ca_file)
        try:
            return ssl.create_default_context(cafile=str(path))
        except ssl.SSLError:
            raise BadInput(f"{self.place}: ca_file {path}: no certificate (PEM)") from None
        except OSError as error:
            raise BadInput(f"{self.place}: ca_file {path}: {error.strerror}") from error

    def _system(self, client: RedfishClient) -> dict[str, Any]:
        if self.bmc.system:
            self._path = f"{_SYSTEMS}/{self.bmc.system}"
        elif not self._path:
            paths = self._paths(client)
            if len(paths) != 1:
                raise BadInput(
                    f"{self.place}: name its `system`, it has {len(paths)} ({_ids(paths)})"
                )
            self._path = paths[0]
        try:
            return client.get(self._path)
        except NotFound as error:
            raise BadInput(
                f"{self.place}: it has no system {self.bmc.system or self._path!r}; it has "
                f"{_ids(self._paths(client))}"
            ) from error

    def _paths(self, client: RedfishClient) -> list[str]:
        members = client.get(_SYSTEMS).get("Members")
        if not isinstance(members, list):
            raise Infrastructure(f"{self.place}: {_SYSTEMS} has no Members")
        return [str(m["@odata.id"]) for m in members if isinstance(m, dict) and "@odata.id" in m]


def _ids(paths: list[str]) -> str:
    return ", ".join(path.rstrip("/").rpartition("/")[2] for path in paths) or "none"
