"""Comparing pictures in the gallery, in a real browser: by keyboard, by mouse and by touch."""

import re

import job_states
import pytest
from gallery_sight import badges, press, wait_for, write_foxes

from cometflux.gallery import write_gallery
from cometflux.journal.writer import JournalWriter

pytestmark = [pytest.mark.hard, pytest.mark.realtime]
HOSTILE = "</script><img src=x onerror=alert(2)>{{ 7*7 }}&amp;"


def compare(page, number):
    """Select the first pictures by keyboard, and compare them."""
    page.locator(".card").first.focus()
    for _ in range(number):
        press(page, "s", "ArrowRight")
    press(page, "c")
    page.wait_for_function("[...document.querySelectorAll('.frame img')].every((each) => each.naturalWidth)")
    return page.locator("#compare")


def transforms(page):
    """Return for each picture its scale, and the place of its upper left corner in its frame."""
    found = [each.evaluate("each => each.style.transform") for each in page.locator(".frame img").all()]
    matches = [re.fullmatch(r"translate\((.*)px, (.*)px\) scale\((.*)\)", each).groups() for each in found]
    return [(round(float(scale), 3), round(float(left), 1), round(float(top), 1)) for left, top, scale in matches]


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("number", [2, 3, 4])
def test_two_to_four_pictures_stand_side_by_side_with_what_differs(tmp_path, look, number):
    page = look(write_foxes(tmp_path, guidance=3)).page
    dialog = compare(page, number)
    assert dialog.is_visible()
    assert page.get_by_role("dialog", name=f"{number} pictures").count() == 1
    assert [f"fox {n}seed {n}" for n in range(number)] == dialog.locator(".differs").all_text_contents()
    names = [each.get_attribute("aria-label") for each in dialog.locator(".frame").all()]
    assert [f"Picture {n + 1} of {number}: fox {n}" for n in range(number)] == names
    boxes = [each.bounding_box() for each in dialog.locator(".frame").all()]
    assert number == len({(box["x"], box["y"]) for box in boxes})
    assert 1 == len({(round(box["width"]), round(box["height"])) for box in boxes})
    press(page, "Escape")
    assert not dialog.is_visible()
    assert f"fox {number}" == page.evaluate("document.activeElement.querySelector('.prompt')?.textContent")


def test_one_picture_or_five_are_not_compared_and_that_is_said(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    page.locator(".card").first.focus()
    press(page, "s", "c")
    assert not page.locator("#compare").is_visible()
    assert "Select two to four pictures" in page.locator("#said-picks").text_content()
    for _ in range(3):
        press(page, "ArrowRight", "s")
    press(page, "ArrowRight", "s")
    assert "At most 4" in page.locator("#said-picks").text_content()
    assert 4 == page.locator("li[data-selected]").count()
    page.get_by_role("button", name="Unselect").click()
    assert 0 == page.locator("li[data-selected]").count()
    assert not page.get_by_role("button", name="Compare").is_visible()


def test_the_pictures_of_one_job_are_compared_with_each_other(tmp_path, look):
    picture = job_states.picture()
    job_states.write(tmp_path, job_states.succeed(job_states.plan(0), tmp_path, picture, picture, picture))
    page = look(write_gallery(tmp_path)).page
    page.locator(".card").first.focus()
    press(page, "s", "c")
    assert 3 == page.locator(".frame img").count()
    press(page, "Escape", "s", "Enter", "ArrowRight", "s", "ArrowRight", "s", "c")
    assert 2 == page.locator(".frame img").count()


def test_wheel_drag_and_keys_move_all_pictures_together(tmp_path, look):
    page = look(write_foxes(tmp_path, size=(480, 320))).page
    compare(page, 2)
    first, second = page.locator(".frame").all()
    (fit, *_), _ = transforms(page)
    assert 1 == fit
    x, y = middle(first)
    page.mouse.move(x + 40, y + 30)
    page.mouse.wheel(0, -700)
    page.wait_for_function("document.querySelector('.frame img').style.transform.includes('scale(4.')")
    one, other = transforms(page)
    assert one == other
    # The point under the pointer stays there.
    box = first.locator("img").bounding_box()
    frame = first.bounding_box()
    part = (x + 40 - box["x"]) / box["width"]
    assert abs(part - (0.5 + 40 / frame["width"])) < 0.01
    page.mouse.move(*middle(second))
    page.mouse.down()
    page.mouse.move(*(each + 25 for each in middle(second)), steps=4)
    page.mouse.up()
    moved, too = transforms(page)
    assert moved == too
    assert (one[1] + 25, one[2] + 25) == moved[1:]
    press(page, "Shift+ArrowRight")
    assert moved[1] - 80 == transforms(page)[1][1]
    press(page, "+")
    assert transforms(page)[0][0] > one[0]
    press(page, "f")
    assert [1, 1] == [scale for scale, _, _ in transforms(page)]
    page.mouse.dblclick(*middle(first))
    assert transforms(page)[0][0] > 1
    # A picture cannot be pushed out of sight.
    for _ in range(60):
        press(page, "Shift+ArrowLeft")
    assert 0 == transforms(page)[0][1]


def test_two_fingers_pinch_all_pictures_and_one_pans_them(tmp_path, look):
    sight = look(
        write_foxes(tmp_path, size=(480, 320)), viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True
    )
    page = sight.page
    compare(page, 2)
    touch = sight.context.new_cdp_session(page)
    x, y = middle(page.locator(".frame").first)

    def fingers(kind, *places):
        points = [{"x": x + dx, "y": y + dy, "id": number} for number, (dx, dy) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (-20, 0), (20, 0))
    for wide in (30, 45, 60):
        fingers("touchMove", (-wide, 0), (wide, 0))
    fingers("touchEnd")
    page.wait_for_function("document.querySelector('.frame img').style.transform.includes('scale(3')")
    one, other = transforms(page)
    assert one == other
    fingers("touchStart", (0, 0))
    fingers("touchMove", (30, 0))
    fingers("touchEnd")
    page.wait_for_timeout(50)
    assert one[1] + 30 == transforms(page)[0][1] == transforms(page)[1][1]


def test_a_slider_shows_one_of_two_pictures_over_the_other(tmp_path, look):
    page = look(write_foxes(tmp_path, size=(480, 320))).page
    compare(page, 3)
    assert not page.get_by_role("button", name="Slider").is_visible()
    press(page, "Escape", "ArrowLeft", "s", "c")
    page.get_by_role("button", name="Slider").click()
    one, other = (each.bounding_box() for each in page.locator(".frame").all())
    assert one == other

    def cut():
        return page.locator(".frame").nth(1).evaluate("each => getComputedStyle(each).clipPath")

    assert "inset(0px 0px 0px 50%)" == cut()
    divider = page.get_by_role("slider", name="Divider")
    divider.focus()
    press(page, "ArrowRight", "ArrowRight", "End", "ArrowLeft")
    assert "inset(0px 0px 0px 99%)" == cut()
    assert "99 % of the first picture" == divider.get_attribute("aria-valuetext")
    divider.fill("50")
    x, y = middle(page.locator("#handle"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(one["x"] + one["width"] / 4, y, steps=3)
    page.mouse.up()
    assert "inset(0px 0px 0px 25%)" == cut()
    assert "25" == divider.input_value()
    page.get_by_role("button", name="Slider").click()
    assert "none" == cut()


def test_pictures_are_marked_while_they_are_compared(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    compare(page, 3)
    press(page, "1", "ArrowRight", "x")
    assert "Picture 2 rejected" == page.locator("#said-compare").text_content()
    assert "status" == page.locator("#said-compare").get_attribute("role")
    page.get_by_role("button", name="Star picture 3").click()
    press(page, "0")
    page.get_by_role("button", name="Star picture 3").click()
    assert "true" == page.get_by_role("button", name="Star picture 3").get_attribute("aria-pressed")
    press(page, "?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    press(page, "Escape", "Escape")
    assert ["star", "reject", "star"] == badges(page)[:3]


def test_the_selection_outlives_a_reload_of_a_running_batch_and_no_reload_ends_a_comparison(tmp_path, look):
    write_foxes(tmp_path)
    writer = JournalWriter(tmp_path)
    writer.open()
    sight = look(write_gallery(tmp_path))
    page = sight.page
    page.locator(".card").nth(1).hover()
    page.locator("#picker .select").click()
    page.locator(".card").nth(3).click(position={"x": 20, "y": 90})
    page.get_by_role("button", name="Select", exact=True).click()
    page.get_by_role("button", name="Close", exact=True).click()
    loads = sight.loads
    wait_for(sight, lambda: sight.loads > loads)
    page.get_by_role("button", name="Compare 2").click()
    loads = sight.loads
    page.wait_for_timeout(4000)
    assert loads == sight.loads
    writer.close()
    assert ["fox 1seed 1", "fox 3seed 3"] == page.locator(".differs").all_text_contents()


def test_hostile_texts_stay_text_where_pictures_are_compared(tmp_path, look):
    records = [job_states.plan(n, f"{HOSTILE}{n}", **{"<i>name": f"{HOSTILE}{n}"}) for n in range(2)]
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, job_states.picture()) for each in records))
    page = look(write_gallery(tmp_path)).page
    compare(page, 2)
    assert f"{HOSTILE}0<i>name {HOSTILE}0" == page.locator(".differs").first.text_content()
    assert 0 == page.locator("body i, body b, body img[src='x']").count()
