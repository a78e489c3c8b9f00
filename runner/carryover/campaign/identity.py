# SPDX-License-Identifier: GPL-2.0-only
"""Boot identity: that this boot is the kexec which was asked for is proved, never assumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from carryover.errors import ProtocolError
from carryover.events import Event
from carryover.verdict import Verdict

NONCE = "carryover.nonce="


@dataclass(frozen=True, slots=True)
class BootIdentity:
    """What a boot says of itself (event ``hello``)."""

    kernel: str
    boot_id: str
    cmdline: str
    kho_count: int | None
    luo_number: int | None

    @classmethod
    def from_hello(cls, event: Event) -> BootIdentity:
        """From the first event of any verb."""
        if not event.text("boot_id"):
            raise ProtocolError("hello: no boot_id")
        return cls(
            kernel=event.text("kernel"),
            boot_id=event.text("boot_id"),
            cmdline=event.text("cmdline"),
            kho_count=_optional(event, "kho_count"),
            luo_number=_optional(event, "luo_number"),
        )

    @property
    def nonce(self) -> str:
        """The runner's word on the kernel's command line; empty if it is not there."""
        words = [word for word in self.cmdline.split() if word.startswith(NONCE)]
        return words[-1].removeprefix(NONCE) if words else ""

    def as_dict(self) -> dict[str, Any]:
        """For results.jsonl."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a boot is not the one that was asked for, and what verdict that means."""

    verdict: Verdict
    reason: str


def doubts(before: BootIdentity, after: BootIdentity, nonce: str) -> Doubt | None:
    """Compares two boots around a kexec; None if all evidence agrees.

    A new boot without the nonce, or with the count of a cold boot, went through a reset: RESET.
    The same boot once more means that no kexec happened although the kernel accepted it. Evidence
    that contradicts itself, or is missing, is INFRA.
    """
    if after.boot_id == before.boot_id:
        return Doubt(Verdict.INFRA, f"boot_id is still {after.boot_id}: there was no kexec")
    if after.nonce != nonce:
        found = after.nonce or "none"
        return Doubt(Verdict.RESET, f"nonce {nonce} was given to the kexec, the boot has {found}")
    if after.kho_count is None:
        return Doubt(Verdict.INFRA, "the incoming kernel's log has no KHO kexec count")
    expected = (before.kho_count or 0) + 1
    if after.kho_count != expected:
        verdict = Verdict.RESET if after.kho_count == 0 else Verdict.INFRA
        return Doubt(verdict, f"KHO counts {after.kho_count} kexecs, {expected} were made")
    if after.luo_number is None:
        return Doubt(Verdict.INFRA, "LUO retrieved no live update data in the incoming kernel")
    if before.luo_number is not None and after.luo_number != before.luo_number + 1:
        return Doubt(
            Verdict.INFRA,
            f"LUO's live update number went from {before.luo_number} to {after.luo_number}",
        )
    return None


def _optional(event: Event, key: str) -> int | None:
    return None if event.fields.get(key) is None else event.number(key)
