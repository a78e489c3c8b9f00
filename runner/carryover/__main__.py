# SPDX-License-Identifier: GPL-2.0-only
"""``python -m carryover VERB``: what can be done with a run that is over, or dead."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from carryover.errors import BadInput, OutputFailed
from carryover.journal import close_left_over
from carryover.report import write as write_report


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m carryover", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    close = verbs.add_parser("close", help="end the machine of a dead run, and close its journal")
    close.add_argument("journal", type=Path, help="out/.../journal.jsonl")
    report = verbs.add_parser("report", help="build report.html of a run")
    report.add_argument("directory", type=Path, help="where its results.jsonl is, e.g. out/bench")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "report":
            done = str(write_report(options.directory))
        else:
            done = f"{options.journal}: {close_left_over(options.journal)}"
    except (BadInput, OutputFailed) as error:
        Console(stderr=True).print(f"carryover: {error}", style="red", soft_wrap=True, markup=False)
        return 1
    Console().print(done, soft_wrap=True, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
