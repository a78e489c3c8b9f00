# SPDX-License-Identifier: GPL-2.0-only
"""report.html in headless Chromium: what a person sees, clicks and types."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Browser
from made_up_gap import DEVICE, TRUTH, MadeUpKexec
from saved_runs import DAMAGED, DAMAGES, RunBuilder, every_verdict, memory
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.select import Select

from carryover import report
from carryover.gap.gap import PARTS
from carryover.verdict import Verdict

pytestmark = pytest.mark.browser

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
HOSTILE = '</script><script>document.title="owned"</script><img src="http://carryover.invalid/x">'


def rows(browser: Browser) -> int:
    shown = "[...document.querySelectorAll('#tests tbody tr')].filter((r) => r.offsetParent)"
    return int(browser.script(f"return {shown}.length"))


def fragment(browser: Browser) -> str:
    return str(browser.script("return location.hash"))


def choose(browser: Browser, name: str, value: str) -> None:
    Select(browser.one(f"select[name={name}]")).select_by_visible_text(value)


# --- at a glance


def test_the_overview(browser: Browser, every: Path) -> None:
    browser.open(every)
    assert browser.texts("h1") == ["Not a good run"]
    tally = [text.split() for text in browser.texts("#tally a")]
    assert tally[0] == ["1", "PANIC"]
    assert ["21", "PASS"] in tally
    matrix = browser.texts("#matrix tbody th")
    assert [row.split()[0] for row in matrix] == ["no", "igb", "igb", "nvme"]
    assert len(browser.all("#boots tbody tr")) == 4
    assert rows(browser) == 31
    first = browser.texts("#tests tbody tr:first-child td:first-child")
    assert first == ["PANIC"]  # worst first


def test_a_fault_has_its_report_and_its_test(browser: Browser, every: Path) -> None:
    browser.open(every)
    browser.one("#complaints summary code").click()
    assert "trying to acquire lock" in browser.one("#complaints pre").text
    browser.one("#complaints summary a").click()
    browser.until(lambda: "Keeps3" in browser.one("#test h1").text)
    assert "possible recursive locking" in browser.one("#test").text


# --- filters


def test_filters_are_in_the_fragment(browser: Browser, every: Path) -> None:
    browser.open(every)
    browser.one("#filters [data-verdict=SKIP]").click()
    assert (rows(browser), fragment(browser)) == (2, "#verdict=SKIP")
    browser.one("#filters [data-verdict=LOST]").click()
    assert rows(browser) == 3
    choose(browser, "claim", "mapping")
    assert rows(browser) == 1
    assert browser.one("#shown").text == "1 of 31 tests"
    browser.driver.refresh()
    assert rows(browser) == 1
    pressed = [
        b.get_attribute("data-verdict") for b in browser.all('#filters [aria-pressed="true"]')
    ]
    assert sorted(map(str, pressed)) == ["LOST", "SKIP"]
    browser.driver.back()
    browser.until(lambda: rows(browser) == 3)
    browser.driver.back()
    browser.until(lambda: rows(browser) == 2)
    browser.one("#clear").click()
    assert (rows(browser), fragment(browser)) == (31, "")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("driver", "nvme", 1),
        ("device", "0000:01:00.0", 28),
        ("claim", "none", 1),
        ("kind", "run", 1),
    ],
)
def test_each_choice(browser: Browser, every: Path, name: str, value: str, expected: int) -> None:
    browser.open(every)
    choose(browser, name, value)
    assert rows(browser) == expected


def test_text_is_found_in_names_and_reasons(browser: Browser, every: Path) -> None:
    browser.open(every)
    field = browser.one("input[name=text]")
    field.send_keys("igb keeps1")
    assert rows(browser) == 11
    field.clear()
    field.send_keys("because of HANG")
    assert browser.texts("#tests tbody .verdict") == ["HANG"]
    steps = browser.script("return history.length")
    field.send_keys("x")
    assert rows(browser) == 0
    assert browser.script("return history.length") == steps  # typing is no step to go back to


def test_the_order(browser: Browser, every: Path) -> None:
    browser.open(every)
    choose(browser, "sort", "by name")
    names = browser.texts("#tests tbody a")
    assert names == sorted(names)
    choose(browser, "sort", "longest first")
    longest = browser.texts("#tests tbody .c-time")
    assert longest[0] == "250 ms"
    assert longest[-1] == "0 ms"
    choose(browser, "sort", "worst first")
    assert browser.texts("#tests tbody .verdict")[0] == "PANIC"


def test_the_matrix_leads_to_its_tests(browser: Browser, every: Path) -> None:
    browser.open(every)
    browser.one('#matrix a[href*="nvme"]').click()
    browser.until(lambda: rows(browser) == 1)
    assert fragment(browser) == "#verdict=SKIP&driver=nvme&device=0000:03:00.0&claim=mapping"


# --- one test


def test_a_link_to_a_test(browser: Browser, every: Path) -> None:
    browser.open(every, f"#test={DAMAGED}")
    assert browser.texts("#test h1") == [f"FAIL {DAMAGED}"]
    assert not browser.one("#overview").is_displayed()
    assert DAMAGED in browser.driver.title
    shown = browser.one("#test").text
    for text in (
        "What was there before is there after the kexec",
        "6 extents of 268435456 bytes are damaged",
        "arm, in the outgoing kernel",
        "verify, in the incoming kernel",
        "selftests/memory_continuity_test.cc:57",
        "Which is: 6",
        "GB per second",
        "carryover.nonce=c1k3",
        "are left out here",
        "the last line",
    ):
        assert text in shown, text
    assert browser.texts("#test .failures .where")[1] == "selftests/memory_continuity_test.cc:61"


def test_to_a_test_and_back(browser: Browser, every: Path) -> None:
    browser.open(every, "#claim=memory&driver=igb")
    assert rows(browser) == 20
    link = browser.all("#tests tbody a")[15]
    name = link.text
    browser.script("arguments[0].scrollIntoView({block: 'center'})", link)
    scrolled = browser.script("return scrollY")
    assert scrolled > 0
    link.click()
    assert browser.texts("#test h1") == [f"PASS {name}"]
    assert browser.script("return scrollY") == 0
    assert fragment(browser) == f"#driver=igb&claim=memory&test={name}"
    assert browser.one("#back").text == "The 20 tests shown"
    browser.driver.back()
    browser.until(lambda: rows(browser) == 20)
    assert browser.script("return scrollY") == scrolled
    assert browser.script("return document.activeElement.innerText") == name
    browser.driver.forward()
    browser.until(lambda: browser.texts("#test h1") == [f"PASS {name}"])
    stable = str(browser.one("#link").get_attribute("href"))
    assert stable.endswith(f"#test={name}")
    browser.one("#back").click()
    browser.until(lambda: rows(browser) == 20)


def test_neighbours_are_those_that_are_shown(browser: Browser, every: Path) -> None:
    browser.open(every, "#verdict=SKIP&test=Verdicts.Skip/1")
    assert [link.text for link in browser.all(".neighbours a")][1:-1] == ["Next"]
    browser.all(".neighbours a")[1].click()
    browser.until(lambda: browser.texts("#test h1") == ["SKIP NvmeContinuity.OneMiB"])
    assert "None of its halves came to an end" in browser.one("#test").text


def test_no_such_test(browser: Browser, every: Path) -> None:
    browser.open(every, "#test=Suite.Gone")
    assert "This run has no result of Suite.Gone." in browser.one("#test").text
    browser.one("#test a").click()
    browser.until(lambda: rows(browser) == 31)


def test_keys_alone_will_do(browser: Browser, every: Path) -> None:
    browser.open(every, "#verdict=FAIL")
    browser.one("input[name=text]").click()
    keys = ActionChains(browser.driver)
    for _ in range(20):
        keys.send_keys(Keys.TAB).perform()
        if browser.script("return document.activeElement.innerText") == DAMAGED:
            break
    keys.send_keys(Keys.ENTER).perform()
    browser.until(lambda: browser.texts("#test h1") == [f"FAIL {DAMAGED}"])


# --- the timeline


def test_the_timeline(browser: Browser, every: Path) -> None:
    browser.open(every)
    names = browser.texts("#timeline button.lane b")
    assert names == [
        "cycle 1, cold boot", "cycle 1, kexec 1", "cycle 1, kexec 2", "cycle 1, kexec 3",
        "cycle 2, cold boot", "cycle 2, kexec 1",
    ]  # fmt: skip
    segments = browser.script(
        "return [...document.querySelectorAll('#timeline svg')].map("
        "(lane) => [...lane.querySelectorAll('rect')].map((r) => r.getBoundingClientRect().width))"
    )
    assert [len(lane) for lane in segments] == [4, 11, 9, 9, 4, 11]
    second = segments[2]
    # Boot (1.2 s) against freeze (0.9 s), and the last one (1.5 s): drawn to scale.
    assert second[4] / second[2] == pytest.approx(1.2 / 0.9, rel=0.05)
    assert second[8] / second[2] == pytest.approx(1.5 / 0.9, rel=0.05)
    browser.all("#timeline button.lane")[1].click()
    (marks,) = browser.texts("#timeline .marks")
    assert "jump to outgoing-last" in marks
    assert "Starting new kernel" in marks


def test_a_test_has_the_timeline_of_its_own_kexecs(browser: Browser, every: Path) -> None:
    browser.open(every, f"#test={DAMAGED}")
    assert len(browser.all("#test button.lane")) == 4
    browser.open(every, "#test=IgbContinuity.Keeps1")
    assert browser.texts("#test button.lane b") == ["cycle 1, cold boot", "cycle 1, kexec 1"]


def test_many_kexecs(browser: Browser, tmp_path: Path) -> None:
    run = RunBuilder(tmp_path).begin().power_cycle(kexecs=100).result("Memory.Keeps").end()
    browser.open(report.write(run.write()))
    assert len(browser.all("#timeline svg")) == 8
    browser.one("#timeline > .timeline > button").click()
    assert len(browser.all("#timeline svg")) == 101
    assert browser.texts("#timeline button.lane b")[100] == "kexec 100"
    browser.one("#timeline > .timeline > details > summary").click()
    assert any(
        row.split()[:2] == ["freeze", "100"] for row in browser.texts("#timeline details tr")
    )


# --- the gap


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = RunBuilder(tmp_path_factory.mktemp("timed")).begin()
    for number in range(3):
        truth = {**TRUTH, "init": TRUTH["init"] + 0.1 * number}
        age = 20 - TRUTH["kernel"]
        missing = ["shutdown"] if number == 2 else []
        MadeUpKexec(number + 1, 5000.0 + 20 * number, truth, missing, age=age).tell(run)
    return report.write(run.result("DmacStream.GoesOn").end().write())


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("script", [True, False], ids=["script", "none"])
def test_the_gap(
    browser: Browser, timed: Path, size: tuple[int, int], *, dark: bool, script: bool
) -> None:
    browser.look(size, dark=dark)
    browser.open(timed)
    browser.look(size, dark=dark, script=script)
    assert browser.texts("#h-gap") == ["The gap kexec 3, the longest of 3"]
    rows = [row.split("\n")[0] for row in browser.texts("#gap [role=rowheader]")]
    assert rows == [*(name for name, _, _ in PARTS), f"{DEVICE}, longest gap"]
    took = browser.texts("#gap [role=cell].took")
    assert (took[2], took[3], took[4], took[5]) == (
        "not known", "not known", "400.0 ms", "3,450.0 ms",
    )  # fmt: skip
    drawn = {
        name: tuple(box)
        for name, box in browser.script(
            "return [...document.querySelectorAll('#gap .row:not(.axis)')]"
            ".filter((r) => r.querySelector('rect'))"
            ".map((r) => [r.firstElementChild.innerText, (({left, right}) => [left, right])"
            "(r.querySelector('rect').getBoundingClientRect())])"
        )
    }
    assert "freeze" not in drawn  # nothing is drawn of what is not known
    init = drawn["kernel init"]
    assert init[0] == pytest.approx(drawn["jump"][1], abs=1.5)
    assert init[1] == pytest.approx(drawn["user init"][0], abs=1.5)
    jump = drawn["jump"]
    assert (init[1] - init[0]) / (jump[1] - jump[0]) == pytest.approx(3.45 / 0.4, rel=0.1)
    device = drawn[f"{DEVICE}, longest gap"]
    assert init[0] < device[0] < device[1] < init[1]  # it lies 50 ms behind that one's begin
    assert len(browser.all("#figures tbody tr")) == len(PARTS) + 5
    width = browser.script("return document.documentElement.scrollWidth")
    assert width <= size[0]
    assert browser.script(CONTRAST) == []


def test_a_run_without_a_kexec_has_no_gap(browser: Browser, every: Path) -> None:
    browser.open(every)
    assert browser.all("#gap") == []


# --- how it looks


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("where", ["", f"#test={DAMAGED}", "#test=Verdicts.Infra/1", "#test=gone"])
def test_it_fits_and_can_be_read(
    browser: Browser, every: Path, where: str, size: tuple[int, int], *, dark: bool
) -> None:
    browser.look(size, dark=dark)
    browser.open(every, where)
    for closed in browser.all("details:not([open]) > summary, .lane"):
        browser.script("arguments[0].click()", closed)
    width = browser.script("return [innerWidth, document.documentElement.scrollWidth]")
    assert width[1] <= size[0], width
    assert browser.script(CONTRAST) == []
    background = browser.script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 3 * 64) == dark


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_letters_in_the_picture_can_be_read(browser: Browser, every: Path, *, dark: bool) -> None:
    browser.look(dark=dark)
    browser.open(every, f"#test={DAMAGED}")
    browser.one(".damage details summary").click()
    assert [line for line in browser.script(CONTRAST) if "swatch" in line] == []
    assert len(browser.all(".damage .legend .swatch")) >= 7


def test_controls_have_names(browser: Browser, every: Path) -> None:
    for where in ("", f"#test={DAMAGED}"):
        browser.open(every, where)
        nameless = [
            element.get_attribute("outerHTML")
            for element in browser.all("a, button, input, select, summary, canvas, svg, [tabindex]")
            if not element.accessible_name and element.tag_name not in ("main", "svg")
        ]
        assert nameless == []


def test_without_javascript_there_is_the_table_of_verdicts(browser: Browser, every: Path) -> None:
    browser.look(script=False)
    browser.driver.get(every.as_uri())
    body = browser.one("body")
    assert "need JavaScript" in body.text
    assert browser.one("#tests tbody tr:last-child").is_displayed()
    assert browser.one("#matrix").is_displayed()
    assert not browser.one("#filters").is_displayed()
    assert DAMAGED in body.text


def test_a_run_that_was_cut_short(browser: Browser, tmp_path: Path) -> None:
    page = report.write(every_verdict(tmp_path).write(cut=9))
    browser.open(page)
    assert "is cut off" in browser.texts("#problems")[0]
    assert browser.one("#console pre").is_displayed()


def test_a_hostile_run(browser: Browser, tmp_path: Path) -> None:
    name = f"Suite.{HOSTILE}/%2F&+#é"
    run = RunBuilder(tmp_path).begin().power_cycle()
    run.result(name, Verdict.FAIL, HOSTILE.encode() + b"\xff\x00", reason=HOSTILE,
               failures=[HOSTILE], notes={HOSTILE: HOSTILE}, summary=HOSTILE,
               damage=[memory(8, [(1, 1, "zeroed")], what=HOSTILE)])  # fmt: skip
    run.fault(HOSTILE, name).violation(HOSTILE).console(f"{HOSTILE}\n")
    browser.open(report.write(run.end().write()))
    assert "owned" not in browser.driver.title
    browser.one("#tests tbody a").click()
    assert browser.texts("#test h1") == [f"FAIL {name}"]
    browser.driver.refresh()
    assert browser.texts("#test h1") == [f"FAIL {name}"]
    assert "\\xff" in browser.one("#test .log").text
    assert browser.script("return document.images.length") == 0
    assert "owned" not in browser.driver.title.replace(HOSTILE, "")


# --- figures


def test_two_thousand_tests(
    browser: Browser, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    run = RunBuilder(tmp_path).begin().power_cycle(1, kexecs=20)
    damage = [memory(65536, [(10 * i, 3, DAMAGES[i % 6]) for i in range(2000)])]
    for number in range(2000):
        log = f"start: half=arm {number}\n" + "console: [   12.345678] a line <of> a log\n" * 400
        verdict = Verdict.FAIL if number % 50 == 0 else Verdict.PASS
        run.result(
            f"Suite{number // 100}.Test{number}/{number}",
            verdict,
            log,
            driver="igb",
            device="0000:01:00.0",
            damage=damage if number % 100 == 0 else [],
            failures=["test.cc:1: Expected equality"] if verdict is Verdict.FAIL else [],
        )
    page = report.write(run.end().write())
    assert page.stat().st_size < 10_000_000
    seconds = min(browser.open(page) for _ in range(3))
    assert rows(browser) == 2000
    began = time.monotonic()
    browser.one("input[name=text]").send_keys("7")
    browser.until(lambda: "of 2,000 tests" in browser.one("#shown").text)
    filtered = time.monotonic() - began
    browser.one("#tests tbody tr:not([hidden]) a").click()
    assert browser.one("#test .log").text != ""
    record_testsuite_property("megabytes", page.stat().st_size / 1e6)
    record_testsuite_property("seconds to open", seconds)
    record_testsuite_property("seconds to filter", filtered)
    assert seconds < 2.0
    assert filtered < 1.0
