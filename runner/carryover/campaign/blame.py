# SPDX-License-Identifier: GPL-2.0-only
"""Who is to blame when the machine dies: batches are run again, in parts, until it is known."""

from __future__ import annotations

from collections.abc import Callable, Generator

from carryover.campaign.batch import Batch
from carryover.campaign.command import ProgramDied
from carryover.display import Display
from carryover.errors import Infrastructure
from carryover.events import TestInfo
from carryover.observation import Crashed
from carryover.verdict import TestResult, Verdict

Results = Generator[TestResult, None, None]


class Blame:
    """Runs batches, each on a power cycle of its own, within a budget of reruns.

    Attributes:
        unexplained: Deaths that no single test could be blamed for.
    """

    def __init__(
        self, power_cycle: Callable[[Batch], Results], display: Display, reruns: int
    ) -> None:
        """Prepares.

        Args:
            power_cycle: Runs a batch from power-on to power-off; raises Crashed or ProgramDied.
            display: Says what is searched for.
            reruns: Power cycles that may be spent beside the first.
        """
        self._power_cycle = power_cycle
        self._display = display
        self._reruns = reruns
        self.unexplained: list[str] = []

    def batch(self, batch: Batch) -> Results:
        """A result for each test of a batch; more power cycles if the machine dies in it."""
        try:
            yield from self._power_cycle(batch)
        except ProgramDied as died:
            if batch.running is not None:
                yield batch.decide(batch.running[0], Verdict.FAIL, str(died))
                yield from self._again(batch.undecided(), Crashed(Verdict.INFRA, str(died)))
            else:
                names = [test.name for test in batch.undecided()]
                yield from batch.decide_all(names, Verdict.INFRA, str(died))
        except Crashed as crash:
            yield from self._search(batch, crash)

    def _search(self, batch: Batch, crash: Crashed) -> Results:
        """The machine died with tests undecided: runs halves of them again until one is left."""
        undecided = batch.undecided()
        names = [test.name for test in undecided]
        suspect = batch.running[0] if batch.running else None
        # That two kernels do not understand each other is no test's doing.
        of_kernels = crash.verdict is Verdict.ABI_MISMATCH and suspect is None
        if crash.verdict is Verdict.INFRA or of_kernels or not undecided:
            yield from batch.decide_all(names, crash.verdict, crash.reason)
            return
        if len(undecided) == 1:
            during = f" (in its {batch.running[1]} half)" if batch.running else ""
            yield batch.decide(names[0], crash.verdict, crash.reason + during)
            return
        if self._reruns <= 0:
            reason = f"{crash.reason} (one of {len(names)} tests; no more runs to find out which)"
            yield from batch.decide_all(names, crash.verdict, reason)
            return
        self._display.note(
            f"{crash.verdict.value}: {crash.reason}; looking for the test that did it"
        )
        if suspect is not None:
            groups = [[t for t in undecided if t.name == suspect]]
            groups.append([t for t in undecided if t.name != suspect])
        else:
            middle = len(undecided) // 2
            groups = [undecided[:middle], undecided[middle:]]
        held: list[TestResult] = []  # what to make of them hangs on whether the machine dies again
        has_died = False
        try:
            for group in groups:
                for result in self._again(group, crash):
                    has_died = has_died or result.verdict.machine_is_gone
                    if has_died:
                        yield from held
                        held.clear()
                    if has_died or suspect not in (None, result.name):
                        yield result
                    else:
                        held.append(result)
        except Infrastructure:
            # What is known is known. That one of the others did it is as likely as not.
            if suspect is None and not has_died:
                self.unexplained.append(f"{crash.verdict.value}: {crash.reason}; search cut short")
                yield from held
            else:
                yield from self._without_death(held, crash)
            raise
        yield from self._without_death(held, crash)

    def _without_death(self, held: list[TestResult], crash: Crashed) -> list[TestResult]:
        """Apart, no group died: that does not make the death unseen."""
        if not held:
            return held
        why = f"{crash.reason}; it did not happen again with fewer tests"
        self.unexplained.append(f"{crash.verdict.value}: {why}")
        for result in held:
            if result.verdict is Verdict.PASS:
                result.verdict, result.reason = crash.verdict, why
        return held

    def _again(self, tests: list[TestInfo], crash: Crashed) -> Results:
        """A new power cycle for some of the tests."""
        batch = Batch(tests)
        if not tests:
            return
        if self._reruns <= 0:
            reason = f"{crash.reason} (no more runs to get it a result of its own)"
            yield from batch.decide_all([t.name for t in tests], crash.verdict, reason)
            return
        self._reruns -= 1
        yield from self.batch(batch)
