"""What the labs of the gallery share: a real browser, and pages in it."""

import pytest
from chromium import chromium
from gallery_sight import looking


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def look(browser):
    """Open pages, and check at the end that there were no errors, and no requests but to the page's own place."""
    with looking(browser) as look:
        yield look
