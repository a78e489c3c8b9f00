# SPDX-License-Identifier: GPL-2.0-only
"""The command line of ci/bisect."""

import argparse
import sys
from pathlib import Path

from carryover_ci.bisect_decision import BAD_VERDICTS, WANTED
from carryover_ci.kernel import REFERENCE_HELP, add_kernel_options
from carryover_ci.program import ROOT

_OUT = ROOT / "out" / "bisect"
# The exit status if what was asked for cannot be done.
FAILED = 129


def parsed(words: list[str], description: str | None) -> tuple[argparse.Namespace, list[str]]:
    """The options, and what is pytest's. Ends with FAILED, and a message, if they are wrong."""
    at = words.index("--") if "--" in words else len(words)
    own, for_pytest = words[:at], words[at + 1 :]
    parser = _parser(description)
    try:
        arguments = parser.parse_args(own)
        if not (arguments.test or arguments.keyword or arguments.marker):
            parser.error("say which tests: --test SUITE.TEST, -k EXPRESSION or -m MARKERS")
        if arguments.test and (arguments.keyword or arguments.marker):
            parser.error("--test is not for -k or -m: it names the tests already")
        if not 1 <= arguments.bad_runs <= arguments.runs or arguments.retries < 0:
            parser.error("--runs takes 1 or more, --bad-runs 1 to that, --retries 0 or more")
    except SystemExit as error:
        sys.exit(FAILED if error.code else 0)
    if arguments.keyword:
        for_pytest = ["-k", arguments.keyword, *for_pytest]
    if arguments.marker:
        for_pytest = ["-m", arguments.marker, *for_pytest]
    return arguments, for_pytest


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ci/bisect",
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="ci/bisect (--test NAME | -k EXPRESSION | -m MARKERS) [options] [-- pytest options]",
    )
    parser.add_argument(
        "--tree", type=Path, default=Path(), metavar="DIR", help="the checkout (default: here)"
    )
    what = parser.add_argument_group("what is run")
    what.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="SUITE.TEST",
        help="a test by its name; may be repeated",
    )
    what.add_argument("-k", dest="keyword", metavar="EXPRESSION", help="tests, as pytest's -k")
    what.add_argument("-m", dest="marker", metavar="MARKERS", help="tests, as pytest's -m")
    rule = parser.add_argument_group("how it is decided")
    rule.add_argument("--runs", type=int, default=1, metavar="N", help="runs (default: 1)")
    rule.add_argument(
        "--bad-runs",
        type=int,
        default=1,
        metavar="N",
        help="so many bad ones make the commit bad (default: 1)",
    )
    rule.add_argument(
        "--retries",
        type=int,
        default=2,
        metavar="N",
        help="runs that the infrastructure spoilt are done again, so many of them (default: 2)",
    )
    rule.add_argument(
        "--verdict",
        action="append",
        choices=WANTED,
        help="a verdict that makes a run bad; FAULT is what the kernel complained of and survived; "
        f"may be repeated (default: {' '.join(BAD_VERDICTS)})",
    )
    kernels = parser.add_argument_group("kernels")
    stays = kernels.add_mutually_exclusive_group()
    stays.add_argument(
        "--old-kernel",
        metavar="KERNEL",
        help="boot this one always, and kexec into the commit's: a folder that ci/kernel/build "
        "printed, a commit, or `bench`",
    )
    stays.add_argument(
        "--new-kernel", metavar="KERNEL", help="boot the commit's, and kexec into this one always"
    )
    add_kernel_options(parser, "kernel-", source=False)
    kernels.add_argument("--reference", action="store_true", help=REFERENCE_HELP)
    target = parser.add_argument_group("where")
    target.add_argument(
        "--target",
        type=Path,
        default=ROOT / "ci" / "bench.yaml",
        metavar="ENVIRONMENT",
        help="a labgrid environment (default: the bench)",
    )
    target.add_argument(
        "--deploy",
        default="",
        metavar="COMMAND",
        help="a shell command that brings $CARRYOVER_BOOT to the target, before each run",
    )
    target.add_argument("--qemu", metavar="BINARY", help="a QEMU of your own, for the bench")
    target.add_argument("--memory", default="2G", metavar="SIZE", help="of the bench (default: 2G)")
    parser.add_argument(
        "--out",
        type=Path,
        default=_OUT,
        metavar="DIR",
        help="where logs and steps.jsonl go (default: out/bisect)",
    )
    parser.add_argument("--fresh", action="store_true", help="forget what is known of this commit")
    return parser
