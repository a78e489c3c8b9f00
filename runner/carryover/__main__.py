# SPDX-License-Identifier: GPL-2.0-only
"""The command `carryover` (``python -m carryover``): runs, and what becomes of them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from carryover import report
from carryover.errors import BadInput, Infrastructure
from carryover.exit_codes import ExitCode
from carryover.fleet.command import fleet
from carryover.gap.figures import picture
from carryover.gap.reader import gaps
from carryover.gap.text import gap_text
from carryover.outputs import kcidb
from carryover.outputs.compare import Thresholds, compare
from carryover.outputs.comparison_text import comparison_text
from carryover.outputs.journal import close_left_over
from carryover.outputs.saved_run import load
from carryover.place import command as place_command
from carryover.restore import restore
from carryover.run_command import run

_RUN_HELP = """\
Runs the tests of the program on a target, as ci/bench does in the end. All arguments that are not
named here are pytest's (-k, -m, -x, ...) or the runner's (--carryover-out, ...).

exit status:
"""
_FLEET_HELP = """\
Runs the same tests on all places that have all tags, each in a process of its own (`carryover run
--place`), and gathers what they said. All arguments that are not named here are pytest's (-k, -m,
...) or the runner's. A place that cannot be had is trouble of that place; the others go on.

exit status: that of the worst place, as of `carryover run`; 3 for a place that could not be had.
"""
_WIDE = 10_000  # columns
_COMPARE_EPILOG = """\
exit status:
  0  B is not worse
  1  B is worse: a verdict is, a test that passed has no result, a kernel complains of something
     new, or a driver does something new that its device's specification forbids
  2  bad input
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="carryover", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    _add_run(verbs)
    _add_fleet(verbs)
    _add_compare(verbs)
    _add_gap(verbs)
    _add_report(verbs)
    _add_close(verbs)
    _add_restore(verbs)
    _add_kcidb(verbs)
    _add_place(verbs)
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.takes_more:
        parser.error(f"{options.verb}: unknown argument {rest[0]}")
    options.rest = rest
    try:
        code: int = options.function(options)
    except (BadInput, Infrastructure) as error:
        Console(stderr=True).print(f"carryover: {error}", style="red", soft_wrap=True, markup=False)
        return ExitCode.BAD_INPUT if isinstance(error, BadInput) else ExitCode.INFRA
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return code


def _verb(verbs: Any, name: str, function: Any, **settings: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        description=settings.pop("description", None) or settings["help"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **settings,
    )
    parser.set_defaults(function=function, takes_more=False)
    return parser


def _add_run(verbs: Any) -> None:
    codes = "".join(f"  {code.value:<3}  {code.meaning}\n" for code in ExitCode)
    parser = _verb(
        verbs, "run", run, help="run the tests on a target", description=_RUN_HELP + codes
    )
    _add_target(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--place", default="", metavar="NAME", help="on this place of labgrid's coordinator"
    )
    _add_tag(which, "on a place that has this tag")
    _add_coordinator(parser)
    _add_wait(parser, 0.0)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --carryover-out that was cut short: tests that have results "
        "keep them; all other arguments as that run had them",
    )
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="print every action of the run in its order, and do none",
    )
    parser.add_argument(
        "--ends-with-stdin",
        action="store_true",
        help="when standard input ends, end in good order, as by Ctrl-C",
    )
    parser.set_defaults(takes_more=True)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target", type=Path, required=True, metavar="ENVIRONMENT", help="a labgrid environment"
    )
    parser.add_argument(
        "--program",
        type=Path,
        metavar="FILE",
        help="carryover-selftests, to be asked for its tests here (default: $CARRYOVER_PROGRAM)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object in the end, and all else on standard error",
    )


def _add_fleet(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "fleet",
        fleet,
        help="run the same tests on all places that have a tag",
        description=_FLEET_HELP,
    )
    _add_target(parser)
    _add_tag(parser, "on all places that have this tag", required=True)
    _add_coordinator(parser)
    _add_wait(parser, 0.0)
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=0,
        metavar="N",
        help="on N places at once (default: on all)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/fleet"),
        metavar="DIR",
        help="where results go, those of a place into DIR/PLACE (default: out/fleet)",
    )
    parser.set_defaults(takes_more=True)


def _jobs(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number


def _add_tag(parser: Any, help_: str, *, required: bool = False) -> None:
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        required=required,
        metavar="KEY=VALUE",
        help=f"{help_}; may be repeated",
    )


def _add_coordinator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--coordinator",
        default="",
        metavar="HOST[:PORT]",
        help="of labgrid (default: $LG_COORDINATOR, or port 20408 of this machine)",
    )


def _add_wait(parser: argparse.ArgumentParser, usual: float) -> None:
    parser.add_argument(
        "--wait",
        type=_threshold,
        default=usual,
        metavar="SECONDS",
        help=f"for a place that somebody else has (default: {usual:g})",
    )


def _add_compare(verbs: Any) -> None:
    parser = _verb(
        verbs, "compare", _compare, help="what changed between two runs", epilog=_COMPARE_EPILOG
    )
    usual = Thresholds()
    for name in ("a", "b"):
        parser.add_argument(
            name,
            type=Path,
            metavar=name.upper(),
            help="a run: its --carryover-out, or its results.jsonl",
        )
    parser.add_argument(
        "--relative",
        type=_threshold,
        default=usual.relative,
        metavar="SHARE",
        help="times and figures changed if they differ by more than this share of the smaller one "
        f"(default: {usual.relative:g})",
    )
    parser.add_argument(
        "--seconds",
        type=_threshold,
        default=usual.absolute,
        metavar="N",
        help=f"and times by more than N seconds, too (default: {usual.absolute:g})",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, for scripts")


def _threshold(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be 0 or more")
    return number


def _compare(options: argparse.Namespace) -> int:
    a, b = load(options.a), load(options.b)
    comparison = compare(a, b, Thresholds(options.relative, options.seconds))
    if options.json:
        runs = {"a": a.name, "b": b.name}
        sys.stdout.write(json.dumps({**runs, **comparison.as_dict()}, indent=1) + "\n")
    else:
        # A line for each change, whatever its length, unless somebody looks on.
        width = None if sys.stdout.isatty() else _WIDE
        console = Console(highlight=False, width=width)
        console.print(comparison_text(a, b, comparison), soft_wrap=True)
    return 1 if comparison.is_worse else 0


def _add_gap(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "gap",
        _gap,
        help="what the gap of a kexec consists of, and what devices did in it",
        epilog="exit status:\n  0  there are kexecs, and this is how long they took\n"
        "  2  bad input\n",
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="*",
        default=[Path("out/bench")],
        metavar="RESULTS",
        help="runs: their --carryover-out, or their results.jsonl (default: out/bench)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    how.add_argument(
        "--svg",
        action="store_true",
        help="a picture: the time line of the kexec that was longest without user space, and of "
        "several the median, the worst and a histogram of each part and device",
    )


def _gap(options: argparse.Namespace) -> int:
    runs = [load(path) for path in options.runs]
    found = gaps(runs)
    if options.json:
        sys.stdout.write(json.dumps(found.as_dict(), indent=1) + "\n")
        return 0
    if options.svg:
        sys.stdout.write(picture(found))
        return 0
    width = None if sys.stdout.isatty() else _WIDE
    console = Console(highlight=False, width=width)
    console.print(gap_text(found), soft_wrap=True)
    for saved in runs:
        if saved.remark:
            text = f"remark  {saved.name}: {saved.remark}"
            console.print(text, style="yellow", markup=False, soft_wrap=True)
    return 0


def _add_report(verbs: Any) -> None:
    parser = _verb(
        verbs, "report", _report, help="build report.html of a run, also of one that was killed"
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="its --carryover-out, or its results.jsonl"
    )


def _report(options: argparse.Namespace) -> int:
    Console().print(str(report.write(options.run)), soft_wrap=True, markup=False)
    return 0


def _add_close(verbs: Any) -> None:
    parser = _verb(
        verbs, "close", _close, help="end the machine of a dead run, and close its journal"
    )
    parser.add_argument("journal", type=Path, help="out/.../journal.jsonl")


def _close(options: argparse.Namespace) -> int:
    done = close_left_over(options.journal)
    Console().print(f"{options.journal}: {done}", soft_wrap=True, markup=False)
    return 0


def _add_restore(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "restore",
        _restore,
        help="put devices back as they were, from the journal of a run that was killed",
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="its --carryover-out, or its journal.jsonl"
    )
    parser.add_argument(
        "--target",
        type=Path,
        metavar="ENVIRONMENT",
        help="how the target is reached (default: as the journal says)",
    )
    parser.add_argument(
        "--take-over", action="store_true", help="even if another run holds the machine"
    )


def _restore(options: argparse.Namespace) -> int:
    console = Console()

    def tell(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    restore(options.run, options.target, tell, take_over=options.take_over)
    return 0


def _add_kcidb(verbs: Any) -> None:
    parser = _verb(
        verbs, "kcidb", _kcidb, help="print a run as a report for KCIDB, in JSON of schema 5.3"
    )
    parser.add_argument(
        "directory", type=Path, help="the run: its --carryover-out, or its results.jsonl"
    )
    parser.add_argument("--origin", required=True, metavar="NAME", help="of this test system")
    parser.add_argument(
        "--build-id", default="", metavar="ID", help="of a build that was reported before"
    )
    parser.add_argument(
        "--commit", default="", help="else, of the kernel: its checkout and build are in the report"
    )
    parser.add_argument(
        "--repository", default="", metavar="URL", help="where the commit is from (https)"
    )


def _add_place(verbs: Any) -> None:
    parser = _verb(
        verbs, "place", None, help="places of labgrid's coordinator: which are sick, which are well"
    )
    what = parser.add_subparsers(dest="what", required=True)
    listing = _verb(what, "list", place_command.list_places, help="print all places")
    _add_tag(listing, "only those that have this tag")
    _add_coordinator(listing)
    well = _verb(what, "well", place_command.well, help="the place may be used (again)")
    sick = _verb(what, "sick", place_command.sick, help="nobody is to get the place")
    for parser in (well, sick):
        parser.add_argument("place", metavar="NAME")
        _add_coordinator(parser)
    sick.add_argument("reason", nargs="+", metavar="REASON", help="for the place's comment")


def _kcidb(options: argparse.Namespace) -> int:
    """Prints what there is; 1 if the run was cut short, as it says then."""
    source = kcidb.Source(options.origin, options.build_id, options.commit, options.repository)
    saved = load(options.directory)
    sys.stdout.write(json.dumps(kcidb.report(saved, source), indent=1) + "\n")
    if saved.remark:
        Console(stderr=True).print(
            f"carryover: {options.directory}: {saved.remark}", soft_wrap=True, markup=False
        )
    return 1 if saved.remark else 0


if __name__ == "__main__":
    sys.exit(main())
