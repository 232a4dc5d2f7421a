import asyncio
import random

import pytest
from virtual_clock import now

from cometflux.engine.download_places import PLACES, SLOW_AFTER, SLOW_PLACES, DownloadPlaces


class Downloads:
    """Downloads that take a given time, and how many there are at the same time."""

    def __init__(self):
        self.places = DownloadPlaces()
        self.running = {}
        self.began = {}
        self.tasks = []

    def start(self, host, seconds, count=1):
        self.tasks += [asyncio.ensure_future(self._download(host, seconds)) for _ in range(count)]
        return self.tasks[-count:]

    async def _download(self, host, seconds):
        place = self.places.take(host) or await self.places.wait(host)
        self.began.setdefault(host, []).append(now())
        self.running[host] = self.running.get(host, 0) + 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running[host] -= 1
            self.places.give_back(place)

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def check_all_places_are_free(self):
        assert PLACES == self.places._ordinary._free
        assert SLOW_PLACES == self.places._slow._free
        assert ({}, {}) == (self.places._waiting, self.places._overdue)


@pytest.fixture
async def downloads():
    downloads = Downloads()
    yield downloads
    await downloads.end()
    downloads.check_all_places_are_free()


async def test_one_host_has_half_the_places_and_the_rest_waits_in_order(downloads):
    downloads.start("a", 1, 40)
    await asyncio.sleep(10)
    assert [0.0] * 16 + [1.0] * 16 + [2.0] * 8 == downloads.began["a"]


async def test_slow_downloads_make_room_for_others_of_their_host_up_to_a_limit(downloads):
    downloads.start("a", 1000, 100)
    await asyncio.sleep(SLOW_AFTER - 1)
    assert 16 == downloads.running["a"]
    await asyncio.sleep(2)
    assert 24 == downloads.running["a"]
    await asyncio.sleep(900)
    assert 24 == downloads.running["a"]
    await asyncio.sleep(100)
    assert 24 == downloads.running["a"]


@pytest.mark.slow
async def test_no_hosts_have_more_downloads_than_there_are_places(downloads):
    for host in range(100):
        downloads.start(host, 1000, 100)
    await asyncio.sleep(500)
    assert PLACES + SLOW_PLACES == sum(downloads.running.values())


async def test_the_next_host_waits_for_none_although_five_others_are_slow(downloads):
    for host in "abcde":
        downloads.start(host, 1000, 100)
        await asyncio.sleep(1)
    began = now()
    downloads.start("f", 0.1, 40)
    await asyncio.sleep(100)
    assert began == downloads.began["f"][0]
    assert 40 == len(downloads.began["f"])
    assert downloads.began["f"][-1] - began < 10


async def test_a_slow_download_that_ends_leaves_its_slow_place_to_the_next_one(downloads):
    slow = downloads.start("a", 1000, 100)[:4]
    await asyncio.sleep(25)
    for each in slow:
        each.cancel()
    await asyncio.sleep(1)
    assert 24 == downloads.running["a"]
    assert [25.0] * 4 == downloads.began["a"][24:]


async def test_hosts_that_find_no_place_take_turns(downloads):
    first, *_ = downloads.start("a", 9, 16)
    for host, count in {"b": 8, "c": 4, "d": 2, "e": 1, "f": 1}.items():
        downloads.start(host, 9, count)
    for host in "xyz":
        downloads.start(host, 1, 10)
    await asyncio.sleep(1)
    assert not {*"xyz"} & {*downloads.began}
    first.cancel()
    await asyncio.sleep(7)
    assert [[1.0, 4.0, 7.0], [2.0, 5.0], [3.0, 6.0]] == [downloads.began[host] for host in "xyz"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
async def test_every_download_gets_its_place_and_gives_it_back_whatever_is_cancelled(downloads, seed):
    chance = random.Random(seed)
    for _ in range(300):
        for task in downloads.start(chance.choice("aaaabbc"), chance.choice([0, 1, 5, 25])):
            if chance.random() < 0.3:
                asyncio.get_running_loop().call_later(chance.randrange(20), task.cancel)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice([0, 0, 1]))
    await asyncio.wait(downloads.tasks)
    assert {False} == {bool(count) for count in downloads.running.values()}


async def test_one_that_is_cancelled_just_when_its_turn_comes_gives_the_place_to_the_next(downloads):
    (first, *_) = downloads.start("a", 1000, 16)
    (second,) = downloads.start("a", 0)
    (third,) = downloads.start("a", 0)
    await asyncio.sleep(1)
    # The place of the first is given back before its callbacks run.
    first.add_done_callback(lambda _: second.cancel())
    first.cancel()
    await asyncio.wait([third], timeout=1)
    assert second.cancelled()
    assert third.done()
