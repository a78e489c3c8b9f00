# SPDX-License-Identifier: GPL-2.0-only
"""Results as KTAP (Documentation/dev-tools/ktap.rst), for the kernel's own tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from carryover.verdict import TestResult, Verdict

# KTAP's own words for why a test is not ok.
_DIRECTIVES = {
    Verdict.SKIP: "SKIP ",
    Verdict.HANG: "TIMEOUT HANG ",
    Verdict.INFRA: "ERROR INFRA ",
}


def ktap(results: Sequence[TestResult]) -> str:
    """All of them in one document; each that is not ok has its reason in diagnostic lines."""
    lines = ["KTAP version 1", f"1..{len(results)}"]
    for number, result in enumerate(results, 1):
        is_ok = result.verdict in (Verdict.PASS, Verdict.SKIP)
        if not is_ok:
            lines += _diagnostics(result)
        line = f"{'ok' if is_ok else 'not ok'} {number} {_plain(result.name)}"
        if result.verdict is not Verdict.PASS:
            directive = _DIRECTIVES.get(result.verdict, f"{result.verdict.value} ")
            line += f" # {directive}{_plain(result.reason.partition(chr(10))[0])}".rstrip()
        lines.append(line)
    return "\n".join(lines) + "\n"


def _diagnostics(result: TestResult) -> Iterator[str]:
    """They precede the line of the test that they belong to."""
    for line in f"{result.verdict.value}: {result.reason}".splitlines():
        yield f"# {line}".rstrip()
    for failure in result.failures:
        if failure != result.reason:
            yield from (f"# {line}".rstrip() for line in failure.splitlines())


def _plain(text: str) -> str:
    """Without what would begin a directive."""
    return text.replace("#", "")
