"""Saved images of an object store are found by a listing, at a real S3-speaking server."""

import asyncio
import logging
import tracemalloc

import pytest
from s3_server import NAME

from cometflux import PollPolicy, open_session
from cometflux.storage.backend import RefusedError
from cometflux.storage.listing import JOBS_PER_PAGE, Listing
from cometflux.storage.object_store import open_store
from cometflux.testing import LocalService

pytestmark = pytest.mark.realtime

PLACE = f"s3://{NAME}/a/b"
DIGEST = "1" * 64


@pytest.fixture
async def service():
    async with LocalService(pixels=256, latency=0.02) as service:
        yield service


def opened(service, journal):
    poll = PollPolicy.every(0.02)
    return open_session(api_key=service.key, base_url=service.url, poll_policy=poll, journal=journal)


async def run(service, journal, count, name=None, save_to=PLACE):
    """Run a batch whose jobs are *count*, and return the outcomes in the order of the jobs."""
    prompts = [f"boat {number}" for number in range(count)]
    async with opened(service, journal) as session:
        outcomes = [each async for each in session.generate(prompts, save_to=save_to, name=name)]
    return sorted(outcomes, key=lambda each: each.index)


def asked_of(bucket):
    """The numbers of listings, of heads, and of images that were put or read."""
    lists = sum(method == "GET" and "list-type" in path for method, path in bucket.requests)
    return lists, bucket.count("HEAD", ".webp"), bucket.count("PUT", ".webp") + bucket.count("GET", ".webp")


def pictures(bucket):
    return [name for name in bucket.names() if name.endswith(".webp")]


def put_images(bucket, count, name="{:05d}"):
    """Put images into the bucket, and return each as a job that an earlier run saved."""
    jobs = []
    for number in range(count):
        stem = name.format(number)
        bucket.put(f"a/b/{stem}.png", b"x" * (number + 1), sha256=DIGEST)
        jobs.append([(f"{stem}.png", number + 1, DIGEST)])
    return jobs


async def in_pages(check, jobs, size=64):
    return [found for at in range(0, len(jobs), size) for found in await check(jobs[at : at + size])]


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["{:05d}", "{0:03d}/a {0}"], ids=["plain", "in folders"])
async def test_saved_images_take_one_listing_and_no_head(bucket, name):
    jobs = put_images(bucket, 70, name)
    bucket.requests.clear()
    store = open_store(PLACE)
    assert [tuple(store.at(*file) for file in files) for files in jobs] == await in_pages(store.checker(), jobs)
    assert (1, 0, 0) == asked_of(bucket)
    assert [] == bucket.requests[1:]


async def test_with_check_each_image_is_asked_for_by_its_head(bucket):
    jobs = put_images(bucket, 30)
    bucket.requests.clear()
    assert None not in await in_pages(open_store(PLACE, check=True).checker(), jobs)
    assert ["HEAD"] * 30 == [method for method, _ in bucket.requests]


async def test_few_images_are_not_listed(bucket):
    jobs = put_images(bucket, JOBS_PER_PAGE - 1)
    bucket.requests.clear()
    assert None not in await in_pages(open_store(PLACE).checker(), jobs)
    assert {"HEAD"} == {method for method, _ in bucket.requests}


@pytest.mark.parametrize(
    ("change", "is_found"),
    [
        (lambda bucket: bucket.remove("a/b/00003.png"), False),
        (lambda bucket: bucket.put("a/b/00003.png", b"longer", sha256=DIGEST), False),
        (lambda bucket: bucket.put("a/b/00003.png", b"also", sha256="2" * 64), True),
    ],
    ids=["removed", "another size", "another digest"],
)
async def test_an_image_counts_if_its_name_is_listed_with_its_size(bucket, change, is_found):
    jobs = put_images(bucket, 30)
    change(bucket)
    bucket.requests.clear()
    found = await in_pages(open_store(PLACE).checker(), jobs)
    assert [number for number in range(30) if number != 3 or is_found] == [
        number for number, images in enumerate(found) if images is not None
    ]
    # Whatever is not listed so is looked at by itself.
    assert [f"/{NAME}/a/b/00003.png"] * (not is_found) == [path for method, path in bucket.requests if method == "HEAD"]


async def test_with_check_another_digest_is_found(bucket):
    jobs = put_images(bucket, 30)
    bucket.put("a/b/00003.png", b"also", sha256="2" * 64)
    found = await in_pages(open_store(PLACE, check=True).checker(), jobs)
    assert [3] == [number for number, images in enumerate(found) if images is None]


@pytest.mark.parametrize("what", ["403 AccessDenied", "404 NoSuchBucket"])
async def test_where_nothing_may_be_listed_each_image_is_asked_for_and_one_note_says_so(bucket, caplog, what):
    jobs = put_images(bucket, 45)
    bucket.requests.clear()
    bucket.fail(what, times=100, method="GET", part="list-type")
    with caplog.at_level(logging.WARNING, "cometflux"):
        assert None not in await in_pages(open_store(PLACE).checker(), jobs, 30)
    assert (1, 45) == (asked_of(bucket)[0], bucket.count("HEAD"))
    (note,) = [each.getMessage() for each in caplog.records]
    assert note.startswith("the images are looked up one by one, since they could not be listed: ")


async def test_an_image_that_is_newer_than_the_listing_is_found_by_its_head(bucket):
    jobs = put_images(bucket, 40)
    for ((name, _, _),) in jobs[20:]:
        bucket.remove(f"a/b/{name}")
    check = open_store(PLACE).checker()
    assert None not in await check(jobs[:20])
    put_images(bucket, 40)
    assert None not in await check(jobs[20:])


async def test_another_batch_is_not_answered_by_an_old_listing(bucket):
    jobs, store = put_images(bucket, 30), open_store(PLACE)
    assert None not in await store.checker()(jobs)
    bucket.remove("a/b/00003.png")
    assert [3] == [number for number, images in enumerate(await store.checker()(jobs)) if images is None]


# ── a session ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [None, "{index:02d}/{slug}"], ids=["plain", "in folders"])
async def test_a_batch_run_again_lists_its_images_and_makes_only_a_removed_one_again(bucket, service, tmp_path, name):
    before = await run(service, tmp_path, 40, name)
    bucket.requests.clear()
    again = await run(service, tmp_path, 40, name)
    assert ([each.files for each in before], [True] * 40) == (
        [each.files for each in again],
        [each.resumed for each in again],
    )
    assert (1, 0, 0) == asked_of(bucket)

    bucket.remove(f"a/b/{before[7].files[0].name}")
    bucket.requests.clear()
    mended = await run(service, tmp_path, 40, name)
    assert [each.files for each in before] == [each.files for each in mended]
    assert (40, 40) == (len(service.bills), len(pictures(bucket))), "it is saved again and not bought again"
    assert (1, 1) == (asked_of(bucket)[0], bucket.count("PUT", ".webp"))
    heads = {path for method, path in bucket.requests if method == "HEAD" and path.endswith(".webp")}
    assert {f"/{NAME}/a/b/{before[7].files[0].name}"} == heads


@pytest.mark.hard
async def test_three_hundred_saved_jobs_of_a_batch_take_one_listing(bucket, service, tmp_path):
    await run(service, tmp_path, 300)
    counts = []
    for save_to in (open_store(PLACE, check=True), PLACE):
        bucket.requests.clear()
        assert all(each.resumed and each.ok for each in await run(service, tmp_path, 300, save_to=save_to))
        counts.append(asked_of(bucket))
    assert ([(0, 300, 0), (1, 0, 0)], 300) == (counts, len(service.bills))


# ── how far it is read ───────────────────────────────────────────────────────────────────────────────────────────────


class Pages:
    """A listing of many names, and how many of its pages were read."""

    def __init__(self, names, size=1000):
        self.names, self.size, self.read = iter(names), size, 0

    async def next(self):
        self.read += 1
        page = [(name, 1) for _, name in zip(range(self.size), self.names, strict=False)]
        return page or None


def jobs_of(names):
    return [[(name, 1, DIGEST)] for name in names]


async def test_a_listing_is_read_as_far_as_the_jobs_are_asked_for():
    names = [f"{number:06d}.{ending}" for number in range(5000) for ending in ("json", "webp")]
    pages = Pages(names)
    listing = Listing(pages.next)
    for asked in (500, 1000, 5000):
        found = [await listing.find_each(jobs_of([f"{n:06d}.webp" for n in range(asked - 100, asked)]))]
        assert [[True] * 100] == found
        assert pages.read == min(asked // 500, 10)


async def test_a_place_of_millions_of_other_objects_costs_a_page_for_twenty_jobs():
    pages = Pages(f"other-{number}" for number in range(10**9))
    listing = Listing(pages.next)
    for at in range(0, 400, 100):
        assert [False] * 100 == await listing.find_each(jobs_of([f"{n}.webp" for n in range(at, at + 100)]))
    assert 400 // JOBS_PER_PAGE == pages.read


async def test_what_was_listed_before_a_refusal_stays_found():
    async def refuse():
        await asyncio.sleep(0)
        raise RefusedError("no more")

    pages = Pages([f"{number}.webp" for number in range(100)], size=50)
    steps = iter([pages.next, refuse])
    listing = Listing(lambda: next(steps)())
    found = await listing.find_each(jobs_of([f"{number}.webp" for number in range(100)]))
    assert [True] * 50 + [False] * 50 == found


@pytest.mark.hard
async def test_a_hundred_thousand_names_take_less_than_twenty_megabytes():
    pages = Pages(f"a-folder-with-a-name/{number:06d}-a-boat-on-the-sea.webp" for number in range(100_000))
    listing = Listing(pages.next)
    tracemalloc.start()
    try:
        await listing.find_each(jobs_of(["none.webp"] * (101 * JOBS_PER_PAGE)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 101 == pages.read
    assert kept < 20e6
