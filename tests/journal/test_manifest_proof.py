"""A manifest that is proven to be what would be written stays; any other is written again."""

import json
import os
import shutil

import pytest

from cometflux import Job
from cometflux.journal.manifest import write_manifest
from cometflux.journal.plan import plan_jobs
from cometflux.journal.reader import Journal
from cometflux.journal.writer import JournalWriter

PROOF = "manifest.sha256"


def plan(folder, *prompts):
    writer = JournalWriter(folder)
    writer.open()
    writer.plan(plan_jobs(Job(model="black-forest-labs/flux-schnell", input={"prompt": text}) for text in prompts))
    writer.close()


@pytest.fixture
def folder(tmp_path):
    """A folder with a journal of two jobs, and with its manifest."""
    plan(tmp_path, "a boat", "a fox")
    write_manifest(tmp_path)
    return tmp_path


def identity(folder):
    """What a file that is written again does not keep."""
    found = (folder / "manifest.jsonl").stat()
    return found.st_ino, found.st_mtime_ns


def prompts(folder):
    return [json.loads(line)["prompt"] for line in (folder / "manifest.jsonl").read_text().splitlines()]


def change(folder, name, before, after):
    text = (folder / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after))


def test_it_stays_if_nothing_has_changed(folder):
    before = identity(folder)
    assert folder / "manifest.jsonl" == write_manifest(folder)
    assert before == identity(folder)


def test_a_batch_that_is_planned_again_changes_nothing(folder):
    before = identity(folder)
    plan(folder, "a boat", "a fox")
    write_manifest(folder)
    assert before == identity(folder)


def test_it_stays_in_a_copy_of_the_folder(folder, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copies") / "copy"
    shutil.copytree(folder, copy)
    before = identity(copy)
    write_manifest(copy)
    assert before == identity(copy)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: (folder / "manifest.jsonl").unlink(), id="removed"),
        pytest.param(lambda folder: (folder / "manifest.jsonl").write_bytes(b""), id="empty"),
        pytest.param(lambda folder: os.truncate(folder / "manifest.jsonl", 200), id="cut"),
        pytest.param(lambda folder: change(folder, "manifest.jsonl", "a fox", "a cat"), id="changed"),
        pytest.param(lambda folder: (folder / PROOF).unlink(), id="no proof"),
        pytest.param(lambda folder: (folder / PROOF).write_bytes(b""), id="an empty proof"),
        pytest.param(lambda folder: change(folder, PROOF, " form ", " form 1"), id="another form"),
        pytest.param(lambda folder: change(folder, PROOF, "journal ", "journal 0"), id="another journal"),
        pytest.param(lambda folder: change(folder, PROOF, "  manifest", "0  manifest"), id="another digest"),
        pytest.param(lambda folder: (folder / "looks.jsonl").write_text("{}"), id="looks"),
    ],
)
def test_it_is_written_again_if_it_is_not_proven(spoil, folder):
    before = identity(folder)
    spoil(folder)
    write_manifest(folder)
    assert before != identity(folder)
    assert ["a boat", "a fox"] == prompts(folder)
    proven = identity(folder)
    write_manifest(folder)
    assert proven == identity(folder)


def test_it_is_written_again_if_a_job_has_changed(folder):
    with Journal(folder) as journal:
        (first, _) = journal.records()
    writer = JournalWriter(folder)
    writer.open()
    writer.commit((), [first.sending(1_700_000_000.0, "b" * 64, 10)])
    writer.close()
    before = identity(folder)
    write_manifest(folder)
    assert before != identity(folder)


@pytest.mark.parametrize("again", [("a boat", "a fox", "a cat"), ("a fox", "a boat")], ids=["longer", "another order"])
def test_it_is_written_again_if_the_plan_has_changed(again, folder):
    plan(folder, *again)
    write_manifest(folder)
    assert list(again) == prompts(folder)


def test_one_that_another_process_put_there_is_written_again(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    plan(other, "a hare", "an owl")
    write_manifest(other)
    for name in ("manifest.jsonl", PROOF):
        shutil.copy(other / name, folder / name)
    write_manifest(folder)
    assert ["a boat", "a fox"] == prompts(folder)


def test_a_link_is_replaced_though_it_leads_to_a_proven_manifest(folder):
    (folder / "manifest.jsonl").rename(folder / "mine.jsonl")
    (folder / "manifest.jsonl").symlink_to("mine.jsonl")
    write_manifest(folder)
    assert not (folder / "manifest.jsonl").is_symlink()


def test_a_file_of_the_user_stays(tmp_path):
    (tmp_path / PROOF).write_text("0123  mine\n")
    plan(tmp_path, "a boat")
    for _ in range(2):
        write_manifest(tmp_path)
        assert ["a boat"] == prompts(tmp_path)
        assert "0123  mine\n" == (tmp_path / PROOF).read_text()
    assert [PROOF] == [path.name for path in tmp_path.glob("*.sha256")]
