# SPDX-License-Identifier: GPL-2.0-only
"""What the page shows at a glance: counts, the matrix, kernels, and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from carryover.campaign.identity import NONCE
from carryover.outputs.saved_run import SavedRun
from carryover.verdict import Verdict

# Worst first: what a person opens the page for.
_ORDER = [
    Verdict.PANIC,
    Verdict.HANG,
    Verdict.RESET,
    Verdict.FAIL,
    Verdict.LOST,
    Verdict.REFUSED,
    Verdict.ABI_MISMATCH,
    Verdict.INFRA,
    Verdict.PASS,
    Verdict.SKIP,
]
SEVERITY = {verdict.value: rank for rank, verdict in enumerate(_ORDER)}
GOOD = (Verdict.PASS.value, Verdict.SKIP.value)
# In place of a claim, driver or device that a test has none of; also in links.
NONE = "none"


@dataclass(frozen=True, slots=True)
class Count:
    """How many tests have a verdict, and the link that shows them."""

    verdict: str
    count: int
    link: str


@dataclass(frozen=True, slots=True)
class Row:
    """Of the matrix: a device, the tests' counts by claim, in the order of the columns."""

    driver: str
    device: str
    id: str
    cells: list[list[Count]]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Verdicts by device and claim.

    Attributes:
        claims: The columns, each with whether this run's kernel makes the claim.
        rows: A row a driver and device.
    """

    claims: list[tuple[str, bool]]
    rows: list[Row]


@dataclass(slots=True)
class Boot:
    """One boot that tests ran on.

    Attributes:
        index: In the list of all boots.
        kexec: How many kexecs of its power cycle led to it; 0 for a cold boot.
        tests: How many tests ran on it.
    """

    index: int
    kexec: int
    kernel: str
    boot_id: str
    kho_count: int | None
    luo_number: int | None
    nonce: str
    cmdline: str
    tests: int = 0


@dataclass(slots=True)
class Boots:
    """All boots of a run, in the order in which tests tell of them."""

    all: list[Boot] = field(default_factory=list)
    _known: dict[str, Boot] = field(default_factory=dict)

    def of(self, result: dict[str, Any]) -> list[int]:
        """The boots that a test ran on: the cold boot and those after each kexec."""
        told = [result.get("cold_boot"), *(result.get("kexecs") or [])]
        indices = []
        for kexec, identity in enumerate(told):
            if identity:
                boot = self._boot(kexec, identity)
                boot.tests += 1
                indices.append(boot.index)
        return indices

    def _boot(self, kexec: int, identity: dict[str, Any]) -> Boot:
        boot_id = str(identity.get("boot_id"))
        if boot_id not in self._known:
            cmdline = str(identity.get("cmdline") or "")
            nonces = [word for word in cmdline.split() if word.startswith(NONCE)]
            boot = Boot(
                index=len(self.all),
                kexec=kexec,
                kernel=str(identity.get("kernel")),
                boot_id=boot_id,
                kho_count=identity.get("kho_count"),
                luo_number=identity.get("luo_number"),
                nonce=nonces[-1].removeprefix(NONCE) if nonces else "",
                cmdline=cmdline,
            )
            self.all.append(boot)
            self._known[boot_id] = boot
        return self._known[boot_id]


def link(**filters: str) -> str:
    """A link within the page (docs/report.md); empty values are left out."""
    return "#" + urlencode({key: value for key, value in filters.items() if value}, safe=",/:")


def counts(results: Iterable[dict[str, Any]], **filters: str) -> list[Count]:
    """The verdicts that occur, worst first, with links to their tests among those of `filters`."""
    found = Counter(str(result["verdict"]) for result in results)
    return [
        Count(verdict, found[verdict], link(verdict=verdict, **filters))
        for verdict in sorted(found, key=severity)
    ]


def severity(verdict: str) -> int:
    """The worse, the smaller."""
    return SEVERITY.get(verdict, 0)


def matrix(run: SavedRun) -> Matrix:
    """Verdicts by device and claim. A listed device without a test is a row, too."""
    made = [str(claim) for claim in run.begin.get("claims") or []]
    used = {_claim(result) for result in run.results}
    known = ["memory", "file", "mapping", "stream", "interrupt"]
    names = [NONE] * (NONE in used)
    names += [claim for claim in known if claim in used or claim in made]
    names += sorted(used - set(names))
    listed = {str(d["address"]): d for d in run.begin.get("devices") or []}
    keys = {_device(result) for result in run.results}
    with_tests = {address for _, address in keys}
    keys |= {(str(d["driver"]), a) for a, d in listed.items() if a not in with_tests}
    rows = []
    for driver, address in sorted(keys, key=lambda key: (key[0] != NONE, key)):
        of_row = [result for result in run.results if _device(result) == (driver, address)]
        cells = [
            counts(
                [result for result in of_row if _claim(result) == claim],
                driver=driver,
                device=address or NONE,
                claim=claim,
            )
            for claim in names
        ]
        rows.append(Row(driver, address, str(listed.get(address, {}).get("id", "")), cells))
    return Matrix([(name, name == NONE or name in made) for name in names], rows)


def problems(run: SavedRun) -> list[str]:
    """Why this is no good run, each a sentence; none for a good one."""
    found = []
    if run.remark:
        found.append(f"{run.remark[0].upper()}{run.remark[1:]}.")
    if not run.results:
        found.append("No test has a result.")
    if bad := sum(result["verdict"] not in GOOD for result in run.results):
        found.append(f"Neither PASS nor SKIP: {bad:,} of {number(len(run.results), 'test')}.")
    if run.faults:
        found.append(f"Kernel faults: {len(run.faults):,}.")
    if run.violations:
        found.append(f"Forbidden by a device's specification: {len(run.violations):,}.")
    return found


def title(results: Sequence[dict[str, Any]], found: Sequence[str]) -> str:
    """The run in a word or two."""
    if found:
        return "Not a good run"
    passed = sum(result["verdict"] == Verdict.PASS.value for result in results)
    if passed == len(results):
        return f"Good: {number(passed, 'test')} passed"
    return f"Good: {passed:,} of {len(results):,} passed, the rest was skipped"


def _claim(result: dict[str, Any]) -> str:
    return str(result.get("claim") or NONE)


def _device(result: dict[str, Any]) -> tuple[str, str]:
    return str(result.get("driver") or NONE), str(result.get("device") or "")


def number(count: int, what: str) -> str:
    """A number of things: 1 test, 2 tests."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
