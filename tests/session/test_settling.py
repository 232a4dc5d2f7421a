"""``on_unknown="settle"``: the session looks in the account, and adopts what is proved."""

import asyncio
import logging

import pytest
from canary import shown

from cometflux import Session, flux, open_session
from cometflux.errors import ConfigError, UnknownSubmissionError
from cometflux.outcomes import OutcomeKind
from cometflux.transport.aiohttp import AiohttpTransport

TOKEN = "token-canary-2424242424"


@pytest.fixture(autouse=True)
def _token(service, monkeypatch):
    service.access_token = TOKEN
    monkeypatch.delenv("COMETAPI_ACCESS_TOKEN", raising=False)


def opened(service, **options):
    options = {"access_token": TOKEN, "on_unknown": "settle", **options}
    return open_session(api_key=service.key, base_url=service.url, **options)


async def ends(session, jobs, **options):
    return [outcome async for outcome in session.generate(jobs, **options)]


@pytest.mark.parametrize("has_journal", [True, False], ids=["with a journal", "without a journal"])
async def test_a_lost_response_is_found_in_the_account_and_its_picture_saved(service, tmp_path, has_journal):
    service.fail("drop", after=True)
    async with opened(service, journal=tmp_path if has_journal else None) as session:
        (outcome,) = await ends(session, ["a boat"], save_to=tmp_path)
    assert outcome.ok
    assert [outcome.prediction.id] == [bill.id for bill in service.bills]
    assert 1 == len(list(tmp_path.glob("*.webp")))


async def test_identical_jobs_whose_responses_are_lost_get_one_prediction_each(service, tmp_path):
    service.fail("drop", after=True, times=2)
    async with opened(service, journal=tmp_path) as session:
        outcomes = await ends(session, ["a boat", "a boat"], save_to=tmp_path)
    assert sorted(bill.id for bill in service.bills) == sorted(outcome.prediction.id for outcome in outcomes)


async def test_a_late_row_is_waited_for(service, tmp_path):
    service.fail("drop", after=True)
    service.fail("late-rows", times=2)
    async with opened(service, journal=tmp_path) as session:
        (outcome,) = await ends(session, ["a boat"])
    assert OutcomeKind.SUCCEEDED is outcome.kind


async def test_an_unknown_of_an_earlier_run_is_settled_when_its_batch_is_run_again(service, tmp_path):
    service.fail("drop", after=True)
    async with opened(service, journal=tmp_path, on_unknown="hold", access_token=None) as session:
        (outcome,) = await ends(session, ["a boat"], save_to=tmp_path)
        assert OutcomeKind.UNKNOWN is outcome.kind
    async with opened(service, journal=tmp_path) as session:
        (outcome,) = await ends(session, ["a boat"], save_to=tmp_path)
    assert (True, True, 1) == (outcome.ok, outcome.resumed, len(service.bills))


@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "by a later run"])
async def test_a_job_that_took_the_image_of_another_one_is_proved_by_that_image(service, tmp_path, is_late):
    draft = flux.Schnell(prompt="a boat")
    jobs = [draft, flux.KontextPro(prompt="at night", input_image=draft)]
    service.fail("drop", after=True, prompt="at night")
    if is_late:
        async with opened(service, journal=tmp_path, on_unknown="hold", access_token=None) as session:
            (_, outcome) = await ends(session, jobs, save_to=tmp_path)
            assert OutcomeKind.UNKNOWN is outcome.kind
    async with opened(service, journal=tmp_path) as session:
        outcomes = await ends(session, jobs, save_to=tmp_path)
    assert [True, True] == [outcome.ok for outcome in outcomes]
    assert 2 == len(service.bills)


async def test_what_was_never_accepted_stays_unknown_and_is_not_sent_again(service, tmp_path):
    service.fail("drop")
    async with opened(service, journal=tmp_path) as session:
        (outcome,) = await ends(session, ["a boat"])
    assert OutcomeKind.UNKNOWN is outcome.kind
    assert 1 == sum(request.method == "POST" for request in service.requests)


async def test_the_prediction_of_another_job_with_the_same_input_is_not_taken(service, tmp_path):
    async with opened(service, journal=tmp_path) as session:
        first = await session.run(flux.Schnell(prompt="a boat"))
        service.fail("drop")
        with pytest.raises(UnknownSubmissionError):
            await session.run(flux.Schnell(prompt="a boat"))
        assert [first.id] == [bill.id for bill in service.bills]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["401", "404", "html", "redirect", "hang", "list", "ids-cut", "rows-missing"])
async def test_an_account_that_cannot_be_read_leaves_the_job_unknown_and_the_others_alone(
    service, tmp_path, caplog, fault
):
    caplog.set_level(logging.DEBUG)
    service.fail(fault, on="tasks", rate=1.0)
    service.fail("drop", after=True, prompt="a boat")
    async with opened(service, journal=tmp_path) as session:
        outcomes = await ends(session, ["a boat", "a tug"], save_to=tmp_path)
    kinds = {outcome.job.prompt: outcome.kind for outcome in outcomes}
    # With every other row missing, the newer of two is.
    is_listed = fault == "rows-missing" and service.bills[0].input["prompt"] == "a boat"
    assert {"a boat": "succeeded" if is_listed else "unknown", "a tug": "succeeded"} == kinds
    files = [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]
    errors = [text for outcome in outcomes for text in shown(outcome.error)]
    assert TOKEN not in "\n".join([caplog.text, repr(vars(session)), *files, *errors])
    assert [] == service.leaks


async def test_closing_the_session_does_not_wait_for_the_account(service, tmp_path):
    service.fail("drop", after=True)
    service.fail("hang", on="tasks", rate=1.0)
    session = opened(service, journal=tmp_path)
    async with session:
        batch = session.generate(["a boat"])
        running = asyncio.ensure_future(anext(batch))
        await asyncio.sleep(5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    async with opened(service, journal=tmp_path, on_unknown="hold", access_token=None) as again:
        (outcome,) = await ends(again, ["a boat"])
    assert (OutcomeKind.UNKNOWN, 1) == (outcome.kind, len(service.bills))


def test_settling_needs_the_access_token_of_the_account(service):
    with pytest.raises(ConfigError, match="needs the access token of the account; pass access_token, or set COMETAPI_"):
        opened(service, access_token=None)
    with pytest.raises(ConfigError, match="the access token is an API key"):
        opened(service, access_token=service.key)
    with pytest.raises(ConfigError, match="max_resends has no meaning with on_unknown='settle'"):
        opened(service, max_resends=3)
    with pytest.raises(ConfigError, match="needs the account: use open_session"):
        Session(AiohttpTransport(service.key, service.url), on_unknown="settle")


def test_the_access_token_of_the_environment_is_read_only_if_it_is_needed(service, monkeypatch):
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", "sk-not-a-token")
    assert opened(service, access_token=None, on_unknown="hold")
    with pytest.raises(ConfigError, match="the access token is an API key"):
        opened(service, access_token=None)
