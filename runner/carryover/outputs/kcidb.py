# SPDX-License-Identifier: GPL-2.0-only
"""A run as a report for KCIDB, the common database of kernel test systems (schema 5.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from carryover.errors import BadInput
from carryover.outputs.saved_run import SavedRun
from carryover.verdict import Verdict

# A machine that died, and tests that lost what was theirs, are the kernel's failures. ERROR: two
# kernels that refuse each other on purpose; MISS: the harness could not run the test.
STATUS = {
    Verdict.PASS: "PASS",
    Verdict.SKIP: "SKIP",
    Verdict.ABI_MISMATCH: "ERROR",
    Verdict.INFRA: "MISS",
} | dict.fromkeys(
    (Verdict.FAIL, Verdict.LOST, Verdict.REFUSED, Verdict.PANIC, Verdict.HANG, Verdict.RESET),
    "FAIL",
)

_ORIGIN = re.compile(r"[a-z0-9_]+")
_BUILD = re.compile(r"[a-z0-9_]+:[^\0]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NOT_IN_PATH = re.compile(r"[^A-Za-z0-9_.-]")
_EXCERPT = 4096  # characters


@dataclass(frozen=True)
class Source:
    """What was tested, which a run cannot know by itself.

    Attributes:
        origin: The name under which this test system reports.
        build: The id of a build that was reported already; empty if this report is to have it.
        commit: Else, the commit of the kernel.
        repository: And where it is from, as an https URL; may be empty.
    """

    origin: str
    build: str = ""
    commit: str = ""
    repository: str = ""

    def __post_init__(self) -> None:
        if not _ORIGIN.fullmatch(self.origin):
            raise BadInput(f"--origin {self.origin}: small letters, digits and _ are allowed")
        if bool(self.build) == bool(self.commit):
            raise BadInput("give --build-id of a build that was reported, or --commit")
        if self.build and not _BUILD.fullmatch(self.build):
            raise BadInput(f"--build-id {self.build}: ORIGIN:ID was meant")
        if self.commit and not _COMMIT.fullmatch(self.commit):
            raise BadInput(f"--commit {self.commit}: a whole commit, 40 hex digits, was meant")
        if self.repository and not self.repository.startswith("https://"):
            raise BadInput(f"--repository {self.repository}: an https:// URL was meant")


def report(run: SavedRun, source: Source) -> dict[str, Any]:
    """The run as KCIDB wants it: its tests, and with a commit its checkout and its build."""
    start = datetime.fromtimestamp(run.begin["time"], UTC).isoformat()
    mark = f"{run.begin['target']}-{run.begin['time']:.3f}"
    build = source.build or f"{source.origin}:{source.commit}-{mark}"
    environment = {
        "comment": f"target {run.begin['target']}",
        "misc": {name: run.begin[name] for name in ("claims", "iommu_mode", "devices")},
    }
    found: dict[str, Any] = {"version": {"major": 5, "minor": 3}}
    if source.commit:
        checkout = f"{source.origin}:{source.commit}"
        found["checkouts"] = [
            {
                "id": checkout,
                "origin": source.origin,
                "git_commit_hash": source.commit,
                "valid": True,
                **({"git_repository_url": source.repository} if source.repository else {}),
            }
        ]
        found["builds"] = [
            {
                "id": build,
                "checkout_id": checkout,
                "origin": source.origin,
                "architecture": "x86_64",
                "status": "PASS",
                "comment": ", ".join(_kernels(run)),
            }
        ]
    found["tests"] = [
        {
            "id": f"{source.origin}:{mark}-{result['name']}",
            "origin": source.origin,
            "build_id": build,
            "environment": environment,
            "path": "carryover." + _NOT_IN_PATH.sub("_", result["name"]),
            "comment": result["summary"] or result["name"],
            "status": STATUS[Verdict(result["verdict"])],
            "start_time": start,
            "duration": result["duration"],
            **_excerpt(result),
            "misc": {
                name: result[name]
                for name in ("verdict", "claim", "driver", "device", "notes")
                if result[name] is not None
            },
        }
        for result in run.results
    ]
    return found


def _kernels(run: SavedRun) -> list[str]:
    """The releases that tests ran on."""
    boots = [b for r in run.results for b in (r["cold_boot"], *r["kexecs"]) if b]
    return list(dict.fromkeys(f"Linux {boot['kernel']}" for boot in boots))


def _excerpt(result: dict[str, Any]) -> dict[str, str]:
    reason, failures = result["reason"], result["failures"]
    if reason and not any(reason in failure for failure in failures):
        failures = [reason, *failures]
    text = "\n".join(failures).replace("\0", "")
    return {"log_excerpt": text[:_EXCERPT]} if text else {}
