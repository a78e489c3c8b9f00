# SPDX-License-Identifier: GPL-2.0-only
"""``python -m carryover VERB``: what can be done with a run that is over.

``close JOURNAL`` closes what a dead run left; ``kcidb DIRECTORY`` prints a run as KCIDB wants it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from carryover.errors import BadInput, OutputFailed
from carryover.journal import close_left_over
from carryover.kcidb import Source, report
from carryover.saved_run import load


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m carryover", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    close = verbs.add_parser("close", help="end the machine of a dead run, and close its journal")
    close.add_argument("journal", type=Path, help="out/.../journal.jsonl")
    kcidb = verbs.add_parser("kcidb", help="print a run as a report for KCIDB (JSON, schema 5.3)")
    kcidb.add_argument("directory", type=Path, help="the output directory of the run")
    kcidb.add_argument("--origin", required=True, help="the name of this test system")
    kcidb.add_argument("--build-id", default="", metavar="ID", help="of a build reported before")
    kcidb.add_argument("--commit", default="", help="or of the kernel: build and checkout follow")
    kcidb.add_argument("--repository", default="", metavar="URL", help="where the commit is from")
    options = parser.parse_args(arguments)
    try:
        if options.verb == "kcidb":
            return _kcidb(options)
        done = close_left_over(options.journal)
    except (BadInput, OutputFailed) as error:
        Console(stderr=True).print(f"carryover: {error}", style="red", soft_wrap=True, markup=False)
        return 1
    Console().print(f"{options.journal}: {done}", soft_wrap=True, markup=False)
    return 0


def _kcidb(options: argparse.Namespace) -> int:
    """Prints what there is; 1 if the run was cut short, as it says then."""
    source = Source(options.origin, options.build_id, options.commit, options.repository)
    run = load(options.directory)
    sys.stdout.write(json.dumps(report(run, source), indent=1) + "\n")
    if run.remark:
        Console(stderr=True).print(
            f"carryover: {options.directory}: {run.remark}", soft_wrap=True, markup=False
        )
    return 1 if run.remark else 0


if __name__ == "__main__":
    sys.exit(main())
