# SPDX-License-Identifier: GPL-2.0-only
"""What a power cycle that was cut short has left in files, and nobody has written down as faults.

A run tells what a power cycle amounts to when that is over. One that is killed does not get so far.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from carryover.errors import ProtocolError
from carryover.events import Event, parse
from carryover.kernel.messages import Meaning, recognise
from carryover.kernel.oracle import KernelFault, KernelOracle

_STAMPED = re.compile(r"\[(\d+\.\d+)\] (.*)")


def kernel_faults(directory: Path, began: float, since: float) -> list[KernelFault]:
    """What the kernels of the last power cycle complained of.

    A report whose test is not known is left out if any test of the same boots declares it.

    Args:
        directory: Of the run's output.
        began: When the run began: the console's lines count from there.
        since: When the power cycle began. Both are time.time().
    """
    oracle = KernelOracle()
    events = list(_events(directory / "events.jsonl"))
    boot_id = ""
    expected: list[str] = []
    for when, line in _console(directory / "console.log", began):
        if when < since:
            continue
        message = recognise(line)
        if message is not None and message.meaning is Meaning.KERNEL:
            expected += _tell(oracle, events, boot_id)
            boot_id = ""
        elif message is not None and message.meaning is Meaning.TARGET_READY:
            boot_id = message.values.get("boot_id", "")
        oracle.console(when, line, message)
    expected += _tell(oracle, events, boot_id)
    return [
        fault
        for fault in oracle.faults()
        if fault.test or not any(re.search(e, li) for e in expected for li in fault.report.lines)
    ]


def violations(directory: Path, recorded: Iterable[str]) -> list[str]:
    """What the logs of the device models tell of, beyond what was recorded."""
    found: Counter[str] = Counter()
    for log in sorted((directory / "models").glob("*.jsonl")):
        for line in _whole_lines(log):
            if '"violation"' in line and (event := json.loads(line))["event"] == "violation":
                found[f"model {log.stem}: {event['what']}"] += 1
    return list((found - Counter(recorded)).elements())


def _tell(oracle: KernelOracle, events: Collection[Event], boot_id: str) -> list[str]:
    """The oracle hears what the program said on a boot; returns the messages that were declared."""
    declared = []
    present = ""
    for event in events:
        if event.kind == "hello":
            present = event.text("boot_id")
        if not boot_id or present != boot_id:
            continue
        try:
            oracle.program(event)
        except ProtocolError:
            continue  # it was a verdict when it came
        if event.kind == "expect-message":
            declared.append(event.text("pattern"))
    return declared


def _events(file: Path) -> Iterator[Event]:
    for line in _whole_lines(file):
        try:
            yield parse(line)
        except ProtocolError:
            continue  # it was a verdict when it came


def _console(file: Path, began: float) -> Iterator[tuple[float, str]]:
    for line in _whole_lines(file):
        if match := _STAMPED.fullmatch(line):
            yield began + float(match[1]), match[2]


def _whole_lines(file: Path) -> Iterator[str]:
    if not file.exists():
        return
    with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        yield from (line[:-1] for line in lines if line.endswith("\n"))
