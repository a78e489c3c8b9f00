# SPDX-License-Identifier: GPL-2.0-only
from typing import Any

import pytest

from carryover_ci.docs import as_text, rules, sentence


def listed(name: str, claim: str | None = None, summary: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "claim": claim,
        "driver": "igb" if claim == "file" else None,
        "generations": 1 if summary else 0,
        "file": "/somewhere/selftests/a_test.cc",
        "summary": summary,
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("TokenInUseIsRefused", "Token in use is refused"),
        ("DmaOutsideOfMappingsGoesNowhere", "DMA outside of mappings goes nowhere"),
        ("SamePageAtTwoIovas", "Same page at two IOVAs"),
        ("PCIIsThere", "PCI is there"),
        ("Longer63Bytes", "Longer 63 bytes"),
    ],
)
def test_a_name_is_a_sentence(name: str, says: str) -> None:
    assert sentence(name) == says


def test_a_summary_is_better_than_a_name() -> None:
    (rule,) = rules([listed("S.NameIsKept", "memory", "The kernel tells the name")])
    assert rule.says == "The kernel tells the name"


def test_parameters_are_one_rule() -> None:
    found = rules(
        [listed("S.HasNoHandler/Pipe"), listed("S.HasNoHandler/Epoll"), listed("S.Other")]
    )
    assert [rule.says for rule in found] == ["Has no handler: Pipe, Epoll", "Other"]


def test_one_test_of_all_drivers_is_one_rule() -> None:
    def of(driver: str, file: str = "driver_device_test.cc") -> dict[str, Any]:
        return {**listed(f"{driver.capitalize()}Device.Copies"), "driver": driver, "file": file}

    found = rules([of("dsa"), of("igb"), of("nvme", "nvme_test.cc")])
    assert [(rule.suite, rule.drivers) for rule in found] == [
        ("*Device", ("dsa", "igb")),
        ("NvmeDevice", ("nvme",)),
    ]
    assert "#### \\*Device" in as_text(found)
    assert "| `Copies` | none | dsa, igb |" in as_text(found)


def test_weaker_claims_come_first() -> None:
    text = as_text(rules([listed("F.X", "file", "A | B"), listed("M.Y", "memory"), listed("N.Z")]))
    places = [text.index(word) for word in ("No claim", "#### N", "Claim `memory`", "Claim `file`")]
    assert places == sorted(places)
    assert "| A &#124; B | `X` | 1 | igb |" in text
    assert "[a_test.cc](../selftests/a_test.cc)" in text
