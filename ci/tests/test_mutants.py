# SPDX-License-Identifier: GPL-2.0-only
"""A mutant's fate, from the results of a run on it."""

from pathlib import Path
from typing import Any

import pytest

from carryover_ci import mutants
from carryover_ci.bench import Bench
from carryover_ci.mutants import (
    Fate,
    Mutant,
    Trial,
    check_killers,
    complained_in,
    idle_tests,
    judge,
    judge_named,
    last_doing,
    names_phase,
    table,
)
from carryover_ci.progress import Progress
from carryover_ci.run import Failure

BENCH = Bench(Path("qemu"), Path("program"), Path("image"), "tcg")


def result(verdict: str, *, ran: bool = True) -> dict[str, Any]:
    return {"name": "A.B", "verdict": verdict, "halves": [{"half": "arm"}] if ran else []}


@pytest.mark.parametrize(
    ("results", "fate", "killers"),
    [
        ([result("PASS"), result("FAIL")], Fate.KILLED, ["FAIL A.B"]),
        ([result("FAIL"), result("LOST")], Fate.KILLED, ["FAIL A.B", "LOST A.B"]),
        ([result("PASS"), result("SKIP", ran=False)], Fate.SURVIVED, []),
        ([result("PASS"), result("INFRA")], Fate.SURVIVED, []),
        ([result("HANG", ran=False)], Fate.NOT_BOOTED, []),
        ([], Fate.NOT_BOOTED, []),
    ],
)
def test_fate(results: list[dict[str, Any]], fate: Fate, killers: list[str]) -> None:
    assert judge(results) == (fate, killers)


def test_when_the_machine_dies_the_killer_is_what_it_died_in() -> None:
    died = [result("FAIL"), *[result("RESET", ran=False)] * 3]
    assert judge(died, "A.Kexec") == (Fate.KILLED, ["FAIL A.B", "RESET A.Kexec"])
    assert judge(died[1:], "A.First") == (Fate.KILLED, ["RESET A.First"])


def test_what_was_done_last() -> None:
    start, finish = {"event": "start", "name": "A.B"}, {"event": "finish", "name": "A.B"}
    journal = [{"step": "power-on"}]
    assert last_doing([], journal) == ""
    assert last_doing([start], journal) == "A.B"
    assert last_doing([start, finish], journal) == ""
    assert last_doing([start, finish, start, {"event": "note"}], journal) == "A.B"
    journal += [{"step": "kexec"}, {"step": "verify"}, {"step": "power-off"}]
    assert last_doing([start, finish], journal[:2]) == "in the phase kexec"
    assert last_doing([start, {"event": "hello"}], journal) == "in the phase verify"


def test_one_that_does_not_build_keeps_no_other_from_being_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mutants"
    folder.mkdir()
    for name in ("a-broken", "b-good"):
        (folder / f"{name}.patch").write_text(f"Subject: {name}\n")
    tried: list[str] = []

    def try_mutant(_bench: object, mutant: Mutant, key: str, **_: object) -> Trial:
        tried.append(mutant.name)
        if mutant.name == "a-broken":
            return Trial(key, Fate.NOT_BUILT, "x", [], 3.0, "out/a-broken/build.log")
        return Trial(key, Fate.KILLED, "x", ["FAIL A.B"], 3.0, "out/b-good/bench.log")

    monkeypatch.setattr(mutants, "_MUTANTS", folder)
    monkeypatch.setattr(mutants, "_OUT", tmp_path / "out")
    monkeypatch.setattr(mutants, "_inputs", list)
    monkeypatch.setattr(
        mutants, "try_unbroken", lambda _b, _k, key, _p: Trial(key, Fate.SURVIVED, "", [], 1.0, "")
    )
    monkeypatch.setattr(mutants, "prepare", lambda *_: BENCH)
    monkeypatch.setattr(mutants, "tests_of", lambda _: [{"name": "A.B"}])
    monkeypatch.setattr(mutants, "try_mutant", try_mutant)
    monkeypatch.setattr("sys.argv", ["ci/mutants"])
    for _ in range(2):  # the second time everything is known
        with pytest.raises(SystemExit) as ended:
            mutants._main()
        assert ended.value.code == 1
        assert "a-broken  does not build" in (said := capsys.readouterr().out)
        assert "see out/a-broken/build.log" in said
        assert "1 of 2 mutants killed" in said
    assert tried == ["a-broken", "b-good"]


def tried_with(
    runs: dict[tuple[str, ...], list[str]], monkeypatch: pytest.MonkeyPatch, *, all_killers: bool
) -> tuple[Trial, list[tuple[str, ...]]]:
    """A trial whose runs of the suite, by what selects its tests, have these killers."""
    asked: list[tuple[str, ...]] = []

    def try_on(
        _bench: object, _mutant: object, out: Path, _progress: object, *more: str
    ) -> tuple[Fate, list[str], Path]:
        asked.append(more)
        killers = runs[more]
        return (Fate.KILLED if killers else Fate.SURVIVED), killers, out / "bench.log"

    monkeypatch.setattr(mutants, "_build", lambda *_: Path("kernel"))
    monkeypatch.setattr(mutants, "build_image", lambda *_: Path("image"))
    monkeypatch.setattr(mutants, "_try_on", try_on)
    mutant = Mutant("m", Path("m.patch"), "x", killed_by=("A.B",))
    trial = mutants.try_mutant(BENCH, mutant, "", all_killers=all_killers, progress=Progress())
    return trial, asked


NAMED, FIRST = ("-k", "(A and B)"), ("-x",)


@pytest.mark.parametrize(
    ("named", "first", "fate", "asked"),
    [
        (["FAIL A.B"], [], Fate.KILLED, [NAMED]),
        ([], ["FAIL X.Y"], Fate.BY_CHANCE, [NAMED, FIRST]),
        ([], [], Fate.SURVIVED, [NAMED, FIRST]),
    ],
)
def test_the_named_tests_run_alone_and_others_only_if_they_do_not_kill(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: list[str],
    first: list[str],
    fate: Fate,
    asked: list[tuple[str, ...]],
) -> None:
    monkeypatch.setattr(mutants, "_OUT", tmp_path)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    trial, runs = tried_with({NAMED: named, FIRST: first}, monkeypatch, all_killers=False)
    assert (trial.fate, trial.killers, runs) == (fate, named + first, asked)


@pytest.mark.parametrize(
    ("whole", "named", "fate", "asked"),
    [
        (["FAIL A.B", "FAIL X.Y"], [], Fate.KILLED, [()]),
        (["RESET X.Y"], ["FAIL A.B"], Fate.KILLED, [(), NAMED]),
        (["RESET X.Y"], [], Fate.BY_CHANCE, [(), NAMED]),
        ([], [], Fate.SURVIVED, [(), NAMED]),
    ],
)
def test_a_machine_that_dies_before_the_named_tests_is_started_again_for_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: list[str],
    named: list[str],
    fate: Fate,
    asked: list[tuple[str, ...]],
) -> None:
    monkeypatch.setattr(mutants, "_OUT", tmp_path)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    trial, runs = tried_with({(): whole, NAMED: named}, monkeypatch, all_killers=True)
    assert (trial.fate, trial.killers, runs) == (fate, whole + named, asked)


def test_the_log_of_a_failed_build_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Source:
        output = tmp_path

    def build_kernel(*_: object) -> Path:
        (tmp_path / "build.log").write_text("all that make said")
        raise Failure(f"x.c:1: error: y\nAll of it: {tmp_path / 'build.log'}")

    monkeypatch.setattr(mutants, "_OUT", tmp_path / "out")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "kernel_source", lambda *_, **__: Source())
    monkeypatch.setattr(mutants, "build_kernel", build_kernel)
    mutant = Mutant("m", tmp_path / "m.patch", "x")
    trial = mutants.try_mutant(BENCH, mutant, "key", all_killers=False, progress=Progress())
    assert (trial.fate, trial.log) == (Fate.NOT_BUILT, "out/m/build.log")
    make_log = tmp_path / "out" / "m" / "make.log"
    assert (tmp_path / trial.log).read_text() == f"x.c:1: error: y\nAll of it: {make_log}\n"
    assert make_log.read_text() == "all that make said"


def test_what_the_kernel_complains_of_kills() -> None:
    assert judge([result("PASS")], "", ["WARNING: x"]) == (
        Fate.KILLED,
        ["kernel fault: WARNING: x"],
    )
    killers = judge([result("FAIL")], "", ["WARNING: x"])[1]
    assert killers == ["FAIL A.B", "kernel fault: WARNING: x"]


def test_a_test_that_the_kernel_complains_in_is_a_killer() -> None:
    fault = {"event": "kernel-fault", "severity": "fault"}
    lines = [
        {"event": "result", "name": "A.B"},
        {**fault, "test": "A.B"},
        {**fault, "test": "A.B"},
        {**fault, "test": ""},
        {**fault, "test": "C.D", "severity": "notice"},
    ]
    assert complained_in(lines) == ["A.B"]


def lost_in(tmp_path: Path, phase: str) -> Mutant:
    patch = tmp_path / "p.patch"
    line = f"Lost-in: {phase}\n" if phase else ""
    patch.write_text(f"Subject: Breaks\nKilled-by: A.B\n{line}\n--- a/x\n")
    return Mutant.read(patch)


def told(where: str, name: str = "A.B") -> dict[str, Any]:
    return {"name": name, "notes": {"stream_lost_in": f"lost in the phase {where}"}}


def test_where_a_stream_was_lost_has_to_be_told(tmp_path: Path) -> None:
    mutant = lost_in(tmp_path, "kernel init")
    right = "kernel init, 5 ms after `kernel` (7.0 ms)"
    assert names_phase(mutant, [told(right)])
    assert names_phase(mutant, [told("user init, 5 ms after `init` (7.0 ms)"), told(right)])
    assert not names_phase(mutant, [told(right, "C.D")])
    assert not names_phase(mutant, [{"name": "A.B", "notes": {}}])
    assert names_phase(lost_in(tmp_path, ""), [])


@pytest.mark.parametrize(
    ("where", "phase"),
    [
        ("attach (7.5 ms)", "attach"),
        ("attach, and it did not go on", "attach"),
        ("after the attach (7.5 ms)", "after the attach"),
        ("vfio bind, 30 ms after `verify`, until attach (80.0 ms)", "vfio bind"),
        ("vfio bind, 30 ms after `verify`, until the attach (80.0 ms)", "vfio bind"),
        ("before the kexec, until kernel init, 3 ms after `kernel` (9.0 ms)", "before the kexec"),
        ("freeze or device shutdown, 40 ms before `jump`", "freeze or device shutdown"),
        ("kexec, boot or vfio bind, and it did not go on", "kexec, boot or vfio bind"),
    ],
)
def test_the_phase_is_where_it_was_lost_and_not_until_when(
    tmp_path: Path, where: str, phase: str
) -> None:
    phases = {"attach", "after the attach", "vfio bind", "kernel init", "before the kexec", phase}
    named = {name for name in phases if names_phase(lost_in(tmp_path, name), [told(where)])}
    assert named == {phase}


def test_a_mutant_says_what_it_needs(tmp_path: Path) -> None:
    patch = tmp_path / "p.patch"
    patch.write_text("Bench-options: --lg-env ci/x.yaml -k 'A or B'\nSubject: Breaks\n\n--- a/x\n")
    assert Mutant.read(patch).options == ("--lg-env", "ci/x.yaml", "-k", "A or B")


def test_a_mutant_says_what_it_breaks(tmp_path: Path) -> None:
    patch = tmp_path / "page-lost.patch"
    patch.write_text("Subject: [PATCH] One page is lost\n\n--- a/x\n")
    assert Mutant.read(patch) == Mutant("page-lost", patch, "One page is lost")
    patch.write_text("--- a/x\n")
    with pytest.raises(Failure, match=r"page-lost\.patch: has no line"):
        Mutant.read(patch)


def test_survivors_come_last() -> None:
    trials = {
        "alive": Trial("", Fate.SURVIVED, "x", [], 12.0, "out/alive.log"),
        "dead": Trial("", Fate.KILLED, "x", ["FAIL A.B", "LOST A.C", "FAIL A.D"], 9.5, "out/d.log"),
    }
    lines = table(trials).splitlines()
    assert lines[0].startswith("dead")
    assert "FAIL A.B, LOST A.C and 1 more" in lines[0]
    assert lines[1].startswith("alive")
    assert "survived" in lines[1]
    assert "out/alive.log" in lines[1]
    assert lines[-1] == "1 of 2 mutants killed"


def test_tests_that_can_not_be_seen_to_fail_are_named() -> None:
    tests = ["A.A", "A.B", "A.C", "A.D"]
    trials = [
        Trial("", Fate.KILLED, "x", ["FAIL A.B", "PANIC A.C"], 1.0, ""),
        Trial("", Fate.KILLED, "x", [f"LOST {name}" for name in tests], 1.0, ""),
        Trial("", Fate.SURVIVED, "x", [], 1.0, ""),
    ]
    assert idle_tests(tests, trials) == ["A.A", "A.D"]


def test_a_mutant_names_the_tests_that_have_to_kill_it(tmp_path: Path) -> None:
    patch = tmp_path / "page-lost.patch"
    patch.write_text("Subject: [MUTANT] A page is lost\nKilled-by: A.B A.C\nKilled-by: A.D\n")
    mutant = Mutant.read(patch)
    assert mutant.killed_by == ("A.B", "A.C", "A.D")
    assert judge_named(mutant, ["FAIL X.Y", "PANIC A.C"]) is Fate.KILLED
    assert judge_named(mutant, ["FAIL A.BC"]) is Fate.BY_CHANCE
    assert judge_named(mutant, []) is Fate.SURVIVED


def test_a_mutant_that_names_none_may_be_killed_by_any() -> None:
    assert judge_named(Mutant("x", Path("x"), "x"), ["PANIC in the phase kexec"]) is Fate.KILLED


def test_a_mutant_that_the_kernel_is_to_complain_of() -> None:
    mutant = Mutant("x", Path("x"), "x", killed_by=("A.C",), complaint="kho_restore")
    assert judge_named(mutant, ["kernel fault: WARNING at kho_restore_page"]) is Fate.KILLED
    assert judge_named(mutant, ["kernel fault: WARNING at oops"]) is Fate.BY_CHANCE
    assert judge_named(mutant, ["FAIL A.C"]) is Fate.BY_CHANCE
    assert judge_named(mutant, []) is Fate.SURVIVED


def test_a_killer_that_is_no_test_is_refused() -> None:
    mutant = Mutant("x", Path("x.patch"), "x", killed_by=("A.B", "A.Gone"))
    with pytest.raises(Failure, match=r"x\.patch: Killed-by: there is no test A\.Gone"):
        check_killers([mutant], {"A.B", "A.C"})


def test_only_kernels_that_die_whatever_is_tested_name_no_test() -> None:
    nameless = {mutant.name for mutant in mutants._mutants([]) if not mutant.killed_by}
    assert nameless == {"incoming-panics", "stream-all-deferred", "vfio-shutdown-locks-again"}
