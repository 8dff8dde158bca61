"""The browser as a runtime: headless Chromium opens the phone's page and runs its self-test.

Chromium is found, not downloaded. It is driven by playwright in a thread of its own, because a notebook's
thread runs an event loop and playwright's plain interface refuses to start beside one.
"""

import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Error, Page, sync_playwright

from helpers.cases import Example
from helpers.files import LabError, build_dir, read_json
from helpers.runtimes import phone
from helpers.runtimes.reply import Missing, Reply
from helpers.runtimes.serve import serving

NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
QUIET = ("--disable-gpu", "--disable-quic")  # beside what playwright switches off by itself
SECONDS = 120  # patience with a page that loads, and with each question of a self-test
PHONE = {"width": 360, "height": 740}  # CSS pixels of a small phone


class Browser:
    """A GGUF as the phone's page runs it: WebAssembly in headless Chromium, on loopback, in a fresh profile.

    Raises Missing: there is no Chromium; when it is asked: the page's engine cannot be fetched.
    """

    name = "browser"

    def __init__(self, gguf: str | Path) -> None:
        self.path = Path(gguf)
        find_chromium()

    def complete(self, conversations: Sequence[Example], *, max_new_tokens: int | None = None) -> list[Reply]:
        """Greedy answers in order, by the page's own self-test; a `LabError` if the page reports trouble."""
        seconds = SECONDS * (1 + len(conversations))
        test = {"examples": conversations, "max_new_tokens": max_new_tokens}
        result = on_the_page(self.path, lambda page: run_self_test(page, seconds), **test)
        return [_reply(row) for row in result["replies"]]


def _reply(row: dict[str, Any]) -> Reply:
    top = None if row["top"] is None else {token: math.log(share) for token, share in row["top"] if share > 0}
    return Reply(row["prompt"], tuple(row["tokens"]), row["text"], row["finish_reason"], top)


def photograph(gguf: str | Path, question: str, country: str) -> bytes:
    """The page at a phone's size after it has answered `question`, as PNG; errors as of `on_the_page`."""

    def asked(page: Page) -> bytes:
        page.select_option("#country", country)
        page.fill("#question", question)
        page.click("#ask")
        page.wait_for_selector("#level:not([hidden])", timeout=1000 * SECONDS)
        page.wait_for_selector("#ask:not([disabled])", timeout=1000 * SECONDS)
        return page.screenshot()

    return on_the_page(gguf, asked)


def on_the_page(gguf: str | Path, act: Callable[[Page], Any], **built: Any) -> Any:
    """Build the page, serve it, open it in a browser of its own, and give what `act` makes of it."""

    def opened(address: str) -> Any:
        with chromium() as browser:
            page = browser.new_page(viewport=PHONE, device_scale_factor=2)
            open_page(page, address)
            return act(page)

    build_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build_dir(), prefix=".browser-") as place:
        folder = phone.build(gguf, out=Path(place) / "page", **built)
        with serving(folder) as address, ThreadPoolExecutor(1) as thread:
            return thread.submit(opened, address).result()


def open_page(page: Page, address: str) -> None:
    """Open the page and wait until its model is loaded; a `LabError` if that does not happen."""
    try:
        page.goto(address)
        page.wait_for_selector("body[data-ready]", timeout=1000 * SECONDS)
    except Error as error:
        what = f"The page at {address} did not load in Chromium: {error.message.splitlines()[0]}"
        raise LabError(f"{what}. Run the same command again.") from None
    if page.get_attribute("body", "data-ready") not in ("offline", "online"):
        raise LabError(f"The page could not load the model. It says: {page.inner_text('#trouble')}")


def run_self_test(page: Page, seconds: float) -> dict[str, Any]:
    """Press the self-test's button and read the file that the page saves; a `LabError` if it fails."""
    page.locator("details").evaluate("details => details.open = true")
    try:
        with page.expect_download(timeout=1000 * seconds) as download:
            page.click("#selftest")
            page.wait_for_selector("#selftest-status[data-done]", timeout=1000 * seconds)
            if page.get_attribute("#selftest-status", "data-done") != "saved":
                said = page.inner_text("#selftest-status")
                raise LabError(f"The page's self-test failed. It says: {said}")
        return read_json(download.value.path())
    except Error as error:
        raise LabError(f"The page's self-test did not end: {error.message.splitlines()[0]}.") from None


@contextmanager
def chromium(*arguments: str) -> Iterator[Chromium]:
    """A headless Chromium while the block runs; not for a thread with an event loop, as a notebook's is.

    `arguments` are more of Chromium's command line. Raises LabError: there is no Chromium, or it does not start.
    """
    path = find_chromium()
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=[*QUIET, *arguments])
        except Error as error:
            said = error.message.splitlines()[0]
            how = "Reinstall Chromium, or set CHROMIUM to another"
            raise LabError(f"{path} does not start: {said}. {how}.") from None
        with browser:
            yield browser


def find_chromium() -> str:
    """Path of this machine's Chromium, Chrome or Edge, or of `CHROMIUM`; `Missing` if there is none."""
    wanted = os.environ.get("CHROMIUM")
    for path in map(shutil.which, [wanted] if wanted else NAMES):
        if path:
            return path
    missing = "There is no Chromium, Chrome or Edge on this machine"
    if wanted:
        missing = f"CHROMIUM is set to {wanted}, which is no program"
    hints = {"darwin": "brew install --cask chromium", "win32": "winget install Google.Chrome"}
    how = hints.get(sys.platform, "sudo apt install chromium")
    raise Missing(f"{missing}, and one is needed. Install it (`{how}`), or set CHROMIUM to its path.")
