# SPDX-License-Identifier: GPL-2.0-only
"""`carryover run --place` and `--tag`: places of labgrid's coordinator, taken and given back."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import RUNNER, FakeBench
from lab_on_fakes import FakeLab, fake_lab

from carryover import environment
from carryover.errors import BadInput
from carryover.place.coordinator import Coordinator

PLACES = ("alpha", "beta")


@pytest.fixture
def lab(fake: FakeBench) -> Iterator[FakeLab]:
    with fake_lab(fake, PLACES) as lab:
        yield lab


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"{text!r} was not said")


def eventually(condition: Callable[[], bool], limit: float = 15.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_run_on_a_place(lab: FakeLab) -> None:
    status, said, errors = lab.run("--place", "alpha", "-k", "Igb or AlsoPasses")
    assert status == 0, errors
    assert said["place"] == "alpha"
    assert said["verdicts"] == {"PASS": 2}  # Igb: the devices are those of the place
    assert "place alpha is acquired, as " in errors
    assert ".carryover-" in errors
    assert "acquired: None" in lab.show("alpha")
    assert "Reservation" not in lab.services.client("reservations")
    begin = json.loads((lab.fake.out / "results.jsonl").read_text().splitlines()[0])
    assert [device["address"] for device in begin["devices"]] == ["0000:01:00.0", "0000:02:00.0"]
    journal = [json.loads(line) for line in (lab.fake.out / "journal.jsonl").open()]
    place = next(entry for entry in journal if entry["step"] == "place")
    assert (place["name"], ".carryover-" in place["owner"]) == ("alpha", True)


def test_a_run_by_tags_gets_a_free_place(lab: FakeLab) -> None:
    lab.services.client("-p", "alpha", "acquire", user="bob")
    status, said, errors = lab.run("--tag", "board=fake", "-k", "AlsoPasses")
    assert (status, said["place"]) == (0, "beta"), errors
    assert "acquired: None" in lab.show("beta")
    assert "/bob" in lab.show("alpha")


def test_two_runs_get_two_places(lab: FakeLab) -> None:
    runs = [lab.start_run("--tag", "board=fake", "-k", "AlsoPasses", out=str(i)) for i in (1, 2)]
    outcomes = [json.loads(run.communicate(timeout=60)[0]) for run in runs]
    assert [outcome["exit_code"] for outcome in outcomes] == [0, 0]
    assert {outcome["place"] for outcome in outcomes} == set(PLACES)


def test_a_run_waits_for_a_place(lab: FakeLab) -> None:
    lab.services.client("-p", "alpha", "acquire", user="bob")
    process = lab.start_run("--place", "alpha", "--wait", "60", "-k", "AlsoPasses")
    wait_for(process, "waiting for a place, 60 s at most: alpha is held by")
    lab.services.client("-p", "alpha", "release", user="bob")
    output, errors = process.communicate(timeout=60)
    assert json.loads(output)["exit_code"] == 0, errors


def test_who_waits_in_vain_is_told_who_has_it(lab: FakeLab) -> None:
    for place in PLACES:
        lab.services.client("-p", place, "acquire", user="bob")
    status, _, errors = lab.run("--tag", "board=fake", "--wait", "1.5", "-k", "AlsoPasses")
    assert status == 2
    assert "no place is free: alpha is held by " in errors
    assert "/bob (last change 20" in errors
    assert "waited for 1.5 s" in errors
    assert "Reservation" not in lab.services.client("reservations")


def test_places_that_cannot_be_had(lab: FakeLab) -> None:
    lab.services.client("-p", "alpha", "acquire", user="bob")
    lab.services.client("-p", "empty", "create")
    lab.said("place", "sick", "beta", "no", "answer\n| of", "the BMC")
    before = [lab.show(place) for place in PLACES]
    for arguments, said in {
        ("--place", "alpha"): "place alpha is held by ",
        ("--place", "betta"): "has no place `betta`; was `beta` meant?",
        ("--place", "zzz"): "has no place `zzz`; it has 3: see `carryover place list`",
        ("--place", "empty"): "place empty: no match is defined for it; is its exporter running?",
        ("--place", "beta"): "place beta is sick: SICK since 20",
        ("--tag", "board=real"): "has no place with board=real",
        ("--tag", "board"): "--tag board: KEY=VALUE was meant",
        ("--place", "alpha", "--coordinator", "127.0.0.1:1"): "no coordinator answers at",
    }.items():
        status, outcome, errors = lab.run(*arguments, "-k", "AlsoPasses")
        assert (status, outcome) == (2, {}), errors
        assert said in errors.replace("\n", " ")
    assert [lab.show(place) for place in PLACES] == before
    assert not (lab.fake.out / "results.jsonl").exists()


def test_sick_and_well(lab: FakeLab) -> None:
    lab.services.client("-p", "alpha", "set-comment", "under the window")
    lab.said("place", "sick", "alpha", "no answer\n of the | BMC")
    lab.said("place", "sick", "alpha", "it smokes")
    status, said, errors = lab.run("--tag", "board=fake", "-k", "AlsoPasses")
    assert (status, said["place"]) == (0, "beta"), errors
    assert ": it smokes | under the window" in lab.show("alpha")
    lab.services.client("-p", "beta", "set-tags", "carryover=")
    status, _, errors = lab.run("--tag", "board=fake", "-k", "AlsoPasses")
    assert status == 2
    assert "alpha is sick (SICK since 20" in errors
    assert "beta lacks carryover=ready" in errors
    lab.said("place", "well", "alpha")
    assert "comment: under the window" in lab.show("alpha")
    listed = lab.said("place", "list", "--tag", "board=fake").splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["alpha", "ready"], ["beta", "board=fake"]]
    status, said, errors = lab.run("--tag", "board=fake", "-k", "AlsoPasses")
    assert (status, said["place"]) == (0, "alpha"), errors
    assert "no place `alfa`; was `alpha` meant?" in lab.said("place", "well", "alfa", status=2)


def test_an_environment_of_another_place(lab: FakeLab) -> None:
    text = lab.fake.environment.read_text()
    lab.fake.environment.write_text(text.replace("!template $LG_PLACE", "beta"))
    status, _, errors = lab.run("--place", "alpha", "-k", "AlsoPasses")
    assert status == 2
    assert "its place is beta, and the run is to be on alpha" in errors
    assert "acquired: None" in lab.show("alpha")


def test_an_environment_of_a_place_without_a_place(lab: FakeLab) -> None:
    status, _, errors = lab.run("-k", "AlsoPasses")
    assert status == 2
    assert "$LG_PLACE is named there and not set; give --place NAME or --tag" in errors


def test_the_example_of_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    example = RUNNER.parent / "docs" / "examples" / "lab" / "place.yaml"
    monkeypatch.delenv("LG_PLACE", raising=False)
    with pytest.raises(BadInput, match="give --place NAME or --tag"):
        environment.check(example, files=False)
    monkeypatch.setenv("LG_PLACE", "rack3-07")
    environment.check(example, files=False)
    environment.check_place(example, "rack3-07")
    with pytest.raises(BadInput, match="its place is rack3-07, and the run is to be on rack3-08"):
        environment.check_place(example, "rack3-08")


@pytest.mark.parametrize(
    "serial", ["001b21ffff8a3c10", "00-1b-21-ff-ff-8a-3c", "00-1B-21-ff-ff-8a-3c-10", 7]
)
def test_a_serial_number_that_is_none(fake: FakeBench, serial: object) -> None:
    text = fake.environment.read_text()
    fake.environment.write_text(text.replace("driver: igb}", f"driver: igb, serial: {serial}}}"))
    with pytest.raises(BadInput, match="something like '00-1b-21-ff-ff-8a-3c-10' was meant"):
        environment.check_targets(fake.environment)


def test_a_place_is_given_back_when_its_run_is_killed(lab: FakeLab) -> None:
    process = lab.start_run("--place", "alpha", "-k", "HangsInVerify")
    wait_for(process, "s  verify")
    assert ".carryover-" in lab.show("alpha")
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: "acquired: None" in lab.show("alpha"))


def test_a_place_is_given_back_to_a_coordinator_that_comes_later(lab: FakeLab) -> None:
    process = lab.start_run("--place", "alpha", "-k", "HangsInVerify")
    wait_for(process, "s  verify")
    lab.services.coordinator.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lab.services.coordinator.send_signal(signal.SIGCONT)
    eventually(lambda: "acquired: None" in lab.show("alpha"), 40)


def test_a_reservation_is_given_back_when_its_run_is_killed(lab: FakeLab) -> None:
    lab.services.client("-p", "alpha", "acquire", user="bob")
    process = lab.start_run("--place", "alpha", "--wait", "60", "-k", "AlsoPasses")
    wait_for(process, "waiting for a place")
    assert "Reservation" in lab.services.client("reservations")
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: "Reservation" not in lab.services.client("reservations"))
    assert "/bob" in lab.show("alpha")


def test_the_keeper_ends_with_its_run(lab: FakeLab) -> None:
    process = lab.start_run("--place", "alpha", "-k", "HangsInVerify")
    wait_for(process, "s  verify")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    processes = [Path(f"/proc/{child}") for child in children]
    (keeper,) = [p for p in processes if "lease_keeper" in (p / "cmdline").read_text()]
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert json.loads(output)["exit_code"] == 130, errors
    assert not keeper.exists()
    assert "acquired: None" in lab.show("alpha")


def test_a_place_that_is_taken_from_a_run(lab: FakeLab) -> None:
    process = lab.start_run("--place", "alpha", "-k", "HangsInVerify or AlsoPasses")
    wait_for(process, "s  verify")
    lab.services.client("-p", "alpha", "release", "--kick", user="mallory")
    lab.services.client("-p", "alpha", "acquire", user="mallory")
    output, errors = process.communicate(timeout=60)
    outcome = json.loads(output)
    assert outcome["verdicts"] == {"PASS": 1, "INFRA": 1}, errors
    assert outcome["exit_code"] == 3
    assert "INFRA    Memory.HangsInVerify" in errors
    assert "place alpha was taken from this run: " in errors
    assert "/mallory has it now" in errors
    assert "/mallory" in lab.show("alpha")  # what is not ours is not given back
    state = json.loads((lab.fake.folder / "alpha" / "state.json").read_text())
    assert state["cycle"] == 1  # nobody has powered it on again


def test_what_somebody_else_has_is_not_released(lab: FakeLab) -> None:
    lab.services.client("-p", "alpha", "acquire", user="mallory")
    with Coordinator(lab.services.address, "bob.carryover-1") as coordinator:
        coordinator.release("alpha")
        coordinator.give_all_back()
        alpha = coordinator.place("alpha")
    assert alpha is not None
    assert alpha.holder.endswith("/mallory")


def test_a_place_that_nobody_has(lab: FakeLab) -> None:
    process = lab.start_run("--place", "alpha", "-k", "HangsInVerify")
    wait_for(process, "s  verify")
    lab.services.client("-p", "alpha", "release", "--kick", user="mallory")
    output, errors = process.communicate(timeout=60)
    assert json.loads(output)["verdicts"] == {"INFRA": 1}
    assert "taken from this run: nobody has it now" in errors


def test_a_machine_that_is_sick_is_kept_from_others(lab: FakeLab) -> None:
    lab.variables["CARRYOVER_FAKE_SICK"] = "no kernel was ready"
    status, outcome, errors = lab.run("--place", "alpha", "-k", "AlsoPasses")
    assert (status, outcome["verdicts"]) == (3, {"INFRA": 1}), errors
    shown = lab.show("alpha")
    assert "acquired: None" in shown
    assert "carryover=sick" in shown
    assert "the machine is sick: no kernel was ready; SSH reboot: no route" in shown
    status, _, errors = lab.run("--place", "alpha", "-k", "AlsoPasses")
    assert status == 2
    assert "place alpha is sick: SICK since 20" in errors


def test_a_coordinator_that_is_restarted_forgets_who_has_what(lab: FakeLab) -> None:
    selection = ("--carryover-time-scale", "100", "-k", "HangsInVerify or AlsoPasses")
    process = lab.start_run("--place", "alpha", *selection)
    wait_for(process, "s  verify")
    eventually((lab.services.folder / "places.yaml").exists, 30)
    lab.services.coordinator.send_signal(signal.SIGTERM)
    lab.services.coordinator.wait(20)
    lab.services.start_coordinator()
    eventually(lambda: ".carryover-" in lab.show("alpha"), 20)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert json.loads(output)["verdicts"] == {"PASS": 1}, errors
    eventually(lambda: "acquired: None" in lab.show("alpha"))
