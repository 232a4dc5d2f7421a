"""A folder with many jobs has several pages."""

import re

import job_states
import pytest

from cometflux import errors
from cometflux.gallery import Gallery, write_gallery
from cometflux.journal.writer import JournalWriter


def pages_of(folder):
    return sorted(path.name for path in folder.glob("index*.html"))


def prompts_on(path):
    return re.findall(r'class="prompt" dir="auto">(.*?)</span>', path.read_text())


def gallery_of(folder, most=3):
    gallery = Gallery(folder)
    gallery.jobs_per_page = most
    return gallery


@pytest.fixture
def foxes(tmp_path):
    """A folder with seven saved jobs, and a picture that the journal does not know."""
    records = [job_states.plan(number, f"fox {number}") for number in range(7)]
    job_states.write(tmp_path, *(job_states.succeed(each, tmp_path, job_states.picture()) for each in records))
    (tmp_path / "a.png").write_bytes(job_states.picture())
    (tmp_path / "a.json").write_text('{"file": "a.png", "prediction": {"id": "a"}, "input": {"prompt": "an owl"}}')
    return tmp_path


def test_a_folder_with_many_jobs_has_pages_in_its_order(foxes):
    path = gallery_of(foxes).write().path
    assert foxes / "index.html" == path
    assert ["index-2.html", "index-3.html", "index.html"] == pages_of(foxes)
    assert ["fox 0", "fox 1", "fox 2"] == prompts_on(path)
    assert ["fox 3", "fox 4", "fox 5"] == prompts_on(foxes / "index-2.html")
    assert ["fox 6", "an owl"] == prompts_on(foxes / "index-3.html")


def test_each_page_names_its_place_and_links_to_the_others(foxes):
    gallery_of(foxes).write()
    text = (foxes / "index-2.html").read_text()
    assert "Jobs 4 to 6 of 8." in text
    links = re.findall(r'<a href="(index[^"]*)"( aria-current="page")?', text)
    assert [("index.html", ""), ("index-2.html", ' aria-current="page"'), ("index-3.html", "")] == links


def test_a_small_folder_has_one_page_that_names_no_other(foxes):
    text = write_gallery(foxes).read_text()
    assert ["index.html"] == pages_of(foxes)
    assert 'aria-label="Pages"' not in text


def test_pages_that_are_no_longer_needed_are_removed_and_those_of_others_stay(foxes):
    gallery_of(foxes, most=2).write()
    (foxes / "index-4.html").write_text("mine")
    gallery_of(foxes).write()
    assert ["index-2.html", "index-3.html", "index-4.html", "index.html"] == pages_of(foxes)
    gallery_of(foxes, most=10).write()
    assert ["index-4.html", "index.html"] == pages_of(foxes)
    assert "mine" == (foxes / "index-4.html").read_text()


def test_a_page_of_somebody_else_stops_the_writing_before_any_page_is_written(foxes):
    (foxes / "index-2.html").write_text("mine")
    with pytest.raises(errors.ConfigError, match=r"index-2\.html' is not a page of cometflux"):
        gallery_of(foxes).write()
    assert ["index-2.html"] == pages_of(foxes)


def test_only_a_page_whose_jobs_changed_is_written_again(foxes):
    gallery = gallery_of(foxes)
    gallery.write()

    def version(name):
        # The number alone may be that of a file which was removed.
        return (foxes / name).stat().st_ino, (foxes / name).stat().st_mtime_ns

    def rewritten(change):
        before = {name: version(name) for name in pages_of(foxes)}
        change()
        gallery.write()
        return [name for name in pages_of(foxes) if before[name] != version(name)]

    def abandon():
        writer = JournalWriter(foxes)
        writer.open()
        writer.commit((), [job_states.accept(job_states.plan(4, "fox 4"))])
        writer.close()

    picture = (foxes / "00001-1.png").read_bytes()
    assert [] == rewritten(lambda: None)
    assert ["index-2.html"] == rewritten(abandon)
    # Any page may have shown a file that is gone.
    assert pages_of(foxes) == rewritten((foxes / "00001-1.png").unlink)
    assert [] == rewritten(lambda: None)
    assert ["index.html"] == rewritten(lambda: (foxes / "00001-1.png").write_bytes(picture))
    assert pages_of(foxes) == rewritten((foxes / "index-3.html").unlink)


def test_the_first_page_says_that_a_job_of_another_page_may_be_billed(foxes):
    unknown = job_states.plan(8, "lost").sending(job_states.LEFT, "0" * 64, 10)
    writer = JournalWriter(foxes)
    writer.open()
    writer.commit([unknown])
    writer.close()
    gallery_of(foxes).write()
    assert "lost" in prompts_on(foxes / "index-3.html")
    assert "Some of this may be billed" in (foxes / "index.html").read_text()


def test_a_damaged_row_on_a_later_page_leaves_the_pictures_and_says_so(foxes):
    import sqlite3

    with sqlite3.connect(foxes / "journal.sqlite3") as database:
        database.execute("UPDATE jobs SET progress = '{' WHERE place = 4")
    database.close()
    (note,) = gallery_of(foxes).write().notes
    assert note.endswith("only the pictures and their records are shown")
    assert ["index-2.html", "index-3.html", "index.html"] == pages_of(foxes)
    assert ["fox 6", "an owl"] == prompts_on(foxes / "index-3.html")


def test_pages_are_served_one_by_one(foxes):
    gallery = gallery_of(foxes)
    first, last, beyond = (gallery.render(number) for number in (1, 3, 9))
    assert b"Jobs 1 to 3 of 8." in first.data
    assert b"Jobs 7 to 8 of 8." in last.data
    assert b"Jobs 7 to 8 of 8." in beyond.data
    # Each page may be asked for: the pictures of all are served, and can be marked.
    assert first.files == last.files == first.names == {*(f"{n:05d}-1.png" for n in range(7)), "a.png"}
    assert [] == pages_of(foxes)
