# SPDX-License-Identifier: GPL-2.0-only
"""ci/mutants: kernels that are broken on purpose, and the tests that notice.

Builds the reference kernel (ci/bench --reference) with each patch of ci/kernel/mutants on top, one
after the other, runs the suite on it until the first test that does not pass, and prints who killed
what. The table is kept in out/mutants/table.json; a mutant that has not changed since is not tried
again unless it is named.
Exit status 1 if a mutant survives, does not build or does not boot: nothing is proved by it then.
"""

import argparse
import enum
import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carryover_ci.cache import content_key, write_whole
from carryover_ci.program import ROOT
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, exit_with, run_logged

_MUTANTS = ROOT / "ci" / "kernel" / "mutants"
_OUT = ROOT / "out" / "mutants"
_SUBJECT = re.compile(r"^Subject: (?:\[[^]]*\] )?(.+)$", re.MULTILINE)
_GOOD = ("PASS", "SKIP")


class Fate(enum.Enum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    NOT_BUILT = "does not build"
    NOT_BOOTED = "does not boot"


@dataclass(frozen=True)
class Mutant:
    """One patch that breaks the kernel."""

    name: str
    patch: Path
    breaks: str  # in one sentence

    @classmethod
    def read(cls, patch: Path) -> "Mutant":
        """The mutant in the file `patch`; Failure if it does not say what it breaks."""
        subject = _SUBJECT.search(patch.read_text())
        if not subject:
            raise Failure(f"{patch}: has no line 'Subject: ' that says what it breaks")
        return cls(patch.stem, patch, subject[1])


@dataclass(frozen=True)
class Trial:
    """How a mutant fared."""

    key: str  # of what was tried
    fate: Fate
    breaks: str
    killers: list[str]  # "VERDICT Suite.Test", in the order in which they were known
    seconds: float
    log: str


def judge(results: list[dict[str, Any]]) -> tuple[Fate, list[str]]:
    """The fate of a mutant by the results of a run on it (docs: runner's results.jsonl).

    Trouble of the harness kills nothing. A kernel on which no test got as far as a half of its own
    has not booted.
    """
    bad = [r for r in results if r["verdict"] not in _GOOD]
    if not any(r["halves"] for r in results):
        return Fate.NOT_BOOTED, []
    killers = [f"{r['verdict']} {r['name']}" for r in bad if r["verdict"] != "INFRA"]
    return (Fate.KILLED if killers else Fate.SURVIVED), killers


def try_mutant(mutant: Mutant, key: str, *, all_killers: bool, progress: Progress) -> Trial:
    """Builds the mutant and runs the suite on it."""
    out = _OUT / mutant.name
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    results.unlink(missing_ok=True)
    log = out / "bench.log"
    command: list[str | Path] = [ROOT / "ci" / "bench", "--reference"]
    command += ["--kernel-patch", mutant.patch]
    command += ["--carryover-out", out, "--carryover-reruns", "0"]
    if not all_killers:
        command.append("-x")
    started = time.monotonic()
    with progress.step(mutant.name) as step:
        step.update("building")
        run_logged(command, log, lambda line: step.update(line.strip()[:70]))
    seconds = time.monotonic() - started
    if results.exists():
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        fate, killers = judge([line for line in lines if line["event"] == "result"])
    else:
        fate, killers = Fate.NOT_BUILT, []
    return Trial(key, fate, mutant.breaks, killers, round(seconds, 1), str(log.relative_to(ROOT)))


def table(trials: dict[str, Trial]) -> str:
    """The kill table, with what a person has to look at last."""
    width = max(len(name) for name in trials)
    rows = [
        f"{name:<{width}}  {trial.fate.value:<14}  {trial.seconds:6.1f} s  "
        + (", ".join(trial.killers[:2]) or f"see {trial.log}")
        + (f" and {len(trial.killers) - 2} more" if len(trial.killers) > 2 else "")
        for name, trial in sorted(
            trials.items(), key=lambda item: (item[1].fate is not Fate.KILLED, item[0])
        )
    ]
    killed = sum(trial.fate is Fate.KILLED for trial in trials.values())
    return "\n".join([*rows, "", f"{killed} of {len(trials)} mutants killed"])


def _mutants(names: list[str]) -> list[Mutant]:
    found = {patch.stem: patch for patch in sorted(_MUTANTS.glob("*.patch"))}
    if unknown := sorted(set(names) - set(found)):
        raise Failure(f"no mutant {', '.join(unknown)} in {_MUTANTS}; there are {', '.join(found)}")
    return [Mutant.read(found[name]) for name in names or found]


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
        "--all-killers", action="store_true", help="run the whole suite on each, to see all of them"
    )
    arguments = parser.parse_args()
    mutants = _mutants(arguments.names)
    if arguments.list:
        sys.stdout.writelines(f"{mutant.name}: {mutant.breaks}\n" for mutant in mutants)
        return
    _OUT.mkdir(parents=True, exist_ok=True)
    common = content_key(*_inputs())
    known = _known()
    progress = Progress()
    for mutant in mutants:
        key = content_key(mutant.patch, common)
        if not arguments.names and mutant.name in known and known[mutant.name].key == key:
            continue
        known[mutant.name] = try_mutant(
            mutant, key, all_killers=arguments.all_killers, progress=progress
        )
        _remember(known)
    shown = {mutant.name: known[mutant.name] for mutant in mutants}
    sys.stdout.write(f"\n{table(shown)}\n")
    sys.exit(0 if all(trial.fate is Fate.KILLED for trial in shown.values()) else 1)


if __name__ == "__main__":
    exit_with(_main, "ci/mutants")
