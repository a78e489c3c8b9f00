# SPDX-License-Identifier: GPL-2.0-only
"""How long a real machine took for its tests, boots and kexecs: a fake one takes as long.

recording.json was made of the results.jsonl of a good run of ci/bench.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

# How many tests there are to be; without it, nothing is recorded and nothing takes time.
VARIABLE = "CARRYOVER_FAKE_RECORDED_TESTS"
_FILE = Path(__file__).with_name("recording.json")


@dataclass
class Recording:
    """Seconds of each step."""

    boot: float = 0.0
    kexec: float = 0.0
    tests: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of_this_process(cls) -> Recording:
        """With as many tests as are asked for: those of the file, again and again."""
        if (count := int(os.environ.get(VARIABLE, "0"))) == 0:
            return cls()
        said = json.loads(_FILE.read_text())
        recorded = list(said["tests"].items())
        tests = {}
        for number in range(count):
            name, halves = recorded[number % len(recorded)]
            again = number // len(recorded)
            tests[f"{name}/{again}" if again else name] = halves
        return cls(said["boot"], said["kexec"], tests)

    def pause(self, name: str, half: str) -> None:
        """As long as this half of a test took."""
        if (seconds := self.tests.get(name, {}).get(half, 0.0)) > 0.0005:
            time.sleep(seconds)

    def rows(self) -> list[tuple[str, str, int, str | None]]:
        """As program.py has them."""
        return [
            (name, "run", 0, None) if "run" in halves else (name, "continuity", 1, None)
            for name, halves in self.tests.items()
        ]
