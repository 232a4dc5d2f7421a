"""Every bad input that somebody may give, and that it is one clear error, or does no harm; see `bad_inputs`."""

import asyncio
import contextlib
import json
import os
from pathlib import Path

import attrs
import pytest
from bad_inputs import answers, commands, environment, given, outputs, places
from odd_files import make_pipe
from socket_server import Peer
from virtual_clock import VirtualClockLoop

from cometflux import open_session
from cometflux.cli import main
from cometflux.errors import ConfigError, Money, OutputError, SessionStoppedError, UnknownSubmissionError
from cometflux.events import Polled
from cometflux.outcomes import OutcomeKind

pytestmark = pytest.mark.slow

KEY = "sk-canary-0123456789"
FOUND = ["a folder", "a pipe", "a link to nowhere"]


def each(cases):
    ids = [case.id for case in cases]
    assert len(ids) == len({*ids}), "every case has a name of its own"
    return pytest.mark.parametrize("case", cases, ids=ids)


# ── what the service answers ─────────────────────────────────────────────────────────────────────────────────────────


class Odd:
    """A service that gives odd answers to the first few requests of a kind, and then proper ones."""

    def __init__(self, **odd):
        self._odd = odd
        self.bills = 0

    def __call__(self, request):
        method = request["method"]
        answer = self._odd[method].pop() if self._odd.get(method) else None
        self.bills += method == "POST" and not (answer or b"").startswith(b"HTTP/1.1 429")
        if answer is not None:
            return answer or None
        return answers.body(
            answers.CREATED if method == "POST" else {**answers.DONE, "id": request["path"].split("/")[-1]}
        )


@attrs.frozen
class End:
    """What came of one odd answer."""

    kind: OutcomeKind
    error: Exception | None
    """What was said of it: by the outcome, else by a question that failed."""
    bills: int
    took: float
    """In seconds of the virtual clock."""


async def end_of(odd):
    """Run one job against an odd service."""
    troubles, began = [], asyncio.get_running_loop().time()

    def tell(event):
        if isinstance(event, Polled) and event.error is not None:
            troubles.append(event.error)

    async with Peer(odd) as peer:
        async with open_session(api_key=KEY, base_url=peer.url, on_event=tell) as session:
            (outcome,) = [outcome async for outcome in _patient(session.generate(["a boat"]))]
    error = outcome.error or (troubles[0] if troubles else None)
    return End(outcome.kind, error, odd.bills, asyncio.get_running_loop().time() - began)


async def _patient(batch):
    # A refused key stops the session behind the outcome; that has tests of its own.
    while True:
        try:
            yield await anext(batch)
        except (StopAsyncIteration, SessionStoppedError):
            return


def side_by_side(work, cases):
    """Run *work* for every case, some at a time on one virtual clock; return what came of each by its id."""
    complaints = []

    async def work_all():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        places = asyncio.Semaphore(40)

        async def one(case):
            async with places:
                return await work(case)

        return await asyncio.gather(*map(one, cases), return_exceptions=True)

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        found = runner.run(work_all())
    assert [] == complaints, "the loop complains"
    return {case.id: end for case, end in zip(cases, found, strict=True)}


@pytest.fixture(scope="module")
def submissions():
    return side_by_side(lambda case: end_of(Odd(POST=[case.raw])), answers.CREATE)


@pytest.fixture(scope="module")
def questions():
    return side_by_side(lambda case: end_of(Odd(GET=case.times * [case.raw])), answers.GET)


@each(answers.CREATE)
def test_an_odd_answer_to_a_submission(case, submissions):
    check(case, submissions[case.id])


@each(answers.GET)
def test_an_odd_answer_to_a_question(case, questions):
    check(case, questions[case.id])


MONEY = {OutcomeKind.UNKNOWN: Money.UNKNOWN, OutcomeKind.REJECTED: Money.REJECTED}


def check(case, end):
    assert isinstance(end, End), end
    assert (case.kind, case.error) == (end.kind, end.error and type(end.error))
    assert case.says in str(end.error or "")
    assert KEY not in str(end.error or "")
    assert end.error is None or MONEY.get(case.kind, Money.ACCEPTED) is end.error.money
    assert case.bills == end.bills
    assert end.took < case.within


# ── what a program hands over ────────────────────────────────────────────────────────────────────────────────────────


@each(given.VALUES)
def test_an_odd_value(case):
    with pytest.raises(case.error) as caught:
        case.call()
    assert type(caught.value) is case.error
    assert case.says in str(caught.value)
    assert KEY not in str(caught.value)


@each(given.CALLS)
async def test_an_odd_call(case, service, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        with pytest.raises(case.error) as caught:
            await case.call(session, tmp_path)
    assert type(caught.value) is case.error
    assert case.says in str(caught.value)
    assert case.bills == len(service.bills)


@each(given.DECIDERS)
async def test_an_odd_decision_about_a_submission_of_unknown_fate_leaves_it_unknown(case, service, caplog):
    service.fail("drop", after=True)
    async with open_session(api_key=service.key, base_url=service.url, on_unknown=case.call) as session:
        with pytest.raises(UnknownSubmissionError, match="the connection was closed"):
            await session.run("a boat")
    assert 1 == len(service.bills)
    assert ["ERROR"] == [record.levelname for record in caplog.records]


# ── outputs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def output_of(case, folder):
    """Buy one picture whose output is odd; return the outcome, the files, and the requests."""

    def answer(request):
        if request["method"] != "POST":
            return case.raw or None
        told = json.dumps(case.output).replace("{here}", peer.url)
        return answers.body({**answers.DONE, "output": json.loads(told)}, 201)

    async with Peer(answer) as peer:
        async with open_session(api_key=KEY, base_url=peer.url, largest_output=100_000) as session:
            (outcome,) = [outcome async for outcome in session.generate(["a boat"], save_to=folder)]
    return outcome, {path.name for path in folder.iterdir() if path.suffix != ".json"}, peer.requests


@pytest.fixture(scope="module")
def bought(tmp_path_factory):
    return side_by_side(lambda case: output_of(case, tmp_path_factory.mktemp("output")), outputs.OUTPUTS)


@each(outputs.OUTPUTS)
def test_an_odd_output(case, bought):
    outcome, files, requests = bought[case.id]
    assert OutcomeKind.SUCCEEDED is outcome.kind
    assert (OutputError if case.says else type(None)) is type(outcome.error)
    assert case.says in str(outcome.error or "")
    assert set(case.files) == files
    assert 1 == [request["method"] for request in requests].count("POST")
    assert not any("authorization" in request["headers"] for request in requests if request["method"] == "GET")


# ── the environment ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("key", "says"), environment.KEYS.values(), ids=environment.KEYS)
def test_an_odd_key_in_the_environment(key, says, monkeypatch):
    monkeypatch.delenv("COMETAPI_API_KEY", raising=False)
    monkeypatch.setenv("COMETAPI_KEY", key)
    with pytest.raises(ConfigError) as caught:
        open_session()
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("url", "says"), environment.ADDRESSES.values(), ids=environment.ADDRESSES)
def test_an_odd_address_in_the_environment(url, says, monkeypatch):
    monkeypatch.setenv("COMETFLUX_BASE_URL", url)
    with pytest.raises(ConfigError) as caught:
        open_session(api_key=KEY)
    assert str(caught.value).startswith("base_url")
    assert says in str(caught.value)
    assert KEY not in str(caught.value)


# ── folders and journals ─────────────────────────────────────────────────────────────────────────────────────────────


@each(places.FOLDERS)
async def test_an_odd_folder(case, service, tmp_path):
    place = case.make(tmp_path)
    async with open_session(api_key=service.key, base_url=service.url) as session:
        with pytest.raises(case.error) as caught:
            await anext(session.generate(["a boat"], save_to=place))
    assert case.says in str(caught.value)
    assert [] == service.bills


@each(places.JOURNALS)
async def test_an_odd_journal(case, service, tmp_path):
    place = case.make(tmp_path)
    with pytest.raises(case.error) as caught:
        async with open_session(api_key=service.key, base_url=service.url, journal=place):
            pass
    assert type(caught.value) is case.error
    assert case.says in str(caught.value)
    assert [] == service.bills


@pytest.mark.parametrize("put", [Path.mkdir, make_pipe, lambda path: path.symlink_to("nowhere")], ids=FOUND)
@pytest.mark.parametrize("name", ["00000-a-boat.webp", "00000-a-boat.json"])
async def test_what_is_no_file_at_the_name_of_an_output_is_left_alone(put, name, service, tmp_path):
    put(tmp_path / name)
    before = (tmp_path / name).lstat()
    async with open_session(api_key=service.key, base_url=service.url) as session:
        outcome = await anext(session.generate(["a boat"], save_to=tmp_path))
    assert ["00000-a-boat+1.webp"] == [path.name for path in outcome.files]
    assert before.st_ino == (tmp_path / name).lstat().st_ino
    assert 1 == len(service.bills)


async def test_a_folder_without_rights(service, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with as_somebody():
            async with open_session(api_key=service.key, base_url=service.url) as session:
                with pytest.raises(ConfigError, match="cannot be written to: Permission denied"):
                    await anext(session.generate(["a boat"], save_to=tmp_path))
    finally:
        tmp_path.chmod(0o700)
    assert [] == service.bills


@contextlib.contextmanager
def as_somebody():
    """Be somebody whom rights concern: root may write anywhere."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


@each(commands.COMMANDS)
def test_an_odd_command(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMETAPI_KEY", KEY)
    # Where nobody listens, should anything be sent.
    monkeypatch.setenv("COMETFLUX_BASE_URL", "http://127.0.0.1:9/replicate/v1")
    if case.make is not None:
        case.make()
    before = {path.name for path in tmp_path.iterdir()}
    assert case.code == main(case.arguments)
    printed, told = capsys.readouterr()
    assert "" == printed
    assert told.startswith("error: ")
    assert case.says in told
    assert before == {path.name for path in tmp_path.iterdir()}
