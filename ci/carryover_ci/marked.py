# SPDX-License-Identifier: GPL-2.0-only
"""Pages of which a program writes a part, between two marks."""

from pathlib import Path

from carryover_ci.run import Failure

# Of pages that ci/docs writes a part of.
BEGIN = "<!-- From here to the end mark: written by ci/docs. -->\n"
END = "<!-- End of what ci/docs writes. -->\n"


def with_marked(file: Path, begin: str, end: str, text: str) -> str:
    """The page in `file`, with `text` between the lines `begin` and `end`.

    Raises:
        Failure: The page lacks a mark.
    """
    before, begins, rest = file.read_text().partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise Failure(f"{file}: the marks are missing between which this is written")
    return f"{before}{begins}\n{text}\n{ends}{after}"
