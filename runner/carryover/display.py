# SPDX-License-Identifier: GPL-2.0-only
"""What a person sees while a run goes on: phases, the running test, verdicts."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from carryover.observation import Crashed
from carryover.verdict import TestResult, Verdict

_PHASE_WIDTH = 7
_PLAN_WIDTH = len("verdicts") + 2  # the summary's names begin where the plan's do
_LONGEST_REASON = 300
_AS_ABOVE = "as above"


class Display:
    """Live on a terminal, plain lines elsewhere. All times are seconds since the run began."""

    def __init__(self, console: Console, *, zero: float | None = None, quiet: bool = False) -> None:
        """Draws nothing yet.

        Args:
            console: Where to.
            zero: time.monotonic() of the key press, if a build came before; now, if not given.
            quiet: Show only verdicts that are not PASS.
        """
        self._console = console
        self._zero = time.monotonic() if zero is None else zero
        self._has_prelude = zero is not None
        self._quiet = quiet
        self._live: Live | None = None
        self._phase = ""
        self._phase_began = 0.0
        self._doing = ""
        self._total = 0
        self._last_reason = ""
        self._spinner = Spinner("dots")
        self.counts: Counter[Verdict] = Counter()
        self.phases: list[tuple[str, float, float]] = []

    def begin(self, tests: int) -> None:
        """Starts the live part."""
        self._total = tests
        if self._has_prelude:
            took = self._since()
            self.phases.append(("build", 0.0, took))
            self._line(f"{took:6.1f} s  {'build':<{_PHASE_WIDTH}}  {took:5.2f} s", "bold")
        if self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._draw,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def resumed(self, kept: Sequence[TestResult], left: int) -> None:
        """A run goes on that was cut short."""
        self.counts.update(result.verdict for result in kept)
        self.note(f"resumed: {len(kept)} results are kept, {left} tests are left to run")

    def plan(self, lines: Sequence[str]) -> None:
        """What is going to happen: one block, before it does."""
        if self._quiet or not lines:
            return
        for number, line in enumerate(lines):
            text = Text("" if number else "plan", "bold")
            text.pad_right(_PLAN_WIDTH - len(text))
            self._console.print(text.append(line, "not bold"), soft_wrap=True)

    def action(self, where: str, what: str) -> None:
        """Something that a run would do."""
        text = Text(where, "bold")
        text.pad_right(len("controller") + 2 - len(text))
        self._console.print(text.append(what, "not bold"), soft_wrap=True)

    def end(self) -> None:
        """Ends the live part. Idempotent."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @contextlib.contextmanager
    def phase(self, name: str, what: str) -> Iterator[list[str]]:
        """A phase of the run. What the caller appends to the list is shown when it ends."""
        self._phase, self._phase_began, self._doing = name, time.monotonic(), what
        if not self._console.is_terminal:
            self._line(f"{self._since():6.1f} s  {name:<{_PHASE_WIDTH}}  {what} ...", "")
        found: list[str] = []
        outcome = "not finished"
        try:
            yield found
            outcome = ""
        except Crashed as crash:
            outcome = crash.verdict.value
            raise
        finally:
            took = time.monotonic() - self._phase_began
            self.phases.append((name, self._phase_began - self._zero, took))
            self._phase = ""
            style = "bold red" if outcome else "bold"
            text = f"{what}: {outcome}" if outcome else ", ".join(found) or what
            self._line(
                f"{self._since():6.1f} s  {name:<{_PHASE_WIDTH}}  {took:5.2f} s  {text}", style
            )

    def doing(self, what: str) -> None:
        """What goes on right now within the phase."""
        self._doing = what

    def verdict(self, result: TestResult) -> None:
        """A test has its result."""
        self.counts[result.verdict] += 1
        if self._quiet and result.verdict is Verdict.PASS:
            return
        reason = result.reason.partition("\n")[0][:_LONGEST_REASON]
        if reason == self._last_reason and len(reason) > len(_AS_ABOVE):
            reason = _AS_ABOVE
        else:
            self._last_reason = reason
        text = Text(f"{'':10}")
        text.append(f"{result.verdict.value:<8}", result.verdict.style)
        text.append(f" {result.name}")
        text.append(f"  {_duration(result.duration)}", "dim")
        if reason:
            text.append(f"  {reason}", "yellow" if result.verdict is Verdict.SKIP else "red")
        self._console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        """Something a person should know now."""
        self._line(f"{self._since():6.1f} s  {text}", "yellow")

    def summary(
        self, results: Sequence[TestResult], directory: Path, facts: Sequence[tuple[str, str]]
    ) -> None:
        """The end: counts, what was proved, where the files are."""
        self.end()
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        counts = Text("  ").join(
            Text(f"{count} {verdict.value}", verdict.style)
            for verdict in Verdict
            if (count := sum(result.verdict is verdict for result in results))
        )
        table.add_row("verdicts", counts if results else Text("none", "bold red"))
        for name, text in facts:
            table.add_row(name, escape(text))
        spent: Counter[str] = Counter()
        for name, _, took in self.phases:
            spent[name] += took  # type: ignore[assignment]
        times = "  ".join(f"{name} {took:.1f}" for name, took in spent.items())
        table.add_row("seconds", f"{times}  total {self._since():.1f}")
        names = sorted(path.name + ("/" if path.is_dir() else "") for path in directory.iterdir())
        table.add_row("files", escape(f"{directory}/: {' '.join(names)}"))
        self._console.print(Group(Text(), table))

    def _since(self) -> float:
        return time.monotonic() - self._zero

    def _line(self, text: str, style: str) -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _draw(self) -> RenderableType:
        if not self._phase:
            return Text()
        took = time.monotonic() - self._phase_began
        done = sum(self.counts.values())
        line = Text(f" {self._since():4.1f} s  ", "dim")
        line.append(f"{self._phase:<{_PHASE_WIDTH}}", "bold cyan")
        line.append(f"  {took:5.1f} s  ", "dim")
        line.append(f"[{done}/{self._total}] ", "cyan")
        line.append(self._doing)
        line.truncate(max(20, self._console.width - 4), overflow="ellipsis")
        self._spinner.update(text=line)
        return self._spinner


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
