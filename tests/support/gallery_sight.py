"""A gallery of foxes in a real browser, with what a person does there."""

import contextlib
import time

import job_states
from chromium import Sight
from waiting import PATIENCE

from cometflux.gallery import write_gallery


@contextlib.contextmanager
def looking(browser):
    """Open pages, and check at the end that there were no errors, and no requests but to the page's own place."""
    sights = []

    def look(address, **options):
        sight = Sight(browser, **options)
        sights.append(sight)
        is_url = isinstance(address, str)
        sight.home = address if is_url else address.resolve().parent.as_uri()
        sight.page.goto(address if is_url else address.resolve().as_uri())
        return sight

    yield look
    for sight in sights:
        sight.close()
        assert [] == sight.complaints
        own = (sight.home, "data:", "blob:")
        assert [] == [url for url in sight.requests if not url.startswith(own)]


def write_foxes(folder, number=6, size=(48, 32), **given):
    """Write a batch of saved pictures, and their gallery."""
    records = [job_states.plan(n, f"fox {n}", key=f"key-{n}", seed=n, **given) for n in range(number)]
    pictures = [job_states.picture(size, (40 * n % 255, 90, 160)) for n in range(number)]
    job_states.write(folder, *(job_states.succeed(each, folder, pictures[each.index]) for each in records))
    return write_gallery(folder)


def wait_for(sight, condition):
    """Wait until *condition* returns true."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        sight.page.wait_for_timeout(30)


def press(page, *keys):
    """Press *keys*, one after another."""
    for key in keys:
        page.keyboard.press(key)


def badges(page):
    """Return the mark of each card."""
    return [each.get_attribute("data-pick") for each in page.locator("#cards > li").all()]
