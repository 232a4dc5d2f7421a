"""The local service over plain aiohttp: its responses, its bills, and all its faults."""

import asyncio
import base64
import io
import itertools
import re
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from certificate_authority import Authority
from colours import contrast
from PIL import Image
from schema_documents import SDXL, SDXL_NAME

from cometflux import flux
from cometflux.models.schemas import parse_schema
from cometflux.testing import FAULTS, LocalService, parse_fault
from cometflux.testing.artwork.draw import draw
from cometflux.testing.artwork.lettering import legible
from cometflux.testing.artwork.palettes import PALETTES, mix
from cometflux.testing.routes import BASE

SCHNELL = "black-forest-labs/flux-schnell"
DEV = "black-forest-labs/flux-dev"
PRO = "black-forest-labs/flux-1.1-pro"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{2,9}Z")
LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
DROPS = ("drop", "reset", "torn-head")


class Caller:
    """A plain client: a new connection for each exchange, and no redirects."""

    def __init__(self, service, http):
        self.service = service
        self.http = http

    async def exchange(self, method, url, **options):
        async with self.http.request(method, url, allow_redirects=False, **options) as answer:
            return answer, await answer.read()

    async def submit(self, model=SCHNELL, *, headers=None, body=None, **given):
        body = {"input": {"prompt": "a boat", **given}} if body is None else body
        url = f"{self.service.url}/models/{model}/predictions"
        return await self.exchange("POST", url, json=body, headers=headers)

    async def create(self, model=SCHNELL, **options):
        answer, _ = await self.submit(model, **options)
        assert 201 == answer.status
        return await answer.json()

    async def ask(self, prediction_id):
        return await self.exchange("GET", f"{self.service.url}/predictions/{prediction_id}")

    async def get(self, prediction_id):
        answer, _ = await self.ask(prediction_id)
        assert 200 == answer.status
        return await answer.json()

    async def run(self, model=SCHNELL, **options):
        created = await self.create(model, **options)
        await asyncio.sleep(1.0)
        return await self.get(created["id"])

    async def images(self, prediction):
        urls = prediction["output"] if isinstance(prediction["output"], list) else [prediction["output"]]
        return [await self.fetch(url) for url in urls]

    async def fetch(self, url):
        async with aiohttp.request("GET", url, allow_redirects=False) as answer:
            return answer, await answer.read()


@pytest.fixture
async def http(service):
    connector = aiohttp.TCPConnector(force_close=True)
    headers = {"Authorization": f"Bearer {service.key}"}
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        yield http


@pytest.fixture
def caller(service, http):
    return Caller(service, http)


# ── the life of a prediction ─────────────────────────────────────────────────────────────────────────────────────────


async def test_the_response_to_a_submission_is_like_the_real_service_s(caller):
    created = await caller.create(seed=7)
    assert re.fullmatch("[0-9a-z]{26}", created["id"])
    assert STAMP.fullmatch(created["created_at"])
    there = f"https://api.replicate.com/v1/predictions/{created['id']}"
    assert {
        "model": SCHNELL,
        "version": "hidden",
        "input": {"prompt": "a boat", "seed": 7},
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "source": "api",
        "status": "starting",
        "urls": {
            "get": there,
            "cancel": f"{there}/cancel",
            "stream": f"https://stream.replicate.com/v1/files/bcwr-{created['id']}",
            "web": f"https://replicate.com/p/{created['id']}",
        },
    } == {name: value for name, value in created.items() if name not in ("id", "created_at")}


async def test_a_prediction_starts_runs_and_succeeds_by_the_loop_s_clock(caller):
    created = await caller.create()
    seen = []
    for _ in range(9):
        seen.append(await caller.get(created["id"]))
        await asyncio.sleep(0.125)
    assert ["starting"] * 3 + ["processing"] * 5 + ["succeeded"] == [each["status"] for each in seen]
    lengths = [len(each["logs"]) for each in seen]
    assert 0 == lengths[0] < lengths[5] < lengths[8]
    assert lengths == sorted(lengths)
    assert {"image_count": 1, "predict_time": pytest.approx(2 / 3), "total_time": 1.0} == seen[-1]["metrics"]
    assert STAMP.fullmatch(seen[-1]["started_at"])
    assert STAMP.fullmatch(seen[-1]["completed_at"])
    assert "completed_at" not in seen[5]


@pytest.mark.parametrize("model", flux.MODELS)
async def test_two_models_return_a_list_and_nine_a_string(caller, model):
    prediction = await caller.run(model)
    assert (list if model in (SCHNELL, DEV) else str) is type(prediction["output"])
    ((answer, picture),) = await caller.images(prediction)
    default = {each.name: each.default for each in flux.parameters(model)}["output_format"]
    kind = {"jpg": "jpeg"}.get(default, default)
    assert f"image/{kind}" == answer.content_type
    assert kind.upper() == Image.open(io.BytesIO(picture)).format


async def test_timestamps_have_varying_numbers_of_digits(caller):
    stamps = [(await caller.create())["created_at"] for _ in range(12)]
    assert len({len(stamp) for stamp in stamps}) > 3


async def test_a_latency_may_depend_on_the_model(http):
    async with LocalService(latency=lambda model: 5.0 if model == DEV else 1.0, pixels=4096) as service:
        caller = Caller(service, http)
        slow, fast = await caller.create(DEV), await caller.create()
        await asyncio.sleep(1.0)
        assert ("starting", "succeeded") == tuple([(await caller.get(each["id"]))["status"] for each in (slow, fast)])


async def test_without_latency_the_first_poll_finds_it_ended(http):
    async with LocalService(latency=0, pixels=4096) as service:
        caller = Caller(service, http)
        created = await caller.create()
        assert "starting" == created["status"]
        assert "succeeded" == (await caller.get(created["id"]))["status"]


async def test_an_hour_later_the_data_are_gone(caller):
    prediction = await caller.run()
    await asyncio.sleep(3601)
    late = await caller.get(prediction["id"])
    assert ("succeeded", None, True, {}, "") == tuple(
        late[name] for name in ("status", "output", "data_removed", "input", "logs")
    )
    ((answer, _),) = await caller.images(prediction)
    assert 404 == answer.status


async def test_cancel_stops_a_prediction_once(caller):
    created = await caller.create()
    await asyncio.sleep(0.5)
    url = f"{caller.service.url}/predictions/{created['id']}/cancel"
    answer, _ = await caller.exchange("POST", url)
    assert (200, "canceled") == (answer.status, (await answer.json())["status"])
    await asyncio.sleep(2)
    await caller.exchange("POST", url)
    assert pytest.approx(0.5) == (await caller.get(created["id"]))["metrics"]["total_time"]


async def test_a_finished_prediction_cannot_be_canceled(caller):
    prediction = await caller.run()
    answer, _ = await caller.exchange("POST", f"{caller.service.url}/predictions/{prediction['id']}/cancel")
    assert "succeeded" == (await answer.json())["status"]


@pytest.mark.parametrize(
    ("prefer", "latency", "waited", "status"),
    [
        pytest.param("wait", 5.0, 5.0, "processing", id="to the end"),
        pytest.param("wait=2", 5.0, 2.0, "starting", id="as long as asked"),
        pytest.param("wait", 100.0, 60.0, "starting", id="a minute at most"),
        pytest.param("respond-async", 5.0, 0.0, "starting", id="not at all"),
    ],
)
async def test_prefer_wait_is_honoured(http, prefer, latency, waited, status):
    """The real service says ``processing`` with a complete output, and ``starting`` if the time was too short."""
    async with LocalService(latency=latency, pixels=4096) as service:
        loop = asyncio.get_running_loop()
        start = loop.time()
        answer, _ = await Caller(service, http).submit(headers={"Prefer": prefer})
        body = await answer.json()
        assert pytest.approx(waited) == loop.time() - start
        assert (201, status) == (answer.status, body["status"])
        assert (status == "processing") == bool(body["output"])
        assert "metrics" not in body
        assert (prefer if "wait" in prefer else None) == answer.headers.get("Preference-Applied")


async def test_a_cancel_ends_the_wait(caller, service):
    waiting = asyncio.create_task(caller.submit(headers={"Prefer": "wait"}))
    await asyncio.sleep(0.5)
    await caller.exchange("POST", f"{service.url}/predictions/{service.bills[0].id}/cancel")
    answer, _ = await waiting
    assert "canceled" == (await answer.json())["status"]


async def test_the_gateway_s_envelope_has_its_own_words(http):
    async with LocalService(latency=9.0, pixels=4096) as service:
        service.wrapped = True
        caller = Caller(service, http)
        created = await caller.create()
        assert "starting" == created["status"], "the answer to a submission is flat"
        seen = []
        for _ in range(10):
            seen.append((await caller.get(created["id"]))["data"])
            await asyncio.sleep(1.0)
        words = ["NOT_START", "SUBMITTED", "QUEUED", *["IN_PROGRESS"] * 6, "SUCCESS"]
        assert words == [each["status"] for each in seen]
        last = seen[-1]
        assert (created["id"], "100%", "succeeded") == (last["task_id"], last["progress"], last["data"]["status"])
        assert isinstance(last["id"], int)
        assert last["data"]["output"][0] == last["fail_reason"], "old rows keep the address there"
        assert seen[0]["data"] is None


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("header", [None, "Bearer wrong", "local-key", "Basic local-key"])
async def test_without_the_key_nothing_is_accepted(service, header):
    headers = {} if header is None else {"Authorization": header}
    async with aiohttp.request("POST", f"{service.url}/models/{SCHNELL}/predictions", headers=headers) as answer:
        assert (401, "application/problem+json") == (answer.status, answer.content_type)
        detail = "You did not pass a valid authentication token"
        assert {"title": "Unauthenticated", "detail": detail, "status": 401} == await answer.json()
    assert [] == service.bills


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        pytest.param(b"not json", 400, "JSON", id="no JSON"),
        pytest.param(b"", 400, "JSON", id="nothing"),
        pytest.param(b'{"input": {"prompt": NaN}}', 400, "JSON", id="no number"),
        pytest.param(b"[]", 422, "Expected: object, given: array", id="a list"),
        pytest.param(b"{}", 422, "input is required", id="no input"),
        pytest.param(b'{"input": []}', 422, "Expected: object, given: array", id="an input that is a list"),
        pytest.param(b'{"input": {"prompt": "x"}, "model": "y"}', 422, "Additional property model", id="an extra key"),
        pytest.param(b'{"input": {}}', 422, "prompt is required", id="no prompt"),
        pytest.param(b'{"input": {"prompt": 7}}', 422, "Expected: string, given: integer", id="a number for a text"),
        pytest.param(b'{"input": {"prompt": "x", "seed": "7"}}', 422, "Expected: integer", id="a text for a number"),
        pytest.param(b'{"input": {"prompt": "x", "seed": null}}', 422, "given: null", id="null"),
        pytest.param(b'{"input": {"prompt": "x", "seed": true}}', 422, "given: boolean", id="true for a number"),
        pytest.param(b'{"input": {"prompt": "x", "num_outputs": 5}}', 422, "less than or equal to 4", id="too many"),
        pytest.param(b'{"input": {"prompt": "x", "num_outputs": 0}}', 422, "greater than or equal to 1", id="too few"),
        pytest.param(b'{"input": {"prompt": "x", "megapixels": "2"}}', 422, "one of the following", id="no choice"),
    ],
)
async def test_a_body_that_the_schema_forbids_is_refused(caller, service, raw, status, words):
    url = f"{service.url}/models/{SCHNELL}/predictions"
    answer, _ = await caller.exchange("POST", url, data=raw)
    assert (status, "application/problem+json") == (answer.status, answer.content_type)
    body = await answer.json()
    assert words in body["detail"]
    assert (status == 422) == bool(body.get("invalid_fields"))
    assert [] == service.bills


@pytest.mark.parametrize("images", [b"[null]", b'["https://example.com/a.png", null]', b"[7]"])
async def test_a_list_of_images_that_holds_something_else_is_refused(caller, service, images):
    url = f"{service.url}/models/black-forest-labs/flux-2-pro/predictions"
    answer, _ = await caller.exchange("POST", url, data=b'{"input": {"prompt": "x", "input_images": %s}}' % images)
    given = "null" if b"null" in images else "integer"
    assert 422 == answer.status
    assert f"- input.input_images: Invalid type. Expected: string, given: {given}\n" == (await answer.json())["detail"]
    assert [] == service.bills


async def test_an_unknown_input_key_is_dropped_without_a_word(caller, service):
    prediction = await caller.run(input_image="https://example.com/a.png", nonsense=1)
    assert 1 == prediction["input"]["nonsense"] == service.bills[0].input["nonsense"]
    assert "succeeded" == prediction["status"]


@pytest.mark.parametrize("model", ["black-forest-labs/flux-9", "stability-ai/sdxl"])
async def test_an_unknown_model_is_a_problem_without_a_title(caller, service, model):
    answer, _ = await caller.submit(model)
    assert 404 == answer.status
    assert "title" not in await answer.json()
    assert [] == service.bills


async def test_an_unknown_prediction_is_not_found(caller):
    answer, _ = await caller.ask("0" * 26)
    assert (404, "application/problem+json") == (answer.status, answer.content_type)


async def test_an_unknown_path_returns_a_page(caller, service):
    answer, body = await caller.exchange("GET", f"{service.origin}/v1/predictions/x")
    assert (200, "text/html") == (answer.status, answer.content_type)
    assert body.startswith(b"<!doctype html>")


async def test_a_submission_without_a_model_in_its_path_is_accepted_too(caller, service):
    body = {"model": PRO, "input": {"prompt": "a boat"}}
    answer, _ = await caller.exchange("POST", f"{service.url}/predictions", json=body)
    assert 201 == answer.status
    assert [PRO] == [bill.model for bill in service.bills]


# ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_each_accepted_submission_has_one_bill(caller, service):
    created = [await caller.create(seed=each) for each in range(3)]
    await asyncio.sleep(1)
    await caller.get(created[0]["id"])
    assert [each["id"] for each in created] == [bill.id for bill in service.bills]
    async with aiohttp.request("GET", f"{service.origin}/bills") as answer:
        bills = await answer.json()
    expected = [(bill.id, SCHNELL, {"prompt": "a boat", "seed": each}) for each, bill in enumerate(service.bills)]
    assert expected == [(bill["id"], bill["model"], bill["input"]) for bill in bills]


async def test_every_request_is_recorded_with_its_connection(caller, service):
    created = await caller.create()
    async with aiohttp.ClientSession() as pooled:
        for _ in range(2):
            async with pooled.get(f"{service.url}/predictions/{created['id']}") as answer:
                await answer.read()
    expected = [("POST", True, 1), ("GET", False, 2), ("GET", False, 2)]
    assert expected == [(each.method, each.authorised, each.connection) for each in service.requests]
    assert service.requests[0].length > 20


async def test_a_leaked_key_is_recorded(caller, service):
    prediction = await caller.run()
    await caller.images(prediction)
    assert [] == service.leaks
    await caller.exchange("GET", prediction["output"][0])
    assert [prediction["output"][0].removeprefix(service.origin)] == service.leaks


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("output_format", ["webp", "jpg", "png"])
async def test_pictures_have_the_requested_format_and_number(caller, output_format):
    prediction = await caller.run(num_outputs=3, output_format=output_format)
    assert [f"out-{each}.{output_format}" for each in range(3)] == [
        url.rpartition("/")[2] for url in prediction["output"]
    ]
    pictures = [picture for _, picture in await caller.images(prediction)]
    assert {"webp": "WEBP", "jpg": "JPEG", "png": "PNG"}[output_format] == Image.open(io.BytesIO(pictures[1])).format
    assert 3 == len(set(pictures))


@pytest.mark.parametrize(
    ("model", "given", "size"),
    [
        pytest.param(SCHNELL, {}, (64, 64), id="square by default"),
        pytest.param(SCHNELL, {"aspect_ratio": "16:9"}, (86, 48), id="wide"),
        pytest.param(SCHNELL, {"aspect_ratio": "9:21"}, (42, 98), id="very tall"),
        pytest.param(SCHNELL, {"megapixels": "0.25"}, (32, 32), id="a quarter"),
        pytest.param("black-forest-labs/flux-kontext-pro", {}, (64, 64), id="as the input image"),
        pytest.param("black-forest-labs/flux-1.1-pro-ultra", {}, (128, 128), id="ultra"),
        pytest.param("black-forest-labs/flux-2-pro", {"resolution": "4 MP"}, (128, 128), id="four megapixels"),
        pytest.param(PRO, {"aspect_ratio": "custom", "width": 300, "height": 257}, (288, 256), id="steps of 32"),
        pytest.param(
            "black-forest-labs/flux-2-pro",
            {"aspect_ratio": "custom", "width": 300, "height": 257},
            (304, 256),
            id="steps of 16",
        ),
    ],
)
async def test_pictures_have_the_requested_size(caller, model, given, size):
    ((_, picture),) = await caller.images(await caller.run(model, **given))
    assert size == Image.open(io.BytesIO(picture)).size


async def test_prompt_seed_and_number_determine_a_picture(caller):
    same = [await caller.run(seed=1, num_outputs=2) for _ in range(2)]
    one, other = [[picture for _, picture in await caller.images(each)] for each in same]
    assert one == other
    ((_, reseeded),) = await caller.images(await caller.run(seed=2))
    ((_, reworded),) = await caller.images(await caller.run(seed=1, prompt="a ship"))
    assert 4 == len({*one, reseeded, reworded})


async def test_a_missing_seed_gets_the_same_value_in_every_run(http):
    logs = []
    for seed in (3, 3, 4):
        async with LocalService(seed=seed, pixels=4096, latency=1.0) as service:
            caller = Caller(service, http)
            logs.append([(await caller.run())["logs"] for _ in range(2)])
    assert logs[0] == logs[1] != logs[2]
    assert logs[0][0] != logs[0][1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "prompt",
    ["", " ", "a" * 3000, "word " * 800, "\ud800\x00\t\n", "Привет, мир", "日本の庭", "🚀", "{0.__class__} %s <b>"],
    ids=["empty", "blank", "one endless word", "a novel", "no text", "Cyrillic", "Japanese", "a rocket", "markup"],
)
@pytest.mark.parametrize("size", [(8, 8), (98, 42), (42, 98), (320, 200)], ids=str)
def test_any_prompt_can_be_drawn(prompt, size):
    picture = draw(prompt, seed=1, number=0, width=size[0], height=size[1], format="png")
    assert size == Image.open(io.BytesIO(picture)).size


def test_letters_that_the_font_lacks_are_replaced():
    assert "cafe - naive ss" == legible("café \N{EN DASH} naïve ß")
    assert "a … rocket" == legible("a 🚀 rocket")
    assert legible("Привет, мир").startswith("A prompt in Cyrillic letters (")
    assert legible("Привет, мир") != legible("Привет, свет")


def test_a_lower_quality_makes_a_smaller_file():
    for kind in ("webp", "jpg"):
        low, high = (draw("x", seed=1, number=0, width=320, height=200, format=kind, quality=q) for q in (0, 100))
        assert len(low) < len(high)


@pytest.mark.parametrize("palette", PALETTES, ids=[f"{each:02d}" for each in range(len(PALETTES))])
def test_the_prompt_can_be_read_in_every_palette(palette):
    """WCAG requires a contrast of 4.5 for text. The prompt is within the upper half of the sky."""
    upper = [mix(palette.sky[0], palette.sky[1], step / 4) for step in range(5)] + [palette.sky[2]]
    assert 4.5 <= min(contrast(palette.ink, shade) for shade in upper)
    assert 4.5 <= contrast(palette.paper, palette.near)


def test_drawing_is_the_same_on_every_run_of_python():
    """The drawing must not depend on the hash of a string, which differs between processes."""
    code = """
import sys
from cometflux.testing.artwork.draw import draw
from cometflux.testing.routes import BASE
sys.stdout.buffer.write(draw("a boat", seed=1, number=0, width=64, height=64))
"""
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert draw("a boat", seed=1, number=0, width=64, height=64) == there


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────

STATUSES = {
    **{name: int(name) for name in ("401", "402", "403", "404", "413", "422", "500", "502", "503", "504", "524")},
    **dict.fromkeys(["429", "429-date", "429-body", "429-silent"], 429),
    "invalid-request": 500,
    "no-model": 503,
    "output-404": 404,
    "output-500": 500,
}


def faults_on(place):
    return [name for name, fault in FAULTS.items() if place in (fault.on, *fault.also)]


def times_of(name):
    # aiohttp itself repeats a GET once if its connection is lost before the response.
    return 2 if name in DROPS else 1


async def check_fault(name, exchange):
    """Make the exchange and check that it fails as fault *name* does; return the body if there is one."""
    if name in DROPS:
        with pytest.raises(LOST):
            await exchange
        return b""
    if name in ("hang", "stalled", "drip"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(500):
                await exchange
        return b""
    if name in ("torn", "torn-early"):
        with pytest.raises(aiohttp.ClientPayloadError):
            await exchange
        return b""
    answer, body = await exchange
    if name == "redirect":
        assert answer.status in (301, 302, 307)
        assert answer.headers["Location"]
    elif name in STATUSES:
        assert STATUSES[name] == answer.status
        assert (name in ("413", "502", "504", "524")) == (answer.content_type == "text/html")
        assert (name in ("429", "429-date")) == ("Retry-After" in answer.headers)
    elif name in ("html", "not-an-image"):
        assert (200, "text/html") == (answer.status, answer.content_type)
    return body


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", faults_on("create"))
async def test_a_fault_on_create_happens_once_and_is_billed_only_after(caller, service, name, after):
    service.fail(name, on="create", after=after)
    body = await check_fault(name, caller.submit())
    assert int(after) == len(service.bills)
    assert not service.bills or name.startswith("id-") is (service.bills[0].id.encode() in body)
    await caller.create()
    assert int(after) + 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("name", faults_on("get"))
async def test_a_fault_on_get_happens_once_and_spoils_nothing(caller, service, name):
    created = await caller.create()
    service.fail(name, on="get", times=times_of(name))
    body = await check_fault(name, caller.ask(created["id"]))
    assert created["id"].encode() not in body
    await asyncio.sleep(1)
    assert "succeeded" == (await caller.get(created["id"]))["status"]
    assert 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("name", faults_on("output"))
async def test_a_fault_on_output_happens_once(caller, service, name):
    prediction = await caller.run()
    service.fail(name, on="output", times=times_of(name))
    body = await check_fault(name, caller.fetch(prediction["output"][0]))
    ((answer, picture),) = await caller.images(prediction)
    assert 200 == answer.status
    assert "WEBP" == Image.open(io.BytesIO(picture)).format
    if name == "truncated-output":
        assert picture[: len(picture) // 2] == body
    elif name == "black":
        assert (0, 0) == Image.open(io.BytesIO(body)).convert("L").getextrema()
    elif name == "octet-stream":
        assert picture == body
    else:
        assert b"RIFF" != body[:4]


@pytest.mark.parametrize(
    ("name", "has_id"),
    [("torn", True), ("torn-early", False), ("stalled", True)],
    ids=["after the id", "inside the id", "stalled after the id"],
)
async def test_a_torn_response_contains_the_id_or_not(caller, service, name, has_id):
    service.fail(name, after=True)
    url = f"{service.url}/models/{SCHNELL}/predictions"
    read = b""
    with pytest.raises(TimeoutError if name == "stalled" else aiohttp.ClientPayloadError):
        async with asyncio.timeout(500), caller.http.post(url, json={"input": {"prompt": "a boat"}}) as answer:
            assert 201 == answer.status
            async for chunk in answer.content.iter_any():
                read += chunk
    assert (service.bills[0].id.encode() in read) is has_id


@pytest.mark.parametrize(
    ("name", "seen", "ends_in_a_reset"),
    [("drop", b"", False), ("reset", b"", True), ("torn-head", b"HTTP/1.1 201 ", False)],
)
async def test_a_connection_that_is_lost_is_closed_or_reset(service, name, seen, ends_in_a_reset):
    service.fail(name, after=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.origin.rpartition(":")[2]))
    body = b'{"input": {"prompt": "a boat"}}'
    head = f"POST {BASE}/models/{SCHNELL}/predictions HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Authorization: Bearer {service.key}\r\n\r\n".encode() + body)
    if ends_in_a_reset:
        with pytest.raises(ConnectionResetError):
            await reader.read()
    else:
        assert seen == await reader.read()
    writer.close()
    assert 1 == len(service.bills)


async def test_the_faults_of_an_envelope_are_those_of_its_prediction(caller, service):
    service.fail("wrapped")
    created = await caller.create()
    service.fail("wrong-id", on="get")
    _, body = await caller.ask(created["id"])
    assert b"task_id" in body
    assert created["id"].encode() not in body


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("failed", {"status": "failed", "output": None}, id="failed"),
        pytest.param("failed-transient", {"status": "failed", "output": None}, id="failed-transient"),
        pytest.param("canceled", {"status": "canceled", "output": None, "error": None}, id="canceled"),
        pytest.param("aborted", {"status": "aborted", "output": None, "logs": ""}, id="aborted"),
        pytest.param("expired", {"status": "succeeded", "output": None, "data_removed": True}, id="expired"),
        pytest.param("odd-status", {"status": "rebalancing", "output": None}, id="odd-status"),
        pytest.param("early-output", {"status": "processing"}, id="early-output"),
        pytest.param("missing-image", {"status": "succeeded"}, id="missing-image"),
        pytest.param("data-uri", {"status": "succeeded"}, id="data-uri"),
        pytest.param("wrapped", {"code": "success"}, id="wrapped"),
        pytest.param("stale-inner", {"code": "success"}, id="stale-inner"),
        pytest.param("endless", {"status": "processing"}, id="endless"),
        pytest.param("no-status", {"error": None}, id="no-status"),
        pytest.param("error-only", {"status": "processing", "output": None}, id="error-only"),
        pytest.param(
            "no-output", {"status": "succeeded", "output": None, "data_removed": False, "error": None}, id="no-output"
        ),
        pytest.param("nested-output", {"status": "succeeded"}, id="nested-output"),
        pytest.param("blank-in-url", {"status": "succeeded"}, id="blank-in-url"),
    ],
)
async def test_a_fault_on_a_prediction_sets_its_responses(caller, service, name, expected):
    service.fail(name)
    prediction = await caller.run(num_outputs=3)
    assert expected == {field: prediction[field] for field in expected}
    assert "succeeded" == (await caller.run())["status"], "the next one goes well"
    assert 2 == len(service.bills)


def test_every_fault_on_a_prediction_is_tested():
    tried = test_a_fault_on_a_prediction_sets_its_responses.pytestmark[0].args[1]
    assert set(faults_on("prediction")) == {each.values[0] for each in tried}


async def test_failures_come_with_the_service_s_words(caller, service):
    service.fail("failed")
    assert "(E005)" in (await caller.run())["error"]
    service.fail("failed-transient", times=4)
    assert 4 == len({(await caller.run())["error"] for _ in range(4)})


async def test_a_failed_envelope_says_why(caller, service):
    async with LocalService(pixels=4096, latency=1.0) as wrapped:
        wrapped.wrapped = True
        wrapped.fail("failed")
        prediction = await Caller(wrapped, caller.http).run(headers={"Authorization": f"Bearer {wrapped.key}"})
        assert "FAILURE" == prediction["data"]["status"]
        assert "(E005)" in prediction["data"]["fail_reason"]


async def test_odd_ends_have_their_outputs_and_errors_in_odd_places(caller, service):
    for name in ("endless", "no-status", "error-only", "nested-output", "blank-in-url", "stale-inner"):
        service.fail(name)
    endless, without_status, failed, nested, blank, wrapped = [await caller.run(num_outputs=2) for _ in range(6)]
    assert 2 == len(endless["output"]) == len(without_status["output"])
    assert "status" not in without_status
    assert "(E005)" in failed["error"]
    assert [None, ["url", "url"]] == [nested["output"][0], [*nested["output"][1][0], *nested["output"][1][1]]]
    assert blank["output"][1].endswith("/out-1 .webp")
    assert ("SUCCESS", "processing", None) == (
        wrapped["data"]["status"],
        wrapped["data"]["data"]["status"],
        wrapped["data"]["data"]["output"],
    )


async def test_an_aborted_prediction_never_started(caller, service):
    service.fail("aborted")
    assert "started_at" not in await caller.run()


async def test_an_odd_status_and_an_early_output_pass(caller, service):
    service.fail("odd-status")
    service.fail("early-output")
    for _ in range(2):
        prediction = await caller.run()
        seen = [await caller.get(prediction["id"]) for _ in range(2)]
        assert "succeeded" != prediction["status"] == seen[0]["status"]
        assert "succeeded" == seen[1]["status"]
        assert "completed_at" not in seen[0]
    assert seen[0]["output"] == seen[1]["output"] != []


async def test_a_missing_image_is_skipped_and_the_only_one_fails(caller, service):
    service.fail("missing-image", times=2)
    several = await caller.run(num_outputs=3)
    assert ["out-0.webp", "out-2.webp"] == [url.rpartition("/")[2] for url in several["output"]]
    alone = await caller.run()
    assert "failed" == alone["status"]
    assert "NSFW" in alone["error"]


async def test_a_data_uri_holds_the_picture(caller, service):
    service.fail("data-uri")
    prediction = await caller.run(PRO, seed=5)
    start, _, data = prediction["output"].partition(",")
    assert "data:image/webp;base64" == start
    ((_, picture),) = await caller.images(await caller.run(PRO, seed=5))
    assert picture == base64.b64decode(data)


@pytest.mark.parametrize(
    ("name", "header", "body"),
    [("429", "1", None), ("429-body", None, 1), ("429-silent", None, None)],
)
async def test_each_429_gives_its_wait_in_its_own_way(caller, service, name, header, body):
    service.fail(name)
    answer, _ = await caller.submit()
    found = await answer.json()
    assert (header, body) == (answer.headers.get("Retry-After"), found.get("retry_after"))
    assert ("resets in ~1s" in found["detail"]) is (name == "429-body")


async def test_a_429_can_give_a_date(caller, service):
    service.fail("429-date")
    began = time.time()
    answer, _ = await caller.submit()
    until = parsedate_to_datetime(answer.headers["Retry-After"]).timestamp()
    assert began < until
    assert until - 3 < time.time()


async def test_a_key_sent_to_a_redirect_is_recorded(caller, service):
    service.fail("redirect", times=2)
    answer, _ = await caller.submit()
    assert 307 == answer.status
    assert [] == service.leaks
    async with caller.http.get(answer.headers["Location"]) as page:
        assert "text/html" == page.content_type
    assert 1 == len(service.leaks)
    assert [] == service.bills


async def test_faults_happen_in_order(caller, service):
    service.fail("500", times=2)
    service.fail("502", on="get")
    service.fail("429")
    assert [500, 500, 429, 201] == [(await caller.submit())[0].status for _ in range(4)]
    created = service.bills[0].id
    assert [502, 200] == [(await caller.ask(created))[0].status for _ in range(2)]


async def test_a_refused_body_uses_no_fault_up(caller, service):
    service.fail("500")
    assert [422, 500, 201] == [(await caller.submit(seed=seed))[0].status for seed in ("x", 1, 1)]


@pytest.mark.slow
async def test_a_rate_is_random_but_the_same_in_every_run(http):
    runs = []
    for seed in (1, 1, 2):
        async with LocalService(seed=seed, pixels=4096) as service:
            service.fail("500", rate=0.5)
            caller = Caller(service, http)
            runs.append([(await caller.submit())[0].status for _ in range(40)])
    assert runs[0] == runs[1] != runs[2]
    assert 10 <= runs[0].count(500) <= 30


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"fault": "nonsense"}, id="no such fault"),
        pytest.param({"fault": "500", "times": 0}, id="not even once"),
        pytest.param({"fault": "500", "times": 1.5}, id="once and a half"),
        pytest.param({"fault": "500", "rate": 1.1}, id="more than always"),
        pytest.param({"fault": "500", "rate": float("nan")}, id="no number"),
        pytest.param({"fault": "500", "rate": "often"}, id="a word for a number"),
        pytest.param({"fault": "500", "prompt": ""}, id="a blank prompt"),
        pytest.param({"fault": "500", "on": "moon"}, id="no such place"),
        pytest.param({"fault": "wrong-id", "on": "create"}, id="a place where it makes no sense"),
        pytest.param({"fault": "500", "on": "get", "after": True}, id="after on get"),
    ],
)
def test_an_impossible_fault_is_refused(wrong):
    with pytest.raises(ValueError, match=r"the faults are 401|it can on|after=True|: must be .{,40}$") as caught:
        LocalService().fail(**wrong)
    assert (wrong["fault"] == "nonsense") == ("the faults are" in str(caught.value))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("drop", {"fault": "drop", "after": False, "rate": None, "on": None}),
        ("drop:0.1", {"fault": "drop", "after": False, "rate": 0.1, "on": None}),
        ("drop+after:0.1", {"fault": "drop", "after": True, "rate": 0.1, "on": None}),
        ("500@get:1", {"fault": "500", "after": False, "rate": 1.0, "on": "get"}),
    ],
)
def test_a_fault_can_be_written_as_a_word(text, told):
    assert told == parse_fault(text)
    LocalService().fail(**told)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "drop:", "drop:x", "drop:2", "drop+before", "500@moon", "500@get+after"]
)
def test_a_text_that_is_not_a_fault_is_refused(text):
    with pytest.raises(ValueError):
        parse_fault(text)


def test_every_fault_has_its_own_description():
    assert len(FAULTS) == len({fault.about for fault in FAULTS.values()})


# ── starting and stopping ────────────────────────────────────────────────────────────────────────────────────────────


async def send(service, body, promised):
    """Submit over a bare socket, and close it without reading the response."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(service.origin.rpartition(":")[2]))
    head = f"POST {BASE}/models/{SCHNELL}/predictions HTTP/1.1\r\nHost: here\r\nContent-Length: {promised}\r\n"
    writer.write(f"{head}Authorization: Bearer {service.key}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.1)


async def test_a_client_that_hangs_up_is_billed_for_what_it_sent(service):
    body = b'{"input": {"prompt": "a boat"}}'
    await send(service, body, promised=len(body))
    assert 1 == len(service.bills)


async def test_half_a_submission_is_not_accepted(service, caplog):
    body = b'{"input": {"prompt": "a boat"}}'
    await send(service, body, promised=len(body) + 1)
    assert 1 == len(service.requests)
    assert [] == service.bills
    assert [] == caplog.records


async def test_half_a_surrogate_pair_gets_a_response(caller):
    url = f"{caller.service.url}/models/{SCHNELL}/predictions"
    answer, _ = await caller.exchange("POST", url, data=b'{"input": {"prompt": "\\ud800"}}')
    assert 201 == answer.status
    await asyncio.sleep(1)
    ((answer, _),) = await caller.images(await caller.get((await answer.json())["id"]))
    assert 200 == answer.status


async def test_it_stops_at_once_though_a_client_waits_for_an_end(http):
    async with LocalService(pixels=4096, latency=50) as service:
        waiting = asyncio.create_task(Caller(service, http).submit(headers={"Prefer": "wait"}))
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        start = loop.time()
    assert loop.time() - start < 1
    answer, _ = await waiting
    assert "starting" == (await answer.json())["status"]


async def test_it_stops_after_waiting_clients_have_left(service, caller):
    service.fail("hang", times=20)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.submit(), 1)
    assert [] == service.bills


@pytest.mark.parametrize(
    ("on", "fault"), [*itertools.product(["create", "get", "output"], ["hang", "stalled"]), ("output", "drip")]
)
async def test_it_stops_at_once_though_a_response_hangs(http, on, fault):
    async with LocalService(pixels=4096, latency=0) as service:
        caller = Caller(service, http)
        prediction = await caller.get((await caller.create())["id"])
        service.fail(fault, on=on)
        ask = {
            "create": caller.submit,
            "get": lambda: caller.ask(prediction["id"]),
            "output": lambda: caller.fetch(prediction["output"][0]),
        }
        hanging = asyncio.create_task(ask[on]())
        await asyncio.sleep(1)
        assert not hanging.done()
        start = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - start < 0.5
    with pytest.raises(LOST if fault == "hang" else aiohttp.ClientPayloadError):
        await hanging


async def test_a_port_in_use_is_named(service):
    port = int(service.origin.rpartition(":")[2])
    with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 is in use"):
        async with LocalService(port=port):
            pass


async def ask_from_outside(service, **given):
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {service.key}"}) as http:
        return await Caller(service, http).submit(**given)


async def test_with_a_certificate_it_serves_https_only(http, tmp_path):
    authority = Authority(tmp_path)
    trusting = {"ssl": authority.client()}
    async with LocalService(pixels=4096, latency=0, ssl=authority.server()) as service:
        assert service.url.startswith("https://127.0.0.1:")
        url = f"{service.url}/models/{SCHNELL}/predictions"
        async with http.post(url, json={"input": {"prompt": "a boat"}}, **trusting) as answer:
            created = await answer.json()
        async with http.get(f"{service.url}/predictions/{created['id']}", **trusting) as answer:
            (output,) = (await answer.json())["output"]
        assert output.startswith(service.origin)
        async with aiohttp.request("GET", output, **trusting) as answer:
            assert b"RIFF" == (await answer.read())[:4]
        with pytest.raises(LOST):
            await http.get(service.url.replace("https", "http"))
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(service.url)
    assert 1 == len(service.bills)


def test_on_its_own_thread_it_is_controlled_from_here():
    with LocalService.in_thread(pixels=4096, key="another") as service:
        service.fail("500")
        assert [500, 201] == [asyncio.run(ask_from_outside(service))[0].status for _ in range(2)]
        assert 1 == len(service.bills)
    with pytest.raises(aiohttp.ClientConnectorError):
        asyncio.run(ask_from_outside(service))
    assert 1 == len(service.bills), "the bills outlive it"


def test_a_thread_that_cannot_start_says_why():
    with LocalService.in_thread() as service:
        port = int(service.origin.rpartition(":")[2])
        with pytest.raises(OSError, match="is in use"), LocalService.in_thread(port=port):
            pass


def test_an_error_in_the_caller_stops_the_thread():
    with pytest.raises(ZeroDivisionError), LocalService.in_thread() as service:
        raise ZeroDivisionError
    with pytest.raises(aiohttp.ClientConnectorError):
        asyncio.run(ask_from_outside(service))


# ── the plugin ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_start_of_pytest_imports_nothing_heavy():
    code = "import sys, cometflux.testing.plugin; print({'aiohttp', 'PIL', 'attrs', 'asyncio'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "set()" == found.strip()


def test_the_table_of_faults_can_be_shown_without_aiohttp_and_pillow():
    code = "import sys; from cometflux.testing import FAULTS, parse_fault; print({'aiohttp', 'PIL'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "set()" == found.strip()


def test_without_pillow_the_extra_is_named():
    code = "import sys; sys.modules['PIL'] = None\nfrom cometflux.testing import LocalService"
    process = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert 'pip install "cometflux[local]"' in process.stderr.splitlines()[-1]


def test_the_fixture_gives_each_test_its_own_service(pytester):
    pytester.makepyfile("""
        import json, urllib.request
        import pytest

        @pytest.mark.parametrize("time", [1, 2])
        def test_a_submission_is_billed(comet_service, time):
            body = json.dumps({"input": {"prompt": "a boat"}}).encode()
            url = f"{comet_service.url}/models/black-forest-labs/flux-schnell/predictions"
            headers = {"Authorization": f"Bearer {comet_service.key}", "Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
                assert 201 == answer.status
            assert 1 == len(comet_service.bills)
    """)
    result = pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=2)


# ── models by their schemas ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_model_is_offered_by_its_schema(service, caller):
    assert 404 == (await caller.submit(SDXL_NAME))[0].status
    service.offer(parse_schema(SDXL, SDXL_NAME))
    run = await caller.create(SDXL_NAME, width=64, height=96, num_outputs=3, seed=None)
    await asyncio.sleep(1)
    outputs = (await caller.get(run["id"]))["output"]
    assert 3 == len(outputs)
    _, picture = await caller.exchange("GET", outputs[0])
    assert (64, 96) == Image.open(io.BytesIO(picture)).size
    for wrong in ({"scheduler": "ddim"}, {"num_outputs": 5}, {"width": "64"}, {"prompt": None}):
        assert 422 == (await caller.submit(SDXL_NAME, **wrong))[0].status
    assert 1 == len(service.bills)
