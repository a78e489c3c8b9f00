# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from dataclasses import replace

import pytest

from carryover.campaign.identity import BootIdentity, doubts
from carryover.errors import ProtocolError
from carryover.events import Event
from carryover.verdict import Verdict

COLD = BootIdentity("7.3.4", "one", "console=ttyS0 carryover.nonce=aa", 0, None)
KEXECED = BootIdentity("7.3.4", "two", "console=ttyS0 carryover.nonce=bb", 1, 1)


def test_all_evidence_agrees() -> None:
    assert doubts(COLD, KEXECED, "bb") is None
    again = replace(
        KEXECED, boot_id="three", cmdline="carryover.nonce=cc", kho_count=2, luo_number=2
    )
    assert doubts(KEXECED, again, "cc") is None


@pytest.mark.parametrize(
    ("after", "verdict", "reason"),
    [
        (replace(KEXECED, boot_id="one"), Verdict.INFRA, "there was no kexec"),
        (replace(KEXECED, cmdline=COLD.cmdline), Verdict.RESET, "the boot has aa"),
        (replace(KEXECED, cmdline="quiet"), Verdict.RESET, "the boot has none"),
        (replace(KEXECED, kho_count=0), Verdict.RESET, "KHO counts 0"),
        (replace(KEXECED, kho_count=2), Verdict.INFRA, "KHO counts 2"),
        (replace(KEXECED, kho_count=None), Verdict.INFRA, "no KHO kexec count"),
        (replace(KEXECED, luo_number=None), Verdict.INFRA, "LUO retrieved no"),
    ],
)
def test_each_piece_of_evidence_counts(after: BootIdentity, verdict: Verdict, reason: str) -> None:
    doubt = doubts(COLD, after, "bb")
    assert doubt is not None
    assert doubt.verdict is verdict
    assert reason in doubt.reason


def test_luo_number_rises_by_one() -> None:
    after = replace(KEXECED, boot_id="three", kho_count=2, luo_number=1)
    doubt = doubts(KEXECED, after, "bb")
    assert doubt is not None
    assert "from 1 to 1" in doubt.reason


def test_hello_without_boot_id_is_refused() -> None:
    with pytest.raises(ProtocolError):
        BootIdentity.from_hello(Event("hello", {"kernel": "7.3.4"}))
