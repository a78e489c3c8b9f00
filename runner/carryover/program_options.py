# SPDX-License-Identifier: GPL-2.0-only
"""What the program is told of its tests."""

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class ProgramOptions:
    """What the program is told of its tests, the same in all its verbs of a run.

    Attributes:
        hidden: Tests that exist to prove the runner may be selected.
        soak: Tests that repeat themselves do so this many times as often.
        chain: Tests that go on after their first kexec do so for at least this many in a row.
    """

    hidden: bool = False
    soak: int = 1
    chain: int = 1

    @classmethod
    def of(cls, config: pytest.Config) -> "ProgramOptions":
        """As the command line of pytest has them."""
        return cls(
            hidden=config.getoption("carryover_hidden"),
            soak=config.getoption("carryover_soak"),
            chain=config.getoption("carryover_chain"),
        )

    def words(self) -> list[str]:
        """As the program's command line has them."""
        return [
            *(["--hidden"] if self.hidden else []),
            *(["--soak", str(self.soak)] if self.soak != 1 else []),
            *(["--chain", str(self.chain)] if self.chain != 1 else []),
        ]


NO_OPTIONS = ProgramOptions()
