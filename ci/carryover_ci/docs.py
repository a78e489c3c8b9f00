# SPDX-License-Identifier: GPL-2.0-only
"""ci/docs: the parts of pages that are written from what they describe.

docs/continuity.md lists the rules and their tests, by what carryover-selftests says of its tests: a
test's summary if it has one, else its name, which is a sentence. docs/results.md lists the fields
of results.jsonl, by their schema, and docs/kernel-messages.md the messages that the runner knows.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from carryover_ci import results_docs
from carryover_ci.cache import write_whole
from carryover_ci.kernel import KernelChoice
from carryover_ci.marked import BEGIN, END, with_marked
from carryover_ci.program import ROOT, build_program, tests_of
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, exit_with, output_of

_PAGE = ROOT / "docs" / "continuity.md"
_MESSAGES = ROOT / "docs" / "kernel-messages.md"
_CLAIMS = (None, "memory", "file", "mapping", "stream", "interrupt")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+|\d+")
_CAPITALS = "BAR BARs DMA ID IOMMU IOVA IOVAs LUO MSI PCI PF SRIOV VF VFIO"
_SPELLED = {word.lower(): word for word in _CAPITALS.split(" ")}


@dataclass(frozen=True)
class Rule:
    """What one test asserts, with all its parameters and on the devices of all its drivers."""

    suite: str  # of the tests of all drivers: "*Device"
    name: str
    says: str
    claim: str | None
    drivers: tuple[str, ...]
    kexecs: int
    file: str  # its name, below selftests/


def sentence(name: str) -> str:
    """A test's name as a sentence: "TokenInUseIsRefused" is "Token in use is refused"."""
    words = [_SPELLED.get(word.lower(), word.lower()) for word in _WORDS.findall(name)]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def rules(listed: Iterable[dict[str, Any]]) -> list[Rule]:
    """The rules by the `test` events of `list` (docs/protocol.md), in the order of the tests.

    One test with several parameters ("Suite.Test/Parameter") is one rule, which names them; so is
    one that is written for all drivers (selftests/driver_*_test.cc).
    """
    found: dict[tuple[str, str], Rule] = {}
    for whole, group in groupby(listed, lambda test: str(test["name"]).partition("/")[0]):
        tests = list(group)
        suite, _, name = whole.partition(".")
        first = tests[0]
        says = str(first["summary"] or sentence(name))
        if parameters := [
            str(test["name"]).partition("/")[2] for test in tests if "/" in test["name"]
        ]:
            says += ": " + ", ".join(parameters)
        driver, file = first["driver"], Path(first["file"]).name
        if driver and file.startswith("driver_"):
            suite = "*" + suite.removeprefix(driver.capitalize())
        drivers = (driver,) if driver else ()
        if known := found.get((suite, name)):
            drivers = known.drivers + drivers
        found[suite, name] = Rule(
            suite, name, says, first["claim"], drivers, first["generations"], file
        )
    return list(found.values())


def as_text(found: Iterable[Rule]) -> str:
    """The rules as Markdown, by claim and suite."""
    parts: list[str] = []
    for claim in _CLAIMS:
        of_claim = [rule for rule in found if rule.claim == claim]
        if not of_claim:
            continue
        head = f"Claim `{claim}`" if claim else "No claim: what holds on every kernel"
        parts.append(f"### {head}\n")
        suites = dict.fromkeys(rule.suite for rule in of_claim)
        parts += [_suite([rule for rule in of_claim if rule.suite == suite]) for suite in suites]
    return "\n".join(parts)


def _suite(of_suite: list[Rule]) -> str:
    files = dict.fromkeys(rule.file for rule in of_suite)
    links = ", ".join(f"[{file}](../selftests/{file})" for file in files)
    heading = of_suite[0].suite.replace("*", "\\*")
    rows = [f"#### {heading}\n", f"{links}\n", "| rule | test | kexecs | device |"]
    rows.append("|---|---|---|---|")
    rows += [
        f"| {rule.says.replace('|', '&#124;')} | `{rule.name}` | {rule.kexecs or 'none'} "
        f"| {', '.join(rule.drivers)} |"
        for rule in of_suite
    ]
    return "\n".join(rows) + "\n"


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is old")
    parser.add_argument(
        "--program",
        type=Path,
        metavar="FILE",
        help="a built carryover-selftests (default: build)",
    )
    arguments = parser.parse_args()
    progress = Progress()
    program = arguments.program or build_program(
        KernelChoice().headers(progress), "release", progress
    )
    messages = [sys.executable, "-m", "carryover.kernel.message_table"]
    pages = {
        _PAGE: with_marked(_PAGE, BEGIN, END, as_text(rules(tests_of(program)))),
        results_docs.PAGE: results_docs.page(),
        _MESSAGES: with_marked(_MESSAGES, BEGIN, END, output_of(messages)),
    }
    for page, new in pages.items():
        name = page.relative_to(ROOT)
        if arguments.check and new != page.read_text():
            raise Failure(f"{name} is not what the code says: run ci/docs")
        write_whole(page, new)
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    exit_with(_main, "ci/docs")
