"""The marks in the page of a folder."""

import json
import re

import job_states
import pytest

from cometflux.gallery import Gallery, write_gallery
from cometflux.storage.paths import PICKS

HOSTILE = "</script><script>alert(1)</script>.png"


@pytest.fixture
def foxes(tmp_path):
    """A folder with two jobs, of which one has two pictures."""
    first, second = (job_states.plan(n, f"fox {n}") for n in range(2))
    picture = job_states.picture()
    saved = [job_states.succeed(first, tmp_path, picture, picture), job_states.succeed(second, tmp_path, picture)]
    job_states.write(tmp_path, *saved)
    return tmp_path


def mark(folder, *marks):
    lines = [json.dumps({"file": file, "mark": mark}) for file, mark in marks]
    (folder / PICKS).write_text("".join(f"{line}\n" for line in lines))


def marks_in(text):
    (found,) = re.findall(r'<script type="application/json" id="marks">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_the_page_has_the_marks_of_the_folder_and_the_name_of_its_journal(foxes):
    text = write_gallery(foxes).read_text()
    assert {} == marks_in(text)
    mark(foxes, ("00000-1.png", "star"), ("00000-2.png", "star"), ("00000-2.png", "reject"), ("00001-1.png", "none"))
    later = write_gallery(foxes).read_text()
    assert {"00000-1.png": "star", "00000-2.png": "reject"} == marks_in(later)
    (batch,) = set(re.findall(r'data-batch="(\w+)"', text + later))
    assert 16 == len(batch)


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        ([("other.png", "star")], "names &#39;other.png&#39;, which this folder has not saved; no mark is shown"),
        ([(HOSTILE, "star")], "names &#39;&lt;/script&gt;&lt;script&gt;"),
        ([("00000-1.png", "love")], "line 1: must be"),
    ],
)
def test_marks_that_are_wrong_are_told_on_the_page_and_stop_nothing(foxes, marks, told):
    mark(foxes, *marks)
    before = (foxes / PICKS).read_bytes()
    gallery = Gallery(foxes)
    written = gallery.write()
    text = written.path.read_text()
    assert {} == marks_in(text)
    assert told in text
    assert 1 == len(written.notes)
    assert before == (foxes / PICKS).read_bytes()


def test_a_page_without_a_server_may_reach_no_server(foxes):
    gallery = Gallery(foxes)
    served = gallery.render().data.decode()
    assert "connect-src &#39;self&#39;" in served
    assert " data-served" in served
    text = gallery.write().path.read_text()
    assert "connect-src" not in text
    assert " data-served" not in text


def test_a_page_for_a_server_names_what_may_be_served_and_what_may_be_marked(foxes):
    (foxes / "00001-1.png").unlink()
    (foxes / "secret.txt").write_text("mine")
    served = Gallery(foxes).render()
    assert {"00000-1.png", "00000-2.png"} == served.files
    assert {"00000-1.png", "00000-2.png", "00001-1.png"} == served.names
    assert not (foxes / "index.html").exists()


def test_a_picture_in_an_object_store_is_marked_by_its_file_name(tmp_path):
    saved = job_states.succeed(job_states.plan(0), tmp_path, job_states.picture())
    job_states.write(tmp_path, saved, place="s3://bucket/foxes")
    for name in ("00000-1.png", "00000-1.json"):
        (tmp_path / name).unlink()
    mark(tmp_path, ("00000-1.png", "star"))
    served = Gallery(tmp_path).render()
    assert ({"00000-1.png"}, set()) == (served.names, served.files)
    assert {"00000-1.png": "star"} == marks_in(served.data.decode())
    assert '"name":"s3://bucket/foxes/00000-1.png","file":"00000-1.png"' in served.data.decode()


@pytest.mark.parametrize("place", [None, "s3://bucket/foxes"])
def test_the_mark_of_a_picture_of_a_job_that_was_redone_hides_no_other_mark(place, tmp_path):
    """The user may have removed the picture since, and that of an object store is not in the folder anyway."""
    first, second = (job_states.succeed(job_states.plan(n), tmp_path, job_states.picture()) for n in range(2))
    job_states.write(tmp_path, first, second.redo(), place=place)
    for name in ("00001-1.png", "00001-1.json"):
        (tmp_path / name).unlink()
    mark(tmp_path, ("00000-1.png", "star"), ("00001-1.png", "reject"))
    written = Gallery(tmp_path).write()
    assert () == written.notes
    assert {"00000-1.png": "star", "00001-1.png": "reject"} == marks_in(written.path.read_text())
