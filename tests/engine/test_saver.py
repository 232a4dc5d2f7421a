import asyncio
import shutil
from pathlib import Path

import attrs
import pytest
from virtual_clock import now

from cometflux import flux, open_session
from cometflux.engine.download_places import PLACES
from cometflux.engine.saver import Saver
from cometflux.engine.savers import SaveOrder
from cometflux.errors import OutputError
from cometflux.images.formats import ImageFile
from cometflux.jobs import Job
from cometflux.pacing.retry import RetryPolicy
from cometflux.provenance.sidecar import record_of
from cometflux.storage.destination import Folder
from cometflux.storage.folder import check_files
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.client import Client
from cometflux.transport.look_ups import LookUps


@pytest.fixture
async def client(service):
    transport = AiohttpTransport(service.key, service.url, look_ups=HangingLookUps(1))
    yield Client(transport)
    await transport.aclose()


@pytest.fixture
def saver(client):
    return Saver(client, RetryPolicy(tries=2))


async def predict(client, prompt="a boat", count=1):
    prediction = await client.create(Job.of(flux.Schnell(prompt=prompt, num_outputs=count)))
    while not prediction.status.is_terminal:
        await asyncio.sleep(1)
        prediction = await client.get(prediction.id)
    return prediction


async def save(saver, prediction, folder, **options):
    record = record_of(prediction, None, None, None)
    saved = await saver.save(SaveOrder(prediction=prediction, place=Folder(folder), stem="a", record=record, **options))
    return saved.files, saved.error


def fetches(service):
    return sum(1 for request in service.requests if "/predictions" not in request.path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def test_what_is_saved_is_told_by_path_size_and_digest(client, saver, tmp_path):
    files, error = await save(saver, await predict(client, count=2), tmp_path)
    assert error is None
    assert ["a-1.webp", "a-2.webp"] == [image.path.name for image in files]
    assert files == check_files(tmp_path, [(image.path.name, image.size, image.digest) for image in files])


@pytest.mark.parametrize("count", [1, 4])
async def test_what_is_saved_already_is_not_fetched_again(count, client, saver, service, tmp_path):
    prediction = await predict(client, count=count)
    first = await save(saver, prediction, tmp_path)
    assert count == fetches(service)
    assert first == await save(saver, prediction, tmp_path)
    assert count == fetches(service)


async def test_only_what_is_missing_is_fetched(client, saver, service, tmp_path):
    prediction = await predict(client, count=4)
    first = await save(saver, prediction, tmp_path)
    first[0][1].path.unlink()
    first[0][3].path.with_suffix(".json").unlink()
    before = fetches(service)
    assert first == await save(saver, prediction, tmp_path)
    assert 2 == fetches(service) - before
    assert 8 == len(names(tmp_path))


async def test_what_is_saved_is_found_though_its_output_is_gone(client, saver, service, tmp_path):
    prediction = await predict(client, count=2)
    files, _ = await save(saver, prediction, tmp_path)
    files[0].path.unlink()
    service.fail("output-404")
    again, error = await save(saver, prediction, tmp_path)
    assert files[1:] == again
    assert isinstance(error, OutputError)
    assert prediction.id == error.prediction_id


async def test_an_image_without_room_for_its_record_is_told_all_the_same(client, saver, tmp_path):
    prediction = await predict(client)
    ((whole,), _) = await save(saver, prediction, tmp_path / "before")

    class NoRoom(type(Path())):
        """A path on a disk that has no more room as soon as there is an image on it."""

        def open(self, *args, **options):
            if any(self.parent.glob("*.webp")):
                raise OSError(28, "No space left on device")
            return super().open(*args, **options)

    files, error = await save(saver, prediction, NoRoom(tmp_path / "full"))
    assert (ImageFile(path=tmp_path / "full/a.webp", size=whole.size, digest=whole.digest),) == files
    assert "a.webp is saved, but not the record next to it: No space left on device" == error.message
    assert ["a.webp"] == names(tmp_path / "full")


@pytest.mark.parametrize("name", ["a", "A", "é", "e\u0301"], ids=ascii)
async def test_names_given_at_the_same_time_that_differ_in_their_spelling_only_get_numbers(
    name, client, saver, tmp_path
):
    record = {"prediction": {"id": "another"}}
    predictions = [await predict(client, prompt) for prompt in ("x", "y", "z")]
    spellings = (name, name.swapcase(), name)
    saves = (
        saver.save(SaveOrder(prediction=prediction, place=Folder(tmp_path), stem=stem, record=record, is_named=True))
        for prediction, stem in zip(predictions, spellings, strict=True)
    )
    written = [saved.files[0].path.name for saved in await asyncio.gather(*saves)]
    assert 3 == len({each.casefold() for each in written})
    assert sorted(["", "+1", "+2"]) == sorted(each.removesuffix(".webp")[len(name) :] for each in written)


async def test_a_prediction_without_an_output_has_nothing_to_save(client, saver, tmp_path):
    prediction = attrs.evolve(await predict(client), output=())
    files, error = await save(saver, prediction, tmp_path)
    assert ((), "there is no output to save") == (files, error.message)


async def test_a_folder_that_went_away_is_made_again(client, saver, tmp_path):
    prediction = await predict(client)
    first = await save(saver, prediction, tmp_path / "images")
    shutil.rmtree(tmp_path / "images")
    assert first == await save(saver, prediction, tmp_path / "images")


# ── an id that is new ────────────────────────────────────────────────────────────────────────────────────────────────


class WatchedFolder(Folder):
    """A folder that counts how often saved images are looked for in it."""

    looks = 0

    async def find_each(self, *arguments):
        self.looks += 1
        return await super().find_each(*arguments)


async def test_a_new_id_is_not_looked_for(service, tmp_path):
    place = WatchedFolder(tmp_path)
    service.fail("failed-transient", prompt="b")
    async with opened(service, tmp_path, retry_failed=1) as session:
        outcomes = [outcome async for outcome in session.generate(["a", "b"], save_to=place)]
    assert ([True] * 2, 0) == ([outcome.ok for outcome in outcomes], place.looks)


async def test_an_id_that_was_adopted_is_looked_for(service, tmp_path):
    async def adopt(job, error):
        return service.bills[0].id

    place = WatchedFolder(tmp_path)
    service.fail("drop", after=True)
    async with opened(service, tmp_path, on_unknown=adopt) as session:
        assert [True] == [outcome.ok async for outcome in session.generate(["a"], save_to=place)]
    assert 1 <= place.looks


async def test_an_id_of_an_earlier_run_is_looked_for(service, tmp_path):
    place = WatchedFolder(tmp_path)
    async with opened(service, tmp_path) as session:
        await session.submit(Job.of("a", key="a"))
    async with opened(service, tmp_path) as session:
        assert [True] == [outcome.ok async for outcome in session.generate([Job.of("a", key="a")], save_to=place)]
    assert (1, True) == (len(service.bills), place.looks > 0)


def opened(service, folder, **options):
    return open_session(api_key=service.key, base_url=service.url, journal=folder, **options)


@pytest.mark.parametrize("count", [1, 4])
async def test_a_new_id_under_whose_name_its_images_are_is_saved_once(count, client, saver, tmp_path):
    prediction = await predict(client, count=count)
    first = await save(saver, prediction, tmp_path)
    assert first == await save(saver, prediction, tmp_path, is_new=True)
    assert 2 * count == len(names(tmp_path))


# ── a disk that is slow ──────────────────────────────────────────────────────────────────────────────────────────────


class StuckFolder(Folder):
    """A folder on a disk that does not respond until it is told to."""

    def __init__(self, path, works):
        super().__init__(path)
        self._works = works

    async def write(self, *arguments, **options):
        await self._works.wait()
        return await super().write(*arguments, **options)


async def test_no_more_is_fetched_than_a_stuck_disk_lets_be_written(client, saver, service, tmp_path):
    prediction, works = await predict(client), asyncio.Event()
    saves = [
        asyncio.ensure_future(
            saver.save(
                SaveOrder(prediction=prediction, place=StuckFolder(tmp_path, works), stem=f"{number}", record={})
            )
        )
        for number in range(40)
    ]
    # Longer than a download may take that is not slow.
    await asyncio.sleep(60)
    waiting = fetches(service)
    works.set()
    assert [None] * 40 == [(await each).error for each in saves]
    assert (PLACES // 2, 80) == (waiting, len(names(tmp_path)))


# ── a host or a download that is slow ────────────────────────────────────────────────────────────────────────────────


class Saves:
    """Saves pictures side by side, and notes when each was saved or given up."""

    def __init__(self, saver, folder):
        self._saver = saver
        self._folder = folder
        self._running = []

    def start(self, prediction, count=40):
        """Start to save the first picture of *prediction* that often; return the list of how and when each ends."""
        ends = []
        began = now()
        for _ in range(count):
            saving = self._save(prediction, self._folder / str(len(self._running)), began, ends)
            self._running.append(asyncio.ensure_future(saving))
        return ends

    async def _save(self, prediction, folder, began, ends):
        _, error = await save(self._saver, prediction, folder)
        ends.append((now() - began, error))

    async def end(self):
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@pytest.fixture
async def saves(saver, tmp_path):
    saves = Saves(saver, tmp_path)
    yield saves
    await saves.end()


def check_saved(ends, count, within):
    assert [None] * count == [error for _, error in ends]
    assert max(when for when, _ in ends) <= within


@pytest.mark.slow
async def test_pictures_that_drip_hold_up_none_of_the_same_host(client, service, saves):
    good, bad = await predict(client), await predict(client, "drip")
    service.fail("drip", prompt="drip", times=1000)
    saves.start(bad)
    await asyncio.sleep(1)
    saved = saves.start(good)
    await asyncio.sleep(3600)
    check_saved(saved, 40, within=75)


@pytest.mark.slow
async def test_pictures_of_a_host_that_drips_hold_up_no_other_host(client, service, saves):
    good = await predict(client)
    async with LocalService(pixels=4096, latency=1.0) as other:
        transport = AiohttpTransport(other.key, other.url)
        bad = await predict(Client(transport), "drip")
        await transport.aclose()
        other.fail("drip", times=1000)
        saves.start(bad, 100)
        await asyncio.sleep(1)
        saved = saves.start(good)
        await asyncio.sleep(3600)
        check_saved(saved, 40, within=1)
        await saves.end()


class HangingLookUps(LookUps):
    """Look-ups that never end."""

    async def getaddrinfo(self, *_, **__):
        await asyncio.Event().wait()


@pytest.mark.slow
async def test_pictures_of_a_host_whose_look_up_hangs_hold_up_no_other_host(client, saves):
    good = await predict(client)
    bad = attrs.evolve(good, output=("https://images.example.com/x",))
    given_up = saves.start(bad)
    await asyncio.sleep(1)
    saved = saves.start(good)
    await asyncio.sleep(600)
    check_saved(saved, 40, within=1)
    assert ["the output could not be fetched: no connection within 10 s"] * 40 == [each.message for _, each in given_up]
