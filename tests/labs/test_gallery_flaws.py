"""Pictures that a person should look at, in the gallery in a real browser."""

import job_states
import pytest

from cometflux.gallery import write_gallery
from cometflux.images.looks import Flaw, Look
from cometflux.journal.looks_file import write_looks

pytestmark = [pytest.mark.hard, pytest.mark.realtime]
HOSTILE = "</script><!--<script>alert(1)</script>\"'><img src=x onerror=alert(2)><i>{{ 7*7 }}"
BLACK, SAME = Look(flaw=Flaw.BLACK, hash=0), Look(flaw=None, hash=7)


@pytest.fixture
def flawed(tmp_path):
    """A page of four jobs: one is a near duplicate of one with a hostile key, and one is almost black."""
    records = [job_states.plan(number, key, key=key) for number, key in enumerate([HOSTILE, "owl", "bear", "fox"])]
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, job_states.picture()) for each in records))
    write_looks(tmp_path, {"00000-1.png": SAME, "00001-1.png": SAME, "00002-1.png": BLACK})
    return write_gallery(tmp_path)


def shown(page):
    return page.locator("#cards li:visible .prompt").all_text_contents()


def test_flaws_are_filtered_and_the_filter_outlives_a_reload(flawed, look):
    page = look(flawed).page
    near, black = (page.locator(f".chip[data-flaw={flaw}]") for flaw in ("near", "black"))
    near.click()
    assert ["owl"] == shown(page)
    black.click()
    near.click()
    assert ["bear"] == shown(page)
    # As a page of a running batch does.
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    page.reload()
    assert (["bear"], "true", "false") == (shown(page), *(each.get_attribute("aria-pressed") for each in (black, near)))
    page.get_by_role("button", name="Clear filters").click()
    assert (4, "false") == (len(shown(page)), black.get_attribute("aria-pressed"))


@pytest.mark.parametrize(("words", "found"), [("almost black", "bear"), ("near duplicate", "owl"), ("Black", "bear")])
def test_flaws_are_searched_by_their_words(words, found, flawed, look):
    page = look(flawed).page
    page.get_by_label("Search").fill(words)
    page.wait_for_function("document.querySelectorAll('#cards li:not([hidden])').length === 1")
    assert [found] == shown(page)


def test_a_hostile_key_in_a_note_is_text_on_the_card_and_in_full_size(flawed, look):
    page = look(flawed).page
    note = f"near duplicate of {HOSTILE}"
    assert [note, "almost black"] == page.locator("#cards .flaw").all_text_contents()
    page.locator("#cards .card").nth(1).click()
    facts = dict(zip(*(page.locator(f"#view-facts {each}").all_text_contents() for each in ("dt", "dd")), strict=True))
    assert note == facts["To look at"]
    assert 0 == page.locator("main i, dialog i, main script").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_long_note_is_cut_and_pushes_nothing_aside(width, scheme, flawed, look):
    page = look(flawed, viewport={"width": width, "height": 800}, color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = page.locator("#cards .text").evaluate_all(
        "all => all.map((each) => each.scrollHeight <= each.clientHeight)"
    )
    assert [True] * 4 == heights
