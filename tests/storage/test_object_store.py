"""Images in an object store, at a real S3-speaking server, and at one that misbehaves."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from canary import shown
from one_pixel import PNG
from s3_server import KEY_ID, NAME, SECRET
from waiting import PATIENCE, wait_until

from cometflux import Journal, PollPolicy, Session, open_session
from cometflux.errors import ConfigError, OutputError, SessionStoppedError
from cometflux.jobs import Job
from cometflux.journal.writer import JournalWriter
from cometflux.locations import StoredFile
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.provenance.embed import extract
from cometflux.provenance.sidecar import Submission, record_of
from cometflux.storage import file_names
from cometflux.storage.destination import find_destination
from cometflux.storage.object_store import Store, open_store
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.realtime

PLACE = f"s3://{NAME}/a/b"
OTHER_PNG = PNG + b" with something behind it"
JOB = Job(model="black-forest-labs/flux-schnell", input={"prompt": "a boat"})
SOON = {"timeout": "300 ms", "retry_config": {"max_retries": 1, "retry_timeout": timedelta(seconds=1)}}


@pytest.fixture
async def service():
    async with LocalService(pixels=4096, latency=0.02) as service:
        yield service


def opened(service, **options):
    return open_session(api_key=service.key, base_url=service.url, poll_policy=PollPolicy.every(0.02), **options)


async def outcomes_of(batch):
    """Take the outcomes in the order of their jobs, and what ended the batch early."""
    outcomes, end = [], None
    try:
        async for outcome in batch:
            outcomes.append(outcome)
    except SessionStoppedError as error:
        end = error
    return sorted(outcomes, key=lambda each: each.index), end


def prompts(count):
    return [f"boat {number}" for number in range(count)]


def record(prediction_id="p1"):
    prediction = Prediction(id=prediction_id, status=Status.SUCCEEDED, model=JOB.model)
    return record_of(prediction, JOB, None, 0)


def names(stem, *numbers, ending="png"):
    return sorted(f"a/b/{stem}{number}.{end}" for number in numbers for end in (ending, "json"))


def told(image):
    return image.path.name, image.size, image.digest


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_image_is_put_with_its_digest_and_a_record_beside_it(bucket):
    image = await open_store(PLACE).write("boat", PNG, record())
    assert (f"{PLACE}/boat.png", len(PNG), hashlib.sha256(PNG).hexdigest()) == (
        str(image.path),
        image.size,
        image.digest,
    )
    assert names("boat", "") == bucket.names()
    assert PNG == bucket.read("a/b/boat.png")
    beside = json.loads(bucket.read("a/b/boat.json"))
    assert ("boat.png", image.size, image.digest, "p1") == (
        *(beside[name] for name in ("file", "bytes", "sha256")),
        beside["prediction"]["id"],
    )
    put = next(each for each in bucket.headers if each.get("x-amz-meta-sha256"))
    assert ("*", "image/png", image.digest) == (put["if-none-match"], put["content-type"], put["x-amz-meta-sha256"])


async def test_the_image_is_there_before_its_record(bucket):
    await open_store(PLACE).write("boat", PNG, record())
    puts = [path.rpartition("/")[2] for method, path in bucket.requests if method == "PUT"]
    assert ["boat.png", "boat.json"] == puts


# ── with the record in the image ─────────────────────────────────────────────────────────────────────────────────────


async def test_an_image_that_holds_its_record_is_put_under_the_digest_of_what_was_put(bucket):
    image = await open_store(PLACE).write("boat", PNG, record(), embeds=True)
    put = bucket.read("a/b/boat.png")
    assert "p1" == extract(put)["prediction"]["id"]
    assert (len(put), hashlib.sha256(put).hexdigest()) == (image.size, image.digest)
    beside = json.loads(bucket.read("a/b/boat.json"))
    assert (True, image.digest) == (beside["embedded"], beside["sha256"])


async def test_a_session_that_embeds_puts_what_it_says_it_put(bucket, service, tmp_path):
    for _ in range(2):
        async with opened(service, embed=True, journal=tmp_path) as session:
            outcomes, end = await outcomes_of(session.generate(prompts(3), save_to=PLACE))
        assert (None, [True] * 3) == (end, [each.ok for each in outcomes])
    assert [True] * 3 == [each.resumed for each in outcomes]
    assert 3 == len(service.bills)
    for each in outcomes:
        assert each.prediction.id == extract(bucket.read(f"a/b/{each.files[0].name}"))["prediction"]["id"]


async def test_an_image_whose_record_is_refused_is_known_by_what_was_put(bucket, service):
    bucket.fail("403 AccessDenied", times=100, part="00000-boat-0.json")
    async with opened(service, embed=True) as session:
        (outcome,), _ = await outcomes_of(session.generate(prompts(1), save_to=PLACE))
    assert ("00000-boat-0.webp",) == tuple(each.name for each in outcome.files)
    assert outcome.error.is_disk


# ── puts that go wrong ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("part", ["boat.png", "boat.json"])
@pytest.mark.parametrize(
    "what",
    [
        "lost",
        "cut",
        "503 SlowDown",
        *(pytest.param(each, marks=pytest.mark.hard) for each in ("500 InternalError", "slow")),
    ],
)
async def test_a_put_that_goes_wrong_is_made_again_and_leaves_one_object(bucket, what, part):
    bucket.fail(what, times=1, part=part, wait=1.0)
    image = await open_store(PLACE, timeout="500 ms").write("boat", PNG, record())
    assert "boat.png" == image.path.name
    assert names("boat", "") == bucket.names()
    assert 2 == bucket.count("PUT", part)


@pytest.mark.parametrize("what", ["409 ConditionalRequestConflict", "412 PreconditionFailed"])
@pytest.mark.parametrize("part", ["boat.png", "boat.json"])
async def test_a_name_is_taken_only_if_an_object_has_it(bucket, what, part):
    """A store may refuse a put because of a conflict that passes. Then the name stays the same."""
    bucket.fail(what, times=2, part=part)
    image = await open_store(PLACE).write("boat", PNG, record())
    assert "boat.png" == image.path.name
    assert names("boat", "") == bucket.names()
    assert 3 == bucket.count("PUT", part)


async def test_a_store_that_says_taken_for_ever_gets_a_bounded_number_of_puts(bucket):
    bucket.fail("409 ConditionalRequestConflict", times=10_000)
    with pytest.raises(OutputError, match=r"it reports that boat\.png exists, and has no object") as caught:
        await open_store(PLACE).write("boat", PNG, record())
    assert caught.value.is_disk
    assert 4 == bucket.count("PUT", "boat")
    assert [] == bucket.names()


async def test_a_plain_picture_takes_two_puts_and_no_head(bucket):
    await open_store(PLACE).write("boat", PNG, record())
    assert (2, 0) == (bucket.count("PUT"), bucket.count("HEAD"))


@pytest.mark.parametrize("taken", [1, 3, pytest.param(100, marks=pytest.mark.hard)])
async def test_an_image_is_sent_to_the_first_taken_name_only(bucket, taken):
    """Each further name that an image without a record has costs a look and not an upload."""
    stems = list(file_names.numbered("boat"))
    for stem in stems[:taken]:
        bucket.put(f"a/b/{stem}.png", OTHER_PNG)
    if taken < len(stems):
        image = await open_store(PLACE).write("boat", PNG, record())
        assert f"boat+{taken}.png" == image.path.name
    else:
        with pytest.raises(OutputError, match="all 100 names from boat to"):
            await open_store(PLACE).write("boat", PNG, record())
    free = taken < len(stems)
    assert (1 + free, (1 + free) * len(PNG)) == (bucket.count("PUT", ".png"), bucket.sent(".png"))


async def test_after_a_name_with_a_record_the_next_one_is_not_looked_at_first(bucket):
    await open_store(PLACE).write("boat", PNG, record("p0"))
    bucket.requests.clear()
    await open_store(PLACE).write("boat", PNG, record())
    assert (2, 0) == (bucket.count("PUT"), bucket.count("HEAD"))


async def test_the_bytes_sent_for_one_image_are_bounded_whatever_the_store_says(bucket):
    """The store says that a name is free, refuses the put as taken, and then says that an object is there."""
    bucket.contradicts = "png$"
    sent = 10 * len(PNG)
    with pytest.raises(OutputError, match=rf"10 tries to write it \({sent} bytes in all\) are the most") as caught:
        await open_store(PLACE).write("boat", PNG, record())
    assert caught.value.is_disk
    assert (10, sent) == (bucket.count("PUT"), bucket.sent())
    assert [] == bucket.names()


async def test_the_bytes_sent_for_one_record_are_bounded_whatever_the_store_says(bucket):
    for stem in file_names.numbered("boat"):
        bucket.put(f"a/b/{stem}.png", PNG)
    bucket.contradicts = "json$"
    with pytest.raises(
        OutputError, match=r"boat\+10\.png is saved, but not the record .*: 10 tries to write it"
    ) as caught:
        await open_store(PLACE).write("boat", PNG, record())
    assert caught.value.path.name == "boat+10.png"
    assert (10, 1) == (bucket.count("PUT", ".json"), bucket.count("PUT", ".png"))


async def test_a_store_that_goes_on_refusing_is_a_disk_that_refuses(bucket):
    bucket.fail("403 AccessDenied", times=100)
    with pytest.raises(OutputError, match="could not be written to s3://pictures/a/b: access is denied") as caught:
        await open_store(PLACE).write("boat", PNG, record())
    assert (True, None) == (caught.value.is_disk, caught.value.path)
    assert [] == bucket.names()


async def test_an_image_without_its_record_is_told_as_saved(bucket):
    bucket.fail("403 AccessDenied", times=100, part="boat.json")
    with pytest.raises(OutputError, match=r"boat\.png is saved, but not the record next to it: access is") as caught:
        await open_store(PLACE).write("boat", PNG, record())
    assert (True, f"{PLACE}/boat.png") == (caught.value.is_disk, str(caught.value.path))


async def test_what_is_no_image_is_not_put(bucket):
    with pytest.raises(OutputError, match="cut short"):
        await open_store(PLACE).write("boat", PNG[:-4], record())
    assert [] == bucket.requests


# ── finding again ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_images_are_found_again_by_their_records_and_not_read(bucket):
    store = open_store(PLACE)
    written = [await store.write(stem, PNG, record()) for stem in ("boat-1", "boat-2")]
    bucket.requests.clear()
    assert written == await store.find_each("boat", "p1", 2)
    assert [None, None] == await store.find_each("boat", "p2", 2)
    assert 0 == bucket.count("GET", ".png")


async def test_saved_files_are_checked_by_their_heads(bucket):
    store = open_store(PLACE)
    image = await store.write("boat", PNG, record())
    bucket.requests.clear()
    assert (image,) == await store.check_files([told(image)])
    assert [("HEAD", f"/{NAME}/a/b/boat.png")] == bucket.requests


@pytest.mark.parametrize(("data", "is_known"), [(PNG, True), (PNG[:-1] + b"x", False)], ids=["whole", "changed"])
async def test_a_copy_without_metadata_is_known_by_its_bytes(bucket, data, is_known):
    bucket.put("a/b/boat.png", data)
    found = await open_store(PLACE).check_files([("boat.png", len(PNG), hashlib.sha256(PNG).hexdigest())])
    assert is_known == (found is not None)


@pytest.mark.parametrize("ask", ["find_each", "find_id", "check_files"])
async def test_a_store_that_cannot_be_asked_does_not_say_that_nothing_is_there(bucket, ask):
    store = open_store(PLACE)
    image = await store.write("boat", PNG, record())
    for method in ("GET", "HEAD"):
        bucket.fail("403 AccessDenied", times=100, method=method)
    given = {
        "find_each": ("boat", "p1", 1),
        "find_id": ("boat", Submission(journal="a", job="b", attempt=1, body="c")),
        "check_files": ([told(image)],),
    }
    with pytest.raises(OutputError, match="what is in s3://pictures/a/b could not be read: access is denied"):
        await getattr(store, ask)(*given[ask])


# ── before anything is bought ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_proof_leaves_nothing_behind(bucket):
    await open_store(PLACE).prepare()
    assert 2 == bucket.count("PUT", "a/b/.cometflux-")
    assert [] == bucket.names()


async def test_whoever_may_put_and_not_remove_can_save(bucket):
    bucket.fail("403 AccessDenied", times=10, method="POST")
    await open_store(PLACE).prepare()
    assert 1 == len(bucket.names())


def _silent(_, stack):
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{listener.getsockname()[1]}"}


def _answering(what):
    def make(bucket, _):
        for method in ("PUT", "HEAD", "GET", "POST"):
            bucket.fail(what, times=100, method=method)
        return {}

    return make


def _with_habit(habit):
    return lambda bucket, _: bucket.habits.add(habit)


UNUSABLE = [
    pytest.param(f"s3://nobody-has-this/{NAME}", None, "there is no such bucket", id="no such bucket"),
    pytest.param(PLACE, _answering("403 AccessDenied"), "access is denied; permission is needed to put", id="denied"),
    pytest.param(PLACE, _answering("403 InvalidAccessKeyId"), "the credentials are rejected", id="an unknown key"),
    pytest.param(PLACE, _answering("403 SignatureDoesNotMatch"), "the credentials are rejected", id="a wrong secret"),
    pytest.param(PLACE, _answering("400 ExpiredToken"), "the credentials are rejected", id="a token of yesterday"),
    pytest.param(
        PLACE,
        _answering("400 AuthorizationHeaderMalformed"),
        "the bucket is in another region; set AWS_REGION",
        id="another region",
    ),
    pytest.param(
        PLACE, _answering("301 PermanentRedirect"), "the bucket is in another region; set AWS_REGION", id="moved"
    ),
    pytest.param(PLACE, _answering("503 SlowDown"), "it answered 503 SlowDown", id="a store that is down"),
    pytest.param(PLACE, _answering("418"), "it answered 418", id="a teapot"),
    pytest.param(PLACE, _answering("cut"), "the connection broke", id="a connection that is cut"),
    pytest.param(PLACE, _with_habit("careless"), "it replaces existing objects, although it must not", id="careless"),
    pytest.param(PLACE, _with_habit("losing"), "it takes objects but does not keep them", id="losing"),
    pytest.param(PLACE, _with_habit("hollow"), "it does not return the bytes of an object", id="hollow"),
    pytest.param(PLACE, _with_habit("forgetful"), "it does not return the size and the metadata", id="forgetful"),
    pytest.param(
        PLACE,
        lambda *_: {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        "nobody listens at its endpoint",
        id="nobody there",
    ),
    pytest.param(PLACE, _silent, "the store did not answer in time", id="silence"),
    pytest.param(
        PLACE,
        lambda *_: {"AWS_ENDPOINT_URL": "https://no-such-host.invalid"},
        "the name of its host is not known",
        id="no such host",
    ),
    pytest.param(
        PLACE,
        lambda *_: {"AWS_ALLOW_HTTP": "false"},
        "its endpoint is plain http; to allow that, set AWS_ALLOW_HTTP=true",
        id="plain http",
    ),
    pytest.param(
        PLACE,
        lambda *_: {"AWS_ENDPOINT_URL": "localhost:9000"},
        "its endpoint is not an address; one begins with https://",
        id="an endpoint without a scheme",
    ),
    pytest.param(PLACE, lambda *_: {"AWS_ALLOW_HTTP": "perhaps"}, "a setting is unusable; look at", id="a bad setting"),
    pytest.param(
        PLACE,
        lambda *_: {
            "AWS_ACCESS_KEY_ID": None,
            "AWS_SECRET_ACCESS_KEY": None,
            "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9",
        },
        "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        id="no credentials",
    ),
    pytest.param("az://pictures/a", None, "the account is not known; set AZURE_STORAGE_ACCOUNT_NAME", id="no account"),
    pytest.param("ftp://host/a", None, "nothing can be saved to ftp://; give the path of a folder", id="ftp"),
]


@pytest.mark.parametrize(("place", "make", "says"), UNUSABLE)
async def test_a_place_that_will_not_do_is_one_clear_error_and_nothing_is_bought(
    bucket, service, monkeypatch, caplog, place, make, says
):
    caplog.set_level(logging.DEBUG)
    with contextlib.ExitStack() as stack:
        for name, value in ((make and make(bucket, stack)) or {}).items():
            monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
        async with opened(service) as session:
            with pytest.raises(ConfigError) as caught:
                store = open_store(place, **SOON)
                await outcomes_of(session.generate(["a boat"], save_to=store))
    assert says in str(caught.value)
    assert [] == service.bills
    seen = [*shown(caught.value), *(f"{each.getMessage()} {each.__dict__}" for each in caplog.records)]
    assert [] == [each for each in seen if KEY_ID in each or SECRET in each]


@pytest.mark.hard
async def test_an_endpoint_that_does_not_answer_is_given_up_within_seconds(bucket, monkeypatch):
    with contextlib.ExitStack() as stack:
        monkeypatch.setenv(*next(iter(_silent(bucket, stack).items())))
        began = time.monotonic()
        with pytest.raises(ConfigError, match="the store did not answer within 15 s"):
            await open_store(PLACE).prepare()
    assert 14 < time.monotonic() - began < 15 + PATIENCE


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r'saving to s3:// needs an extra: pip install "cometflux\[store\]"'):
        open_store(PLACE)


def test_an_option_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"s3://pictures/a/b cannot be opened: "):
        open_store(PLACE, no_such_option="x")


def test_a_url_as_a_path_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="a Path makes one slash of two; give the URL as a string"):
        find_destination("save_to", Path("s3://bucket/a"))


def test_a_store_shows_its_place_and_nothing_else():
    store = open_store(PLACE, access_key_id=KEY_ID, secret_access_key=SECRET)
    assert isinstance(store, Store)
    assert (PLACE, f"Store('{PLACE}')") == (str(store), repr(store))


# ── Google and Azure ─────────────────────────────────────────────────────────────────────────────────────────────────


async def check_place(store):
    """Put, refuse, find again and check, as at S3."""
    await store.prepare()
    image = await store.write("boat", PNG, record())
    assert image == await store.write("boat", PNG, record())
    assert "boat+1.png" == (await store.write("boat", OTHER_PNG, record("p2"))).path.name
    assert [image] == await store.find_each("boat", "p1", 1)
    assert (image,) == await store.check_files([told(image)])
    assert await store.check_files([("boat.png", image.size, "0" * 64)]) is None


async def test_the_same_holds_in_the_words_of_google(bucket, monkeypatch, tmp_path):
    # Google's client of obstore; what it says is turned into S3's headers behind it.
    bucket.habits.add("google")
    account = {"gcs_base_url": bucket.url, "disable_oauth": True, "private_key_id": "", "private_key": ""}
    (tmp_path / "account.json").write_text(json.dumps({**account, "client_email": ""}))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    await check_place(open_store(f"gs://{NAME}/a/b"))
    assert names("boat", "", "+1") == bucket.names()
    with pytest.raises(ConfigError, match="gs://nobody/a cannot be written to: there is no such bucket"):
        await open_store("gs://nobody/a").prepare()


AZURITE = shutil.which("azurite-blob")
ACCOUNT = "devstoreaccount1"
# That of the emulator, which everybody knows.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture
def azurite(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    process = subprocess.Popen([AZURITE, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options])
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}",
        "AZURE_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        wait_until(lambda: make_container(port) == 201)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def make_container(port):
    """Make the container `NAME`, as obstore cannot; None while nobody listens."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    shown = {"x-ms-date": now, "x-ms-version": "2021-08-06"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in shown.items())]
    signed = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{NAME}", "restype:container"]).encode()
    signature = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), signed, "sha256")).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        headers = {**shown, "Authorization": f"SharedKey {ACCOUNT}:{signature}"}
        connection.request("PUT", f"/{ACCOUNT}/{NAME}?restype=container", headers=headers)
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


@pytest.mark.hard
@pytest.mark.skipif(AZURITE is None, reason="there is no azurite-blob on this machine (npm install azurite)")
async def test_the_same_holds_at_azure(azurite):
    await check_place(open_store(f"az://{NAME}/a/b"))
    with pytest.raises(ConfigError, match="az://nobody/a cannot be written to: there is no such bucket"):
        await open_store("az://nobody/a").prepare()


# ── a session ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_batch_is_saved_to_a_url(bucket, service):
    async with opened(service) as session:
        outcomes, _ = await outcomes_of(session.generate(prompts(3), save_to=PLACE))
    assert [True] * 3 == [outcome.ok for outcome in outcomes]
    files = [file for outcome in outcomes for file in outcome.files]
    assert all(isinstance(file, StoredFile) for file in files)
    assert [f"{PLACE}/0000{number}-boat-{number}.webp" for number in range(3)] == [str(file) for file in files]
    assert [f"a/b/{file.name}" for file in files] == [name for name in bucket.names() if name.endswith(".webp")]
    assert 3 == len(service.bills)


async def test_one_prediction_is_saved_under_a_name(bucket, service):
    async with opened(service) as session:
        prediction = await session.run("a boat")
        files = await session.save(prediction, PLACE, "My boat")
        assert files == await session.save(prediction, open_store(PLACE), "My boat")
    assert [f"{PLACE}/My boat.webp"] == [str(file) for file in files]
    assert names("My boat", "", ending="webp") == bucket.names()


@pytest.mark.parametrize("is_journals", [True, False], ids=["of the journal", "another"])
async def test_an_image_that_is_saved_in_the_place_of_the_journal_is_known_to_it(
    bucket, service, tmp_path, is_journals
):
    writer = JournalWriter(tmp_path)
    writer.open()
    writer.note_place(PLACE)
    writer.close()
    async with opened(service, journal=tmp_path) as session:
        prediction = await session.run(Job.of("a boat"))
        (file,) = await session.save(prediction, PLACE if is_journals else f"{PLACE}/other")
    with Journal(tmp_path) as journal:
        (record,) = journal.records()
    assert [file.name] * is_journals == [each.name for each in record.files]
    assert ("saved" if is_journals else "unsaved") == record.state_name


async def test_a_batch_run_again_reads_no_image_and_buys_nothing(bucket, service, tmp_path):
    async with opened(service, journal=tmp_path) as session:
        before, _ = await outcomes_of(session.generate(prompts(5), save_to=PLACE))
    bucket.requests.clear()
    async with opened(service, journal=tmp_path) as session:
        again, _ = await outcomes_of(session.generate(prompts(5), save_to=PLACE))
    assert [outcome.files for outcome in before] == [outcome.files for outcome in again]
    assert [True] * 5 == [outcome.resumed for outcome in again]
    assert (5, 0) == (bucket.count("HEAD", ".webp"), bucket.count("GET", ".webp"))
    assert 5 == len(service.bills)


async def test_in_bad_weather_nothing_is_lost_doubled_or_bought_again(bucket, service):
    for part in (".webp", ".json"):
        for what in ("lost", "cut", "503 SlowDown", "500 InternalError"):
            bucket.fail(what, times=2, part=part)
    bucket.fail("503 SlowDown", times=3, method="GET", part=".json")
    async with opened(service) as session:
        outcomes, end = await outcomes_of(session.generate(prompts(12), save_to=PLACE))
    assert ([True] * 12, None) == ([outcome.ok for outcome in outcomes], end)
    files = [file.name for outcome in outcomes for file in outcome.files]
    assert (
        sorted(f"a/b/{file.rpartition('.')[0]}.{end}" for file in files for end in ("webp", "json")) == bucket.names()
    )
    assert 12 == len(service.bills)


async def test_a_store_that_refuses_later_stops_the_buying_and_the_next_run_saves(bucket, service, tmp_path):
    bucket.fail("403 AccessDenied", times=1000, part=".webp")
    async with opened(service, journal=tmp_path, max_pending=2) as session:
        outcomes, end = await outcomes_of(session.generate(prompts(30), save_to=PLACE))
    assert "access is denied" in str(end)
    unsaved = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.SUCCEEDED]
    assert len(unsaved) == len(service.bills) < 30
    assert all(isinstance(outcome.error, OutputError) and outcome.error.is_disk for outcome in unsaved)
    with Journal(tmp_path) as journal:
        assert len(unsaved) == journal.status()["unsaved"]

    bucket.mend()
    async with opened(service, journal=tmp_path) as session:
        outcomes, end = await outcomes_of(session.generate(prompts(30), save_to=PLACE))
    assert ([True] * 30, None) == ([outcome.ok for outcome in outcomes], end)
    assert (30, 60) == (len(service.bills), len(bucket.names()))


async def test_where_nobody_can_look_nothing_is_put(bucket, service, tmp_path):
    bucket.fail("403 AccessDenied", times=100, method="GET", part=".json")
    async with opened(service, journal=tmp_path) as session:
        (outcome,), _ = await outcomes_of(session.generate(prompts(1), save_to=PLACE))
    assert "the image could not be written to s3://pictures/a/b: access is denied" in str(outcome.error)
    assert (service.bills[0].id, 0) == (outcome.error.prediction_id, bucket.count("PUT", ".webp"))
    with Journal(tmp_path) as journal:
        assert 1 == journal.status()["unsaved"]


async def test_what_is_saved_stays_so_while_nobody_can_look(bucket, service, tmp_path):
    async with opened(service, journal=tmp_path) as session:
        before, _ = await outcomes_of(session.generate(prompts(3), save_to=PLACE))
    bucket.fail("403 AccessDenied", times=100, method="HEAD", part=".webp")
    async with opened(service, journal=tmp_path) as session:
        outcomes, end = await outcomes_of(session.generate(prompts(3), save_to=PLACE))
    assert "could not be read" in str(end)
    assert {(OutcomeKind.SUCCEEDED, False)} <= {(outcome.kind, outcome.ok) for outcome in outcomes}
    with Journal(tmp_path) as journal:
        assert 3 == journal.status()["saved"]

    bucket.mend()
    bucket.requests.clear()
    async with opened(service, journal=tmp_path) as session:
        again, _ = await outcomes_of(session.generate(prompts(3), save_to=PLACE))
    assert [outcome.files for outcome in before] == [outcome.files for outcome in again]
    assert (3, 0) == (len(service.bills), bucket.count("PUT", ".webp"))


async def test_one_of_unknown_fate_is_not_sent_again_while_nobody_can_look_for_its_image(bucket, service, tmp_path):
    service.fail("drop", after=True)
    async with opened(service, journal=tmp_path) as session:
        (outcome,), _ = await outcomes_of(session.generate(prompts(1), save_to=PLACE))
    assert OutcomeKind.UNKNOWN is outcome.kind
    bucket.fail("403 AccessDenied", times=100, method="GET", part=".json")
    async with opened(service, journal=tmp_path, on_unknown="resend", max_resends=5) as session:
        (outcome,), end = await outcomes_of(session.generate(prompts(1), save_to=PLACE))
    assert (OutcomeKind.UNKNOWN, 1) == (outcome.kind, len(service.bills))
    assert "could not be read" in str(end)

    bucket.mend()
    async with opened(service, journal=tmp_path, on_unknown="resend", max_resends=5) as session:
        (outcome,), _ = await outcomes_of(session.generate(prompts(1), save_to=PLACE))
    assert outcome.ok, "now it is sure that there is none"


async def test_what_a_session_that_closes_leaves_half_put_is_found_by_the_next(bucket, service, tmp_path):
    transport = AiohttpTransport(service.key, service.url)
    bucket.fail("slow", times=4, part=".webp", wait=1.0)
    async with Session(transport, journal=tmp_path, poll_policy=PollPolicy.every(0.02), grace=0.3) as session:
        batch = session.generate(prompts(2), save_to=PLACE)
        async with batch:
            await asyncio.to_thread(bucket.wait_for, 2, "PUT", ".webp")
    await asyncio.sleep(1.2)
    async with opened(service, journal=tmp_path) as session:
        outcomes, _ = await outcomes_of(session.generate(prompts(2), save_to=PLACE))
    assert [True, True] == [outcome.ok for outcome in outcomes]
    assert (2, 4) == (len(service.bills), len(bucket.names()))


async def test_no_credential_is_in_the_journal_or_the_records(bucket, service, tmp_path):
    async with opened(service, journal=tmp_path) as session:
        await outcomes_of(session.generate(prompts(1), save_to=PLACE))
    kept = b"".join([*(path.read_bytes() for path in tmp_path.iterdir()), *map(bucket.read, bucket.names())])
    assert len(kept) > 1000
    assert [] == [word for word in (KEY_ID, SECRET, service.key) if word.encode() in kept]
    assert not any(service.key in str(headers) for headers in bucket.headers), "the API key went to the store"
