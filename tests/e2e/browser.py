"""A real browser for tests of the pages: Debian's Chromium, driven by Playwright.

Neither is needed to run the other tests; who lacks one is told which.
"""

import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PLAYWRIGHT = "playwright.sync_api"


@contextmanager
def browser() -> Iterator[Any]:
    """Start a headless browser, or skip the test with what is missing."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.skip("no Chromium in PATH (Debian: the package chromium)")
    try:
        api = importlib.import_module(PLAYWRIGHT)
    except ModuleNotFoundError:
        pytest.skip("Playwright is not installed (the extra `browser`)")
    with api.sync_playwright() as playwright:
        # In containers Chromium runs as root and without user namespaces.
        chromium = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield chromium
        finally:
            chromium.close()


def log_in(context: Any, url: str, key: str, home: str = "/") -> Any:
    """Return a page of a browser that has logged in; `home` is where its roles lead it."""
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("#key", key)
    page.click("main button[type=submit]")
    page.wait_for_url(f"{url}{home}")
    return page
