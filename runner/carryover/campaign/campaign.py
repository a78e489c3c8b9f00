# SPDX-License-Identifier: GPL-2.0-only
"""The campaign: boot, run, arm all at once, kexec, verify; each test gets its own result."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from itertools import chain

from carryover import program as verbs
from carryover.campaign.batch import Batch
from carryover.campaign.blame import Blame, Results
from carryover.campaign.command import Ended, ProgramDied, TargetCommands, finished
from carryover.campaign.identity import BootIdentity
from carryover.campaign.plan import power_cycles
from carryover.campaign.strategy import KexecStrategy
from carryover.display import Display
from carryover.errors import BadInput, Infrastructure, OutputFailed
from carryover.events import TestInfo
from carryover.kernel.messages import Severity
from carryover.kernel.oracle import KernelFault
from carryover.kernel.vmlinux import Vmlinux
from carryover.machine.held import who_holds
from carryover.machine.power_ladder import MachineSick
from carryover.observation import Crashed
from carryover.outputs import journal
from carryover.outputs.results import RunOutput
from carryover.outputs.resume import NOTHING_KEPT, Kept
from carryover.program import ProgramOnTarget, restore_words
from carryover.program_options import NO_OPTIONS, ProgramOptions
from carryover.timing.stream_phase import lost_in
from carryover.verdict import TestResult, Verdict

# Errors of `verify` by which the kernel has lost all that was armed.
_LOST = ("ledger-missing", "handover-refused")


class Campaign:
    """Gets a result for every selected test, in as few power cycles as it can.

    Attributes:
        results: All results so far, in the order in which they became known.
        kernel_faults: What the kernel complained of itself, notices excepted (kernel_oracle.py).
        violations: What drivers did that a device's specification forbids, as its model says.
        sick: Why the machine does not come back any more; empty if it does.
        left: Why it may be left otherwise than it was found; empty if it is not.
    """

    def __init__(
        self,
        strategy: KexecStrategy,
        output: RunOutput,
        display: Display,
        *,
        options: ProgramOptions = NO_OPTIONS,
        reruns: int = 8,
        kept: Kept = NOTHING_KEPT,
        symbols: Sequence[Vmlinux] = (),
    ) -> None:
        self._strategy = strategy
        self._output = output
        self._display = display
        self._program: ProgramOnTarget = strategy.on_target(options)
        self._commands = TargetCommands(strategy, self._program, output, display)
        self._blame = Blame(self._power_cycle, display, reruns)
        self._symbols = symbols
        self._probed = False
        self._kept = kept
        self.results: list[TestResult] = list(kept.results)
        self.kernel_faults: list[str] = list(kept.faults)
        self.violations: list[str] = list(kept.violations)
        self.sick = ""
        self.left = ""

    @property
    def boots(self) -> list[BootIdentity]:
        """Every boot that tests ran on."""
        return self._commands.boots

    @property
    def unexplained(self) -> list[str]:
        """Deaths that no single test could be blamed for."""
        return self._blame.unexplained

    def run(self, tests: Sequence[TestInfo]) -> Results:
        """Yields the result of each test as soon as it is known; of a resumed run, the kept first.

        Closing the generator, or an exception in it (Ctrl-C too), ends the machine.

        Raises:
            BadInput: The target cannot do what was asked; nothing has run.
        """
        yield from self._kept.results
        tests = [test for test in tests if test.name not in self._decided()]
        infos = {test.name: test for test in tests}
        cycles = power_cycles(tests, self._program.claims, self._program.iommu_mode)
        batches = map(Batch, cycles)
        try:
            self._complain_of_what_was_cut_short()
            for result in chain.from_iterable(map(self._blame.batch, batches)):
                self._tell_where_it_was_lost(result)
                self._output.result(result, infos[result.name])
                self.results.append(result)
                self._display.verdict(result)
                yield result
        except (Infrastructure, OSError) as error:
            if isinstance(error, MachineSick):
                self.sick = str(error)
            undecided = [test for test in tests if test.name not in self._decided()]
            for test in undecided:
                result = TestResult(test.name, Verdict.INFRA, str(error))
                self.results.append(result)
                if not isinstance(error, OutputFailed):
                    self._output.result(result, test)
                self._display.verdict(result)
                yield result
        finally:
            self._finish()

    def _finish(self) -> None:
        """Whatever becomes of the machine now costs no result."""
        try:
            self._strategy.finish(put_back=not self.sick)
        except MachineSick as error:
            self.sick = str(error)
        except Infrastructure as error:
            self.left = f"the target may not be in its own kernel: {error}"
        except KeyboardInterrupt:
            self.left = "interrupted while the target was to boot its own kernel: it may not have"
        # A lab's traffic peers end now.
        self._complain_of_drivers()

    def _tell_where_it_was_lost(self, result: TestResult) -> None:
        """Of a stream. What has a clock has this machine's: models, and traffic peers."""
        where = lost_in(result.notes, self._output.marks, time.time() - time.monotonic())
        if where and result.verdict is not Verdict.PASS:
            result.reason = f"{result.reason}; {where}"
            result.notes["stream_lost_in"] = where

    def _decided(self) -> set[str]:
        return {result.name for result in self.results}

    def _complain_of_what_was_cut_short(self) -> None:
        self._complain_of_faults(self._kept.unrecorded_faults)
        self._complain_of_violations(self._kept.unrecorded_violations)

    def _complain_of_kernel(self) -> None:
        """What the kernel says is no test's verdict, and must not go unseen."""
        self._strategy.watch.rest()
        self._complain_of_faults(self._strategy.watch.oracle.faults())

    def _complain_of_faults(self, faults: Sequence[KernelFault]) -> None:
        for fault in faults:
            for vmlinux in self._symbols:
                if vmlinux.is_of(fault.banner):
                    fault.report.lines = vmlinux.decode(fault.report.lines)
            self._output.kernel_fault(fault)
            is_notice = fault.report.severity is Severity.NOTICE
            during = f" (during {fault.test})" if fault.test else ""
            what = "kernel notice" if is_notice else "kernel fault"
            self._display.note(f"{what}: {fault.report.title}{during}")
            if not is_notice:
                self.kernel_faults.append(fault.report.title)

    def _complain_of_drivers(self) -> None:
        machine = self._strategy.machine
        self._complain_of_violations(machine.violations)
        machine.violations.clear()
        for text in machine.take_notes():
            self._display.note(text)

    def _complain_of_violations(self, violations: Sequence[str]) -> None:
        for text in violations:
            self.violations.append(text)
            self._output.violation(text)
            self._display.note(f"forbidden by the device's specification: {text}")

    def _power_cycle(self, batch: Batch) -> Results:
        """A batch from power-on to power-off."""
        try:
            yield from self._phases(batch)
            self._put_back()
        except ProgramDied:
            self._commands.read_kernel_log()
            raise
        except Crashed as death:
            self._strategy.died(death)
            raise
        finally:
            self._output.running(None)
            self._strategy.power_off()
            self._complain_of_kernel()
            self._complain_of_drivers()

    def _put_back(self) -> None:
        """On a machine that goes on, every device is as it was found; the bench's ends with it."""
        if self._strategy.machine.is_ours:
            return
        for address, entry in journal.read(self._output.journal.path).bound.items():
            ended = finished(self._commands.verb("restore", (), Batch([]), *restore_words(entry)))
            if ended.exit_code != 0:
                self._display.note(f"{address} is not put back: {ended.said}")

    def _phases(self, batch: Batch) -> Results:
        self._cold_boot()
        if batch.names(continuity=True):
            yield from self._arm(batch)
        else:
            yield from self._run(batch)
        while batch.armed():
            if not (yield from self._kexec(batch)):
                return
            yield from self._verify(batch)

    def _run(self, batch: Batch) -> Results:
        names = batch.names(continuity=False)
        self._output.journal.write("run", tests=names)
        self._strategy.sinks.timeline.step("run")
        with self._display.phase("run", _tests(names)):
            ended = yield from self._commands.verb("run", names, batch)
            self._check_kernel_fault(ended.said, batch)
            yield from batch.end_of_run(ended.said)
            self._commands.read_kernel_log()

    def _arm(self, batch: Batch) -> Results:
        names = batch.names(continuity=True)
        alone = batch.names(continuity=False)
        self._output.journal.write("arm", tests=[*alone, *names])
        self._strategy.sinks.timeline.step("arm")
        beside = f", {_tests(alone)} without a kexec" if alone else ""
        with self._display.phase("arm", f"{_tests(names)}{beside}") as found:
            ended = yield from self._commands.arm(batch)
            self._refuse_bad_input(ended)
            self._check_kernel_fault(ended.said, batch)
            yield from batch.end_of_run(ended.said)
            yield from batch.end_of_arm(ended.said)
            self._commands.read_kernel_log()
            if batch.armed():
                self._strategy.ask_clocks()
            found.append(f"{len(batch.armed())} of {_tests(names)} armed")

    def _cold_boot(self) -> None:
        with self._display.phase("boot", "power on") as found:
            if not self._probed:
                self._refuse_if_held()
            self._strategy.cold_boot()
            if not self._probed:
                self._probe()
                self._probed = True
            kernels = self._strategy.watch.health.kernels
            found.append(f"Linux {kernels[-1]}" if kernels else "up")

    def _refuse_if_held(self) -> None:
        """A machine that is up may be in somebody's hands; one that is down is in nobody's."""
        strategy = self._strategy
        if strategy.machine.is_ours:
            return
        try:
            holder = who_holds(strategy.ssh.ask_once, strategy.owner)
        except Infrastructure as error:
            self._display.note(f"whether somebody holds the machine is not known: {error}")
            return
        if holder:
            raise BadInput(
                f"{strategy.target.name}: the machine is held by {holder}: wait until that run is "
                "over, or put back what it left (`carryover restore`); nothing was changed on it"
            )

    def _probe(self) -> None:
        """Refuses a target that lacks what every test needs, once, with the remedy."""
        ended = finished(self._commands.verb("probe", (), Batch([])))
        self._refuse_bad_input(ended)
        missing = [
            f"{e.text('name')}: {e.text('detail') or 'not there'}; {e.text('remedy')}".rstrip("; ")
            for e in ended.events
            if e.kind == "feature" and e.fields.get("present") is False
        ]
        required = [text for text in missing if text.split(":")[0] in self._required()]
        if required:
            raise BadInput(
                "the target's kernel lacks what the tests need:\n  " + "\n  ".join(required)
            )
        for event in ended.events:
            if event.kind == "device" and event.fields.get("listed") and event.text("refused"):
                raise BadInput(
                    f"PciTestDevice {event.text('address')} is refused: {event.text('refused')}"
                )

    def _required(self) -> set[str]:
        features = {"kho", "liveupdate", "kexec_file", "memory"}
        if not {"mapping", "stream"}.isdisjoint(self._program.claims):
            features.add("stream")
        if self._program.devices:
            features.add("iommu")
            features |= set(verbs.IOMMU_MODES[self._program.iommu_mode])
        return features

    def _refuse_bad_input(self, ended: Ended) -> None:
        if ended.exit_code in (verbs.EXIT_USAGE, verbs.EXIT_CANNOT) and not self._has_new_results():
            if ended.said and not ended.has_error("holder") and not ended.has_error("ledger"):
                raise BadInput(f"the target refuses: {ended.said}")

    def _has_new_results(self) -> bool:
        return len(self.results) > len(self._kept.results)

    def _kexec(self, batch: Batch) -> Generator[TestResult, None, bool]:
        """True if an incoming kernel is up, and is the one that was asked for."""
        before = self._commands.boot
        self._output.journal.write("kexec", armed=batch.armed())
        with self._display.phase("kexec", _tests(batch.armed())) as found:
            ended = yield from self._commands.kexec(batch)
            if ended.exit_code != 0:
                refused = [e for e in ended.events if e.kind == "refused"]
                reason = refused[-1].text("message") if refused else ended.said
                verdict = Verdict.REFUSED if refused else Verdict.INFRA
                reason = "; ".join([reason or "kexec failed", *self._commands.freeze_failures])
                yield from batch.decide_all(batch.armed(), verdict, reason)
                self._commands.read_kernel_log()
                return False
            self._strategy.wait_for_incoming()
            found.append(f"Linux {self._strategy.watch.health.kernels[-1]}")
            found.append(
                f"boot_id {self._strategy.boot_id[:8]} from {before.boot_id[:8]}" if before else ""
            )
        return True

    def _check_kernel_fault(self, said: str, batch: Batch) -> None:
        """Raises ProgramDied if the kernel complained and the program did not end a half.

        The kernel kills the process in whose system call it fails, and the program tells only that
        its holder is gone.
        """
        faults = self._strategy.watch.health.faults
        if faults and batch.running is not None:
            said = said or "the program ended in the middle of a half"
            raise ProgramDied(f"{said}, after the kernel said: {faults[-1]}")

    def _verify(self, batch: Batch) -> Results:
        names = batch.armed()
        self._output.journal.write("verify", tests=names)
        self._strategy.sinks.timeline.step("verify")
        with self._display.phase("verify", _tests(names)) as found:
            batch.begin_verify()
            ended = yield from self._commands.verb("verify", names, batch)
            self._strategy.sinks.timeline.step("verified")
            known = ended.exit_code in (0, verbs.EXIT_FAILED) or any(map(ended.has_error, _LOST))
            if not known:
                reason = ended.said or f"`verify` ended with {ended.exit_code}"
                self._check_kernel_fault(reason, batch)
                if faults := self._strategy.watch.health.faults:
                    reason = f"{reason}, after the kernel said: {faults[-1]}"
                yield from batch.decide_all(batch.names(continuity=True), Verdict.INFRA, reason)
            said = [ended.said]
            if ended.has_error("handover-refused"):
                said.append(self._strategy.watch.health.incompatible)
            yield from batch.end_of_verify("; ".join(filter(None, said)))
            self._commands.read_kernel_log()
            self._strategy.ask_clocks()
            if boot := self._commands.boot:
                found.append(f"kexec {boot.kho_count}, LUO number {boot.luo_number}")
            if batch.remaining and batch.armed():
                found.append(f"{_tests(batch.armed())} armed for the next kexec")


def _tests(names: Sequence[str]) -> str:
    return f"{len(names)} test{'' if len(names) == 1 else 's'}"
