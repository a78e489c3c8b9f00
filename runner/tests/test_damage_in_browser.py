# SPDX-License-Identifier: GPL-2.0-only
"""The picture of damaged memory in report.html, in headless Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import PHONE, Browser
from saved_runs import DAMAGED, DAMAGES, RunBuilder, memory
from selenium.webdriver import ActionChains, Keys

from carryover import report
from carryover.verdict import Verdict

pytestmark = pytest.mark.browser

CLASSES = {"zeroed", "stale", "other", "poison", "flip", "foreign"}


def colours(browser: Browser) -> set[str]:
    """Those that are in the first picture, of the classes of damage."""
    found = browser.script(
        """
        const canvas = document.querySelector("canvas");
        const copy = new OffscreenCanvas(canvas.width, canvas.height)
          .getContext("2d", {willReadFrequently: true});
        copy.drawImage(canvas, 0, 0);
        const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
        const there = new Set();
        for (let i = 0; i < data.length; i += 4) there.add(data.slice(i, i + 3).join());
        const names = ["intact", "unknown", ...arguments[0]];
        const style = getComputedStyle(canvas);
        return names.filter((name) => {
          const value = style.getPropertyValue(`--d-${name}`).trim();
          return there.has([1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16)).join());
        });
        """,
        sorted(CLASSES),
    )
    return set(found)


def label(browser: Browser) -> str:
    return browser.one(".page-label").text


def scale_of(browser: Browser) -> float:
    """How much wider than the canvas the whole picture is."""
    return float(browser.one("canvas").get_attribute("data-zoom") or 0)


def press(browser: Browser, *keys: str) -> None:
    browser.one("canvas").send_keys(*keys)


def test_the_picture_has_each_class(browser: Browser, every: Path) -> None:
    browser.open(every, f"#test={DAMAGED}")
    browser.until(lambda: label(browser))
    assert colours(browser) == {"intact", *CLASSES}
    legend = browser.texts(".damage .legend")[0]
    assert all(damage in legend for damage in DAMAGES)
    assert "A row is" in browser.one(".scale").text
    browser.look(dark=True)
    browser.until(lambda: colours(browser) == {"intact", *CLASSES})


def point_at(browser: Browser, page: int) -> None:
    """Moves the mouse over a page of the first row, whose cells have 20 pixels."""
    canvas = browser.one("canvas")
    size = browser.script("return [arguments[0].clientWidth, arguments[0].clientHeight]", canvas)
    left, top = 20 * page + 10 - int(size[0] / 2), 10 - int(size[1] / 2)  # from the middle
    ActionChains(browser.driver).move_to_element_with_offset(canvas, left, top).perform()


def test_the_page_under_the_pointer_is_named(browser: Browser, every: Path) -> None:
    browser.open(every, f"#test={DAMAGED}")
    browser.one('[aria-label="Go to the next damaged pages"]').click()
    assert label(browser).startswith("Page 17, offset 0x11000: stale generation")
    assert "detail of stale generation" in label(browser)
    assert "IOVA 0x10011000" in label(browser)
    assert "physical 0x123467000" in label(browser)
    press(browser, Keys.HOME)
    point_at(browser, 10)
    assert label(browser).startswith("Page 10, offset 0xa000: zeroed")
    point_at(browser, 12)
    assert label(browser) == "Page 12, offset 0xc000: as it was"
    ActionChains(browser.driver).move_to_element(browser.one("#test h1")).perform()
    assert label(browser).startswith("Page 0,")  # the cursor's again


def test_keys_move_and_zoom(browser: Browser, every: Path) -> None:
    browser.open(every, f"#test={DAMAGED}")
    press(browser, Keys.HOME)
    assert label(browser).startswith("Page 0,")
    press(browser, "n", "n", "n")
    assert "Page 24, offset 0x18000: another page's content" in label(browser)
    press(browser, "p")
    assert "Page 17," in label(browser)
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert label(browser).startswith("Page 19,")
    assert label(browser).endswith("as it was")
    press(browser, Keys.ARROW_LEFT)
    assert "Page 18, offset 0x12000: stale generation" in label(browser)
    press(browser, Keys.END)
    assert label(browser).startswith("Page 65,535,")
    assert not browser.one('[aria-label="Zoom out"]').get_property("disabled")
    press(browser, "0")
    assert browser.one('[aria-label="Zoom out"]').get_property("disabled")


def test_buttons_zoom(browser: Browser, every: Path) -> None:
    browser.open(every, f"#test={DAMAGED}")
    whole = browser.script("return document.querySelector('canvas').toDataURL()")
    zoom_in = browser.one('[aria-label="Zoom in"]')
    for _ in range(12):
        if zoom_in.get_property("disabled"):
            break
        zoom_in.click()
    assert zoom_in.get_property("disabled")
    assert browser.script("return document.querySelector('canvas').toDataURL()") != whole
    browser.one('[aria-label="Show the whole memory"]').click()
    assert browser.script("return document.querySelector('canvas').toDataURL()") == whole


def test_the_wheel_is_the_pages_until_the_picture_is_used(browser: Browser, every: Path) -> None:
    browser.open(every, f"#test={DAMAGED}")
    turned = "return arguments[0].dispatchEvent(new WheelEvent('wheel', " \
        "{deltaY: -100, cancelable: true, bubbles: true, offsetX: 20, offsetY: 20}))"  # fmt: skip
    canvas = browser.one("canvas")
    out = browser.one('[aria-label="Zoom out"]')
    assert browser.script(turned, canvas) is True
    assert out.get_property("disabled")
    canvas.click()
    assert browser.script(turned, canvas) is False
    assert not out.get_property("disabled")


def test_fingers(browser: Browser, every: Path) -> None:
    browser.look(PHONE)
    browser.open(every, f"#test={DAMAGED}")
    canvas = browser.one("canvas")
    out = browser.one('[aria-label="Zoom out"]')
    browser.script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    x, y = browser.script(
        "const box = arguments[0].getBoundingClientRect(); return [box.x, box.y]", canvas
    )
    before = label(browser)
    browser.touch([[(x + 30, y + 20)]])
    browser.until(lambda: label(browser) != before)
    assert out.get_property("disabled")
    press(browser, "+")  # zoomed in, touches are the picture's, and not the page's
    cell = scale_of(browser)
    near, middle, far = (
        [(x + 100 - apart, y + 40), (x + 120 + apart, y + 40)] for apart in (0, 20, 60)
    )
    browser.touch([near, middle, far])
    browser.until(lambda: scale_of(browser) > 2 * cell)


def test_one_bad_page_of_a_terabyte_is_seen(browser: Browser, tmp_path: Path) -> None:
    run = RunBuilder(tmp_path).begin()
    run.result("Memory.Big", Verdict.FAIL, damage=[memory(1 << 28, [(123_456_789, 1, "poison")])])
    cut = memory(1 << 20, [(5, 2, "zeroed"), (9, 1, "foreign")], map_cut=True)
    run.result("Memory.Cut", Verdict.FAIL, damage=[cut])
    page = report.write(run.end().write())
    browser.open(page, "#test=Memory.Big")
    browser.until(lambda: "poison" in colours(browser))
    assert "Page 123,456,789" in label(browser)
    browser.open(page, "#test=Memory.Cut")
    browser.until(lambda: "unknown" in colours(browser))
    assert "not told: the map is cut" in browser.texts(".damage .legend")[0]
