# SPDX-License-Identifier: GPL-2.0-only
"""ci/mutants: kernels that are broken on purpose, and the tests that notice.

Builds the reference kernel (ci/bench --reference) with each patch of ci/kernel/mutants on top, one
after the other, or that of ci/bench --stream if the patch has a line "Kernel: stream". Runs on it
the tests that the patch names as its killers (its line Killed-by), and prints who killed what. If
none of them does, the suite is run until the first test that does not pass: a kill by chance, which
says little and counts as an error; so does one that names another phase than a patch with a line
"Lost-in:", for where a stream was lost (docs/stream.md). With a line "Kernel-complains:" the killer
is what the kernel says of itself, in which that has to be. The whole suite is run on the kernel
that is not broken before: a test that does not pass on it proves nothing. The table is kept in
out/mutants/table.json; what has not changed since, the tests included, is not tried again unless it
is named.
Exit status 1 if a mutant survives, is killed by chance, does not build or does not boot: nothing is
proved by it then.
"""

import argparse
import enum
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from carryover_ci.bench import (
    REFERENCE_OPTIONS,
    STREAM_OPTIONS,
    Bench,
    prepare,
    runner_command,
)
from carryover_ci.cache import content_key, write_whole
from carryover_ci.image import build_image
from carryover_ci.kernel import KernelChoice
from carryover_ci.kernel_build import build_kernel, keep_log
from carryover_ci.kernel_source import kernel_source
from carryover_ci.program import ROOT, tests_of
from carryover_ci.progress import Progress
from carryover_ci.results import GOOD, RunResults, json_lines, kernel_faults, run_in
from carryover_ci.run import Failure, exit_with

_MUTANTS = ROOT / "ci" / "kernel" / "mutants"
_OUT = ROOT / "out" / "mutants"
_SUBJECT = re.compile(r"^Subject: (?:\[[^]]*\] )?(.+)$", re.MULTILINE)
_KILLERS = re.compile(r"^Killed-by: (.+)$", re.MULTILINE)
_OPTIONS = re.compile(r"^Bench-options: (.+)$", re.MULTILINE)
_CRASHES = ("PANIC", "HANG", "RESET", "ABI_MISMATCH")
_PHASES = ("kexec", "verify")  # of the runner's journal, in which no test need be running
_KERNEL = re.compile(r"^Kernel: (.+)$", re.MULTILINE)
_PHASE = re.compile(r"^Lost-in: (.+)$", re.MULTILINE)
# As runner/carryover/timing/stream_phase.py says it: the phase, how far into it, until when, and
# how long.
_LOST_IN = re.compile(
    r"lost in the phase (.+?)"
    r"(?:, \d+ ms (?:after|before) `.*|, until .*|, and it did not go on| \([\d.]+ ms\))?$"
)
_COMPLAINT = re.compile(r"^Kernel-complains: (.+)$", re.MULTILINE)
_FAULT = "kernel fault: "


@dataclass(frozen=True)
class Broken:
    """A kernel that mutants break. Its name is that of the trial of no mutant, too."""

    name: str
    choice: KernelChoice
    options: tuple[str, ...]  # of the runner: what the kernel claims, and where


_REFERENCE = Broken("reference", KernelChoice().as_reference(), REFERENCE_OPTIONS)
_STREAM = Broken("stream", KernelChoice().as_streaming(), STREAM_OPTIONS)
_BROKEN = {broken.name: broken for broken in (_REFERENCE, _STREAM)}


class Fate(enum.Enum):
    """What became of a mutant."""

    KILLED = "killed"
    BY_CHANCE = "killed by chance"  # not by a test that says what is broken
    SURVIVED = "survived"
    NOT_BUILT = "does not build"
    NOT_BOOTED = "does not boot"


@dataclass(frozen=True)
class Mutant:
    """One patch that breaks the kernel."""

    name: str
    patch: Path
    breaks: str  # in one sentence
    options: tuple[str, ...] = ()  # of ci/bench, without which it cannot be seen
    # "Suite.Test", whose rule is broken; none for a kernel that dies whatever is tested.
    killed_by: tuple[str, ...] = ()
    kernel: Broken = _REFERENCE
    lost_in: str = ""  # the phase of the kexec in which a stream is lost; empty: none is
    complaint: str = ""  # in what the kernel says of itself when one of killed_by is run

    @classmethod
    def read(cls, patch: Path) -> "Mutant":
        """The mutant in the file `patch`; Failure if it does not say what it breaks."""
        text = patch.read_text()
        subject = _SUBJECT.search(text)
        if not subject:
            raise Failure(f"{patch}: has no line 'Subject: ' that says what it breaks")
        options = _OPTIONS.search(text)
        kernel = _KERNEL.search(text)
        phase = _PHASE.search(text)
        complaint = _COMPLAINT.search(text)
        if kernel and kernel[1] not in _BROKEN:
            raise Failure(f"{patch}: Kernel: there is no kernel {kernel[1]}: {', '.join(_BROKEN)}")
        return cls(
            patch.stem,
            patch,
            subject[1],
            tuple(shlex.split(options[1]) if options else ()),
            tuple(name for line in _KILLERS.findall(text) for name in line.split()),
            _BROKEN[kernel[1]] if kernel else _REFERENCE,
            phase[1] if phase else "",
            complaint[1] if complaint else "",
        )


@dataclass(frozen=True)
class Trial:
    """How a mutant fared."""

    key: str  # of what was tried
    fate: Fate
    breaks: str
    killers: list[str]  # "VERDICT Suite.Test", in the order in which they were known
    seconds: float  # all of it
    log: str
    build_seconds: float = 0.0  # of which the kernel took
    whole: bool = False  # the run went on after the first killer


def judge(
    results: list[dict[str, Any]], died_in: str = "", faults: Sequence[str] = ()
) -> tuple[Fate, list[str]]:
    """The fate of a mutant by the results of a run on it (docs: runner's results.jsonl).

    Trouble of the harness kills nothing. A kernel on which no test got as far as a half of its own
    has not booted. When the machine dies, all tests that have no result yet share its verdict: the
    killer is what it `died_in`. What the kernel complained of itself, `faults`, kills, too.
    """
    if not died_in and not any(r["halves"] for r in results):
        return Fate.NOT_BOOTED, []
    killers = []
    for result in results:
        verdict = result["verdict"]
        if verdict in _CRASHES:
            killers.append(f"{verdict} {died_in}")
            break
        if verdict not in (*GOOD, "INFRA"):
            killers.append(f"{verdict} {result['name']}")
    killers += [f"{_FAULT}{fault}" for fault in faults]
    return (Fate.KILLED if killers else Fate.SURVIVED), killers


def judge_named(mutant: Mutant, killers: list[str]) -> Fate:
    """The fate of a mutant that these `killers` noticed ("VERDICT Suite.Test")."""
    if not killers:
        return Fate.SURVIVED
    names = {killer.split(" ", 1)[-1] for killer in killers}
    as_named = not mutant.killed_by or not names.isdisjoint(mutant.killed_by)
    if mutant.complaint:
        faults = [killer for killer in killers if killer.startswith(_FAULT)]
        as_named = any(mutant.complaint in fault for fault in faults)
    return Fate.KILLED if as_named else Fate.BY_CHANCE


def names_phase(mutant: Mutant, results: Iterable[dict[str, Any]]) -> bool:
    """Whether a killer of the mutant tells in which phase the stream was lost, if one is."""
    told = [r["notes"].get("stream_lost_in", "") for r in results if r["name"] in mutant.killed_by]
    # Where it was lost, not until when it was.
    phases = [found[1] for text in told if (found := _LOST_IN.match(text))]
    return not mutant.lost_in or mutant.lost_in in phases


def complained_in(lines: Iterable[dict[str, Any]]) -> list[str]:
    """The tests in whose halves the kernel complained of itself, by results.jsonl, each once.

    A test that the kernel warned in has noticed, whatever its own verdict.
    """
    faults = [line for line in lines if line["event"] == "kernel-fault"]
    told = [f["test"] for f in faults if f["severity"] != "notice" and f["test"]]
    return list(dict.fromkeys(told))


def check_killers(mutants: Sequence[Mutant], tests: Set[str]) -> None:
    """Failure if a mutant names a killer that is none of the `tests`."""
    for mutant in mutants:
        if unknown := sorted(set(mutant.killed_by) - tests):
            raise Failure(f"{mutant.patch}: Killed-by: there is no test {', '.join(unknown)}")


def last_doing(events: list[dict[str, Any]], journal: list[dict[str, Any]]) -> str:
    """The test that had begun a half and not ended it, by the program's events.

    Without one, the last phase of the runner's journal that is about tests; "" before the first.
    """
    running = ""
    for event in events:
        if event["event"] == "start":
            running = event["name"]
        elif event["event"] in ("finish", "hello"):
            running = ""
    phases = [step["step"] for step in journal if step["step"] in _PHASES]
    return running or (f"in the phase {phases[-1]}" if phases else "")


def _build(mutant: Mutant, log: Path, progress: Progress) -> Path | None:
    """The mutant's kernel; None if it does not build, and `log` says why."""
    source = kernel_source(None, None, [mutant.patch], progress, reference=True)
    fragments = mutant.kernel.choice.fragments
    try:
        return build_kernel(source, fragments, os.cpu_count() or 1, progress)
    except Failure as failure:
        keep_log(failure, source, log)
        return None


def _run(bench: Bench, kernel: Broken, out: Path, progress: Progress, *more: str) -> Path:
    """Runs the suite as ci/bench does, with its results in `out`; returns the log."""
    results = out / "results.jsonl"
    results.unlink(missing_ok=True)
    arguments = [*kernel.options, "--carryover-out", str(out), "--carryover-reruns", "0", *more]
    environment = {**os.environ, **bench.environment()}
    command = runner_command(bench, arguments)
    _, log = run_in(out, command, environment, out.name, progress)
    if not results.exists():
        raise Failure(f"the bench could not be used, which says nothing about {out.name}: {log}")
    return log


def try_unbroken(bench: Bench, kernel: Broken, key: str, progress: Progress) -> Trial:
    """Runs the suite on the kernel that is not broken; Failure if a test does not pass."""
    out = _OUT / kernel.name
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    image = build_image(bench.program, kernel.choice.build(progress))
    log = _run(replace(bench, image=image), kernel, out, progress)
    if bad := RunResults.read(out).bad():
        raise Failure(
            f"the tests do not pass on the {kernel.name} kernel, so they prove nothing: "
            f"{', '.join(bad[:3])}; see {log}"
        )
    seconds = round(time.monotonic() - started, 1)
    return Trial(key, Fate.SURVIVED, "Nothing", [], seconds, str(log.relative_to(ROOT)))


def selection(test: str) -> str:
    """What selects "Suite.Test" for pytest's -k, and others only if their names contain both."""
    return f"({' and '.join(test.split('.'))})"


def _try_on(
    bench: Bench, mutant: Mutant, out: Path, progress: Progress, *more: str
) -> tuple[Fate, list[str], Path]:
    """Runs tests on the mutant's kernel; returns its fate, its killers and the log."""
    log = _run(bench, mutant.kernel, out, progress, *mutant.options, *more)
    lines = json_lines(out / "results.jsonl")
    results = [line for line in lines if line["event"] == "result"]
    faults = kernel_faults(lines)
    doing = last_doing(json_lines(out / "events.jsonl"), json_lines(out / "journal.jsonl"))
    fate, killers = judge(results, doing, faults)
    killers += [f"KERNEL-FAULT {test}" for test in complained_in(lines)]
    return fate, killers, log


def try_mutant(
    bench: Bench, mutant: Mutant, key: str, *, all_killers: bool, progress: Progress
) -> Trial:
    """Builds the mutant and runs the suite on it, with all else as the bench has it."""
    out = _OUT / mutant.name
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    log = out / "build.log"
    log.unlink(missing_ok=True)
    kernel = _build(mutant, log, progress)
    built = time.monotonic()
    fate, killers = Fate.NOT_BUILT, list[str]()
    if kernel:
        mutated = replace(bench, image=build_image(bench.program, kernel))
        names = " or ".join(selection(test) for test in mutant.killed_by)
        named = [["-k", names]] if names else []
        # A machine that dies in the whole suite need not have come to the tests that are named.
        for arguments in [[], *named] if all_killers else [*named, ["-x"]]:
            fate, noticed, log = _try_on(mutated, mutant, out, progress, *arguments)
            killers += noticed
            if killers:
                fate = judge_named(mutant, killers)
            results = [r for r in json_lines(out / "results.jsonl") if r["event"] == "result"]
            if fate is Fate.KILLED and not names_phase(mutant, results):
                fate = Fate.BY_CHANCE
            if fate is Fate.KILLED:
                break
    return Trial(
        key,
        fate,
        mutant.breaks,
        killers,
        round(time.monotonic() - started, 1),
        str(log.relative_to(ROOT)),
        round(built - started, 1),
        whole=all_killers,
    )


def row(name: str, trial: Trial, width: int) -> str:
    """One mutant's line of the kill table."""
    killers = ", ".join(trial.killers[:2]) or f"see {trial.log}"
    if len(trial.killers) > 2:
        killers += f" and {len(trial.killers) - 2} more"
    return f"{name:<{width}}  {trial.fate.value:<16}  {trial.seconds:6.1f} s  {killers}"


def table(trials: dict[str, Trial]) -> str:
    """The kill table, with what a person has to look at last."""
    width = max(len(name) for name in trials)
    ordered = sorted(trials.items(), key=lambda item: (item[1].fate is not Fate.KILLED, item[0]))
    rows = [row(name, trial, width) for name, trial in ordered]
    killed = sum(trial.fate is Fate.KILLED for trial in trials.values())
    return "\n".join([*rows, "", f"{killed} of {len(trials)} mutants killed"])


def idle_tests(tests: list[str], trials: Sequence[Trial]) -> list[str]:
    """Those of `tests` that killed no mutant: can they fail at all?

    A test that was running when the machine died counts as a killer, as in the table. Where most
    tests failed together, as when nothing is handed over, no test has shown that it can.
    """
    killed_by = [{killer.split(" ", 1)[-1] for killer in trial.killers} for trial in trials]
    telling = [killers for killers in killed_by if len(killers) <= len(tests) / 2]
    return [test for test in tests if not any(test in killers for killers in telling)]


def _mutants(names: list[str]) -> list[Mutant]:
    found = {patch.stem: patch for patch in sorted(_MUTANTS.glob("*.patch"))}
    if unknown := sorted(set(names) - set(found)):
        raise Failure(f"no mutant {', '.join(unknown)} in {_MUTANTS}; there are {', '.join(found)}")
    return [Mutant.read(found[name]) for name in names or found]


def _kernels(mutants: Sequence[Mutant]) -> list[Broken]:
    """Those that the mutants break, each once."""
    return [kernel for kernel in _BROKEN.values() if any(m.kernel is kernel for m in mutants)]


def _inputs() -> list[Path]:
    """What a trial depends on beside its mutant: the kernel that is broken, and the tests."""
    kernel = [file for file in (ROOT / "ci" / "kernel").rglob("*") if file.parent != _MUTANTS]
    tests = [
        file
        for folder in ("drivers", "fixtures", "selftests")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".cc", ".h")
    ]
    return sorted(file for file in [*kernel, *tests] if file.is_file())


def _known() -> dict[str, Trial]:
    file = _OUT / "table.json"
    if not file.exists():
        return {}
    return {
        name: Trial(**{**fields, "fate": Fate(fields["fate"])})
        for name, fields in json.loads(file.read_text()).items()
    }


def _remember(trials: dict[str, Trial]) -> None:
    fields = {name: {**asdict(trial), "fate": trial.fate.value} for name, trial in trials.items()}
    write_whole(_OUT / "table.json", json.dumps(fields, indent=1) + "\n")


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="ci/mutants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="try these; default: all")
    parser.add_argument("--list", action="store_true", help="say what each mutant breaks")
    parser.add_argument(
        "--all-killers",
        action="store_true",
        help="run the whole suite on each; of all mutants, the tests that kill none are named then",
    )
    arguments = parser.parse_args()
    mutants = _mutants(arguments.names)
    if arguments.list:
        sys.stdout.writelines(f"{mutant.name}: {mutant.breaks}\n" for mutant in mutants)
        return
    _OUT.mkdir(parents=True, exist_ok=True)
    common = content_key(*_inputs())
    known = _known()
    keys = {mutant.name: content_key(mutant.patch, common) for mutant in mutants}
    wanted = [
        mutant
        for mutant in mutants
        if arguments.names
        or mutant.name not in known
        or known[mutant.name].key != keys[mutant.name]
        or (arguments.all_killers and not known[mutant.name].whole)
    ]
    if wanted:
        progress = Progress()
        bench = prepare(KernelChoice().as_reference(), None, progress)
        check_killers(wanted, {test["name"] for test in tests_of(bench.program)})
        for kernel in _kernels(wanted):
            if kernel.name in known and known[kernel.name].key == common:
                continue
            known[kernel.name] = try_unbroken(bench, kernel, common, progress)
            _remember(known)
    for mutant in wanted:
        known[mutant.name] = trial = try_mutant(
            bench, mutant, keys[mutant.name], all_killers=arguments.all_killers, progress=progress
        )
        _remember(known)
        sys.stdout.write(f"{row(mutant.name, trial, len(mutant.name))}\n")
        sys.stdout.flush()
    shown = {mutant.name: known[mutant.name] for mutant in mutants}
    sys.stdout.write(f"\n{table(shown)}\n")
    if not arguments.names and all(trial.whole for trial in shown.values()):
        kernels = _kernels(mutants)
        ran = [name for k in kernels for name in RunResults.read(_OUT / k.name).verdicts]
        idle = idle_tests(list(dict.fromkeys(ran)), list(shown.values()))
        sys.stdout.write(f"{len(idle)} tests killed none of them\n")
        sys.stdout.writelines(f"  {name}\n" for name in idle)
    sys.exit(0 if all(trial.fate is Fate.KILLED for trial in shown.values()) else 1)


if __name__ == "__main__":
    exit_with(_main, "ci/mutants")
