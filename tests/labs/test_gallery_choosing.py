"""Stars and rejects in the gallery, in a real browser: by keyboard, by mouse and by touch, kept and handed on."""

import json
import shlex
from pathlib import Path

import command_process
import job_states
import pytest
from gallery_sight import badges, press, wait_for, write_foxes
from waiting import PATIENCE

from cometflux.cli import main
from cometflux.gallery import Gallery, write_gallery
from cometflux.storage.paths import PICKS

pytestmark = [pytest.mark.hard, pytest.mark.realtime]
HOSTILE = "</script><!--<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }} \u202e&amp; end"


@pytest.fixture
def served(tmp_path):
    """Serve a folder by the command, and return the URL."""
    started = []

    def served(folder):
        process = command_process.start("gallery", str(folder), "--serve")
        started.append(process)
        return process.stdout.readline().strip(), process

    yield served
    command_process.kill_all()


def shown(page):
    return page.locator("#cards li:visible .prompt").all_text_contents()


def download(page):
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download picks.jsonl").click()
    assert PICKS == caught.value.suggested_filename
    return Path(caught.value.path()).read_text()


def lines(text):
    return {each["file"]: each["mark"] for each in map(json.loads, text.splitlines())}


# ── by keyboard ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pictures_are_starred_rejected_and_unmarked_by_key_in_the_list_and_in_full_size(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    page.locator(".card").first.focus()
    press(page, "1", "ArrowRight", "x", "ArrowRight", "1", "1", "ArrowRight", "1", "0")
    assert ["star", "reject", "star", None, None, None] == badges(page)
    press(page, "ArrowRight", "Enter", "1")
    assert "true" == page.locator("#view-star").get_attribute("aria-pressed")
    press(page, "ArrowRight", "X", "ArrowLeft", "0")
    press(page, "Escape")
    assert ["star", "reject", "star", None, None, "reject"] == badges(page)
    assert {f"0000{n}-1.png": mark for n, mark in ((0, "star"), (1, "reject"), (2, "star"), (5, "reject"))} == lines(
        download(page)
    )


def test_every_mark_is_announced_and_part_of_the_cards_name(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    page.locator(".card").first.focus()
    press(page, "1")
    assert "fox 0: starred" == page.locator("#said-picks").text_content()
    assert page.get_by_role("link", name="starred").count() == 1
    press(page, "Enter", "x")
    assert "rejected" == page.locator("#said").text_content()
    for region in ("#said-picks", "#said"):
        assert "status" == page.locator(region).get_attribute("role")


def test_a_key_in_the_search_is_a_letter_and_no_mark(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    page.get_by_label("Search").focus()
    press(page, "1", "x", "?")
    assert "1x?" == page.get_by_label("Search").input_value()
    assert [None] * 6 == badges(page)
    assert not page.locator("#keys").is_visible()


def test_the_keys_are_listed_under_a_question_mark(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    press(page, "?")
    dialog = page.get_by_role("dialog", name="Keys")
    assert dialog.is_visible()
    assert {"1", "0", "x", "s", "c", "f"} <= set(dialog.locator("kbd").all_text_contents())
    press(page, "1", "Escape")
    assert not dialog.is_visible()
    page.get_by_role("button", name="Keys").click()
    assert dialog.is_visible()


# ── by mouse and touch ───────────────────────────────────────────────────────────────────────────────────────────────


def test_pictures_are_marked_by_mouse_on_the_card_and_in_full_size(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    page.locator(".card").nth(1).hover()
    page.locator("#picker .star").click()
    page.locator(".card").nth(2).hover()
    page.locator("#picker .reject").click()
    assert [None, "star", "reject", None, None, None] == badges(page)
    page.locator(".card").nth(1).hover()
    page.locator("#picker .star").click()
    assert [None, None, "reject", None, None, None] == badges(page)
    page.locator(".card").first.click(position={"x": 20, "y": 60})
    page.get_by_role("button", name="Star", exact=True).click()
    page.get_by_role("button", name="Close").click()
    assert "star" == badges(page)[0]


# ── which are shown ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_the_starred_or_only_those_not_rejected_are_shown(tmp_path, look):
    page = look(write_foxes(tmp_path)).page
    page.locator(".card").first.focus()
    press(page, "1", "ArrowRight", "x", "ArrowRight", "1")
    only = page.get_by_role("button", name="Starred 2")
    only.click()
    assert ["fox 0", "fox 2"] == shown(page)
    assert "2 of 6 shown" == page.locator("#shown").text_content()
    only.click()
    page.get_by_role("button", name="Not rejected 5").click()
    assert ["fox 0", "fox 2", "fox 3", "fox 4", "fox 5"] == shown(page)
    page.get_by_role("button", name="Clear filters").click()
    assert 6 == len(shown(page))


def test_a_picture_that_a_filter_hides_hands_the_focus_on(tmp_path, look):
    sight = look(write_foxes(tmp_path))
    page = sight.page
    page.get_by_role("button", name="Not rejected").click()
    page.locator(".card").nth(1).focus()
    press(page, "x", "x")
    assert ["fox 0", "fox 3", "fox 4", "fox 5"] == shown(page)
    press(page, "ArrowRight", "ArrowRight", "x", "1")
    assert ["star", "reject", "reject", None, "star", "reject"] == [badges(page)[0] or "star", *badges(page)[1:]]
    assert "fox 4" == page.evaluate("document.activeElement.querySelector('.prompt').textContent")
    # In full size the picture stays until one goes on.
    press(page, "Enter", "x")
    assert "fox 4" == page.locator("#view-prompt").text_content()
    press(page, "ArrowLeft")
    assert "fox 3" == page.locator("#view-prompt").text_content()
    press(page, "Escape")
    wait_for(sight, lambda: ["fox 0", "fox 3"] == shown(page))


def test_a_sweep_is_chosen_in_the_grid_as_in_the_list(tmp_path, look):
    axes = [(guidance, steps) for guidance in (2, 3) for steps in (20, 30, 40)]
    records = [job_states.plan(n, "a fox", guidance=g, num_inference_steps=s) for n, (g, s) in enumerate(axes)]
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, job_states.picture()) for each in records))
    page = look(write_gallery(tmp_path)).page
    page.get_by_role("button", name="Grid").click()
    pieces = page.locator(".piece")
    pieces.first.locator(".card").focus()
    press(page, "1", "s", "ArrowRight", "x", "s", "ArrowDown", "1")
    marks = [each.get_attribute("data-pick") for each in pieces.all()]
    assert 6 == len(marks)
    assert {"star": 2, "reject": 1} == {mark: marks.count(mark) for mark in ("star", "reject")}
    assert marks[:2] == ["star", "reject"]
    assert 2 == page.locator("#grid").get_by_role("link", name="starred").count()
    assert 2 == page.locator("#grid [data-selected]").count()
    pieces.nth(2).hover()
    page.locator("#picker .star").click()
    assert "star" == pieces.nth(2).get_attribute("data-pick")
    # A filter draws the grid again, and the focus goes on.
    page.get_by_role("button", name="Not rejected").click()
    assert 5 == pieces.count()
    pieces.nth(1).locator(".card").focus()
    press(page, "x", "1")
    assert 4 == pieces.count()
    assert page.evaluate("document.activeElement.closest('.piece').dataset.pick") == "star"
    press(page, "c")
    assert 2 == page.locator(".frame img").count()


# ── kept ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_marks_are_kept_in_the_browser_also_when_the_folder_moves_and_follow_the_other_tabs(tmp_path, look):
    folder = tmp_path / "a"
    folder.mkdir()
    sight = look(write_foxes(folder))
    page = sight.page
    page.locator(".card").first.focus()
    press(page, "1", "ArrowRight", "x")
    page.reload()
    assert ["star", "reject"] == badges(page)[:2]
    other = sight.context.new_page()
    other.goto(page.url)
    other.locator(".card").nth(2).focus()
    press(other, "1")
    wait_for(sight, lambda: "star" == badges(page)[2])
    folder.rename(tmp_path / "b")
    sight.home = tmp_path.as_uri()
    sight.open(tmp_path / "b" / "index.html")
    assert ["star", "reject", "star"] == badges(page)[:3]


def test_the_folders_own_marks_are_shown_and_newer_ones_of_it_count(tmp_path, look):
    path = write_foxes(tmp_path)
    (tmp_path / PICKS).write_text('{"file": "00000-1.png", "mark": "star"}\n')
    write_gallery(tmp_path)
    page = look(path).page
    assert ["star", None] == badges(page)[:2]
    page.locator(".card").first.focus()
    press(page, "0", "ArrowRight", "x")
    assert {"00001-1.png": "reject"} == lines(download(page))
    (tmp_path / PICKS).write_text('{"file": "00000-1.png", "mark": "reject"}\n')
    write_gallery(tmp_path)
    page.reload()
    assert ["reject", "reject"] == badges(page)[:2]


def test_two_batches_do_not_share_their_marks(tmp_path, look):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    sight = look(write_foxes(tmp_path / "a"))
    sight.page.locator(".card").first.focus()
    press(sight.page, "1")
    sight.home = tmp_path.as_uri()
    sight.open(write_foxes(tmp_path / "b"))
    assert [None] * 6 == badges(sight.page)


@pytest.mark.parametrize("kept", ["{torn", "7", '[["00000-1.png"]]', '[["00000-1.png","none","love"]]', "[null]"])
def test_what_the_browser_keeps_is_not_trusted(tmp_path, look, kept):
    page = look(write_foxes(tmp_path)).page
    page.locator(".card").first.focus()
    press(page, "1")
    page.evaluate("text => localStorage.setItem(localStorage.key(0), text)", kept)
    page.reload()
    assert [None] * 6 == badges(page)


def test_a_browser_that_keeps_nothing_says_so_and_the_marks_can_be_downloaded(tmp_path, look):
    path = write_foxes(tmp_path)
    sight = look(path)
    sight.page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})")
    sight.page.reload()
    sight.page.locator(".card").first.focus()
    press(sight.page, "1")
    assert "does not keep marks" in sight.page.locator("#kept").text_content()
    assert {"00000-1.png": "star"} == lines(download(sight.page))


def test_what_is_downloaded_has_the_marks_of_all_pages_of_a_large_folder(tmp_path, look):
    write_foxes(tmp_path)
    (tmp_path / PICKS).write_text('{"file": "00005-1.png", "mark": "reject"}\n')
    gallery = Gallery(tmp_path)
    gallery.jobs_per_page = 3
    sight = look(gallery.write().path)
    page = sight.page
    page.locator(".card").first.focus()
    press(page, "1")
    page.get_by_role("link", name="Page 2").click()
    wait_for(sight, lambda: [None, None, "reject"] == badges(page))
    page.locator(".card").first.focus()
    press(page, "1")
    assert {"00000-1.png": "star", "00003-1.png": "star", "00005-1.png": "reject"} == lines(download(page))
    page.locator(".card").last.focus()
    press(page, "0")
    page.get_by_role("link", name="Page 1").click()
    wait_for(sight, lambda: ["star", None, None] == badges(page))
    assert {"00000-1.png": "star", "00003-1.png": "star"} == lines(download(page))


# ── with a server ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_with_a_server_marks_are_in_the_folder_at_once_and_in_every_tab(tmp_path, look, served):
    write_foxes(tmp_path)
    url, _ = served(tmp_path)
    sight = look(url)
    page = sight.page
    page.locator(".card").first.focus()
    press(page, "1", "ArrowRight", "x", "ArrowRight", "1", "0")
    wait_for(sight, lambda: (tmp_path / PICKS).exists() and 2 == len((tmp_path / PICKS).read_text().splitlines()))
    assert {"00000-1.png": "star", "00001-1.png": "reject"} == lines((tmp_path / PICKS).read_text())
    assert 0 == page.get_by_role("button", name="Download picks.jsonl").count()
    other = sight.context.new_page()
    other.goto(url)
    assert ["star", "reject", None] == badges(other)[:3]
    other.locator(".card").nth(4).focus()
    press(other, "1")
    page.bring_to_front()
    wait_for(sight, lambda: "star" == badges(page)[4])
    assert [] == page.evaluate("Object.keys(localStorage)")


def test_a_page_that_lost_its_server_says_so_and_shows_no_mark_that_is_not_written(tmp_path, look, served):
    write_foxes(tmp_path)
    url, process = served(tmp_path)
    sight = look(url)
    page = sight.page
    page.locator(".card").first.focus()
    press(page, "1")
    wait_for(sight, lambda: (tmp_path / PICKS).exists())
    process.terminate()
    process.wait(PATIENCE)
    wait_for(sight, lambda: page.locator("#lost").is_visible())
    assert "no longer runs" in page.locator("#lost").text_content()
    assert f"cometflux gallery {shlex.quote(str(tmp_path))} --serve" in page.locator("#lost").text_content()
    press(page, "ArrowRight", "1")
    wait_for(sight, lambda: badges(page)[:2] == ["star", None])
    assert ["00000-1.png"] == list(lines((tmp_path / PICKS).read_text()))
    sight.complaints[:] = [each for each in sight.complaints if "ERR_CONNECTION_REFUSED" not in each]


def test_marks_that_cannot_be_written_are_taken_back_with_the_reason(tmp_path, look, served):
    write_foxes(tmp_path)
    url, _ = served(tmp_path)
    sight = look(url)
    (tmp_path / PICKS).write_text("{torn")
    sight.page.locator(".card").first.focus()
    press(sight.page, "1")
    wait_for(sight, lambda: "line 1" in (sight.page.locator("#lost").text_content() or ""))
    wait_for(sight, lambda: [None] * 6 == badges(sight.page))
    assert "{torn" == (tmp_path / PICKS).read_text()
    sight.complaints[:] = [each for each in sight.complaints if "409" not in each]


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["served", "downloaded"])
def test_what_is_chosen_by_keyboard_is_exported(tmp_path, look, served, monkeypatch, way):
    folder = tmp_path / "tour"
    folder.mkdir()
    path = write_foxes(folder)
    sight = look(served(folder)[0] if way == "served" else path)
    page = sight.page
    press(page, "Tab", "Tab")
    page.locator(".card").first.focus()
    press(page, "1", "ArrowRight", "x", "ArrowRight", "ArrowRight", "Enter", "1", "Escape")
    if way == "served":
        wait_for(sight, lambda: (folder / PICKS).exists() and 3 == len((folder / PICKS).read_text().splitlines()))
    else:
        (folder / PICKS).write_text(download(page))
    monkeypatch.chdir(tmp_path)
    assert 0 == main(shlex.split("export tour --to best --picks"))
    rows = [json.loads(line) for line in Path("best/metadata.jsonl").read_text().splitlines()]
    assert ["fox 0", "fox 3"] == [row["prompt"] for row in rows]


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hostile_texts_stay_text_where_pictures_are_chosen(tmp_path, look):
    record = job_states.plan(0, HOSTILE, key=HOSTILE)
    job_states.write(tmp_path, job_states.succeed(record, tmp_path, job_states.picture()))
    page = look(write_gallery(tmp_path)).page
    page.locator(".card").first.focus()
    press(page, "1")
    assert f"{HOSTILE[:80].strip()}" in page.locator("#said-picks").text_content()
    assert 0 == page.locator("body i, body b, body img[src='x']").count()


def test_without_scripts_there_is_nothing_to_press(tmp_path, look):
    page = look(write_foxes(tmp_path), java_script_enabled=False).page
    assert not page.locator("#choosing").is_visible()
    assert 6 == page.locator("#cards li:visible").count()
