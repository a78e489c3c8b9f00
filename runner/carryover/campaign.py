# SPDX-License-Identifier: GPL-2.0-only
"""The campaign: boot, run, arm all at once, kexec, verify; who is to blame if the machine dies."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from carryover import program as verbs
from carryover.batch import Batch
from carryover.display import Display
from carryover.errors import BadInput, Infrastructure, OutputFailed
from carryover.events import Event, TestInfo
from carryover.identity import BootIdentity, doubts
from carryover.kernel_messages import Meaning
from carryover.observation import (
    SETTLE,
    ConsoleLine,
    Crashed,
    DeadlineExpired,
    ProgramEvent,
    ProgramGone,
)
from carryover.program import ProgramOnTarget, said
from carryover.results import RunOutput
from carryover.strategy import KexecStrategy
from carryover.verdict import TestResult, Verdict

# Seconds before time_scale.
_SILENCE = 20.0  # a verb with no test running: devices are bound, ledgers written, images loaded
_GRACE = 3.0  # on top of a test's own limit, for the program to report that by itself
_SSH_LOST = 255
_OF_A_TEST = ("start", "failure", "note", "finish")

Results = Generator[TestResult, None, None]


class ProgramDied(Exception):
    """The program ended in the middle of a test; the machine lives."""


@dataclass
class Ended:
    """How a verb ended."""

    exit_code: int
    events: list[Event] = field(default_factory=list)  # those that belong to no test

    @property
    def said(self) -> str:
        """Its error messages."""
        return said(self.events)

    def has_error(self, kind: str) -> bool:
        return any(e.kind == "error" and e.text("kind") == kind for e in self.events)


class Campaign:
    """Gets a result for every selected test, in as few power cycles as it can.

    Attributes:
        results: All results so far, in the order in which they became known.
        boots: The identity of each boot of the first power cycle, for the summary.
        unexplained: Ends of a batch that no single test could be blamed for.
        kernel_faults: Oopses and lockups that the console showed.
    """

    def __init__(
        self,
        strategy: KexecStrategy,
        output: RunOutput,
        display: Display,
        *,
        hidden: bool = False,
        reruns: int = 8,
    ) -> None:
        self._strategy = strategy
        self._output = output
        self._display = display
        self._program: ProgramOnTarget = strategy.on_target(hidden=hidden)
        self._reruns = reruns
        self._probed = False
        self._boot: BootIdentity | None = None
        self._armed_with = ""
        self._freeze_failures: list[str] = []
        self.results: list[TestResult] = []
        self.boots: list[BootIdentity] = []
        self.unexplained: list[str] = []
        self.kernel_faults: list[str] = []

    def run(self, tests: Sequence[TestInfo]) -> Results:
        """Yields the result of each test as soon as it is known.

        Closing the generator, or an exception in it (Ctrl-C too), ends the machine.

        Raises:
            BadInput: The target cannot do what was asked; nothing has run.
        """
        infos = {test.name: test for test in tests}
        batch = Batch(tests)
        try:
            for result in self._batch(batch):
                self._output.result(result, infos[result.name])
                self.results.append(result)
                self._display.verdict(result)
                yield result
        except (Infrastructure, OSError) as error:
            undecided = [test for test in tests if test.name not in self._decided()]
            for test in undecided:
                result = TestResult(test.name, Verdict.INFRA, str(error))
                self.results.append(result)
                if not isinstance(error, OutputFailed):
                    self._output.result(result, test)
                self._display.verdict(result)
                yield result

    def _decided(self) -> set[str]:
        return {result.name for result in self.results}

    def _batch(self, batch: Batch) -> Results:
        """One power cycle for all of a batch, and more if the machine dies in it."""
        try:
            try:
                yield from self._power_cycle(batch)
            finally:
                self._output.running(None)
                self._strategy.power_off()
                self._complain_of_kernel()
        except ProgramDied as died:
            if batch.running is not None:
                yield batch.decide(batch.running[0], Verdict.FAIL, str(died))
                yield from self._again(batch.undecided(), Crashed(Verdict.INFRA, str(died)))
            else:
                yield from batch.decide_all(
                    [test.name for test in batch.undecided()], Verdict.INFRA, str(died)
                )
        except Crashed as crash:
            yield from self._blame(batch, crash)

    def _complain_of_kernel(self) -> None:
        """An oops that the kernel survived is no verdict, and must not go unseen."""
        for text in self._strategy.watch.health.oopses:
            self.kernel_faults.append(text)
            self._display.note(f"kernel fault: {text}")
        self._strategy.watch.health.oopses.clear()

    def _blame(self, batch: Batch, crash: Crashed) -> Results:
        """The machine died with tests undecided: runs halves of them again until one is left."""
        undecided = batch.undecided()
        names = [test.name for test in undecided]
        suspect = batch.running[0] if batch.running else None
        if crash.verdict is Verdict.INFRA or not undecided:
            yield from batch.decide_all(names, crash.verdict, crash.reason)
            return
        if len(undecided) == 1:
            during = f" (in its {batch.running[1]} half)" if batch.running else ""
            yield batch.decide(names[0], crash.verdict, crash.reason + during)
            return
        if self._reruns <= 0:
            reason = f"{crash.reason} (one of {len(names)} tests; no more runs to find out which)"
            yield from batch.decide_all(names, crash.verdict, reason)
            return
        self._display.note(
            f"{crash.verdict.value}: {crash.reason}; looking for the test that did it"
        )
        if suspect is not None:
            groups = [[t for t in undecided if t.name == suspect]]
            groups.append([t for t in undecided if t.name != suspect])
        else:
            middle = len(undecided) // 2
            groups = [undecided[:middle], undecided[middle:]]
        found: list[TestResult] = []
        for group in groups:
            found += list(self._again(group, crash))
        if not any(r.verdict.machine_is_gone for r in found):
            self._unexplained(found, suspect, crash)
        yield from found

    def _unexplained(self, found: list[TestResult], suspect: str | None, crash: Crashed) -> None:
        """Apart, no group died: that does not make the death unseen."""
        why = f"{crash.reason}; it did not happen again with fewer tests"
        self.unexplained.append(f"{crash.verdict.value}: {why}")
        for result in found:
            if result.verdict is Verdict.PASS and suspect in (None, result.name):
                result.verdict, result.reason = crash.verdict, why

    def _again(self, tests: list[TestInfo], crash: Crashed) -> Results:
        """A new power cycle for some of the tests."""
        batch = Batch(tests)
        if not tests:
            return
        if self._reruns <= 0:
            reason = f"{crash.reason} (no more runs to get it a result of its own)"
            yield from batch.decide_all([t.name for t in tests], crash.verdict, reason)
            return
        self._reruns -= 1
        yield from self._batch(batch)

    def _power_cycle(self, batch: Batch) -> Results:
        self._cold_boot()
        if names := batch.names(continuity=False):
            with self._display.phase("run", _tests(names)):
                self._output.journal.write("run", tests=names)
                ended = yield from self._verb("run", names, batch)
                yield from batch.end_of_run(ended.said)
        if not (names := batch.names(continuity=True)):
            return
        with self._display.phase("arm", _tests(names)) as found:
            self._output.journal.write("arm", tests=names)
            self._armed_with = self._strategy.nonce
            ended = yield from self._verb("arm", names, batch, "--nonce", self._armed_with)
            self._refuse_bad_input(ended)
            yield from batch.end_of_arm(ended.said)
            found.append(f"{len(batch.armed())} of {_tests(names)} armed")
        while batch.armed():
            if not (yield from self._kexec(batch)):
                return
            yield from self._verify(batch)

    def _cold_boot(self) -> None:
        with self._display.phase("boot", "power on") as found:
            self._strategy.cold_boot()
            if not self._probed:
                self._probe()
                self._probed = True
            kernels = self._strategy.watch.health.kernels
            found.append(f"Linux {kernels[-1]}" if kernels else "up")

    def _probe(self) -> None:
        """Refuses a target that lacks what every test needs, once, with the remedy."""
        ended = _finished(self._verb("probe", (), Batch([])))
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
        if self._program.devices:
            features.add("iommu")
            type1 = self._program.iommu_mode == "type1"
            features |= {"vfio_type1"} if type1 else {"vfio_cdev", "iommufd"}
        return features

    def _refuse_bad_input(self, ended: Ended) -> None:
        if ended.exit_code in (verbs.EXIT_USAGE, verbs.EXIT_CANNOT) and not self.results:
            if ended.said and not ended.has_error("holder") and not ended.has_error("ledger"):
                raise BadInput(f"the target refuses: {ended.said}")

    def _kexec(self, batch: Batch) -> Generator[TestResult, None, bool]:
        """True if an incoming kernel is up, and is the one that was asked for."""
        before = self._boot
        with self._display.phase("kexec", _tests(batch.armed())) as found:
            self._output.journal.write("kexec", armed=batch.armed())
            command = self._strategy.kexec_command(self._program)
            ended = yield from self._command("kexec", command, batch)
            if ended.exit_code != 0:
                refused = [e for e in ended.events if e.kind == "refused"]
                reason = refused[-1].text("message") if refused else ended.said
                verdict = Verdict.REFUSED if refused else Verdict.INFRA
                reason = "; ".join([reason or "kexec failed", *self._freeze_failures])
                yield from batch.decide_all(batch.armed(), verdict, reason)
                return False
            self._strategy.wait_for_incoming()
            found.append(f"Linux {self._strategy.watch.health.kernels[-1]}")
            found.append(
                f"boot_id {self._strategy.boot_id[:8]} from {before.boot_id[:8]}" if before else ""
            )
        return True

    def _verify(self, batch: Batch) -> Results:
        names = batch.armed()
        with self._display.phase("verify", _tests(names)) as found:
            self._output.journal.write("verify", tests=names)
            batch.begin_verify()
            ended = yield from self._verb("verify", names, batch)
            known = ended.exit_code in (0, verbs.EXIT_FAILED) or ended.has_error("ledger-missing")
            if not known:
                reason = ended.said or f"`verify` ended with {ended.exit_code}"
                yield from batch.decide_all(batch.names(continuity=True), Verdict.INFRA, reason)
            yield from batch.end_of_verify(ended.said)
            if self._boot:
                found.append(f"kexec {self._boot.kho_count}, LUO number {self._boot.luo_number}")
            if batch.remaining and batch.armed():
                found.append(f"{_tests(batch.armed())} armed for the next kexec")

    def _verb(
        self, verb: str, names: Sequence[str], batch: Batch, *extra: str
    ) -> Generator[TestResult, None, Ended]:
        command = self._program.command(verb, names, *extra)
        return (yield from self._command(verb, command, batch))

    def _command(self, verb: str, command: str, batch: Batch) -> Generator[TestResult, None, Ended]:
        """Runs a command on the target; yields results as its events decide tests."""
        watch = self._strategy.watch
        self._freeze_failures = []
        ended = Ended(exit_code=-1)
        kernels = len(watch.health.kernels)
        running = self._strategy.start(command)
        deadline = self._deadline(_SILENCE)
        try:
            while True:
                try:
                    seen = watch.next(deadline)
                except DeadlineExpired:
                    raise self._hang(verb, batch) from None
                if isinstance(seen, ConsoleLine):
                    if seen.message and seen.message.meaning is Meaning.FREEZE_FAILED:
                        self._freeze_failures.append(seen.message.text)
                elif isinstance(seen, ProgramEvent) and seen.command == running.number:
                    event = seen.event
                    if event.kind == "end":
                        ended.exit_code = event.number("exit_code")
                        return ended
                    if event.kind in ("loaded", "jump"):
                        self._strategy.jumped()
                    if event.kind == "jump":
                        return self._after_jump(running.number, kernels, ended)
                    if result := self._event(verb, event, batch, ended):
                        yield result
                    deadline = self._deadline(self._limit(batch))
                elif isinstance(seen, ProgramGone) and seen.command == running.number:
                    self._gone(verb, seen)
        finally:
            running.stop()

    def _after_jump(self, command: int, kernels: int, ended: Ended) -> Ended:
        """After `jump` either one more kernel signs on, or the program says that it was refused."""
        watch = self._strategy.watch
        deadline = self._deadline(self._strategy.boot_limit)
        while len(watch.health.kernels) == kernels:
            try:
                seen = watch.next(deadline)
            except DeadlineExpired:
                raise Crashed(
                    Verdict.HANG, "the outgoing kernel was told to kexec, and no kernel signed on"
                ) from None
            if isinstance(seen, ConsoleLine):
                if seen.message and seen.message.meaning is Meaning.FREEZE_FAILED:
                    self._freeze_failures.append(seen.message.text)
            elif isinstance(seen, ProgramEvent) and seen.command == command:
                ended.events.append(seen.event)
                if seen.event.kind == "end":
                    ended.exit_code = seen.event.number("exit_code")
                    watch.health.kernel_is_expected = False
                    return ended
        ended.exit_code = 0
        return ended

    def _event(self, verb: str, event: Event, batch: Batch, ended: Ended) -> TestResult | None:
        if event.kind == "hello":
            self._hello(verb, event, batch)
        elif event.kind in ("bound", "restored"):
            self._output.journal.write(event.kind, **event.fields)
        elif event.kind == "ledger":
            self._ledger(event)
        elif event.kind in _OF_A_TEST:
            name = event.text("name")
            if event.kind == "start":
                self._output.running(name)
                self._display.doing(f"{event.text('half')} {name}")
            self._output.test_line(name, f"{event.kind}: {_shown(event)}")
        else:
            ended.events.append(event)
        result = batch.observe(event)
        if event.kind == "finish":
            self._output.running(None)
        return result

    def _ledger(self, event: Event) -> None:
        """What is verified must be what this run armed."""
        nonce = event.text("nonce")
        if nonce != self._armed_with:
            raise Infrastructure(
                f"the ledger in the incoming kernel has nonce {nonce or 'none'}, this run armed "
                f"with {self._armed_with}"
            )

    def _hello(self, verb: str, event: Event, batch: Batch) -> None:
        boot = BootIdentity.from_hello(event)
        if self._strategy.boot_id and boot.boot_id != self._strategy.boot_id:
            raise Infrastructure(
                f"the console shows boot {self._strategy.boot_id}, SSH leads to {boot.boot_id}: "
                "another machine answers"
            )
        if verb == "verify" and self._boot is not None:
            if doubt := doubts(self._boot, boot, self._strategy.nonce):
                raise Crashed(doubt.verdict, doubt.reason)
            batch.boot["kexecs"] = [*batch.boot.get("kexecs", []), boot.as_dict()]
        elif self._boot is None or boot.boot_id != self._boot.boot_id:
            if boot.nonce != self._strategy.nonce:
                raise Infrastructure(
                    f"the machine was powered on with nonce {self._strategy.nonce}, its kernel has "
                    f"{boot.nonce or 'none'}: see `append` and the image"
                )
        if verb != "verify":
            batch.boot["cold_boot"] = boot.as_dict()
        self._boot = boot
        if boot not in self.boots:
            self.boots.append(boot)

    def _limit(self, batch: Batch) -> float:
        if batch.running is None:
            return _SILENCE
        return (batch.time_limit(batch.running[0]) or _SILENCE) + _GRACE

    def _deadline(self, seconds: float) -> float:
        return time.monotonic() + seconds * self._strategy.time_scale

    def _hang(self, verb: str, batch: Batch) -> Crashed:
        limit = self._limit(batch) * self._strategy.time_scale
        if batch.running is not None:
            name, half = batch.running
            return Crashed(Verdict.HANG, f"{half} of {name} did not end within {limit:g} s")
        return Crashed(Verdict.HANG, f"nothing came from `{verb}` for {limit:g} s")

    def _gone(self, verb: str, seen: ProgramGone) -> None:
        """The command ended without `end`: the machine, the program, or the connection died."""
        lost = seen.status == _SSH_LOST or seen.status < 0
        # A status of the program's own came from a machine that was alive to send it.
        end = time.monotonic() + (SETTLE if lost else SETTLE / 10)
        try:
            while True:
                self._strategy.watch.next(end)  # raises Crashed if the machine died
        except DeadlineExpired:
            pass
        if lost:
            detail = f": {seen.detail}" if seen.detail else ""
            raise Infrastructure(
                f"the SSH connection was lost during `{verb}` while the kernel is alive{detail}"
            )
        what = f"`{verb}` ended with {seen.status} and without its last event"
        raise ProgramDied(f"{what}: {seen.detail}" if seen.detail else what)


def _finished(command: Generator[TestResult, None, Ended]) -> Ended:
    """Runs a command that has no tests to its end."""
    while True:
        try:
            next(command)
        except StopIteration as stop:
            ended: Ended = stop.value
            return ended


def _tests(names: Sequence[str]) -> str:
    return f"{len(names)} test{'' if len(names) == 1 else 's'}"


def _shown(event: Event) -> str:
    keys = ("half", "generation", "file", "line", "message", "key", "value", "result", "reason")
    parts = [f"{key}={event.fields[key]}" for key in keys if event.fields.get(key) is not None]
    return " ".join(parts)
