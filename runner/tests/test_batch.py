# SPDX-License-Identifier: GPL-2.0-only
"""No test gets a verdict that it has not earned, whatever the program says or leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from carryover.campaign.batch import Batch
from carryover.errors import ProtocolError
from carryover.events import Event, TestInfo
from carryover.verdict import Verdict


def info(name: str, generations: int = 1) -> TestInfo:
    kind = "continuity" if generations else "run"
    return TestInfo(name, kind, "memory", None, generations, 1.0, "f.cc", 1, "")


def finish(name: str, half: str, result: str, generation: int = 0) -> Event:
    fields = {"name": name, "half": half, "result": result, "generation": generation}
    return Event("finish", {**fields, "reason": None, "duration_us": 1000})


def holding(*names: str, remaining: int = 1) -> Event:
    return Event("holding", {"armed": list(names), "remaining": remaining})


def test_pass_needs_both_halves() -> None:
    batch = Batch([info("A.B")])
    assert batch.observe(finish("A.B", "arm", "ARMED")) is None
    assert batch.armed() == ["A.B"]
    batch.begin_verify()
    result = batch.observe(finish("A.B", "verify", "PASS", 1))
    assert result is not None
    assert result.verdict is Verdict.PASS
    assert result.duration == pytest.approx(0.002)
    assert not batch.undecided()


@pytest.mark.parametrize(
    ("half", "result"),
    [
        ("arm", "PASS"),
        ("arm", "LOST"),
        ("run", "ARMED"),
        ("run", "LOST"),
        ("verify", "ARMED"),
        ("carry", "PASS"),
        ("carry", "INFRA"),
        ("verify", ""),
        ("verify", "pass"),
        ("later", "PASS"),
    ],
)
def test_a_half_cannot_end_with_any_result(half: str, result: str) -> None:
    with pytest.raises(ProtocolError, match="cannot end with"):
        Batch([info("A.B")]).observe(finish("A.B", half, result))


def test_silence_is_never_a_pass() -> None:
    run, armed, silent = info("R.A", 0), info("C.A"), info("C.B")
    batch = Batch([run, armed, silent])
    assert [r.verdict for r in batch.end_of_run("")] == [Verdict.INFRA]
    batch.observe(finish("C.A", "arm", "ARMED"))
    batch.observe(holding("C.A"))
    assert [(r.name, r.verdict) for r in batch.end_of_arm("")] == [("C.B", Verdict.INFRA)]
    batch.begin_verify()
    assert [(r.name, r.verdict) for r in batch.end_of_verify("")] == [("C.A", Verdict.LOST)]


@pytest.mark.parametrize("half", ["run", "arm", "verify"])
def test_a_test_that_had_too_little_to_prove_anything_is_infra(half: str) -> None:
    batch = Batch([info("A.B", 0 if half == "run" else 1)])
    event = finish("A.B", half, "INFRA")
    event.fields["reason"] = "the ring would have needed 64000 bytes"
    result = batch.observe(event)
    assert result is not None
    assert result.verdict is Verdict.INFRA
    assert result.reason == "the ring would have needed 64000 bytes"


def test_armed_but_not_held_is_infra() -> None:
    batch = Batch([info("C.A")])
    batch.observe(finish("C.A", "arm", "ARMED"))
    assert [r.verdict for r in batch.end_of_arm("")] == [Verdict.INFRA]


def test_a_chain_that_is_not_armed_again_does_not_pass() -> None:
    batch = Batch([info("C.A", generations=2)])
    batch.observe(finish("C.A", "arm", "ARMED"))
    batch.observe(holding("C.A", remaining=2))
    assert not list(batch.end_of_arm(""))
    batch.begin_verify()
    assert batch.observe(finish("C.A", "verify", "PASS", 1)) is None
    assert [r.verdict for r in batch.end_of_verify("")] == [Verdict.INFRA]


def test_a_chain_passes_at_its_last_generation_only() -> None:
    batch = Batch([info("C.A", generations=2)])
    batch.observe(finish("C.A", "arm", "ARMED"))
    batch.observe(holding("C.A", remaining=2))
    batch.begin_verify()
    assert batch.observe(finish("C.A", "verify", "PASS", 1)) is None
    assert batch.observe(finish("C.A", "carry", "ARMED", 1)) is None
    batch.observe(holding("C.A"))
    assert not list(batch.end_of_verify(""))
    batch.begin_verify()
    result = batch.observe(finish("C.A", "verify", "PASS", 2))
    assert result is not None
    assert result.verdict is Verdict.PASS


def test_events_of_tests_that_are_not_ours_are_passed_over() -> None:
    batch = Batch([info("C.A")])
    assert batch.observe(finish("X.Y", "verify", "PASS", 1)) is None
    assert [test.name for test in batch.undecided()] == ["C.A"]


def test_the_running_test_is_known() -> None:
    batch = Batch([info("C.A")])
    start: dict[str, Any] = {"name": "C.A", "half": "arm", "generation": 0}
    batch.observe(Event("start", start))
    assert batch.running == ("C.A", "arm")
    batch.observe(finish("C.A", "arm", "ARMED"))
    assert batch.running is None


def test_a_failure_without_reason_gets_its_first_assertion() -> None:
    batch = Batch([info("R.A", 0)])
    fields = {"name": "R.A", "half": "run", "file": "a.cc", "line": 3, "message": "1 != 2"}
    batch.observe(Event("failure", fields))
    result = batch.observe(finish("R.A", "run", "FAIL"))
    assert result is not None
    assert result.reason == "a.cc:3: 1 != 2"


def test_a_chain_whose_later_handover_cannot_be_read_is_lost() -> None:
    batch = Batch([info("A.Chain", 2)])
    batch.observe(finish("A.Chain", "arm", "ARMED"))
    batch.begin_verify()
    batch.observe(finish("A.Chain", "verify", "PASS", 1))
    batch.observe(finish("A.Chain", "carry", "ARMED", 1))
    batch.observe(holding("A.Chain"))
    assert not list(batch.end_of_verify(""))
    batch.begin_verify()
    (result,) = batch.end_of_verify("EIO")
    assert result.verdict is Verdict.LOST
    assert "EIO" in result.reason


def test_a_test_has_the_device_that_it_used_first() -> None:
    batch = Batch([info("A.B")])
    for address in ("0000:02:00.0", "0000:01:00.0"):
        batch.observe(Event("uses", {"name": "A.B", "address": address}))
    result = batch.observe(finish("A.B", "arm", "FAIL"))
    assert result is not None
    assert result.device == "0000:02:00.0"


def test_each_damaged_memory_is_kept() -> None:
    batch = Batch([info("A.B")])
    for what in ("source", "destination"):
        batch.observe(Event("note", {"name": "A.B", "key": "damage", "value": {"what": what}}))
    batch.observe(Event("note", {"name": "A.B", "key": "copies", "value": "7"}))
    result = batch.observe(finish("A.B", "arm", "FAIL"))
    assert result is not None
    assert [damage["what"] for damage in result.damage] == ["source", "destination"]
    assert result.notes == {"copies": "7"}
    with pytest.raises(ProtocolError, match=r"A\.C: note damage: 'much' is no object"):
        Batch([info("A.C")]).observe(
            Event("note", {"name": "A.C", "key": "damage", "value": "much"})
        )


def test_what_was_seen_after_another_kexec_says_nothing_of_the_last() -> None:
    def note(key: str, value: str) -> Event:
        return Event("note", {"name": "A.B", "key": key, "value": value})

    def start(half: str) -> Event:
        return Event("start", {"name": "A.B", "half": half})

    batch = Batch([info("A.B", generations=2)])
    for event in (start("arm"), note("armed", "yes"), finish("A.B", "arm", "ARMED")):
        batch.observe(event)
    batch.begin_verify()
    for event in (start("verify"), note("bound", "1"), finish("A.B", "verify", "PASS", 1)):
        batch.observe(event)
    for event in (start("carry"), note("carried", "yes"), finish("A.B", "carry", "ARMED", 1)):
        batch.observe(event)
    batch.begin_verify()
    batch.observe(start("verify"))
    batch.observe(note("lost", "3"))
    result = batch.observe(finish("A.B", "verify", "FAIL", 2))
    assert result is not None
    assert result.notes == {"armed": "yes", "carried": "yes", "lost": "3"}
