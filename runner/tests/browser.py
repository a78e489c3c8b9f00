# SPDX-License-Identifier: GPL-2.0-only
"""A page in headless Chromium, as a person sees and uses it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

DESKTOP = (1280, 900)
PHONE = (360, 740)
_LIMIT = 10.0


class Browser:
    """One browser, in which pages are opened one after another."""

    def __init__(self) -> None:
        binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if binary is None or driver is None:
            pytest.fail("no chromium or chromedriver is installed: run ci/setup --test")
        options = ChromeOptions()
        options.binary_location = binary
        for word in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"):
            options.add_argument(word)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium has none for root
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=ChromeService(driver))
        self.look()

    def look(
        self, size: tuple[int, int] = DESKTOP, *, dark: bool = False, script: bool = True
    ) -> None:
        """How the next pages are looked at."""
        width, height = size
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=size == PHONE,
        )  # fmt: skip
        self._devtools(
            "Emulation.setTouchEmulationEnabled", enabled=size == PHONE, maxTouchPoints=2
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", features=[scheme])
        self._devtools("Emulation.setScriptExecutionDisabled", value=not script)

    def open(self, page: Path, fragment: str = "") -> float:
        """Opens a page anew; returns the seconds until it can be used."""
        self.driver.get("about:blank")
        self.messages()
        self.requests()
        began = time.monotonic()
        self.driver.get(page.as_uri() + fragment)
        self.until(lambda: self.script("return document.documentElement.dataset.ready") == "yes")
        return time.monotonic() - began

    def script(self, code: str, *arguments: Any) -> Any:
        """What a function with this body returns."""
        return self.driver.execute_script(code, *arguments)

    def one(self, selector: str) -> WebElement:
        """The first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """All elements of a CSS selector that are shown."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element for element in found if element.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that are shown."""
        found = self.script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((e) => e.offsetParent).map((e) => e.innerText.trim())",
            selector,
        )
        return [str(text) for text in found]

    def until(self, condition: Callable[[], object]) -> None:
        """Waits for something that the page does by itself."""
        WebDriverWait(self.driver, _LIMIT, poll_frequency=0.01).until(lambda _: condition())

    def messages(self) -> list[str]:
        """What the console got since the last question."""
        return [str(entry["message"]) for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """What was asked for since the last question, by its URL without the fragment."""
        entries = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            str(entry["params"]["request"]["url"])
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """All of the page, or its upper part, as PNG."""
        whole = int(self.script("return document.documentElement.scrollHeight"))
        width = int(self.script("return innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        found = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        path.write_bytes(base64.b64decode(found["data"]))

    def touch(self, points: Sequence[Sequence[tuple[float, float]]]) -> None:
        """Fingers: where each of them is, step by step; they are lifted in the end."""
        for number, step in enumerate(points):
            kind = "touchMove" if number else "touchStart"
            places = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(step)]
            self._devtools("Input.dispatchTouchEvent", type=kind, touchPoints=places)
        self._devtools("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def close(self) -> None:
        """Ends it."""
        self.driver.quit()

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def _devtools(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, arguments)
