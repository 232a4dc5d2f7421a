"""The contact sheet of a folder: the pictures on its pages, and the files that are never replaced."""

import json
import re
import struct
import zlib
from pathlib import Path

import job_states
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cometflux.errors import ConfigError, JournalError
from cometflux.gallery import ContactSheet, contact_sheet, sheet_fonts, write_sheet
from cometflux.gallery.sheet_drawing import SOFTWARE
from cometflux.gallery.sheet_fonts import Letters
from cometflux.storage.paths import PICKS

RED, GREEN, BLUE = (220, 20, 20), (20, 180, 20), (20, 20, 220)
HOSTILE = {
    "markup": "</script><b>'&\"",
    "every script": "маяк φάρος 灯台 منارة מגדלור प्रकाशस्तम्भ 등대 ประภาคาร ñandú Straße",
    "emoji": "\U0001f469\u200d\U0001f680\U0001f44d\U0001f3fd",
    "controls": "a\x00b\x1b[31mc\td\ne\u2028f\u2029\u202eg",
    "accents without end": "a" + "\u0301" * 300,
    "one long word": "w" * 5000,
    "letters that no font has": "\ue000\U0010ffff",
    "nothing": " ",
}


def write_pictures(folder, *pictures, **given):
    """Write a batch of pictures; a colour is a picture of that colour."""
    made = [each if isinstance(each, bytes) else job_states.picture((48, 32), each) for each in pictures]
    records = [job_states.plan(n, f"fox {n}", key=f"fox-{n}", **given) for n in range(len(made))]
    job_states.write(folder, *(job_states.succeed(each, folder, made[each.index]) for each in records))


def first_places(path, *colours):
    """Return for each colour its first pixel as (row, column), or None."""
    with Image.open(path) as image:
        data, width = image.tobytes(), image.width
    firsts = [
        next((each.start() for each in re.finditer(bytes(colour), data) if each.start() % 3 == 0), None)
        for colour in colours
    ]
    return [None if first is None else divmod(first // 3, width) for first in firsts]


@pytest.mark.slow
def test_the_pictures_stand_in_the_order_of_the_batch(tmp_path):
    write_pictures(tmp_path, RED, GREEN, BLUE)
    (path,) = write_sheet(tmp_path)
    assert tmp_path / "contact-sheet.png" == path
    (top, left), (top_again, right), (below, left_again) = first_places(path, RED, GREEN, BLUE)
    assert (top, left) == (top_again, left_again)
    assert left < right
    assert top < below


def test_a_sheet_is_marked_as_one_and_made_alike_each_time(tmp_path):
    write_pictures(tmp_path, RED)
    (path,) = write_sheet(tmp_path)
    first = path.read_bytes()
    with Image.open(path) as image:
        assert (SOFTWARE, [300, 300]) == (image.text["Software"], [round(each) for each in image.info["dpi"]])
    write_sheet(tmp_path)
    assert first == path.read_bytes()
    # In a folder without a journal, too.
    (tmp_path / "journal.sqlite3").unlink()
    assert 1 == len(ContactSheet(tmp_path).cells)


def test_only_the_chosen_pictures_are_on_it(tmp_path):
    write_pictures(tmp_path, RED, GREEN, BLUE)
    marks = [("00000-1.png", "star"), ("00001-1.png", "reject"), ("00002-1.png", "star")]
    (tmp_path / PICKS).write_text("".join(json.dumps({"file": file, "mark": mark}) + "\n" for file, mark in marks))
    (path,) = write_sheet(tmp_path, only_picks=True)
    assert [True, False, True] == [bool(place) for place in first_places(path, RED, GREEN, BLUE)]


@pytest.mark.parametrize("has_record", [True, False])
def test_a_chosen_picture_of_before_a_redo_is_on_it_by_its_record_or_is_named(has_record, tmp_path):
    first, second = (job_states.succeed(job_states.plan(n), tmp_path, job_states.picture()) for n in range(2))
    job_states.write(tmp_path, first, second.redo())
    if not has_record:
        (tmp_path / "00001-1.json").unlink()
    lines = [json.dumps({"file": f"0000{number}-1.png", "mark": "star"}) for number in range(2)]
    (tmp_path / PICKS).write_text("\n".join(lines))
    sheet = ContactSheet(tmp_path, only_picks=True)
    shown = [cell.name for cell in sheet.cells]
    if has_record:
        assert (["00000-1.png", "00001-1.png"], ()) == (shown, sheet.notes)
    else:
        told = "00001-1.png is left out: no record next to it says how it was made"
        assert (["00000-1.png"], (told,)) == (shown, sheet.notes)


def test_a_picture_that_cannot_be_shown_has_an_empty_place_that_says_why(tmp_path):
    head = struct.pack(">4s2I5B", b"IHDR", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"".join((job_states.picture()[:12], head, struct.pack(">I", zlib.crc32(head)), job_states.picture()[33:]))
    write_pictures(tmp_path, RED, GREEN, GREEN, GREEN, GREEN, bomb, BLUE)
    names = [f"{number:05d}-1.png" for number in range(7)]
    (tmp_path / names[1]).unlink()
    (tmp_path / names[2]).write_bytes(b"no picture")
    (tmp_path / names[3]).write_bytes(job_states.picture()[:70])
    (tmp_path / names[4]).unlink()
    (tmp_path / names[4]).mkdir()
    sheet = ContactSheet(tmp_path)
    (path,) = sheet.pages()
    assert {
        names[1]: "its file is missing",
        names[2]: "its file is not an image",
        names[3]: "its file is damaged",
        names[4]: "it is a link, a folder or a pipe, not a file",
        names[5]: "it has too many pixels",
    } == sheet.faults
    red, green, blue = first_places(path, RED, GREEN, BLUE)
    assert (None, True, True) == (green, red is not None, blue is not None)


def test_a_picture_that_is_removed_while_the_sheet_is_drawn_stops_nothing(tmp_path):
    write_pictures(tmp_path, RED, GREEN)
    sheet = ContactSheet(tmp_path)
    (tmp_path / "00000-1.png").unlink()
    (path,) = sheet.pages()
    assert {"00000-1.png": "its file cannot be read: No such file or directory"} == sheet.faults
    assert first_places(path, GREEN) != [None]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_is_drawn_within_its_place(text, tmp_path):
    record = job_states.plan(0, text, key=f"key {text}", seed=text, **{f"name {text}": text})
    other = job_states.plan(1, "a fox", seed=7)
    picture = job_states.picture((48, 32), BLUE)
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, picture) for each in (record, other)))
    (path,) = write_sheet(tmp_path)
    with Image.open(path) as image:
        width, height = image.size
        # The margins, and the gap between the two pictures.
        for place in (
            (0, 0, 85, height),
            (width - 85, 0, width, height),
            (width // 2 - 10, 160, width // 2 + 10, height),
        ):
            assert ((255, 255),) * 3 == image.crop(place).getextrema()


@pytest.mark.slow
def test_large_sets_have_several_pages_and_those_of_before_are_removed(tmp_path):
    write_pictures(tmp_path, *[GREEN] * 49, RED)
    names = [path.name for path in write_sheet(tmp_path)]
    assert ["contact-sheet.png", "contact-sheet-2.png"] == names
    assert [None] == first_places(tmp_path / names[0], RED)
    assert [None] != first_places(tmp_path / names[1], RED)
    (tmp_path / PICKS).write_text('{"file": "00007-1.png", "mark": "star"}\n')
    (tmp_path / "contact-sheet-3.png").write_bytes(job_states.picture())
    assert names[:1] == [path.name for path in write_sheet(tmp_path, only_picks=True)]
    assert not (tmp_path / names[1]).exists()
    assert (tmp_path / "contact-sheet-3.png").exists()


# ── the letters ──────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.text(st.characters(), max_size=20), max_size=3), st.text(st.characters(), max_size=20))
def test_letters_of_any_kind_have_a_length(texts, text):
    assert 0 <= Letters(texts).length(text, 26)


def test_pillows_own_font_is_used_if_it_has_all_letters():
    assert "Aileron" == Letters(["a fox, 3.5 · x…"]).font_for("a fox", 26)[0].getname()[0]


def test_without_a_font_of_the_system_an_accent_is_left_out(monkeypatch):
    monkeypatch.setattr(sheet_fonts, "_OF_SYSTEMS", ())
    sheet_fonts._of_system.cache_clear()
    font, text = Letters(["Größe, é"]).font_for("Größe, é, e\u0301", 26)
    sheet_fonts._of_system.cache_clear()
    assert ("Aileron", "Große, e, e") == (font.getname()[0], text)


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_of_others_is_not_replaced(tmp_path):
    write_pictures(tmp_path, RED)
    others = job_states.picture()
    (tmp_path / "contact-sheet.png").write_bytes(others)
    for _ in range(2):
        assert [tmp_path / "contact-sheet.cometflux.png"] == write_sheet(tmp_path)
    assert others == (tmp_path / "contact-sheet.png").read_bytes()
    (tmp_path / "contact-sheet.cometflux.png").write_bytes(others)
    with pytest.raises(ConfigError, match=r"neither it nor contact-sheet\.cometflux\.png is"):
        write_sheet(tmp_path)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    write_pictures(tmp_path, RED)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "contact-sheet.png").symlink_to("mine.txt")
    write_sheet(tmp_path)
    assert "mine" == (tmp_path / "mine.txt").read_text()


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("sheet.jpg", "a contact sheet is a PNG, so the name of 'sheet.jpg' must end with .png"),
        ("sheet", "must end with .png"),
        ("absent/sheet.png", "there is no folder 'absent'"),
    ],
)
def test_a_place_that_is_wrong_is_an_error_before_anything_is_read(to, words, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(words)):
        ContactSheet(tmp_path / "absent", Path(to))


def test_a_sheet_can_be_written_elsewhere(tmp_path):
    folder = tmp_path / "foxes"
    folder.mkdir()
    write_pictures(folder, RED)
    before = sorted(folder.iterdir())
    assert [tmp_path / "for a client.PNG"] == write_sheet(folder, tmp_path / "for a client.PNG")
    assert before == sorted(folder.iterdir())


def write_waiting(folder):
    job_states.write(folder, job_states.plan(0))


def write_stored(folder):
    job_states.write(folder, job_states.succeed(job_states.plan(0), folder, job_states.picture()), place="s3://b/a")
    for path in folder.glob("0*"):
        path.unlink()


def write_unpicked(folder):
    write_pictures(folder, RED)


def write_damaged(folder):
    (folder / "journal.sqlite3").write_bytes(b"torn" * 200)


@pytest.mark.parametrize(
    ("make", "only_picks", "error", "words"),
    [
        (Path.touch, False, ConfigError, "there is nothing to show"),
        (write_waiting, False, ConfigError, "is saved, so there is nothing for a contact sheet"),
        (write_stored, False, ConfigError, "are kept elsewhere; fetch them into the folder first"),
        (write_unpicked, True, ConfigError, "choose pictures in the gallery first"),
        (write_damaged, False, JournalError, "is not a journal of cometflux"),
    ],
    ids=["nothing", "nothing saved", "in a bucket", "no picks", "a damaged journal"],
)
def test_a_folder_without_pictures_to_show_is_one_clear_error(make, only_picks, error, words, tmp_path):
    make(tmp_path)
    with pytest.raises(error, match=re.escape(words)):
        ContactSheet(tmp_path, only_picks=only_picks)
    assert not (tmp_path / "contact-sheet.png").exists()


def test_too_many_pictures_are_an_error_that_says_how_to_choose(tmp_path, monkeypatch):
    write_pictures(tmp_path, RED, GREEN, BLUE)
    monkeypatch.setattr(contact_sheet, "MOST_PICTURES", 2)
    with pytest.raises(ConfigError, match=r"more than 2 pictures, .* take only those with --picks"):
        ContactSheet(tmp_path)
    (tmp_path / PICKS).write_text('{"file": "00001-1.png", "mark": "star"}\n')
    assert ["00001-1.png"] == [cell.name for cell in ContactSheet(tmp_path, only_picks=True).cells]


def test_facts_that_all_pictures_share_stand_once_at_the_top(tmp_path):
    records = [job_states.plan(n, "a fox", seed=n, model=f"owner/{model}") for n, model in enumerate(("dev", "pro"))]
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, job_states.picture()) for each in records))
    sheet = ContactSheet(tmp_path)
    assert "a fox" == sheet.about
    assert [("", ("dev", "seed 0")), ("", ("pro", "seed 1"))] == [(cell.prompt, cell.values) for cell in sheet.cells]
