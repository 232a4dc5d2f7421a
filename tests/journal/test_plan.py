"""A batch written down before it is sent: what it holds, and the jobs that are made of it again."""

import base64
import contextlib
import sqlite3
from pathlib import Path

import attrs
import job_states
import pytest

from cometflux.basics.pages import AHEAD
from cometflux.errors import InputError, JournalError
from cometflux.images import reference_files
from cometflux.jobs import Job
from cometflux.journal import plan
from cometflux.journal.attempts import SavedFile
from cometflux.journal.reader import Journal
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.protocol import encoding

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def job(prompt="a boat", key=None, **values):
    return Job(model="o/m", input={"prompt": prompt, **values}, key=key)


def test_a_job_is_known_by_its_key_else_by_what_it_asks_for_and_which_of_its_like_it_is():
    records = [row.to_record() for row in plan.plan_jobs([job(), job(key="one"), job("a barn"), job()])]
    boat, _, barn, _ = (record.fingerprint for record in records)
    assert [f"job:{boat}:1", "key:one", f"job:{barn}:1", f"job:{boat}:2"] == [record.identity for record in records]
    assert ["#00000", "one", "#00002", "#00003"] == [record.key for record in records]
    assert [0, 1, 2, 3] == [record.index for record in records]


def test_a_job_that_is_made_again_asks_for_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(PNG)
    path = Path("a.png")
    jobs = [job(images=[path], seed=3), job(key="$one", options={"$path": "no file"})]
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.plan(plan.plan_jobs(jobs))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with Journal(tmp_path) as journal:
        drawn = [plan.job_of_record(record) for record in journal.records()]
    assert [None, "$one"] == [each.job.key for each in drawn]
    assert [0, 1] == [each.index for each in drawn]
    for each in drawn:
        described = reference_files.describe_input(each.job.input)
        assert each.fingerprint == encoding.fingerprint(each.job.model, described)
    assert [tmp_path / "a.png"] == drawn[0].job.input["images"]
    assert jobs[1].input == drawn[1].job.input


@pytest.fixture
def two_jobs(tmp_path):
    """A journal of two jobs, of which the first is saved."""
    over = Prediction(id="p1", status=Status.SUCCEEDED)
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    jobs = [job(key="one", images=[picture], seed=3), job()]
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.plan(plan.plan_jobs(jobs, "a.csv", lambda index, _: f"boat-{index}"))
        first = writer.find(["key:one"])["key:one"].sending(1.0, "body", 1).accepted(over, 2.0)
        file = SavedFile(name="boat-0.png", size=1, digest="d")
        writer.commit((), [first.ended(OutcomeKind.SUCCEEDED, over, None).saved((file,), None)])
    return tmp_path


def test_a_job_that_is_saved_is_made_again_as_the_others_are(two_jobs):
    with Journal(two_jobs) as journal:
        first, second = journal.jobs()
        records = [*journal.records()]
        left_out = [each.identity for each in journal.jobs(without={"key:one"})]
    assert ["saved", "waiting"] == [record.state_name for record in records]
    unchecked = attrs.evolve(first, job=attrs.evolve(first.job, validate=True))
    assert [plan.job_of_record(record) for record in records] == [unchecked, second]
    assert [second.identity] == left_out


@pytest.mark.parametrize(
    "change",
    [
        "plan = 'damaged'",
        "plan = '[]'",
        "plan = json_remove(plan, '$.fingerprint')",
        *(f"plan = json_set(plan, '$.{name}', 7)" for name in ("model", "key", "fingerprint", "input", "name", "tags")),
        "place = 'first'",
    ],
)
def test_a_plan_that_something_else_has_changed_is_refused_though_its_job_is_saved(change, two_jobs):
    with contextlib.closing(sqlite3.connect(two_jobs / "journal.sqlite3")) as database, database:
        database.execute(f"UPDATE jobs SET {change} WHERE identity = 'key:one'")
    with Journal(two_jobs) as journal, pytest.raises(JournalError, match=r"the journal .* is damaged"):
        list(journal.jobs())


def test_a_file_that_cannot_be_read_is_told_before_anything_is_sent(tmp_path):
    records = plan.plan_jobs([job(), job(image=tmp_path / "none.png")])
    next(records)
    with pytest.raises(InputError, match=r"none\.png"):
        next(records)


def test_jobs_are_read_ahead_as_their_rows_are_asked_for():
    drawn = []

    def jobs():
        for number in range(3 * AHEAD):
            drawn.append(number)
            yield job(str(number))

    rows = plan.plan_jobs(jobs())
    next(rows)
    assert list(range(AHEAD)) == drawn


@pytest.mark.parametrize(
    ("again", "is_same"),
    [
        ("one two", True),
        ("two one", False),
        ("one", False),
        ("one two three", False),
        ("one three", False),
        ("", False),
    ],
)
def test_a_journal_has_a_plan_if_just_its_jobs_are_planned_in_their_places(again, is_same, tmp_path):
    def rows(prompts):
        return list(plan.plan_jobs([Job.of(prompt) for prompt in prompts.split()], "a.csv"))

    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.plan(rows("one two"))
        assert is_same is writer.has_plan(rows(again))
        writer.plan(rows(again), replaces=True)
        assert writer.has_plan(rows(again)), "what was dropped is not planned"


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("pending", "00000-a-boat"),
        ("unsaved", "00000-a-boat"),
        ("detached", "00000-a-boat"),
        ("unknown", "00000-a-boat"),
        # Of these no image is anywhere that the journal does not know.
        ("waiting", None),
        ("saved", None),
        ("failed", None),
    ],
)
def test_a_job_whose_images_may_be_saved_keeps_the_names_of_its_files_when_its_place_changes(state, name, tmp_path):
    (boat,) = plan.plan_jobs([job()])
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.commit([job_states.reach(state, boat.to_record(), tmp_path)])
        for _ in range(2):
            writer.plan(plan.plan_jobs([job("a barn"), job()]))
    with Journal(tmp_path) as journal:
        (record,) = journal.find([boat.identity]).values()
    assert (1, name, state) == (record.index, record.name, record.state_name)
