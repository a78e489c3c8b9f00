# SPDX-License-Identifier: GPL-2.0-only
"""Commands whose output is events."""

from __future__ import annotations

import json
import time

from carryover.observation import ProgramEvent, ProgramGone, Watch
from carryover.remote import RemoteCommand


def test_a_shell_is_given_a_command_of_any_length() -> None:
    words = "x" * 100_000
    line = json.dumps({"event": "note", "t": 1, "value": words})
    watch = Watch()
    raw: list[str] = []
    command = RemoteCommand(["sh"], watch, raw.append, f"exec echo '{line}'\n")
    first = watch.next(time.monotonic() + 5)
    assert isinstance(first, ProgramEvent)
    assert first.event.fields["value"] == words
    second = watch.next(time.monotonic() + 5)
    assert isinstance(second, ProgramGone)
    assert second.status == 0
    command.stop()
    assert raw == [line]


def test_one_that_does_not_read_is_no_trouble() -> None:
    watch = Watch()
    command = RemoteCommand(["false"], watch, lambda line: None, "x" * 100_000)
    gone = watch.next(time.monotonic() + 5)
    assert isinstance(gone, ProgramGone)
    assert gone.status == 1
    command.stop()
