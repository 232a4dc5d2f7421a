"""Saving on other workers: an engine of ten lines on the loop of the test, with workers that can be told to fail."""

import asyncio
import json
import logging
import shutil

import attrs
import pytest

import cometflux
from cometflux import flux, open_session
from cometflux.distributed import EngineLostError, SaveOrder, SaverPool, WorkSettings, orders, workbench
from cometflux.distributed.order_queue import MOST_REFUSALS, OVERDUE, PAGE, TRIAL, OrderQueue
from cometflux.distributed.pool import REOPEN, ROLL_CALL
from cometflux.distributed.proofs import AGAIN
from cometflux.errors import ConfigError, SessionStoppedError
from cometflux.journal.attempts import SavedFile
from cometflux.predictions import Prediction, Status
from cometflux.storage.backend import RefusedError
from cometflux.storage.destination import Folder

pytestmark = pytest.mark.slow

WORKERS = {"tcp://a:1": 2, "tcp://b:1": 2}


class LoopEngine:
    """Carries out pages on the loop of the test, with the code that runs on a worker."""

    def __init__(self, workers=WORKERS):
        self.here = dict(workers)
        self.faults = {}
        """What a worker does instead; by its name."""
        self.faults_of_proof = {}
        """What a worker does instead of a proof; by its name."""
        self.pages = []
        """The worker and the number of orders of each page that was sent."""
        self.is_lost = False
        self.opened = 0

    async def open(self):
        if self.is_lost:
            raise EngineLostError("the engine is lost")
        self.opened += 1

    async def workers(self):
        if self.is_lost:
            raise EngineLostError("the engine is lost")
        return self.here

    async def carry_out(self, page, worker):
        self.pages.append((worker, len(orders.load_page(page).orders)))
        faults = self.faults if self.pages[-1][1] else self.faults_of_proof
        return await faults.get(worker, workbench.carry_out)(page)

    async def aclose(self):
        self.opened = 0


@pytest.fixture
def engine():
    return LoopEngine()


@pytest.fixture
def opened(service, engine):
    def opened(**options):
        return open_session(api_key=service.key, base_url=service.url, savers=engine, **options)

    return opened


@pytest.fixture(autouse=True)
async def _no_bench_left():
    yield
    await workbench.close()


async def make(session, folder, count=3):
    async with session:
        prompts = [f"boat {number}" for number in range(count)]
        return [outcome async for outcome in session.generate(prompts, save_to=folder)]


def saved_by_workers(engine):
    return sum(count for _, count in engine.pages)


async def hang(page):
    await asyncio.sleep(10_000)


async def break_down(page):
    raise RuntimeError("the worker was killed three times")


async def answer_nonsense(page):
    return b'{"results": 7}'


async def reject(page):
    failed = orders.Result(fault=orders.Fault(message="HTTP 403"))
    return orders.dump(orders.Answer(results=(failed,) * len(orders.load_page(page).orders)))


def saving_in(folder):
    """Let a worker save in *folder*, whatever it is told."""

    async def save(page):
        sent = orders.load_page(page)
        place = orders.PlaceAddress(url=str(folder))
        return await workbench.carry_out(orders.dump(attrs.evolve(sent, place=place)))

    return save


def answering(change):
    """Let a worker answer without saving anything: with what *change* makes of the right names and odd facts."""

    async def answer(page):
        results = []
        for order in orders.load_page(page).orders:
            files = change([SavedFile(name=f"{order.stem}.webp", size=9, digest="ab" * 32, mark=None)])
            results.append(orders.Result(files=tuple(files)))
        return orders.dump(orders.Answer(results=tuple(results)))

    return answer


ODD_ANSWERS = {
    "no file and no fault": lambda files: [],
    "a negative size": lambda files: [attrs.evolve(files[0], size=-5)],
    "a file that is not there": lambda files: files,
    "no size": lambda files: [attrs.evolve(files[0], size=0)],
    "no digest": lambda files: [attrs.evolve(files[0], digest="zz")],
    "another job's name": lambda files: [attrs.evolve(files[0], name="another.webp")],
    "two files for one output": lambda files: [files[0], attrs.evolve(files[0], name="another.webp")],
    "one file twice": lambda files: files * 2,
}


async def refuse(page):
    refused = orders.Result(fault=orders.Fault(message="no room", is_disk=True))
    return orders.dump(orders.Answer(results=(refused,) * len(orders.load_page(page).orders)))


async def reject_version(page):
    return orders.dump(orders.Answer(refusal="it has cometflux 0.1"))


async def lose_network(page):
    failed = orders.Result(fault=orders.Fault(message="cannot connect", is_transient=True))
    return orders.dump(orders.Answer(results=(failed,) * len(orders.load_page(page).orders)))


async def test_every_image_is_saved_by_a_worker_with_its_record(opened, engine, service, tmp_path):
    outcomes = await make(opened(journal=tmp_path), tmp_path, 20)
    assert all(outcome.ok and len(outcome.files) == 1 for outcome in outcomes)
    assert 20 == saved_by_workers(engine) == len(service.bills)
    assert 20 == len([*tmp_path.glob("*.webp")])
    assert all(path.with_suffix(".json").exists() for path in tmp_path.glob("*.webp"))


async def test_a_set_made_with_workers_is_resumed_without_them_and_the_other_way_round(
    opened, engine, service, tmp_path
):
    await make(opened(journal=tmp_path), tmp_path, 4)
    alone = open_session(api_key=service.key, base_url=service.url, journal=tmp_path)
    outcomes = await make(alone, tmp_path, 8)
    assert 4 == sum(outcome.resumed for outcome in outcomes)
    outcomes = await make(opened(journal=tmp_path), tmp_path, 8)
    assert all(outcome.resumed and outcome.ok for outcome in outcomes)
    assert 8 == len(service.bills)
    assert 4 == saved_by_workers(engine)


async def test_a_folder_that_a_worker_does_not_share_stops_the_batch_before_anything_is_sent(
    opened, engine, service, tmp_path
):
    engine.faults_of_proof = dict.fromkeys(WORKERS, saving_in(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="not the place that the driver sees"):
        await make(opened(), tmp_path / "here")
    assert [] == service.bills
    assert [] == [*(tmp_path / "here").iterdir()], "the proof is removed"


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("before", [{}, {"tcp://a:1": 2}])
async def test_a_worker_that_joins_later_is_used_only_if_it_can_write_to_the_place(
    shares, before, opened, engine, tmp_path, caplog
):
    engine.here = before
    async with opened() as session:
        assert all([outcome.ok async for outcome in session.generate(["a boat"], save_to=tmp_path / "here")])
        engine.faults_of_proof = {} if shares else {"tcp://b:1": saving_in(tmp_path / "elsewhere")}
        engine.here = {"tcp://b:1": 2}
        await asyncio.sleep(10 * ROLL_CALL)
        assert all([outcome.ok async for outcome in session.generate(["a ship"], save_to=tmp_path / "here")])
    assert shares == any(worker == "tcp://b:1" and count for worker, count in engine.pages)
    assert (not shares) == caplog.text.count("the workers of this host are not used")
    assert 2 == len([*(tmp_path / "here").glob("*.webp")])


async def lose_engine(page):
    raise EngineLostError("the engine is lost")


@pytest.mark.parametrize("silence", [hang, lose_engine])
@pytest.mark.parametrize("before", [WORKERS, {"tcp://a:1": 2}], ids=["from the start", "later"])
async def test_a_host_that_does_not_answer_is_tried_again_and_used_then(
    silence, before, opened, engine, service, tmp_path, caplog
):
    def used():
        return {worker for worker, count in engine.pages if count}

    engine.here = before
    engine.faults_of_proof = {"tcp://b:1": silence}
    async with opened(max_pending=4 * PAGE) as session:
        assert all([outcome.ok async for outcome in session.generate(["a boat"], save_to=tmp_path)])
        engine.here = WORKERS
        await asyncio.sleep(2 * AGAIN)
        assert {"tcp://a:1"} == used()
        assert 1 == caplog.text.count("the workers of this host are not used, and are tried again every 60 s")
        engine.faults_of_proof = {}
        await asyncio.sleep(AGAIN + 2 * ROLL_CALL)
        assert 1 == caplog.text.count("the worker tcp://b:1 answers; the workers of its host are used")
        outcomes = [each async for each in session.generate(["a fox"] * 4 * PAGE, save_to=tmp_path)]
    assert all(outcome.ok for outcome in outcomes)
    assert {"tcp://a:1", "tcp://b:1"} == used()


async def test_a_host_that_is_refused_is_not_tried_again(opened, engine, tmp_path, caplog):
    async def refuse_place(page):
        return orders.dump(orders.Answer(refusal="the folder cannot be written to"))

    engine.here = {"tcp://a:1": 2}
    engine.faults_of_proof = {"tcp://b:1": refuse_place}
    async with opened() as session:
        assert all([outcome.ok async for outcome in session.generate(["a boat"], save_to=tmp_path)])
        engine.here = WORKERS
        await asyncio.sleep(2 * AGAIN)
    assert 1 == sum(worker == "tcp://b:1" for worker, _ in engine.pages)
    assert 1 == caplog.text.count("the workers of this host are not used")


async def test_a_place_that_is_broken_by_now_keeps_no_host_from_saving_elsewhere(opened, engine, tmp_path, caplog):
    engine.here = {"tcp://a:1": 2}
    async with opened(max_pending=4 * PAGE) as session:
        assert all([outcome.ok async for outcome in session.generate(["a boat"], save_to=tmp_path / "old")])
        assert all([outcome.ok async for outcome in session.generate(["a boat"], save_to=tmp_path / "new")])
        shutil.rmtree(tmp_path / "old")
        (tmp_path / "old").write_text("a file by now")
        engine.here = WORKERS
        await asyncio.sleep(2 * REOPEN)
        assert "is lost" not in caplog.text
        assert "this process saves the images" not in caplog.text
        assert 1 == caplog.text.count("workers that join from now on do not prove that they can")
        prompts = [f"boat {number}" for number in range(4 * PAGE)]
        outcomes = [each async for each in session.generate(prompts, save_to=tmp_path / "new")]
    assert all(outcome.ok for outcome in outcomes)
    assert {"tcp://a:1", "tcp://b:1"} == {worker for worker, count in engine.pages if count}


@pytest.mark.parametrize("fault", [hang, refuse])
async def test_a_worker_that_is_not_used_any_more_proves_no_place_of_the_next_batch(fault, opened, engine, tmp_path):
    async def refuse_place(page):
        return orders.dump(orders.Answer(refusal="the folder cannot be written to"))

    engine.here = {"tcp://a:1": 3, "tcp://b:1": 1}
    engine.faults = {"tcp://a:1": fault}
    async with opened(max_pending=4 * PAGE) as session:
        prompts = [f"boat {number}" for number in range(6 * PAGE)]
        outcomes = [each async for each in session.generate(prompts, save_to=tmp_path / "first")]
        engine.faults_of_proof = {"tcp://a:1": hang if fault is hang else refuse_place}
        began = asyncio.get_running_loop().time()
        outcomes += [each async for each in session.generate(["a boat"], save_to=tmp_path / "second")]
        assert asyncio.get_running_loop().time() - began < 15.0
    assert all(outcome.ok for outcome in outcomes)
    assert ("tcp://b:1", 1) == engine.pages[-1]


async def test_savers_of_ones_own_are_taken(service, tmp_path):
    class Counting:
        """Saves in this process, and counts."""

        def __init__(self):
            self.count = 0

        async def open(self, own):
            self.own = own

        @property
        def is_behind(self):
            return self.own.is_behind

        async def caught_up(self):
            await self.own.caught_up()

        async def prove(self, place):
            await self.own.prove(place)

        async def save(self, order, attempts=None):
            self.count += 1
            return await self.own.save(order, attempts)

        async def aclose(self):
            self.count = -self.count

    savers = Counting()
    session = open_session(api_key=service.key, base_url=service.url, savers=savers)
    assert all(len(outcome.files) == 1 for outcome in await make(session, tmp_path, 3))
    assert -3 == savers.count


@pytest.mark.parametrize("verb", ["open", "workers"])
async def test_an_engine_that_breaks_at_the_start_is_one_sentence_and_nothing_is_sent(
    verb, opened, engine, service, tmp_path
):
    async def broken():
        raise RuntimeError("no cluster here")

    setattr(engine, verb, broken)
    with pytest.raises(ConfigError, match="the workers cannot be used: no cluster here"):
        await make(opened(), tmp_path)
    assert [] == service.bills


@pytest.mark.parametrize("workers", [None, ["tcp://a:1"], {"tcp://a:1": "two"}, {"tcp://a:1": 0}, {3: 1}], ids=str)
async def test_workers_that_are_not_names_with_numbers_are_refused(workers, opened, engine, service, tmp_path):
    engine.here = workers
    with pytest.raises(ConfigError, match="must be a mapping from names to numbers of pages"):
        await make(opened(), tmp_path)
    assert [] == service.bills


async def test_if_the_queue_breaks_the_driver_saves_and_says_so(opened, service, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(OrderQueue, "take_page", lambda *_: 1 / 0)
    outcomes = await make(opened(), tmp_path, 40)
    assert all(outcome.ok for outcome in outcomes)
    assert 1 == caplog.text.count("the queue of the workers failed; this process saves the images")
    assert 40 == len(service.bills) == len(list(tmp_path.glob("*.webp")))


async def test_an_engine_that_breaks_later_leaves_the_saving_to_the_driver_until_it_is_back(
    opened, engine, service, tmp_path, caplog
):
    async with opened() as session:
        there, answers = engine.here, iter([RuntimeError("a bug of the engine")])

        async def workers():
            for error in answers:
                raise error
            return there

        engine.workers = workers
        await asyncio.sleep(ROLL_CALL + REOPEN + 1.0)
        assert "a bug of the engine; this process saves the images meanwhile" in caplog.text
        outcomes = [each async for each in session.generate(["a boat"], save_to=tmp_path)]
    assert all(outcome.ok for outcome in outcomes)
    assert 1 == saved_by_workers(engine) == len(service.bills)


async def test_the_key_does_not_travel(opened, engine, service, tmp_path):
    seen = []
    carry_out = engine.carry_out

    async def watch(page, worker):
        seen.append(page)
        return await carry_out(page, worker)

    engine.carry_out = watch
    await make(opened(), tmp_path)
    assert seen
    assert not any(service.key.encode() in page for page in seen)


@pytest.mark.parametrize(
    "fault",
    [
        *(break_down, answer_nonsense, refuse, reject, lose_network, hang),
        *(pytest.param(answering(change), id=name) for name, change in ODD_ANSWERS.items()),
    ],
)
async def test_what_no_worker_saves_is_saved_by_the_driver(fault, opened, engine, service, tmp_path):
    engine.faults = dict.fromkeys(WORKERS, fault)
    outcomes = await make(opened(), tmp_path, PAGE + 4)
    assert all(outcome.ok and len(outcome.files) == 1 for outcome in outcomes)
    assert PAGE + 4 == len(service.bills) == len([*tmp_path.glob("*.webp")])


@pytest.mark.parametrize("ending", ["/a.webp", "\0.webp", "\ud800.webp", f"{'x' * 999}.webp", ".web/p", ""])
async def test_a_name_that_no_worker_gives_is_not_believed(ending, opened, engine, tmp_path):
    """Only the first image of a page is looked for in the place."""

    async def rename(page):
        answer = json.loads(await workbench.carry_out(page))
        for result in answer["results"][1:]:
            [file] = result["files"]
            file["name"] = file["name"].removesuffix(".webp") + ending
        return json.dumps(answer).encode()

    engine.faults = dict.fromkeys(WORKERS, rename)
    outcomes = await make(opened(), tmp_path, PAGE)
    assert all(outcome.ok and outcome.files[0].exists() for outcome in outcomes)
    assert PAGE == len([*tmp_path.glob("*.webp")])


async def test_the_orders_of_a_worker_that_stands_still_go_to_another_one(opened, engine, tmp_path, caplog):
    engine.faults = {"tcp://a:1": hang}
    began = asyncio.get_running_loop().time()
    outcomes = await make(opened(), tmp_path, 2)
    assert all(outcome.ok for outcome in outcomes)
    assert OVERDUE <= asyncio.get_running_loop().time() - began < OVERDUE + 30
    assert {"tcp://a:1", "tcp://b:1"} == {worker for worker, count in engine.pages if count}
    assert 1 == caplog.text.count("the worker tcp://a:1 does not answer; its images are saved elsewhere until it does")


async def test_a_worker_that_stands_still_for_hours_is_told_of_once_and_used_when_it_answers(
    opened, engine, tmp_path, caplog
):
    awake = asyncio.Event()

    async def stand_still(page):
        await awake.wait()
        return await workbench.carry_out(page)

    engine.faults = {"tcp://a:1": stand_still}
    engine.here = {"tcp://a:1": 2, "tcp://b:1": 1}
    async with opened() as session:
        for number in range(20):
            outcome = await session.run(flux.Schnell(prompt=f"boat {number}"), save_to=tmp_path)
            assert outcome.ok
            await asyncio.sleep(TRIAL / 3)
        sent = [count for worker, count in engine.pages if worker == "tcp://a:1" and count]
        assert 3 <= len(sent) <= 10
        awake.set()
        await asyncio.sleep(1.0)
        more = [each async for each in session.generate(["a fox"] * 4 * PAGE, save_to=tmp_path)]
    assert all(outcome.ok for outcome in more)
    assert [1, 1] == [
        caplog.text.count(f"the worker tcp://a:1 {what}")
        for what in ("does not answer; its images are saved elsewhere until it does", "answers again")
    ]
    assert len(sent) < sum(worker == "tcp://a:1" and count > 0 for worker, count in engine.pages)
    assert 20 + 4 * PAGE == len([*tmp_path.glob("*.webp")]), "what it saved late was there already"


@pytest.mark.parametrize("fault", [answering(lambda files: files), "another view of the place"])
async def test_a_worker_that_reports_images_which_are_not_there_is_put_aside(
    fault, opened, engine, service, tmp_path, caplog
):
    engine.here = {"tcp://a:1": 1, "tcp://b:1": 1}
    engine.faults = {"tcp://a:1": fault if callable(fault) else saving_in(tmp_path / "elsewhere")}
    outcomes = await make(opened(max_pending=PAGE), tmp_path / "here", 5 * PAGE)
    assert all(outcome.ok and outcome.files[0].exists() for outcome in outcomes)
    assert 5 * PAGE == len(service.bills) == len([*(tmp_path / "here").glob("*.webp")])
    assert MOST_REFUSALS == sum(worker == "tcp://a:1" for worker, count in engine.pages if count)
    assert 1 == caplog.text.count("the worker tcp://a:1 reports an image that is not there")
    assert f".webp in {tmp_path / 'here'}" in caplog.text


async def test_if_a_place_loses_what_this_process_saves_too_submitting_stops(
    opened, engine, service, tmp_path, monkeypatch
):
    async def find_nothing(self, name):
        return None

    monkeypatch.setattr(Folder, "size_of", find_nothing)
    async with opened(max_pending=PAGE) as session:
        batch = session.generate([f"boat {number}" for number in range(40 * PAGE)], save_to=tmp_path)
        with pytest.raises(SessionStoppedError, match="does not keep what it takes"):
            assert [] == [outcome async for outcome in batch if outcome.ok]
    assert len(service.bills) < 20 * PAGE


async def test_a_place_is_looked_at_once_for_each_page(opened, engine, tmp_path, monkeypatch):
    looks = []
    size_of = Folder.size_of

    async def watch(self, name):
        looks.append(name)
        return await size_of(self, name)

    monkeypatch.setattr(Folder, "size_of", watch)
    await make(opened(max_pending=PAGE), tmp_path, 4 * PAGE)
    assert len(looks) == sum(count > 0 for _, count in engine.pages)


async def test_if_this_process_cannot_look_the_worker_is_believed(opened, engine, tmp_path, monkeypatch):
    async def refuse_to_look(self, name):
        raise RefusedError("access is denied")

    monkeypatch.setattr(Folder, "size_of", refuse_to_look)
    outcomes = await make(opened(), tmp_path, PAGE)
    assert all(outcome.ok for outcome in outcomes)
    assert PAGE == saved_by_workers(engine)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (refuse, "the worker tcp://a:1 is refused by the place; its images are saved elsewhere: no room"),
        (break_down, "the worker tcp://a:1 failed; its images are saved elsewhere: the worker was killed three times"),
        (reject_version, "the worker tcp://a:1 rejects its work; its images are saved elsewhere: it has cometflux 0.1"),
    ],
)
async def test_what_is_wrong_with_a_worker_is_told_once(fault, says, opened, engine, tmp_path, caplog):
    engine.here = {"tcp://a:1": 3, "tcp://b:1": 1}
    engine.faults = {"tcp://a:1": fault}
    outcomes = await make(opened(max_pending=4 * PAGE), tmp_path, 6 * PAGE)
    assert all(outcome.ok for outcome in outcomes)
    assert 3 <= sum(worker == "tcp://a:1" for worker, count in engine.pages if count)
    assert 1 == caplog.text.count(says) == caplog.text.count("the worker tcp://a:1")


async def test_a_worker_whose_place_refuses_is_put_aside_and_the_session_goes_on(opened, engine, tmp_path):
    engine.here = {"tcp://a:1": 1, "tcp://b:1": 1}
    engine.faults = {"tcp://a:1": refuse}
    outcomes = await make(opened(max_pending=PAGE), tmp_path, 5 * PAGE)
    assert all(outcome.ok for outcome in outcomes)
    assert MOST_REFUSALS == sum(worker == "tcp://a:1" for worker, count in engine.pages if count)


async def test_without_workers_the_driver_saves_and_says_so(opened, engine, tmp_path, caplog):
    engine.here = {}
    outcomes = await make(opened(), tmp_path)
    assert all(outcome.ok for outcome in outcomes)
    assert "there is no worker yet" in caplog.text


async def test_a_lost_engine_is_opened_again_and_its_orders_are_saved_by_the_driver(opened, engine, tmp_path, caplog):
    caplog.set_level(logging.WARNING)

    async def vanish(page):
        engine.is_lost = True
        engine.faults = {}
        raise EngineLostError("the engine is lost")

    engine.faults = dict.fromkeys(WORKERS, vanish)
    async with opened() as session:
        assert all([outcome.ok async for outcome in session.generate(["a boat"], save_to=tmp_path)])
        await asyncio.sleep(30)
        engine.is_lost = False
        await asyncio.sleep(30)
        before = saved_by_workers(engine)
        assert all([outcome.ok async for outcome in session.generate(["a ship"], save_to=tmp_path)])
        assert 1 == saved_by_workers(engine) - before
    lines = [record.getMessage() for record in caplog.records]
    assert ["the engine is lost; this process saves the images meanwhile"] == [
        line for line in lines if "is lost" in line
    ]
    assert ["workers are available; they save the images"] == [line for line in lines if "are available" in line]


async def test_an_engine_that_cannot_be_reached_stops_the_session_before_anything_is_sent(opened, engine, service):
    engine.is_lost = True
    with pytest.raises(ConfigError, match="the engine is lost"):
        await opened().__aenter__()
    assert [] == service.bills


async def test_a_place_that_a_worker_cannot_write_to_stops_the_batch_before_anything_is_sent(
    opened, engine, service, tmp_path
):
    async def cannot_write(page, worker):
        return orders.dump(orders.Answer(refusal="the folder cannot be written to"))

    engine.carry_out = cannot_write
    with pytest.raises(ConfigError, match=r"the worker tcp://[ab]:1 cannot save: the folder cannot be written to"):
        await make(opened(), tmp_path)
    assert [] == service.bills


async def test_a_worker_of_another_version_is_refused(tmp_path):
    settings = WorkSettings(largest_output=1000, tries=1)
    page = orders.Page(version="0.0.1", place=orders.PlaceAddress(url=str(tmp_path)), settings=settings, orders=())
    answer = orders.load_answer(await workbench.carry_out(orders.dump(page)), ())
    assert f"it has cometflux {cometflux.__version__}, and the driver has 0.0.1" == answer.refusal


@pytest.mark.parametrize("turns", range(6))
async def test_whoever_leaves_while_saving_here_breaks_leaves_no_error_unread(turns, engine, tmp_path):
    """The loop complains of a future that ended with an error which nobody read: see `loop_complaints`."""
    breaks = asyncio.Event()

    class Breaking:
        """Saves nothing in this process."""

        is_behind = False

        async def save(self, order, attempts=None):
            await breaks.wait()
            raise RuntimeError("a defect")

    engine.here = {}
    pool = SaverPool(engine, WorkSettings(largest_output=1000, tries=1), cometflux.__version__)
    await pool.open(Breaking())
    prediction = Prediction(id="p", status=Status.SUCCEEDED, output=("https://a.invalid/1",))
    order = SaveOrder(prediction=prediction, place=Folder(tmp_path), stem="a", record={})
    caller = asyncio.ensure_future(pool.save(order))
    await asyncio.sleep(1.0)
    breaks.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    await pool.aclose()
    assert caller.cancelled() or isinstance(caller.exception(), RuntimeError)
