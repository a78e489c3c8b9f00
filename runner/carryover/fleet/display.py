# SPDX-License-Identifier: GPL-2.0-only
"""What a person sees of a fleet: live on a terminal, a line where something ends elsewhere."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from carryover.exit_codes import ExitCode
from carryover.fleet.outcome import PlaceOutcome
from carryover.verdict import Verdict

_STYLES = {ExitCode.GOOD: "green", ExitCode.BAD: "bold red", ExitCode.INFRA: "bold magenta"}
_REASON = 200  # characters


class Progress:
    """How far a run has come, by its results.jsonl as far as it is written."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "results.jsonl"
        self._began = time.time()
        self._position = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.step = "begins"
        self.clock = time.monotonic()

    def read_on(self) -> None:
        """What has come since the last time; a line without its end has not come yet."""
        try:
            if self._file.stat().st_mtime < self._began:
                return  # that of an earlier run
            with self._file.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            record = json.loads(line)
            if record["event"] == "result":
                self.verdicts[Verdict(record["verdict"])] += 1
            elif record["event"] == "mark":
                self.step = record["what"]


class FleetDisplay:
    """Is told by FleetRun how it goes."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._began = time.monotonic()
        self._running: dict[str, Progress] = {}
        self._ended: list[PlaceOutcome] = []
        self._live: Live | None = None

    def __enter__(self) -> FleetDisplay:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._draw,
                refresh_per_second=2,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(self, *unused: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def begins(self, place: str, directory: Path) -> None:
        """A place's run begins."""
        self._running[place] = Progress(directory)

    def ends(self, outcome: PlaceOutcome) -> None:
        """It has ended: a line."""
        self._running.pop(outcome.place, None)
        self._ended.append(outcome)
        line = Text(f"{self._since():6.1f} s  ")
        line.append(f"{outcome.place}  ", "bold")
        line.append_text(_counts(outcome.verdicts) or Text("no results", "bold magenta"))
        line.append(f"  {outcome.seconds:.1f} s", "dim")
        if outcome.reason:
            line.append(f"  {_shortened(outcome.reason)}", "red")
        self._console.print(line, soft_wrap=True)

    def note(self, text: str) -> None:
        """Something a person should know."""
        self._console.print(Text(text, "yellow"), soft_wrap=True)

    def summary(self, lines: Mapping[str, str], verdicts: Mapping[Verdict, int]) -> None:
        """The end."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("verdicts", _counts(verdicts) or Text("none", "bold red"))
        codes = Counter(outcome.code for outcome in self._ended)
        places = Text("  ").join(
            Text(f"{count} {_WORDS[code]}", _STYLES.get(code, "yellow"))
            for code, count in sorted(codes.items())
        )
        table.add_row("places", places)
        for name, text in lines.items():
            table.add_row(name, Text(text))
        self._console.print(Group(Text(), table))

    def _since(self) -> float:
        return time.monotonic() - self._began

    def _draw(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        rows = max(3, self._console.height - 4)
        running = list(self._running.items())
        for place, progress in running[:rows]:
            progress.read_on()
            seconds = time.monotonic() - progress.clock
            table.add_row(
                Text(place, "bold cyan"),
                Text(progress.step),
                Text(f"{seconds:.0f} s", "dim"),
                _counts(progress.verdicts),
            )
        more = f", {len(running) - rows} of them not shown" if len(running) > rows else ""
        state = f" {self._since():4.0f} s  {len(self._ended)} of {self._total} places have ended, "
        return Group(table, Text(f"{state}{len(running)} run{more}", "dim"))


_WORDS = {
    ExitCode.GOOD: "good",
    ExitCode.BAD: "bad",
    ExitCode.BAD_INPUT: "refused",
    ExitCode.INFRA: "of which nothing can be said",
    ExitCode.INTERRUPTED: "interrupted",
}


def _counts(verdicts: Mapping[Verdict, int]) -> Text:
    return Text(" ").join(
        Text(f"{verdicts[verdict]} {verdict.value}", verdict.style)
        for verdict in Verdict
        if verdicts.get(verdict)
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _REASON else f"{text[:_REASON]}..."
