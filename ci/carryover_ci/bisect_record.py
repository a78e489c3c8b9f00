# SPDX-License-Identifier: GPL-2.0-only
"""What is known of a commit: kept in the cache, so that no run is done twice.

Runs are kept, not answers: one more run than before, or another verdict that is looked for, needs
no run again.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from carryover_ci.bisect_decision import Run
from carryover_ci.cache import write_whole

RECIPE = "1"  # to be raised when what is kept means something else


@dataclass
class Record:
    """One commit, with one configuration, one selection of tests and one target.

    Attributes:
        file: Where it is kept.
        build_seconds: What the kernel took to build, when it was built.
        not_built: Why it does not build; empty if it does, or was not tried.
        runs: All but those that the infrastructure spoilt.
    """

    file: Path
    build_seconds: float = 0.0
    not_built: str = ""
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> "Record":
        """What is kept in `file`; nothing, if it is not there."""
        if not file.exists():
            return cls(file)
        kept = json.loads(file.read_text())
        kept["runs"] = [Run(**run) for run in kept["runs"]]
        return cls(file, **kept)

    def write(self) -> None:
        """Keeps it, whole or not at all."""
        kept = asdict(self)
        del kept["file"]
        write_whole(self.file, json.dumps(kept, indent=1) + "\n")
