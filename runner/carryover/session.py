# SPDX-License-Identifier: GPL-2.0-only
"""One pytest session: its campaign, its outputs, its display."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY
from rich.console import Console

from carryover import report
from carryover.campaign import dry_run
from carryover.campaign.blame import Results
from carryover.campaign.campaign import Campaign
from carryover.campaign.plan import Plan
from carryover.campaign.strategy import KexecStrategy, Sinks
from carryover.display import Display
from carryover.errors import BadInput, Infrastructure, OutputFailed
from carryover.kernel.vmlinux import Vmlinux
from carryover.machine.owner import owner_of_run
from carryover.outputs import journal
from carryover.outputs.basis import basis
from carryover.outputs.results import RunDescription, RunOutput, log_path
from carryover.place.lease import Lease
from carryover.program_options import ProgramOptions
from carryover.reports import reports
from carryover.timing.timeline import Timeline
from carryover.verdict import TestResult, Verdict

if TYPE_CHECKING:
    from carryover.collect import ProgramItem

LEASE = pytest.StashKey[Lease]()  # there, if the machine is one of a place
# time.time() of the key press, if a command before pytest did part of the work.
STARTED = "CARRYOVER_STARTED"
_SHOWN_BOOTS = 4


@dataclass
class _Junit:
    plugin: Any
    partial: Path
    final: Path


class CarryoverSession:
    """Starts the campaign when its first result is asked for, and ends it whatever happens."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._directory = Path(config.getoption("carryover_out")).absolute()
        self._console = Console(file=sys.stdout, highlight=False)
        self._display = Display(self._console, zero=_zero(), quiet=config.get_verbosity() < 0)
        self._items: dict[str, ProgramItem] = {}
        self._known: dict[str, TestResult] = {}
        self._output: RunOutput | None = None
        self._campaign: Campaign | None = None
        self._results: Results | None = None
        self._junit: _Junit | None = None
        self._left_out: dict[str, int] = {}
        self.is_reporting = False
        self.is_whole = True  # the report is there, and the machine is well and as it was

    def without_devices(self, tests: Sequence[ProgramItem]) -> list[ProgramItem]:
        """Those whose driver has no device in the environment; none if all are such."""
        env = self._config.stash.get(LABGRID_ENV_KEY, None)
        if env is None or not tests:
            return []
        try:
            strategy = env.get_target().get_driver("KexecStrategy", activate=False)
            listed = strategy.on_target().drivers()
        except Exception:  # what is wrong with the environment is said when it is used
            return []
        lacking = [t for t in tests if t.info.driver and t.info.driver not in listed]
        if len(lacking) == len(tests):
            return []
        self._left_out = Counter(t.info.driver for t in lacking if t.info.driver)
        return lacking

    def show_actions(self, items: list[ProgramItem]) -> None:
        """Prints what a run of these tests would do; does nothing of it.

        Raises:
            pytest.UsageError: The environment cannot be used, or selected tests lack a device.
        """
        strategy = self._strategy(items)
        try:
            self._configure(strategy)
        except BadInput as error:
            raise pytest.UsageError(str(error)) from error
        tests = [item.info for item in items]
        plan = Plan.of(tests, strategy.claims, strategy.iommu_mode, self._left_out)
        self._display.plan(plan.lines())
        options = ProgramOptions.of(self._config)
        seen = dry_run.look(strategy, strategy.on_target(options))
        if seen.held:
            self._display.note(f"the machine is held by {seen.held}: a run would be refused")
        for action in dry_run.actions(strategy, tests, options, self._directory, seen):
            self._display.action(action.where, action.what)
        self._display.note("dry run: nothing of this was done")

    def _strategy(self, items: list[ProgramItem]) -> KexecStrategy:
        self._items = {item.info.name: item for item in items}
        env = self._config.stash[LABGRID_ENV_KEY]
        if env is None:
            raise pytest.UsageError("no environment: give --lg-env ci/bench.yaml")
        try:
            target = env.get_target()
            strategy: KexecStrategy = target.get_driver("KexecStrategy", activate=False)
        except Exception as error:
            raise pytest.UsageError(f"{env.config_file}: {error}") from error
        return strategy

    def _select(self, items: list[ProgramItem]) -> None:
        strategy = self._strategy(items)
        try:
            self._prepare(strategy)
        except (BadInput, OutputFailed) as error:
            raise pytest.UsageError(str(error)) from error

    def _configure(self, strategy: KexecStrategy) -> None:
        """What the command line says of the target."""
        strategy.owner = owner_of_run(self._directory)
        strategy.extra_append = " ".join(self._config.getoption("carryover_append"))
        strategy.boot_append = " ".join(self._config.getoption("carryover_boot_append"))
        if mode := self._config.getoption("carryover_iommu_mode"):
            strategy.iommu_mode = mode
        if claims := self._config.getoption("carryover_claim"):
            strategy.claims = claims
        if (scale := self._config.getoption("carryover_time_scale")) is not None:
            if not scale > 0:
                raise BadInput(f"--carryover-time-scale {scale:g}: must be above 0")
            strategy.time_scale = scale
        if kernel := self._config.getoption("carryover_kernel"):
            strategy.kernel = kernel
        if (initrd := self._config.getoption("carryover_initrd")) is not None:
            strategy.initrd = initrd
        needed = {i.info.driver for i in self._items.values() if i.info.driver}
        program = strategy.on_target()
        listed = program.drivers()
        if missing := sorted(needed - listed):
            raise BadInput(
                f"{_env_file(self._config)}: targets.main.resources: selected tests need a device "
                f"of driver {', '.join(missing)}, and no PciTestDevice with it is listed "
                f"(listed: {', '.join(sorted(listed)) or 'none'}); "
                f"list one, or leave these tests out (-m 'not {missing[0]}')"
            )
        strategy.check()

    def _prepare(self, strategy: KexecStrategy) -> None:
        self._configure(strategy)
        symbols = [Vmlinux.open(file) for file in self._config.getoption("carryover_vmlinux")]
        options = ProgramOptions.of(self._config)
        self._output = output = RunOutput(
            self._directory,
            self._describe(strategy),
            self._basis(strategy, options),
            resume=self._config.getoption("carryover_resume"),
        )
        strategy.owner = output.kept.owner or strategy.owner
        if done := output.closed_left_over:
            aside = f"; its results are in {_short(output.aside)}" if output.aside else ""
            self._display.note(f"an earlier run was cut short; closed it: {done}{aside}")
        strategy.observe(
            Sinks(
                console=output.console,
                events=output.event,
                machine_log=self._directory / "qemu.log",
                journal=output.journal.write,
                timeline=Timeline(output.mark, output.kept.cycles, output.target_record),
                tell=self._display.note,
            )
        )
        if lease := self._config.stash.get(LEASE, None):
            output.journal.write("place", name=lease.place, owner=lease.owner)
            lease.on_lost(strategy.place_is_lost)
        self._campaign = Campaign(
            strategy,
            output,
            self._display,
            options=options,
            reruns=self._config.getoption("carryover_reruns"),
            kept=output.kept,
            symbols=symbols,
        )
        self._results = self._campaign.run([item.info for item in self._items.values()])
        self._display.begin(len(self._items))
        kept = {result.name for result in output.kept.results}
        tests = [item.info for item in self._items.values() if item.info.name not in kept]
        if self._config.getoption("carryover_resume"):
            self._display.resumed(output.kept.results, len(tests))
        plan = Plan.of(tests, strategy.claims, strategy.iommu_mode, self._left_out)
        self._display.plan(plan.lines())

    def _describe(self, strategy: KexecStrategy) -> RunDescription:
        return RunDescription(
            target=strategy.target.name,
            environment=_env_file(self._config),
            claims=strategy.claims,
            iommu_mode=strategy.iommu_mode,
            devices=[
                {"address": device.address, "id": device.id, "driver": device.driver}
                for device in strategy.devices()
            ],
            arguments=[str(word) for word in self._config.invocation_params.args],
        )

    def _basis(self, strategy: KexecStrategy, options: ProgramOptions) -> dict[str, Any]:
        """Deadlines are none of it: they decide how long to wait, not what is tested."""
        return basis(
            {item.path for item in self._items.values()},
            Path(_env_file(self._config)),
            list(self._items),
            {
                "target": strategy.target.name,
                "--carryover-claim": sorted(strategy.claims),
                "--carryover-iommu-mode": strategy.iommu_mode,
                "--carryover-kernel": strategy.kernel,
                "--carryover-initrd": strategy.initrd,
                "--carryover-append": self._config.getoption("carryover_append"),
                "--carryover-boot-append": self._config.getoption("carryover_boot_append"),
                "--carryover-soak": options.soak,
                "--carryover-chain": options.chain,
            },
        )

    def report(self, item: ProgramItem) -> None:
        """Runs the campaign until this item's result is known, and reports it.

        Raises:
            pytest.UsageError: The environment, the target or the output directory cannot be used.
        """
        if self._campaign is None:
            self._select([i for i in item.session.items if isinstance(i, type(item))])
        result = self._result(item.info.name)
        log = log_path(self._directory, result.name)
        self.is_reporting = True
        try:
            for report in reports(item, result, log if log.exists() else None):
                item.ihook.pytest_runtest_logreport(report=report)
        finally:
            self.is_reporting = False

    def _result(self, name: str) -> TestResult:
        assert self._results is not None
        try:
            while name not in self._known:
                result = next(self._results)
                self._known[result.name] = result
            if len(self._known) == len(self._items):
                self._known.update((result.name, result) for result in self._results)
        except StopIteration:
            # Cannot happen while the campaign keeps its word; without a result nothing passes.
            return TestResult(name, Verdict.INFRA, "the campaign ended without a result for it")
        except BadInput as error:
            raise pytest.UsageError(str(error)) from error
        return self._known[name]

    @property
    def is_unfinished(self) -> bool:
        """Whether there are selected tests without a result."""
        return len(self._known) < len(self._items)

    def finish(self, how: str) -> None:
        """Ends the machine and closes every file. Idempotent."""
        if self._results is not None:
            self._results.close()
            self._results = None
        self._display.end()
        self._set_up_junit(how)
        output, self._output = self._output, None
        if output is None or self._campaign is None:
            return
        for trouble in filter(None, (self._campaign.sick, self._campaign.left)):
            self.is_whole = False
            self.complain(trouble)
        if self._campaign.sick:
            self._mark_sick(self._campaign.sick)
        results = self._campaign.results
        counts = {v.value: sum(r.verdict is v for r in results) for v in Verdict}
        try:
            try:
                output.ktap(results)
            finally:
                output.close(how, {name: count for name, count in counts.items() if count})
        except Infrastructure as error:
            self.complain(f"{error}; the files of this run are not whole")
        self._look_for_devices_left(output.journal.path)
        self._write_report()

    def _mark_sick(self, why: str) -> None:
        """So that nobody else gets the machine."""
        lease = self._config.stash.get(LEASE, None)
        if lease is not None and (trouble := lease.mark_sick(why)):
            self.complain(trouble)

    def _look_for_devices_left(self, path: Path) -> None:
        """A machine that is not as it was found is no good run's."""
        try:
            journal.require_put_back(path)
        except BadInput as error:
            self.is_whole = False
            self.complain(str(error))

    def _write_report(self) -> None:
        """The page comes last: nothing that is wrong with it may cost a result."""
        try:
            report.write(self._directory)
        except Exception as error:  # a fault of the page's own, too
            self.is_whole = False
            what = f"{type(error).__name__}: {error}"
            page = self._directory / report.NAME
            self.complain(f"{page}: cannot be built: {what}; no result is lost by that")

    def _set_up_junit(self, how: str) -> None:
        """Pytest's own junit.xml goes beside its name until it is whole."""
        for plugin in self._config.pluginmanager.get_plugins():
            if type(plugin).__name__ == "LogXML":
                final = Path(plugin.logfile)
                partial = final.with_name(final.name + ".partial")
                plugin.logfile = str(partial)
                plugin.add_global_property("run", how)
                self._junit = _Junit(plugin, partial, final)

    def rename_junit(self, *, is_result: bool) -> None:
        """Gives junit.xml its name, or removes it: one without tests would be taken for success."""
        junit = self._junit
        if junit is None or not junit.partial.exists():
            return
        if is_result:
            junit.partial.replace(junit.final)
            junit.plugin.logfile = str(junit.final)
        else:
            junit.partial.unlink()

    def lost_junit(self, error: OSError) -> bool:
        """Whether the error is that of writing junit.xml; nothing half-written is left then."""
        if error.filename is not None and not _is_in(self._directory, Path(error.filename)):
            return False
        if self._junit is not None and self._campaign is not None:
            with contextlib.suppress(OSError):
                self._junit.partial.unlink()
            self.complain(f"{self._junit.final}: {error.strerror}; this run has no junit.xml")
        return True  # without a campaign, the directory is what was complained of already

    @property
    def complaints(self) -> list[tuple[str, str]]:
        """What kernels and device models complained of: no test's verdict, but not a good run."""
        if self._campaign is None:
            return []
        faults = [("kernel fault", text) for text in self._campaign.kernel_faults]
        return faults + [("forbidden", text) for text in self._campaign.violations]

    def complain(self, text: str) -> None:
        """One clear message."""
        self._console.print(f"ERROR: {text}", style="bold red", markup=False, soft_wrap=True)

    def summarise(self) -> None:
        """The last words of a run."""
        if self._campaign is None:
            return
        facts: list[tuple[str, str]] = []
        boots = self._campaign.boots
        for boot in boots[:_SHOWN_BOOTS]:
            name = f"kexec {boot.kho_count}" if boot.kho_count else "cold boot"
            luo = "" if boot.luo_number is None else f", LUO number {boot.luo_number}"
            facts.append((name, f"Linux {boot.kernel}, boot {boot.boot_id}{luo}"))
        if len(boots) > _SHOWN_BOOTS:
            facts.append(("", f"and {len(boots) - _SHOWN_BOOTS} more boots, see results.jsonl"))
        if kernel := self._config.getoption("carryover_kernel"):
            facts.append(("kexec into", kernel))
        facts += [("unexplained", text) for text in self._campaign.unexplained]
        facts += self.complaints[:_SHOWN_BOOTS]
        self._display.summary(self._campaign.results, _short(self._directory), facts)


def how_it_ended(status: int) -> str:
    """The run's end in one word or two, from pytest's exit status."""
    known = {0: "complete", 1: "complete", 2: "cut short", 3: "failed", 4: "refused", 5: "empty"}
    return known.get(status, f"exit status {status}")


def default_junit(config: pytest.Config) -> None:
    """JUnit XML is always written, into the output directory unless the user says otherwise."""
    if not config.option.xmlpath:
        config.option.xmlpath = str(
            Path(config.getoption("carryover_out")).absolute() / "junit.xml"
        )


def _zero() -> float | None:
    try:
        started = float(os.environ[STARTED])
    except (KeyError, ValueError):
        return None
    return time.monotonic() - max(0.0, time.time() - started)


def _env_file(config: pytest.Config) -> str:
    return str(config.getoption("lg_env") or os.environ.get("LG_ENV"))


def _is_in(directory: Path, path: Path) -> bool:
    return path == directory or path.is_relative_to(directory)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
