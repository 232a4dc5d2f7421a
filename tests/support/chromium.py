"""Open pages on the disk in a real Chromium."""

import contextlib
import importlib.util
import shutil

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)


@contextlib.contextmanager
def chromium():
    """Start a browser; skip the test if Chromium is not installed."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"there is no browser on this machine: none of {', '.join(_NAMES)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_OPTIONS)
        yield browser
        browser.close()


class Sight:
    """A page as a person sees it, with the requests and errors that must not happen on it."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        self.page = self.context.new_page()
        self.requests, self.complaints, self.loads = [], [], 0
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("load", self._count)

    def _count(self):
        self.loads += 1

    def open(self, path):
        self.page.goto(path.resolve().as_uri())
        return self.page

    def close(self):
        self.context.close()
