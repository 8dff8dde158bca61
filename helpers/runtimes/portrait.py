"""A photograph of the phone's page with a real answer on it, at a phone's size: what a person would see."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers.files import build_dir
from helpers.runtimes import browser, phone

WIDTH, HEIGHT = 360, 740  # CSS pixels of a small phone
SECONDS = 60


def photograph(gguf: str | Path, question: str, country: str) -> bytes:
    """The page as PNG after it has answered `question`.

    Raises:
        LabError: there is no Chromium, the engine cannot be fetched, or the page reports trouble.
    """
    build_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build_dir(), prefix=".portrait-") as place:
        folder = phone.build(gguf, Path(place) / "page")
        with (
            phone.serving(folder) as address,
            ThreadPoolExecutor(1) as thread,
        ):  # a notebook's own thread runs an event loop
            return thread.submit(_taken, address, question, country).result()


def _taken(address: str, question: str, country: str) -> bytes:
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
        browser.open_page(page, address)
        page.select_option("#country", country)
        page.fill("#question", question)
        page.click("#ask")
        page.wait_for_selector("#level:not([hidden])", timeout=1000 * SECONDS)
        page.wait_for_selector("#ask:not([disabled])", timeout=1000 * SECONDS)
        return page.screenshot()
