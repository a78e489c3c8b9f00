# SPDX-License-Identifier: GPL-2.0-only
"""The results of all places in one results.jsonl and one junit.xml.

Places are read one after another, so that memory does not grow with their number.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from carryover.errors import BadInput, OutputFailed
from carryover.exit_codes import ExitCode
from carryover.fleet.outcome import PlaceOutcome, unreadable, worst
from carryover.outputs.saved_run import SavedRun, load
from carryover.verdict import Verdict

SCHEMA = 1
RESULTS = "results.jsonl"
JUNIT = "junit.xml"
_NOT_IN_XML = {c: None for c in range(32) if c not in (9, 10, 13)}


@dataclass
class Gathered:
    """What all places have said.

    Attributes:
        outcomes: Those of the places; one whose results cannot be read is not good.
        code: What the fleet comes to.
        verdicts: How many tests, of all places together, have each verdict.
        by_test: The places that gave a test each verdict.
        absent: The places, of those that have results, that have none of a test.
    """

    outcomes: list[PlaceOutcome] = field(default_factory=list)
    code: ExitCode = ExitCode.GOOD
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    by_test: dict[str, dict[Verdict, list[str]]] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)

    def differing(self) -> list[str]:
        """Tests that are not the same on all places: those with the worst verdicts first."""
        names = [n for n, found in self.by_test.items() if len(found) > 1 or n in self.absent]
        return sorted(names, key=self._rank)

    def bad_everywhere(self) -> list[str]:
        """Tests with one verdict on all places, which is neither PASS nor SKIP."""
        names = [
            name
            for name, found in self.by_test.items()
            if len(found) == 1 and name not in self.absent and next(iter(found)).severity > 1
        ]
        return sorted(names, key=self._rank)

    def _rank(self, name: str) -> tuple[int, str]:
        return -max(verdict.severity for verdict in self.by_test[name]), name


def gather(outcomes: Sequence[PlaceOutcome], out: Path, about: Mapping[str, Any]) -> Gathered:
    """Writes both files, each beside its name until it is whole.

    Args:
        outcomes: Of all places.
        out: The fleet's directory.
        about: Goes into the first record.

    Raises:
        OutputFailed: They cannot be written.
    """
    gathered = Gathered()
    try:
        with _whole(out / RESULTS) as records, _whole(out / JUNIT) as xml:
            _gather(outcomes, out, about, records, xml, gathered)
    except OSError as error:
        raise OutputFailed(f"{error.filename or out}: {error.strerror}") from error
    return gathered


def _gather(
    outcomes: Sequence[PlaceOutcome],
    out: Path,
    about: Mapping[str, Any],
    records: TextIOWrapper,
    xml: TextIOWrapper,
    gathered: Gathered,
) -> None:
    def record(event: str, **fields: Any) -> None:
        records.write(json.dumps({"event": event, **fields}) + "\n")

    record("fleet", schema=SCHEMA, **about)
    junit = XMLGenerator(xml, "utf-8", short_empty_elements=True)
    junit.startDocument()
    _begin(junit, "testsuites", name="carryover fleet")
    with_results: list[str] = []
    for outcome in outcomes:
        run = None
        if outcome.results is not None:
            try:
                run = load(outcome.results)
            except BadInput as error:
                outcome = unreadable(outcome, str(error))
        gathered.outcomes.append(outcome)
        if run is not None:
            with_results.append(outcome.place)
            _count(run, outcome.place, gathered)
            folder = run.directory.relative_to(out)
            for result in run.results:
                record("result", place=outcome.place, **_short(result, folder))
            for fault in run.faults:
                known = {key: fault[key] for key in ("text", "test", "kind", "fingerprint")}
                record("kernel-fault", place=outcome.place, **known)
            for violation in run.violations:
                record("violation", place=outcome.place, text=violation["text"])
        record("place", **outcome.as_dict(out))
        _suite(junit, outcome, run)
    junit.endElement("testsuites")
    for name, found in gathered.by_test.items():
        have = {place for places in found.values() for place in places}
        if lacking := [place for place in with_results if place not in have]:
            gathered.absent[name] = lacking
    gathered.code = worst(gathered.outcomes)
    counts = {v.value: gathered.verdicts[v] for v in Verdict if gathered.verdicts[v]}
    record("end", exit_code=gathered.code.value, verdicts=counts, differing=gathered.differing(),
           time=time.time())  # fmt: skip


def _count(run: SavedRun, place: str, gathered: Gathered) -> None:
    for result in run.results:
        verdict = Verdict(result["verdict"])
        gathered.verdicts[verdict] += 1
        found = gathered.by_test.setdefault(result["name"], defaultdict(list))
        found[verdict].append(place)


def _short(result: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    kept = ("name", "verdict", "reason", "driver", "device", "duration")
    return {**{key: result[key] for key in kept}, "log": str(folder / result["log"])}


def _suite(junit: XMLGenerator, outcome: PlaceOutcome, run: SavedRun | None) -> None:
    """A place. One that has no result at all is an error by itself: no test of it has passed."""
    results = run.results if run else []
    outcomes = Counter(Verdict(result["verdict"]).outcome for result in results)
    fails = not results or (bool(outcome.reason) and outcome.code is not ExitCode.GOOD)
    _begin(
        junit,
        "testsuite",
        name=outcome.place,
        tests=len(results) + fails,
        failures=outcomes["failed"],
        errors=outcomes["error"] + fails,
        skipped=outcomes["skipped"],
        time=f"{outcome.seconds:.3f}",
    )
    if fails:
        with _case(junit, outcome.place, "the run itself", outcome.seconds):
            _empty(junit, "error", outcome.reason or "it has no results")
    for result in results:
        suite, _, test = str(result["name"]).partition(".")
        with _case(junit, f"{outcome.place}.{suite}", test, float(result["duration"])):
            verdict = Verdict(result["verdict"])
            kind = {"failed": "failure", "error": "error", "skipped": "skipped"}
            if verdict.outcome in kind:
                _empty(junit, kind[verdict.outcome], f"{verdict.value}: {result['reason']}")
    junit.endElement("testsuite")


@contextlib.contextmanager
def _case(junit: XMLGenerator, classname: str, name: str, seconds: float) -> Iterator[None]:
    _begin(junit, "testcase", classname=classname, name=name, time=f"{seconds:.3f}")
    yield
    junit.endElement("testcase")


def _empty(junit: XMLGenerator, name: str, message: str) -> None:
    _begin(junit, name, message=message.translate(_NOT_IN_XML))
    junit.endElement(name)


def _begin(junit: XMLGenerator, element: str, /, **attributes: object) -> None:
    texts = {key: str(value) for key, value in attributes.items()}
    junit.startElement(element, AttributesImpl(texts))


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[TextIOWrapper]:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        yield file
    partial.replace(path)
