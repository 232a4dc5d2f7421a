"""Sweeps in the gallery, in a real browser: parameters are searched, filtered and sorted by, and make a grid."""

import job_states
import pytest

from cometflux.gallery import write_gallery

pytestmark = [pytest.mark.hard, pytest.mark.realtime]
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def sweep(tmp_path):
    """A page of two prompts by three guidances by two numbers of steps; one of the jobs failed."""
    swept = [(p, g, s) for p in ("a fox", "an owl 10") for g in (10, 2.5, 3.5) for s in (4, 28)]
    records = []
    for index, (prompt, guidance, steps) in enumerate(swept):
        record = job_states.plan(index, prompt, key=f"k{index}", guidance=guidance, steps=steps, seed=7)
        state = "failed" if index == 11 else "saved"
        records.append(job_states.reach(state, record, tmp_path))
    job_states.write(tmp_path, *records)
    return write_gallery(tmp_path)


def shown(page):
    """Return the prompts and values of the shown jobs, in order."""
    return page.locator("#cards li:visible").evaluate_all(
        """items => items.map(item => [item.querySelector(".prompt").textContent,
        ...Array.from(item.querySelectorAll(".value"), each => each.textContent)].join(", "))"""
    )


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("guidance 3.5", 4),
        ("guidance 3", 0),
        ("GUIDANCE=3.50", 4),
        ("guid 2.5 fox", 2),
        ("guidance 10 steps 28", 2),
        ("steps 4", 6),
        ("owl 10", 6),
        ("prompt owl", 6),
        ("seed 7", 12),
        ("seed 8", 0),
        ("guidance 3.5 k5", 1),
    ],
)
def test_a_parameter_is_searched_by_its_name_and_value(query, number, sweep, look):
    page = look(sweep).page
    page.get_by_label("Search").fill(query)
    page.wait_for_timeout(30)
    assert number == len(shown(page))


def test_jobs_are_filtered_by_the_values_of_a_parameter(sweep, look):
    page = look(sweep).page
    page.get_by_text("Filter by parameter").click()
    guidance = page.get_by_role("group", name="guidance")
    # Numbers are in their order, not in that of their texts.
    assert ["2.5 4", "3.5 4", "10 4"] == guidance.get_by_role("button").all_text_contents()
    assert 0 == page.get_by_role("group", name="seed").count()
    guidance.get_by_role("button", name="2.5 4").click()
    page.get_by_role("group", name="steps").get_by_role("button", name="28 6").click()
    assert ["a fox, guidance 2.5, steps 28", "an owl 10, guidance 2.5, steps 28"] == shown(page)
    page.get_by_role("button", name="Clear filters").click()
    assert 12 == len(shown(page))
    assert "false" == guidance.get_by_role("button", name="2.5 4").get_attribute("aria-pressed")


def test_jobs_are_sorted_by_a_parameter_as_numbers(sweep, look):
    page = look(sweep).page
    page.get_by_label("Sort").select_option("By guidance")
    assert [2.5] * 4 + [3.5] * 4 + [10] * 4 == [float(each.split("guidance ")[1].split(",")[0]) for each in shown(page)]


def test_a_sweep_is_a_grid_with_an_axis_for_each_of_two_parameters(sweep, look):
    page = look(sweep).page
    page.get_by_role("button", name="Grid").click()
    grid = page.get_by_role("table", name="guidance across, steps down")
    assert ["2.5", "3.5", "10"] == grid.get_by_role("columnheader").all_text_contents()
    assert ["4", "28"] == grid.get_by_role("rowheader").all_text_contents()
    # Two prompts stack in each cell.
    assert [2] * 6 == [cell.locator(".card").count() for cell in grid.locator("tbody td").all()]
    assert grid.get_by_role("link", name="a fox, guidance 3.5, steps 28, saved").is_visible()
    assert not page.locator("#cards").is_visible()
    page.get_by_label("Rows").select_option("prompt")
    grid = page.get_by_role("table", name="guidance across, prompt down")
    assert ["a fox", "an owl 10"] == grid.get_by_role("rowheader").all_text_contents()
    page.get_by_label("Search").fill("guidance 10")
    page.wait_for_timeout(30)
    assert ["10"] == grid.get_by_role("columnheader").all_text_contents()
    page.get_by_role("button", name="Grid").click()
    assert 4 == len(shown(page))


def test_the_grid_is_walked_by_keyboard_and_the_dialog_turns_in_its_order(sweep, look):
    page = look(sweep).page
    page.get_by_role("button", name="Grid").click()

    def focused():
        return page.evaluate("document.activeElement.getAttribute('aria-label')")

    page.locator("#grid .card").first.focus()
    assert "a fox, guidance 2.5, steps 4, saved" == focused()
    for key, name in (
        ("ArrowRight", "an owl 10, guidance 2.5, steps 4, saved"),
        ("ArrowRight", "a fox, guidance 3.5, steps 4, saved"),
        ("ArrowDown", "a fox, guidance 3.5, steps 28, saved"),
        ("ArrowLeft", "an owl 10, guidance 2.5, steps 28, saved"),
        ("End", "an owl 10, guidance 10, steps 28, saved"),
        ("Home", "a fox, guidance 2.5, steps 4, saved"),
    ):
        page.keyboard.press(key)
        assert name == focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert ("an owl 10", "2 of 12") == (
        page.locator("#view-prompt").text_content(),
        page.locator("#view-place").text_content(),
    )
    page.keyboard.press("Escape")
    assert "an owl 10, guidance 2.5, steps 4, saved" == focused()


def test_the_axes_stay_in_sight_while_the_grid_is_scrolled(tmp_path, look):
    records = [job_states.plan(n, "a fox", guidance=n % 20, steps=n // 20) for n in range(400)]
    job_states.write(tmp_path, *records)
    page = look(write_gallery(tmp_path)).page
    page.get_by_role("button", name="Grid").click()
    page.locator("#grid").evaluate("box => box.scrollTo(900, 900)")
    box = page.locator("#grid").bounding_box()
    assert abs(page.locator("thead th").first.bounding_box()["y"] - box["y"]) < 3
    assert abs(page.locator("tbody th").first.bounding_box()["x"] - box["x"]) < 3


def test_a_cell_with_many_pictures_is_opened_by_hand(tmp_path, look):
    records = [job_states.plan(n, "a fox", guidance=n // 9, seed=n) for n in range(18)]
    job_states.write(tmp_path, *records)
    page = look(write_gallery(tmp_path)).page
    page.get_by_role("button", name="Grid").click()
    page.get_by_label("Rows").select_option("no rows")
    cell = page.locator("tbody td").nth(1)
    assert 4 == cell.locator(".card").count()
    cell.get_by_role("button", name="5 more").click()
    assert 9 == page.locator("tbody td").nth(1).locator(".card").count()
    assert "a fox, guidance 0, waiting" == page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_hostile_names_and_values_stay_text_in_filters_axes_and_cells(tmp_path, look):
    job_states.write(tmp_path, *(job_states.plan(n, HOSTILE, **{HOSTILE: f"{HOSTILE}{n}"}) for n in range(2)))
    page = look(write_gallery(tmp_path)).page
    page.get_by_text("Filter by parameter").click()
    page.get_by_role("button", name="Grid").click()
    assert [f"{HOSTILE}0", f"{HOSTILE}1"] == page.locator("thead .axis").all_text_contents()
    assert HOSTILE == page.locator("#values legend").text_content()
    assert 0 == page.locator("body img").count()


def test_a_link_to_a_job_opens_it_and_the_address_follows(sweep, look):
    page = look(sweep).page
    page.locator(".card").nth(3).click()
    address = page.url
    assert len("#0123456789ab") == len(address.removeprefix(sweep.as_uri()))
    page.keyboard.press("Escape")
    page.wait_for_url(sweep.as_uri())
    page.goto("about:blank")
    page.goto(address)
    assert "4 of 12" == page.locator("#view-place").text_content()
    page.goto("about:blank")
    page.goto(f"{sweep.as_uri()}#0123456789ab")
    assert "12 shown; the picture of this link is not on this page" == page.locator("#shown").text_content()


def test_grid_and_filters_stay_when_the_page_is_loaded_again(sweep, look):
    page = look(sweep).page
    page.get_by_text("Filter by parameter").click()
    page.get_by_role("group", name="guidance").get_by_role("button", name="2.5 4").click()
    page.get_by_role("button", name="Grid").click()
    page.get_by_label("Rows").select_option("prompt")
    # As a page of a running batch does.
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    page.reload()
    assert ["2.5"] == page.get_by_role("table", name="guidance across, prompt down").get_by_role(
        "columnheader"
    ).all_text_contents()
    chip = page.get_by_role("group", name="guidance").get_by_role("button", name="2.5 4")
    assert "true" == chip.get_attribute("aria-pressed")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_grid_is_not_wider_than_the_window(width, sweep, look):
    page = look(sweep, viewport={"width": width, "height": 800}).page
    page.get_by_role("button", name="Grid").click()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    # Nor is an axis so narrow that its words fall apart.
    assert page.locator("thead .corner").bounding_box()["height"] < 120
    assert page.locator("tbody th").first.bounding_box()["width"] >= 100
