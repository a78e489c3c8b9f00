# SPDX-License-Identifier: GPL-2.0-only
"""The picture of several kexecs: what is in it, and that it can be read."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from browser import Browser
from made_up_gap import DEVICE, TRUTH, MadeUpKexec
from saved_runs import RunBuilder

from carryover.__main__ import main
from carryover.gap.figures import picture
from carryover.gap.gap import PARTS, Gaps
from carryover.gap.picture import svg
from carryover.gap.reader import gaps
from carryover.outputs.saved_run import load

OTHER = "0000:0d:00.0"
FIGURES = [*(name for name, _, _ in PARTS), "whole", "without user space", "without a driver"]
SVG = "{http://www.w3.org/2000/svg}"


def kexec(number: int) -> MadeUpKexec:
    """The longer to load and to be silent, the later it is."""
    return MadeUpKexec(
        kexec=1 + number,
        jump=5000.0 + 20 * number,
        truth={**TRUTH, "load": -0.4 - 0.01 * number},
        missing=["shutdown"],
        age=20 - TRUTH["kernel"],
        gap=(1.0, 1.007 + 0.002 * number),
        lost=number % 2,
    )


def add_device(run: RunBuilder) -> None:
    """Each kexec has another device, which was silent for 1 ms more, and lost nothing."""
    for gap in [record for record in run.records if record["event"] == "device-gap"]:
        longer = gap["longest_us"] + 1000
        run.records.append({**gap, "device": OTHER, "longest_us": longer, "lost": 0})


def chain(folder: Path, count: int) -> Path:
    """A run of one test with so many kexecs."""
    run = RunBuilder(folder).begin()
    for number in range(count):
        kexec(number).tell(run)
    add_device(run)
    return run.end().write()


def repeated(folder: Path, count: int) -> list[Path]:
    """So many runs of one kexec each."""
    written = []
    for number in range(count):
        run = kexec(number).tell(RunBuilder(folder / str(number)).begin())
        add_device(run)
        written.append(run.end().write())
    return written


@pytest.fixture(params=["one run of several kexecs", "several runs"])
def several(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    if request.param == "several runs":
        return repeated(tmp_path, 11)
    return [chain(tmp_path, 11)]


def of_all(shown: str) -> dict[str, list[str]]:
    """What the rows of the figures say, in words, and their histograms' titles last."""
    root = ElementTree.fromstring(shown)
    found: dict[str, list[str]] = {}
    below, row = False, ""
    for element in root:
        text = "".join(element.itertext())
        if element.tag == f"{SVG}text":
            if below and element.get("x") == "10":
                row = text
                found[row] = []
            elif row:
                found[row].append(text)
            below = below or text.startswith("All ")
        elif element.tag == f"{SVG}rect" and row:
            found[row].append(text)
    return found


def test_every_part_and_device_has_its_figures(
    several: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gap", "--svg", *(str(path) for path in several)]) == 0
    shown = capsys.readouterr().out
    assert "The longest of 11 kexecs: " in shown
    found = of_all(shown)
    devices = [f"{address} DmacStream.GoesOn" for address in (DEVICE, OTHER)]
    assert list(found) == [*FIGURES, "error of the clock", "Longest gaps", *devices]
    assert found["freeze"] == ["0", "not known"]
    count, median, worst, least, *bars = found["load"]
    assert count == "11"
    assert [float(text.removesuffix(" ms")) for text in (least, median, worst)] == pytest.approx(
        [300, 350, 400], abs=1
    )
    counts = [re.fullmatch(r"([\d.]+) ms to ([\d.]+) ms: (\d+)", bar) for bar in bars]
    assert sum(int(found[3]) for found in counts if found) == 11
    assert [device[0:4] for device in (found[name] for name in devices)] == [
        ["5", "11", "17.0 ms", "27.0 ms"],
        ["0", "11", "18.0 ms", "28.0 ms"],
    ]


def test_bars_are_as_high_as_their_counts(several: list[Path]) -> None:
    shown = picture(gaps([load(path) for path in several]))
    bars = re.findall(r'height="([\d.]+)" fill="[^"]+"><title>[^:]*: (\d+)</title>', shown)
    assert len(bars) > len(FIGURES)
    assert {round(float(high) / int(count), 1) for high, count in bars if int(count) <= 2} >= {8.0}
    assert max(float(high) for high, _ in bars) == 16


def test_one_kexec_is_its_time_line(tmp_path: Path) -> None:
    found = gaps([load(chain(tmp_path, 1))])
    assert picture(found) == svg(found.kexecs[0])
    assert "One kexec: " in picture(found)


def test_names_are_no_markup(tmp_path: Path) -> None:
    run = kexec(0).tell(RunBuilder(tmp_path).begin())
    kexec(1).tell(run)
    for record in run.records:
        if record["event"] == "device-gap":
            record["name"] = "<script>&"
    shown = picture(gaps([load(run.end().write())]))
    assert any("<script>&" in row for row in of_all(shown))
    assert "<script>" not in shown


@pytest.mark.browser
def test_it_can_be_read(browser: Browser, tmp_path: Path) -> None:
    """No text is over another one or outside, however long the numbers are."""
    run = RunBuilder(tmp_path).begin()
    for number in range(11):
        kexec(number).tell(run)
    add_device(run)
    for record in run.records:
        if record["event"] == "device-gap":
            record.update(name="DmacStreamGenerations.KexecAfterKexec", lost=1_234_567)
            record["longest_us"] += 98_765_432
    page = tmp_path / "gap.svg"
    page.write_text(picture(gaps([load(run.end().write())])))
    browser.driver.get(page.as_uri())
    boxes = browser.script(
        "return [...document.querySelectorAll('text')].map((t) => {"
        "const b = t.getBBox(); return [t.textContent, b.x, b.y, b.x + b.width, b.y + b.height]})"
    )
    width, height = (
        float(n)
        for n in browser.script(
            "return [document.documentElement.viewBox.baseVal.width,"
            "document.documentElement.viewBox.baseVal.height]"
        )
    )
    assert len(boxes) > 100
    for number, (text, left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= width, text
        assert 0 <= top < bottom <= height, text
        for other, left2, top2, right2, bottom2 in boxes[number + 1 :]:
            apart = right <= left2 or right2 <= left or bottom <= top2 + 1 or bottom2 <= top + 1
            assert apart, f"{text} / {other}"


def test_nothing_is_no_picture() -> None:
    with pytest.raises(ValueError, match="empty"):
        picture(Gaps([]))
