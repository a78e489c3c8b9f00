# SPDX-License-Identifier: GPL-2.0-only
"""The gap of a real kexec."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_run import BenchRun, variables_missing

from carryover.gap import PARTS, Kexec
from carryover.gap_reader import gaps
from carryover.saved_run import load

pytestmark = pytest.mark.bench


def kexec_of(folder: Path, *, tell_shutdown: bool) -> Kexec:
    if missing := variables_missing():
        pytest.fail(f'not set: {", ".join(missing)}; eval "$(ci/bench --setup-only)" sets them')
    run = BenchRun(folder)
    if tell_shutdown:
        run.edit(
            "        boot_limit: 20\n", "        boot_limit: 20\n        tell_shutdown: true\n"
        )
    ended = run.run("MemoryContinuity::OnePage")
    assert ended.verdicts == {"MemoryContinuity.OnePage": "PASS"}
    (found,) = gaps([load(ended.out)]).kexecs
    return found


def test_the_parts_of_a_kexec_add_up(tmp_path: Path) -> None:
    found = kexec_of(tmp_path, tell_shutdown=True)
    # There is no device: the rest of the time line is not there.
    of_the_machine = [name for name, _, end in PARTS if end not in ("file", "attached", "driver")]
    lengths = [found.parts[name] for name in of_the_machine]
    assert None not in lengths, found.parts
    assert all(length is not None and length >= 0 for length in lengths), found.parts
    assert found.known_ms == pytest.approx(found.whole_ms, rel=0.01)
    assert found.clock.remark == ""
    assert found.clock.step_ms is not None
    low, high = found.clock.step_ms
    assert low <= 0 <= high
    assert found.no_user_space_ms is not None
    assert found.no_user_space_ms < found.whole_ms
    assert found.parts["kernel init"] == max(length for length in lengths if length is not None)


def test_where_the_freeze_ends_is_not_known_unless_the_kernel_says_it(tmp_path: Path) -> None:
    found = kexec_of(tmp_path, tell_shutdown=False)
    assert (found.parts["freeze"], found.parts["shutdown"]) == (None, None)
    assert found.parts["jump"] is not None
