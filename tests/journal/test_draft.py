"""A draft keeps the rows of a plan outside memory, in their order, and gives them as often as they are asked for."""

import errno
import gc
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_pixel import PNG

from cometflux.errors import ConfigError
from cometflux.jobs import Job
from cometflux.journal import draft as draft_file
from cometflux.journal.draft import Draft
from cometflux.journal.plan import PlannedRow, plan_jobs

rows = st.builds(PlannedRow, st.text(), st.integers(0, 2**40), st.text())


def row(number, text=""):
    return PlannedRow(f"key:{number}", number, text)


@pytest.mark.slow
@given(st.lists(st.tuples(rows, st.none() | st.integers(0))))
def test_rows_of_any_text_come_back_as_they_were(added):
    draft = Draft()
    for each, line in added:
        draft.add(each, line)
    assert len(added) == len(draft)
    for _ in range(2):
        assert [each for each, _ in added] == list(draft)
    assert {each.identity: line for each, line in added} == draft.lines({each.identity for each, _ in added})


def test_two_readers_and_a_writer_do_not_disturb_each_other():
    draft = Draft()
    for number in range(1200):
        draft.add(row(number))
    for number, (one, other) in enumerate(zip(draft, draft, strict=True)):
        assert row(number) == one == other
        if number == 600:
            draft.add(row(1200))
    assert 1201 == len(list(draft))


@pytest.mark.posix
def test_a_large_draft_is_in_a_file_that_goes_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(draft_file.tempfile, "tempdir", str(tmp_path))
    draft = Draft()
    tracemalloc.start()
    for number in range(10_000):
        draft.add(row(number, f"{number}" * 500))
    assert tracemalloc.get_traced_memory()[0] < 8_000_000
    tracemalloc.stop()
    assert 1 == _open_files_in(tmp_path)
    assert [] == list(tmp_path.iterdir())
    del draft
    gc.collect()
    assert 0 == _open_files_in(tmp_path)


def _open_files_in(folder):
    # Files of earlier tests may be closed at any time.
    return sum(os.path.realpath(each).startswith(f"{folder}/") for each in Path("/proc/self/fd").iterdir())


def test_a_disk_without_room_is_one_clear_error(monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    draft = Draft()
    monkeypatch.setattr(draft._file, "write", refuse)
    with pytest.raises(ConfigError, match=r"does not fit .* \(No space left on device\); set TMPDIR"):
        for number in range(1000):
            draft.add(row(number))


def test_a_job_comes_back_from_its_row_with_its_place_and_its_name(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    jobs = [
        Job(model="a/b", input={"prompt": "a fox", "$x": [tmp_path / "a.png", {"y": 1.5}]}, key=key)
        for key in ("k", None)
    ]
    made = [each.to_job() for each in plan_jobs(jobs, "a.csv")]
    assert [(job.model, job.input, job.key) for job in jobs] == [
        (each.job.model, each.job.input, each.job.key) for each in made
    ]
    assert [0, 1] == [each.index for each in made]
    assert ["key:k", f"job:{made[1].fingerprint}:1"] == [each.identity for each in made]
