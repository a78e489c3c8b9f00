# SPDX-License-Identifier: GPL-2.0-only
"""Runs that never were, written as the runner writes them, for tests of what reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carryover.verdict import Verdict

START = 1_795_800_000.0
PAGE = 4096
DAMAGES = (
    "zeroed",
    "stale generation",
    "another page's content",
    "poison",
    "bit flip",
    "foreign",
)
# The test of every_verdict() whose memory has each of them.
DAMAGED = "MemoryContinuity.TwoHundredFiftySixMiB"
# When each mark of a kexec comes, in seconds; `time` of the first one is 0.
ARMING = [("arm", 0.0), ("armed", 2.5)]
COLD_BOOT = [("power-on", 0.0), ("firmware", 0.1), ("kernel", 0.4), ("init", 1.6), ("ready", 1.9)]
KEXEC = [
    ("kexec", 0.0),
    ("loaded", 0.4),
    ("jump", 0.5),
    ("outgoing-last", 1.4),
    ("kernel", 1.7),
    ("init", 2.9),
    ("ready", 3.3),
    ("verify", 3.4),
    ("retrieved", 3.5),
    ("verified", 5.0),
]


def boot_identity(kexec: int, cycle: int = 1) -> dict[str, Any]:
    """What a boot says of itself."""
    boot_id = f"{cycle:08x}-0000-4000-8000-{kexec:012x}"
    return {
        "kernel": "7.3.4-carryover",
        "boot_id": boot_id,
        "cmdline": f"console=ttyS0 kho=on liveupdate=on carryover.nonce=c{cycle}k{kexec}",
        "kho_count": kexec,
        "luo_number": kexec or None,
    }


def memory(pages: int, runs: list[tuple[int, int, str]], **more: Any) -> dict[str, Any]:
    """Damage of a memory of some pages: whole pages are damaged."""
    damaged: dict[str, int] = {}
    for _, count, damage in runs:
        damaged[damage] = damaged.get(damage, 0) + count * PAGE
    extents = [
        {
            "offset": first * PAGE,
            "length": count * PAGE,
            "damage": damage,
            "detail": f"detail of {damage}",
            "iova": 0x10000000 + first * PAGE,
            "physical": 0x1_2345_6000 + first * PAGE,
        }
        for first, count, damage in runs[:16]
    ]
    return {
        "what": "256 MiB of memfd",
        "checked": pages * PAGE,
        "page": PAGE,
        "damaged": damaged,
        "extents": extents,
        "extent_count": len(runs),
        "map": [list(run) for run in runs],
        **more,
    }


@dataclass
class RunBuilder:
    """Collects what a run tells, and writes its directory."""

    directory: Path
    records: list[dict[str, Any]] = field(default_factory=list)
    time: float = START

    def begin(self, **more: Any) -> RunBuilder:
        """The first line."""
        return self._record(
            "begin",
            schema=3,
            carryover="0.1.0",
            target="main",
            environment="ci/drivers.yaml",
            claims=["memory", "file"],
            iommu_mode="iommufd",
            devices=[
                {"address": "0000:01:00.0", "id": "8086:10c9", "driver": "igb"},
                {"address": "0000:02:00.0", "id": "8086:10c9", "driver": "igb"},
                {"address": "0000:03:00.0", "id": "1b36:0010", "driver": "nvme"},
            ],
            arguments=["-k", "Continuity"],
            **more,
        )

    def marks(self, marks: list[tuple[str, float]], cycle: int, kexec: int) -> RunBuilder:
        """Marks one after another; the clock goes on with them."""
        zero = self.time
        for what, after in marks:
            self.time = zero + after
            text = {
                "ready": "carryover: target ready boot_id="
                f"{boot_identity(kexec, cycle)['boot_id']} nonce=c{cycle}k{kexec}",
                "kernel": "[    0.000000] Linux version 7.3.4-carryover (gcc 14)",
                "outgoing-last": "[   12.345678] kexec_core: Starting new kernel",
            }.get(what, "")
            self._record("mark", cycle=cycle, kexec=kexec, what=what, text=text)
        self.time += 0.2
        return self

    def power_cycle(self, cycle: int = 1, kexecs: int = 1) -> RunBuilder:
        """All marks of a power cycle."""
        self.marks(COLD_BOOT, cycle, 0)
        if kexecs:
            self.marks(ARMING, cycle, 0)
        for kexec in range(1, kexecs + 1):
            self.marks(KEXEC, cycle, kexec)
        return self.marks([("off", 0.0)], cycle, kexecs)

    def result(
        self,
        name: str,
        verdict: Verdict = Verdict.PASS,
        log: str | bytes = "start\nfinish\n",
        **more: Any,
    ) -> RunBuilder:
        """A test's result and its log."""
        path = Path("logs") / f"{len(self.records)}.log"
        (self.directory / "logs").mkdir(parents=True, exist_ok=True)
        data = log if isinstance(log, bytes) else log.encode()
        (self.directory / path).write_bytes(data)
        second = {Verdict.FAIL: "FAIL", Verdict.LOST: "LOST"}.get(verdict, "PASS")
        fields = {
            "name": name,
            "verdict": verdict.value,
            "reason": "" if verdict is Verdict.PASS else f"because of {verdict.value}",
            "kind": "continuity",
            "claim": "memory",
            "driver": None,
            "device": None,
            "duration": 0.25,
            "halves": [
                {"half": "arm", "generation": 0, "result": "ARMED", "duration": 0.1},
                {"half": "verify", "generation": 1, "result": second, "duration": 0.15},
            ],
            "failures": [],
            "notes": {"bytes": "1048576"},
            "cold_boot": boot_identity(0),
            "kexecs": [boot_identity(1)],
            "damage": [],
            "summary": "What was there before is there after the kexec",
            "file": "selftests/memory_continuity_test.cc",
            "line": 42,
            "log": str(path),
        }
        return self._record("result", **{**fields, **more})

    def fault(self, text: str, test: str | None = None, *more: str) -> RunBuilder:
        """A complaint of the kernel."""
        return self._record(
            "kernel-fault",
            text=text,
            test=test,
            kind="WARNING",
            severity="fault",
            fingerprint=f"WARNING {text}",
            kernel="incoming",
            lines=[text, *more],
        )

    def violation(self, text: str) -> RunBuilder:
        """A complaint of a device model."""
        return self._record("violation", text=text)

    def console(self, text: str | bytes) -> RunBuilder:
        """The console's log."""
        data = text if isinstance(text, bytes) else text.encode()
        (self.directory / "console.log").write_bytes(data)
        return self

    def end(self, how: str = "complete") -> RunBuilder:
        """The last line."""
        counts: dict[str, int] = {}
        for record in self.records:
            if record["event"] == "result":
                counts[record["verdict"]] = counts.get(record["verdict"], 0) + 1
        return self._record("end", how=how, counts=counts)

    def write(self, *, cut: int = 0) -> Path:
        """Writes results.jsonl, without its last `cut` bytes; returns the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(record) + "\n" for record in self.records)
        (self.directory / "results.jsonl").write_text(text[: len(text) - cut])
        return self.directory

    def record(self, event: str, **fields: Any) -> RunBuilder:
        """Any other line."""
        return self._record(event, **fields)

    def _record(self, event: str, **fields: Any) -> RunBuilder:
        self.records.append({"event": event, "time": self.time, **fields})
        return self


def every_verdict(directory: Path) -> RunBuilder:
    """A run with each verdict, damage of each class, two power cycles, faults and a violation."""
    run = RunBuilder(directory).begin().power_cycle(1, kexecs=3).power_cycle(2, kexecs=1)
    igb: dict[str, Any] = {"driver": "igb", "device": "0000:01:00.0"}
    for number in range(20):
        run.result(f"IgbContinuity.Keeps{number}", **igb, duration=0.01 * number)
    run.result("LiveUpdateRules.TokenInUseIsRefused", kind="run", claim=None, kexecs=[])
    runs = [(10 + 7 * i, i + 1, damage) for i, damage in enumerate(DAMAGES)]
    run.result(
        DAMAGED,
        Verdict.FAIL,
        reason="6 extents of 268435456 bytes are damaged",
        failures=[
            "selftests/memory_continuity_test.cc:57: Expected equality of these values:\n"
            "  report.extent_count\n    Which is: 6\n  0",
            "selftests/memory_continuity_test.cc:61: the guard behind it differs",
        ],
        notes={"bytes": "268435456", "GB per second": "11.2"},
        damage=[memory(65536, runs), memory(4, [(2, 1, "zeroed")], what="the guard behind it")],
        log="start: half=arm\n" + "a line of the log\n" * 8000 + "the last line\n",
        kexecs=[boot_identity(1), boot_identity(2), boot_identity(3)],
    )
    for verdict in Verdict:
        if verdict not in (Verdict.PASS, Verdict.FAIL):
            run.result(f"Verdicts.{verdict.value.title()}/1", verdict, claim="file", **igb)
    run.result(
        "NvmeContinuity.OneMiB",
        Verdict.SKIP,
        driver="nvme",
        device="0000:03:00.0",
        claim="mapping",
        halves=[],
        reason="this kernel does not claim `mapping`",
    )
    run.fault(
        "WARNING: possible recursive locking detected",
        "IgbContinuity.Keeps3",
        "swapper/0 is trying to acquire lock",
    )
    run.violation("model nvme: doorbell of a queue that is not there")
    run.console(
        "03:00:00.000     0.000  SeaBIOS (version 1.16)\n"
        "03:00:01.000     1.000  [    1.000] WARNING: possible recursive locking detected\n"
        "03:00:01.001     1.001  [    1.001] swapper/0 is trying to acquire lock\n"
    )
    return run
