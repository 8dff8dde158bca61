"""A headless Chromium for tests: CI must have one, a reader's machine may not."""

import os
from contextlib import contextmanager

import pytest

from helpers.files import LabError
from helpers.runtimes.browser import chromium, find_chromium


@contextmanager
def a_browser(*arguments):
    """While it is open Playwright runs an event loop in this thread: one a file, and no other test meanwhile."""
    try:
        find_chromium()
    except LabError as reason:
        if os.environ.get("CI"):
            pytest.fail(f"CI must look at pages in a browser. {reason}")
        pytest.skip(str(reason))
    with chromium(*arguments) as started:
        yield started
