"""Jobs that a program asks for again, although they are over."""

import pytest
from journal_records import records
from keyed_jobs import keyed, kinds

from cometflux.errors import ConfigError
from cometflux.journal import codec


@pytest.fixture
def make(opened, tmp_path):
    async def run(*jobs, **options):
        async with opened() as session:
            return {outcome.key: outcome async for outcome in session.generate([*jobs], save_to=tmp_path, **options)}

    return run


@pytest.mark.parametrize(("state", "fault"), [("failed", "failed"), ("canceled", "canceled")])
async def test_the_jobs_of_a_state_are_made_again_and_the_others_are_left_alone(state, fault, service, make, tmp_path):
    service.fail(fault)
    first = await make(keyed("a"))
    assert {"a": state} == kinds(first)
    await make(keyed("b"))
    again = await make(keyed("a"), keyed("b"), redo={state})
    assert {"a": "succeeded", "b": "succeeded"} == kinds(again)
    assert (False, True) == (again["a"].resumed, again["b"].resumed)
    assert 3 == len(service.bills)
    await make(keyed("a"), keyed("b"), redo={state})
    assert 3 == len(service.bills), "it succeeded, so nothing is to be made again"
    (attempt,) = records(tmp_path)["a"].earlier
    assert (state, first["a"].prediction.id) == (attempt.kind, attempt.prediction_id)


async def test_another_state_is_not_meant(service, make):
    service.fail("failed")
    await make(keyed("a"))
    assert {"a": "failed"} == kinds(await make(keyed("a"), redo=["canceled", "expired", "rejected", "b"]))
    assert 1 == len(service.bills)


async def test_a_saved_job_is_made_again_by_its_key_and_both_images_stay(service, make, tmp_path):
    first = (await make(keyed("a")))["a"]
    second = (await make(keyed("a"), redo={"a"}))["a"]
    assert second.ok
    assert first.files != second.files
    assert all(path.is_file() for path in (*first.files, *second.files))
    assert [path.name for path in first.files] == [each.name for each in records(tmp_path)["a"].earlier[0].files]
    again = (await make(keyed("a")))["a"]
    assert second.files == again.files
    assert 2 == len(service.bills)


async def test_an_unknown_job_is_submitted_again_by_its_key_only(service, make):
    service.fail("drop", after=True)
    assert {"a": "unknown"} == kinds(await make(keyed("a")))
    assert {"a": "unknown"} == kinds(await make(keyed("a"), redo={"failed", "canceled", "expired", "rejected"}))
    assert {"a": "succeeded"} == kinds(await make(keyed("a"), redo={"a"}))
    assert 2 == len(service.bills)


@pytest.mark.parametrize("redo", [{"failed"}, {"a"}], ids=["by state", "by key"])
async def test_a_job_may_be_made_again_with_another_input_and_the_old_one_stays_in_the_record(
    redo, service, make, tmp_path
):
    service.fail("failed")
    await make(keyed("a", "a boat", seed=1))
    changed = keyed("a", "a ship", seed=2)
    assert {"a": "succeeded"} == kinds(await make(changed, redo=redo))
    assert [{"prompt": "a boat", "seed": 1}, {"prompt": "a ship", "seed": 2}] == [
        dict(bill.input) for bill in service.bills
    ]
    record = records(tmp_path)["a"]
    assert {"prompt": "a ship", "seed": 2} == record.input
    assert {"prompt": "a boat", "seed": 1} == codec.load_plan(record.earlier[0].plan)["input"]
    # The newest input is the job's; the one before is known as another name of the same job.
    for job in (changed, keyed("a", "a boat", seed=1)):
        again = (await make(job))["a"]
        assert (True, {"prompt": "a ship", "seed": 2}) == (again.resumed, dict(again.job.input))
    assert 2 == len(service.bills)
    other = (await make(keyed("a", "a third thing")))["a"]
    assert "the journal has this key with another input" in str(other.error)


async def test_a_redo_that_the_service_refuses_is_rejected_and_the_first_attempt_stays_paid(service, make, tmp_path):
    service.fail("failed")
    await make(keyed("a"))
    service.fail("422")
    assert {"a": "rejected"} == kinds(await make(keyed("a", "a ship"), redo={"failed"}))
    record = records(tmp_path)["a"]
    assert (1, "rejected") == (record.bought, record.state_name)
    assert {"a": "succeeded"} == kinds(await make(keyed("a", "a ship")))
    assert 2 == len(service.bills)


async def test_a_job_without_a_key_goes_by_its_place(service, make):
    service.fail("failed")
    assert {"#00000": "failed"} == kinds(await make("a boat"))
    assert {"#00000": "succeeded"} == kinds(await make("a boat", redo={"#00000"}))


async def test_a_prediction_that_is_at_the_service_is_not_submitted_again(service, opened, make, tmp_path):
    async with opened() as session:
        await session.submit(keyed("a"))
    assert "detached" == records(tmp_path)["a"].state_name
    assert {"a": "succeeded"} == kinds(await make(keyed("a"), redo={"a"}))
    assert 1 == len(service.bills)


@pytest.mark.parametrize("redo", ["failed", 3, [3], ["saved"], {"unknown"}, None])
async def test_what_names_no_jobs_is_refused(redo, opened, service):
    async with opened() as session:
        with pytest.raises(ConfigError, match="redo"):
            session.generate(["a boat"], redo=redo)
    assert [] == service.bills


async def test_without_a_journal_there_is_nothing_to_make_again(service, opened):
    async with opened(journal=None) as session:
        with pytest.raises(ConfigError, match="needs a journal"):
            session.generate(["a boat"], redo={"failed"})
