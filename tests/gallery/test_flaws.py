"""The page shows the pictures that a person should look at, as `--look` found them."""

import html
import json
import re

import job_states
import pytest

from cometflux.gallery import Gallery, write_gallery
from cometflux.images.looks import Flaw, Look
from cometflux.journal.looks_file import FILE_NAME, write_looks

HOSTILE = "</script><!--<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


def fine(code):
    return Look(flaw=None, hash=code)


def flawed(flaw):
    return Look(flaw=flaw, hash=0)


@pytest.fixture
def foxes(tmp_path):
    """A folder with four jobs, of which the last one has two pictures and no key of its own."""
    records = [job_states.plan(number, f"fox {number}", key=f"fox-{number}") for number in range(3)]
    records.append(job_states.plan(3, "fox 3"))
    picture = job_states.picture()
    saved = [job_states.succeed(each, tmp_path, *[picture] * (1 + (each.index == 3))) for each in records]
    job_states.write(tmp_path, *saved)
    return tmp_path


def notes_on(path):
    """Return the note of each card."""
    cards = re.findall(r"<li .*?</li>", path.read_text(encoding="utf-8"), re.DOTALL)
    return [
        [html.unescape(each) for each in re.findall(r'<span class="flaw"[^>]*>(.*?)</span>', card)] for card in cards
    ]


def chips_on(path):
    return re.findall(r'data-flaw="(\w+)"[^>]*>.*?([\w ]+) <span class="count">(\d+)', path.read_text(encoding="utf-8"))


def pictures_in(path):
    (data,) = re.findall(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    return [picture for card in json.loads(data) for picture in card["pictures"]]


def test_a_picture_to_look_at_has_a_note_with_the_reason(foxes):
    looks = {
        "00000-1.png": flawed(Flaw.BLACK),
        "00001-1.png": fine(0xFFFF),
        "00002-1.png": fine(0xFFFE),
        "00003-1.png": flawed(Flaw.BLANK),
        "00003-2.png": flawed(Flaw.DAMAGED),
    }
    write_looks(foxes, looks)
    path = write_gallery(foxes)
    expected = [["almost black"], [], ["near duplicate of fox-1"], ["of one colour · damaged"]]
    assert expected == notes_on(path)
    kinds = [picture.get("flaw") for picture in pictures_in(path)]
    assert ["black", None, "near", "blank", "damaged"] == kinds
    assert [
        ("black", "almost black", "1"),
        ("blank", "of one colour", "1"),
        ("damaged", "damaged", "1"),
        ("near", "near duplicate", "1"),
    ] == chips_on(path)


def test_a_page_without_flaws_has_no_notes_and_no_filter(foxes):
    for looks in ({}, {"00000-1.png": fine(1), "00001-1.png": fine(2**64 - 1)}):
        write_looks(foxes, looks)
        path = write_gallery(foxes)
        assert ([[], [], [], []], []) == (notes_on(path), chips_on(path))
        assert "<legend>To look at" not in path.read_text()


@pytest.mark.parametrize(
    "left", [b"", b"\xff\xfe", b"no json\n", b'{"file": "00000-1.png", "flaw": "ugly", "hash": "0"}\n']
)
def test_a_file_of_looks_that_cannot_be_read_stops_nothing(left, foxes):
    (foxes / FILE_NAME).write_bytes(left)
    assert [[], [], [], []] == notes_on(write_gallery(foxes))
    (foxes / FILE_NAME).unlink()
    (foxes / FILE_NAME).mkdir()
    assert [[], [], [], []] == notes_on(write_gallery(foxes))


def test_a_page_that_is_written_again_has_the_looks_of_now(foxes):
    gallery = Gallery(foxes)
    assert [[], [], [], []] == notes_on(gallery.write().path)
    write_looks(foxes, {"00000-1.png": flawed(Flaw.BLACK)})
    assert [["almost black"], [], [], []] == notes_on(gallery.write().path)
    write_looks(foxes, {"00001-1.png": flawed(Flaw.BLANK)})
    assert [[], ["of one colour"], [], []] == notes_on(gallery.write().path)
    (foxes / FILE_NAME).unlink()
    assert [[], [], [], []] == notes_on(gallery.write().path)


def test_pages_are_written_again_when_looks_change(foxes):
    gallery = Gallery(foxes)
    gallery.jobs_per_page = 2
    gallery.write()
    write_looks(foxes, {"00001-1.png": fine(7), "00003-1.png": fine(7)})
    gallery.write()
    # The other picture is on another page.
    assert [[], ["near duplicate of fox-1"]] == notes_on(foxes / "index-2.html")


def test_a_job_without_a_key_is_named_by_its_place_and_a_loose_picture_by_its_file(foxes):
    write_looks(foxes, {"00003-2.png": fine(7), "00000-1.png": fine(7)})
    assert ["near duplicate of #00003"] == notes_on(write_gallery(foxes))[0]
    (foxes / "journal.sqlite3").unlink()
    assert ["near duplicate of 00003-2.png"] == notes_on(write_gallery(foxes))[0]


def test_hostile_keys_and_names_in_notes_stay_text(tmp_path):
    records = [job_states.plan(0, "a fox", key=HOSTILE), job_states.plan(1, "an owl", key="owl")]
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, job_states.picture()) for each in records))
    write_looks(tmp_path, {"00000-1.png": fine(7), HOSTILE: fine(2**64 - 1), "00001-1.png": fine(7)})
    path = write_gallery(tmp_path)
    assert [[], [f"near duplicate of {HOSTILE}"]] == notes_on(path)
    assert f"near duplicate of {HOSTILE}" == pictures_in(path)[1]["note"]
    assert "<script>alert" not in path.read_text()
