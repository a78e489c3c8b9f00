# SPDX-License-Identifier: GPL-2.0-only
"""What a run is going to do, in a few lines, before it does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from carryover.events import TestInfo


@dataclass(frozen=True)
class Plan:
    """How the selected tests share kexecs.

    Attributes:
        alone: How many need no kexec.
        first: How many share the first kexec, chains among them.
        chains: Of these, how many go on for how many more kexecs.
        own: How many share their kexecs with no other, each in a power cycle of its own.
        not_claimed: How many are skipped, by the claim that the target's kernel does not make.
        not_in_mode: How many are skipped because there are no device files to preserve in the mode
            type1.
    """

    alone: int
    first: int
    chains: dict[int, int]
    own: int
    not_claimed: dict[str, int]
    not_in_mode: int
    not_listed: dict[str, int]

    @classmethod
    def of(
        cls,
        tests: Iterable[TestInfo],
        claims: Sequence[str],
        iommu_mode: str,
        not_listed: Mapping[str, int] = MappingProxyType({}),
    ) -> Plan:
        """The plan for these tests on a kernel that makes these claims.

        `not_listed`: how many more there are of drivers that no device is listed for.
        """
        tests = list(tests)
        claimed = [test for test in tests if _is_claimed(test, claims)]
        run = ready(tests, claims, iommu_mode)
        shared = [test for test in run if not test.own_kexec]
        generations = [test.generations for test in shared if test.is_continuity]
        return cls(
            alone=len(shared) - len(generations),
            first=len(generations),
            chains=dict(sorted(Counter(n - 1 for n in generations if n > 1).items())),
            own=len(run) - len(shared),
            not_claimed=dict(
                sorted(Counter(t.claim for t in tests if t.claim and t.claim not in claims).items())
            ),
            not_in_mode=len(claimed) - len(run),
            not_listed=dict(sorted(not_listed.items())),
        )

    @property
    def kexecs(self) -> int:
        """Those that are shared, if no machine dies: a search for who did it takes more."""
        return max(self.chains, default=0) + 1 if self.first else 0

    def lines(self) -> list[str]:
        """For a person."""
        lines = []
        if self.alone:
            lines.append(f"{_tests(self.alone)} without a kexec")
        if self.first:
            line = f"{_tests(self.first)} for the first kexec"
            if self.chains:
                more = ", ".join(f"{n} for {more} more" for more, n in self.chains.items())
                line += f", {more}"
            lines.append(f"{line}: {self.kexecs} kexec{'' if self.kexecs == 1 else 's'}")
        if self.own:
            how = "a power cycle of its own" if self.own == 1 else "power cycles of their own"
            lines.append(f"{_tests(self.own)} in {how}")
        for claim, count in self.not_claimed.items():
            lines.append(
                f"{_tests(count)} skipped for want of a kernel that claims `{claim}` "
                f"(--carryover-claim {claim})"
            )
        if self.not_in_mode:
            lines.append(
                f"{_tests(self.not_in_mode)} skipped for want of --carryover-iommu-mode iommufd"
            )
        if self.not_listed:
            lines.append(
                f"{_tests(sum(self.not_listed.values()))} left out for want of a device "
                f"(PciTestDevice) of driver {', '.join(self.not_listed)}"
            )
        return lines


def ready(tests: Iterable[TestInfo], claims: Sequence[str], iommu_mode: str) -> list[TestInfo]:
    """The tests that the target is not going to skip for its claims or its mode."""
    return [test for test in tests if _is_claimed(test, claims) and _is_fit(test, iommu_mode)]


def power_cycles(
    tests: Sequence[TestInfo], claims: Sequence[str], iommu_mode: str
) -> list[list[TestInfo]]:
    """Which tests share a power cycle.

    First come those that share one, if any, and what the target is going to skip is among them.
    Each of the others has one test.
    """
    own = [test for test in ready(tests, claims, iommu_mode) if test.own_kexec]
    shared = [test for test in tests if test not in own]
    return [cycle for cycle in (shared, *([test] for test in own)) if cycle]


def _is_claimed(test: TestInfo, claims: Sequence[str]) -> bool:
    return test.claim is None or test.claim in claims


def _is_fit(test: TestInfo, iommu_mode: str) -> bool:
    """Whether there is something to preserve in this mode: device files are iommufd's."""
    return iommu_mode == "iommufd" or not test.is_continuity or test.claim != "file"


def _tests(count: int) -> str:
    return f"{count} test{'' if count == 1 else 's'}"
