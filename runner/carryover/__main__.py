# SPDX-License-Identifier: GPL-2.0-only
"""``python -m carryover close JOURNAL``: closes what a dead run left."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from carryover.errors import BadInput, OutputFailed
from carryover.journal import close_left_over


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m carryover", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    close = verbs.add_parser("close", help="end the machine of a dead run, and close its journal")
    close.add_argument("journal", type=Path, help="out/.../journal.jsonl")
    options = parser.parse_args(arguments)
    try:
        done = close_left_over(options.journal)
    except (BadInput, OutputFailed) as error:
        Console(stderr=True).print(f"carryover: {error}", style="red", soft_wrap=True, markup=False)
        return 1
    Console().print(f"{options.journal}: {done}", soft_wrap=True, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
