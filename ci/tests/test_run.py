# SPDX-License-Identifier: GPL-2.0-only
"""Running other programs, and ending with one clear message."""

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from carryover_ci.run import Failure, exit_with, run_logged


def test_all_output_is_logged_and_seen(tmp_path: Path) -> None:
    seen: list[str] = []
    log = tmp_path / "log"
    command = ["sh", "-c", "echo one; echo two >&2; pwd; echo $WHO; exit 3"]
    environment = {"WHO": "me", "PATH": "/bin"}
    status = run_logged(command, log, seen.append, folder=tmp_path, environment=environment)
    assert status == 3
    assert seen == ["one\n", "two\n", f"{tmp_path}\n", "me\n"]
    assert log.read_text() == "".join(seen)


def test_an_exception_ends_the_command(tmp_path: Path) -> None:
    def stop(_: str) -> NoReturn:
        raise Failure("enough")

    with pytest.raises(Failure):
        run_logged(["sh", "-c", "echo; exec sleep 60"], tmp_path / "log", stop)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Failure("no such kernel"), "ci/x: error: no such kernel\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "cache/kernel"),
            "ci/x: error: cache/kernel: No space left on device. Free some space; XDG_CACHE_HOME "
            "puts the caches elsewhere\n",
        ),
        (OSError(errno.EACCES, "Permission denied", "a"), "ci/x: error: a: Permission denied\n"),
    ],
)
def test_one_clear_message(error: Exception, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> NoReturn:
        raise error

    with pytest.raises(SystemExit) as ended:
        exit_with(main, "ci/x")
    assert ended.value.code == 1
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("error", "status"), [(Failure("no"), 2), (OSError(28, "full"), 3)])
def test_a_command_may_have_a_status_for_each(error: Exception, status: int) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        exit_with(main, "ci/x", failure=2, broken=3)
    assert ended.value.code == status
