# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin: ``pytest -p carryover.plugin --lg-env ci/bench.yaml PROGRAM``."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from carryover import environment
from carryover.campaign.strategy import CLAIMS
from carryover.collect import ProgramFile, ProgramItem
from carryover.errors import BadInput
from carryover.program import IOMMU_MODES
from carryover.reports import verdict_of
from carryover.session import CarryoverSession, default_junit, how_it_ended

_SESSION = pytest.StashKey[CarryoverSession]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("carryover")
    group.addoption(
        "--carryover-out",
        type=Path,
        default=Path("out/bench"),
        metavar="DIR",
        help="where results go (default: out/bench)",
    )
    group.addoption(
        "--carryover-resume",
        action="store_true",
        help="go on with the run in --carryover-out that was cut short: tests that have results "
        "keep them",
    )
    group.addoption(
        "--carryover-dry-run",
        action="store_true",
        help="print every action of the run in its order, and do none",
    )
    group.addoption(
        "--carryover-hidden",
        action="store_true",
        help="also collect tests that exist to prove the runner",
    )
    group.addoption(
        "--carryover-soak",
        type=int,
        default=1,
        metavar="N",
        help="tests that repeat what fails seldom do so N times as often, and have N times the "
        "time (default: 1)",
    )
    group.addoption(
        "--carryover-chain",
        type=int,
        default=1,
        metavar="N",
        help="tests that go on after their first kexec do so for at least N in a row (default: as "
        "each test has it)",
    )
    group.addoption(
        "--carryover-reruns",
        type=int,
        default=8,
        metavar="N",
        help="power cycles to spend on finding the test that killed the machine (default: 8)",
    )
    group.addoption(
        "--carryover-iommu-mode",
        choices=tuple(IOMMU_MODES),
        help="how memory is mapped for devices (default: as the environment says)",
    )
    group.addoption(
        "--carryover-claim",
        action="append",
        choices=CLAIMS,
        help="a claim that the target's kernel makes; may be repeated (default: those of the "
        "environment)",
    )
    group.addoption(
        "--carryover-time-scale",
        type=float,
        metavar="N",
        help="multiplies every deadline, for slow kernels (default: as the environment says)",
    )
    group.addoption(
        "--carryover-kernel",
        metavar="PATH",
        help="path on the target of the kernel to kexec into (default: as the environment says)",
    )
    group.addoption(
        "--carryover-initrd",
        metavar="PATH",
        help="path on the target of its initial RAM file system; empty for none",
    )
    group.addoption(
        "--carryover-append",
        action="append",
        default=[],
        metavar="WORDS",
        help="more words for the incoming kernel's command line; may be repeated",
    )
    group.addoption(
        "--carryover-boot-append",
        action="append",
        default=[],
        metavar="WORDS",
        help="more words for every kernel's command line, that of the cold boot too; may be "
        "repeated",
    )
    group.addoption(
        "--carryover-vmlinux",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="puts source lines into the reports of the kernel that was built with this vmlinux; "
        "may be repeated",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    files = not config.option.help and not config.option.collectonly
    if path := config.getoption("lg_env") or os.environ.get("LG_ENV"):
        try:
            environment.check(Path(path), files=files)
        except BadInput as error:
            raise pytest.UsageError(str(error)) from error
    if files and not config.getoption("carryover_dry_run"):
        default_junit(config)
    config.stash[_SESSION] = CarryoverSession(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ProgramFile | None:
    """The program itself, if its path was given: no file is executed that nobody named."""
    named = parent.session.isinitpath(file_path)
    if named and not file_path.suffix and os.access(file_path, os.X_OK):
        return ProgramFile.from_parent(parent, path=file_path, nodeid=file_path.name)
    return None


@pytest.hookimpl(trylast=True)  # after -k and -m: what is named is not left out unsaid
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need no kexec come first, as they do on the target.

    Those of drivers that no device is listed for are left out, unless there are no others.
    """
    tests = [item for item in items if isinstance(item, ProgramItem)]
    if left_out := config.stash[_SESSION].without_devices(tests):
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: isinstance(item, ProgramItem) and item.info.is_continuity)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Instead of all: says what would be done."""
    if session.testsfailed or not session.config.getoption("carryover_dry_run"):
        return None
    items = [item for item in session.items if isinstance(item, ProgramItem)]
    if items and not session.config.option.collectonly:
        session.config.stash[_SESSION].show_actions(items)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """The first item starts the campaign for all; each gets its own reports."""
    if not isinstance(item, ProgramItem):
        return None
    item.config.stash[_SESSION].report(item)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    if not isinstance(report, pytest.TestReport) or (verdict := verdict_of(report)) is None:
        return None
    decisive = report.when == "call" or report.failed
    if not decisive:
        return "", "", ""
    if config.stash[_SESSION].is_reporting:
        return verdict.outcome, "", ""  # the display has shown it
    return verdict.outcome, verdict.letter, verdict.value


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Ends the machine before anything else; a full disk is a message, not a traceback."""
    ours = session.config.stash.get(_SESSION, None)
    if ours is not None:
        # A second Ctrl-C, while pytest deals with the first one, leaves the status of a good end.
        cut_short = session.exitstatus == pytest.ExitCode.OK and ours.is_unfinished
        status = pytest.ExitCode.INTERRUPTED if cut_short else session.exitstatus
        ours.finish(how_it_ended(int(status)))
        if session.exitstatus == pytest.ExitCode.OK and ours.complaints:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if session.exitstatus == pytest.ExitCode.OK and not ours.is_whole:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    try:
        yield
        if ours is not None:
            ours.rename_junit(is_result=session.exitstatus != pytest.ExitCode.USAGE_ERROR)
    except OSError as error:
        if ours is None or not ours.lost_junit(error):
            raise
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(config: pytest.Config) -> None:
    config.stash[_SESSION].summarise()
