"""An id belongs to one job, whatever the service, a cache or a confused gateway says."""

import asyncio

import attrs
import pytest

from cometflux import Job, Session
from cometflux.errors import UnknownSubmissionError
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.transport.aiohttp import AiohttpTransport


class Repeating(AiohttpTransport):
    """Hands one response out for each submission, as a cache in between does. Each submission is billed."""

    def __init__(self, service, response=None, *, keeps=0, cut=False):
        super().__init__(service.key, service.url)
        self.response = response
        self._keeps = keeps
        self._count = 0
        self._cut = cut

    async def submit(self, request):
        response = await super().submit(request)
        if self._count == self._keeps and self.response is None:
            self.response = response
        self._count += 1
        repeated = response if self.response is None else self.response
        if self._cut and repeated is not response:
            return attrs.evolve(repeated, body=repeated.body[:-1], cut="the body ended before it was complete")
        return repeated


class LastForAll(AiohttpTransport):
    """Hands the response to the second submission out for the first one, too: a gateway that mixes up its clients."""

    def __init__(self, service):
        super().__init__(service.key, service.url)
        self._response = asyncio.get_running_loop().create_future()
        self._has_first = False

    async def submit(self, request):
        if not self._has_first:
            self._has_first = True
            await super().submit(request)
            other = attrs.evolve(request, body=request.body.replace(b"boat a", b"boat b"))
            self._response.set_result(await super().submit(other))
        return await self._response


def job(name):
    return Job(model="black-forest-labs/flux-schnell", input={"prompt": f"boat {name}"}, key=name)


async def run(session, *names):
    async with session:
        return {outcome.key: outcome async for outcome in session.generate([job(name) for name in names])}


def kinds(outcomes):
    return [outcomes[name].kind for name in sorted(outcomes)]


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "torn"])
async def test_the_second_of_two_submissions_with_one_id_is_unknown_with_the_id_as_a_hint(service, cut):
    outcomes = await run(Session(Repeating(service, cut=cut), max_pending=1), "a", "b", "c")
    assert [OutcomeKind.SUCCEEDED, OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN] == kinds(outcomes)
    assert 3 == len(service.bills)
    for name in "bc":
        assert isinstance(outcomes[name].error, UnknownSubmissionError)
        assert service.bills[0].id == outcomes[name].error.prediction_id
        assert outcomes[name].prediction is None


async def test_the_echoed_input_proves_whose_the_id_is_and_the_first_job_is_corrected(service, tmp_path):
    writer = JournalWriter(tmp_path, Account(base_url=service.url, key=service.key))
    outcomes = await run(Session(LastForAll(service), journal=writer), "a", "b")
    assert [OutcomeKind.UNKNOWN, OutcomeKind.SUCCEEDED] == kinds(outcomes)
    assert "boat b" == outcomes["b"].prediction.input["prompt"]
    again = await run(Session(LastForAll(service), journal=JournalWriter(tmp_path, writer._account)), "a", "b")
    assert [OutcomeKind.UNKNOWN, OutcomeKind.SUCCEEDED] == kinds(again)
    assert 2 == len(service.bills)


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "torn"])
async def test_an_id_that_the_journal_knows_from_an_earlier_run_is_not_taken_again(service, tmp_path, cut):
    account = Account(base_url=service.url, key=service.key)
    first = Repeating(service)
    assert [OutcomeKind.SUCCEEDED] == kinds(await run(Session(first, journal=JournalWriter(tmp_path, account)), "a"))
    later = Session(Repeating(service, first.response, cut=cut), journal=JournalWriter(tmp_path, account))
    outcomes = await run(later, "a", "b")
    assert [OutcomeKind.SUCCEEDED, OutcomeKind.UNKNOWN] == kinds(outcomes)
    assert 2 == len(service.bills)


async def test_an_id_that_on_unknown_names_is_not_taken_from_another_job(service):
    async def name_the_first(job, error):
        return service.bills[0].id

    transport = AiohttpTransport(service.key, service.url)
    async with Session(transport, on_unknown=name_the_first, max_pending=1) as session:
        await session.run(job("a"))
        service.fail("drop", after=True)
        with pytest.raises(UnknownSubmissionError):
            await session.run(job("b"))
    assert 2 == len(service.bills)


class LastForFirst(LastForAll):
    """Hands the second response out late: when the prediction is over, and the first job has it, or is saving it."""

    def __init__(self, service, *, is_saving):
        super().__init__(service)
        self._is_saving = is_saving
        self._is_fetching = asyncio.Event()
        self._may_fetch = asyncio.Event()

    async def submit(self, request):
        is_second = self._has_first
        response = await super().submit(request)
        if is_second:
            await self._is_fetching.wait()
            await asyncio.sleep(0 if self._is_saving else 10)
        return response

    async def download(self, url):
        self._is_fetching.set()
        if self._is_saving:
            await asyncio.sleep(10)
        return await super().download(url)


@pytest.mark.parametrize("is_saving", [True, False], ids=["being saved", "over"])
async def test_a_job_whose_prediction_is_over_keeps_it_and_the_second_one_is_unknown(service, tmp_path, is_saving):
    """Its outcome may be with the caller, and a job ends once."""
    transport = LastForFirst(service, is_saving=is_saving)
    async with Session(transport, journal=JournalWriter(tmp_path)) as session:
        batch = session.generate([job("a"), job("b")], save_to=tmp_path)
        outcomes = {outcome.key: outcome async for outcome in batch}
    assert [OutcomeKind.SUCCEEDED, OutcomeKind.UNKNOWN] == kinds(outcomes)
    made = outcomes["a"].prediction
    assert made.id == outcomes["b"].error.prediction_id
    # The caller can see it.
    assert ("boat a", "boat b") == (outcomes["a"].job.input["prompt"], made.input["prompt"])
    assert 2 == len(service.bills)
