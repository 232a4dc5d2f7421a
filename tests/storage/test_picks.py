"""The marks of a folder's pictures, in its `picks.jsonl`."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.errors import ConfigError
from cometflux.storage.paths import PICKS
from cometflux.storage.picks import Mark, dump_marks, merge, parse_marks, read_marks, read_picks, write_marks

KNOWN = {"a.png", "b.png", "c.png"}
STAR_A = b'{"file": "a.png", "mark": "star"}'


@pytest.mark.parametrize(
    ("data", "marks"),
    [
        pytest.param(b"", {}, id="an empty file"),
        pytest.param(STAR_A, {"a.png": "star"}, id="no line break at the end"),
        pytest.param(STAR_A + b'\r\n\r\n{"mark":"reject","file":"b.png"}\r\n', {"a.png": "star", "b.png": "reject"}),
        pytest.param(STAR_A + b'\n{"file": "a.png", "mark": "reject"}\n', {"a.png": "reject"}, id="the last line wins"),
        pytest.param(STAR_A + b'\n{"file": "a.png", "mark": "none"}\n', {"a.png": "none"}, id="taken back"),
        pytest.param(b"\xef\xbb\xbf" + STAR_A, {"a.png": "star"}, id="a byte order mark"),
    ],
)
def test_the_last_mark_of_a_picture_counts(data, marks):
    assert marks == parse_marks(data, PICKS)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(b"nonsense", "line 1: must be", id="no JSON"),
        pytest.param(STAR_A + b"\n[]\n", "line 2: must be", id="a list"),
        pytest.param(b'{"file": 7, "mark": "star"}', "line 1: must be", id="a number as a name"),
        pytest.param(b'{"file": "a.png", "mark": "love"}', "line 1: must be", id="another mark"),
        pytest.param(b'{"file": "a.png"}', "line 1: must be", id="no mark"),
        pytest.param(STAR_A + b'\n{"file": "b.p', "line 2: is cut off", id="a torn last line"),
        pytest.param(b'{"file": "b.p\n' + STAR_A, "line 1: must be", id="a torn line in the middle"),
        pytest.param(b"\xff\xfe" * 9, "line 1: must be", id="no text"),
    ],
)
def test_a_line_that_is_no_mark_is_one_clear_error_and_no_mark_is_dropped_in_silence(tmp_path, data, told):
    (tmp_path / PICKS).write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_marks(tmp_path, KNOWN)
    assert f"{str(tmp_path / PICKS)!r}, {told}" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["other.png", "../a.png", "/etc/passwd", "a.png/../a.png", "./a.png", "A.PNG", "", "a.png\0"]
)
def test_marks_of_another_folders_pictures_are_refused(tmp_path, name):
    (tmp_path / PICKS).write_bytes(STAR_A + b"\n" + dump_marks({name: Mark.REJECT, "x.png": Mark.STAR}))
    with pytest.raises(ConfigError, match="and 1 more, which this folder has not saved"):
        read_marks(tmp_path, KNOWN)


def test_a_folder_without_the_file_has_no_marks_and_no_picks(tmp_path):
    assert {} == read_marks(tmp_path, KNOWN)
    with pytest.raises(ConfigError, match="choose pictures in the gallery first"):
        read_picks(tmp_path, KNOWN)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_a_regular_file_is_read(tmp_path, kind):
    path = tmp_path / PICKS
    if kind == "link":
        (tmp_path / "mine").write_bytes(STAR_A)
        path.symlink_to(tmp_path / "mine")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    for read in (read_marks, read_picks):
        with pytest.raises(ConfigError, match="cannot be read"):
            read(tmp_path, KNOWN)


def test_only_stars_are_picks(tmp_path):
    write_marks(tmp_path, {"a.png": Mark.STAR, "b.png": Mark.REJECT})
    assert {"a.png"} == read_picks(tmp_path, KNOWN)
    write_marks(tmp_path, {"b.png": Mark.REJECT})
    with pytest.raises(ConfigError, match="marks no picture with a star"):
        read_picks(tmp_path, KNOWN)


def test_the_file_is_replaced_in_one_step_and_has_a_line_for_each_mark(tmp_path):
    (tmp_path / PICKS).write_bytes(STAR_A)
    before = (tmp_path / PICKS).stat().st_ino
    write_marks(tmp_path, merge({"a.png": Mark.STAR}, {"b.png": Mark.REJECT, "a.png": Mark.NONE, "c.png": Mark.STAR}))
    assert (
        b'{"file": "b.png", "mark": "reject"}\n{"file": "c.png", "mark": "star"}\n' == (tmp_path / PICKS).read_bytes()
    )
    assert before != (tmp_path / PICKS).stat().st_ino
    assert [tmp_path / PICKS] == list(tmp_path.iterdir())


@pytest.mark.slow
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from([Mark.STAR, Mark.REJECT])))
def test_what_is_written_is_read_back(marks):
    assert marks == parse_marks(dump_marks(marks), PICKS)
