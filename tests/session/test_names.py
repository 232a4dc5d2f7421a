"""The names that a caller's template gives to the files of a batch."""

import json

import pytest

from cometflux import Job, Journal, open_session
from cometflux.errors import InputError


def jobs(*seeds, **options):
    return [
        Job(model="black-forest-labs/flux-schnell", input={"prompt": "a boat", "seed": seed}, **options)
        for seed in seeds
    ]


@pytest.fixture
def opened(service):
    def open_it(**options):
        return open_session(api_key=service.key, base_url=service.url, **options)

    return open_it


async def files_of(batch, folder):
    return sorted([path.relative_to(folder).as_posix() async for outcome in batch for path in outcome.files])


async def test_a_template_names_the_files_of_a_batch(opened, tmp_path):
    async with opened() as session:
        batch = session.generate(jobs(1, 2, tags={"client": "A"}), save_to=tmp_path, name="{client}/{seed}")
        assert ["A/1.webp", "A/2.webp"] == await files_of(batch, tmp_path)
    record = json.loads((tmp_path / "A/1.json").read_text())
    assert ("1.webp", {"client": "A"}) == (record["file"], record["tags"])


async def test_a_second_job_of_one_name_ends_the_batch_and_nothing_is_sent_for_it(opened, service, tmp_path):
    async with opened() as session:
        with pytest.raises(InputError, match="an earlier job of this batch has this name"):
            await files_of(session.generate(jobs(1, 2), save_to=tmp_path, name="{slug}"), tmp_path)
    assert [1] == [bill.input["seed"] for bill in service.bills]


async def test_a_job_that_the_journal_knows_keeps_its_name(opened, service, tmp_path):
    async with opened(journal=tmp_path) as session:
        await files_of(session.generate(jobs(1), save_to=tmp_path, name="{slug}/{seed}"), tmp_path)
    (tmp_path / "a-boat/1.webp").unlink()
    async with opened(journal=tmp_path) as session:
        batch = session.generate(jobs(1), save_to=tmp_path, name="another {seed}")
        assert ["a-boat/1.webp"] == await files_of(batch, tmp_path)
    assert 1 == len(service.bills)


async def test_tags_come_back_with_the_outcome_and_are_no_part_of_the_identity(opened, service, tmp_path):
    async with opened(journal=tmp_path) as session:
        (first,) = [each async for each in session.generate(jobs(1, tags={"sku": "7"}), save_to=tmp_path)]
    async with opened(journal=tmp_path) as session:
        (again,) = [each async for each in session.generate(jobs(1), save_to=tmp_path)]
    assert {"sku": "7"} == first.job.tags
    assert again.resumed
    assert 1 == len(service.bills)
    with Journal(tmp_path) as journal:
        assert [{"sku": "7"}] == [record.tags for record in journal.records()]


async def test_a_wrong_template_is_refused_before_anything_is_drawn(opened, tmp_path):
    async with opened() as session:
        with pytest.raises(InputError, match="is not a field"):
            session.generate(iter(()), save_to=tmp_path, name="{key.upper}")


def test_tags_cannot_be_changed_and_are_texts():
    (job,) = jobs(1, tags={"sku": "7"})
    with pytest.raises(TypeError):
        job.tags["sku"] = "8"
    for wrong in ({"sku": 7}, {"": "7"}, ["sku"], {"sku": "\ud800"}):
        with pytest.raises(InputError, match="tags"):
            jobs(1, tags=wrong)
