"""The tool server, asked by a real client: what is bought, what is told, and what an agent cannot reach."""

import asyncio
import base64
import io
import json
import logging
import os
import time
from pathlib import Path

import anyio
import job_states
import memory_growth
import odd_files
import pytest
from canary import CANARY
from journal_records import count_states, ids
from mcp.shared.exceptions import MCPError
from mcp_client import opened, text_of
from one_pixel import PNG
from schema_documents import KLEIN, KLEIN_NAME, SDXL, SDXL_NAME

from cometflux.cli import main
from cometflux.flux import MODELS
from cometflux.journal.writer import JournalWriter
from cometflux.mcp.tool_arguments import read_request
from cometflux.models.schemas import parse_schema
from cometflux.testing import LocalService

PNG_URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


async def generate(client, prompt="a boat", **arguments):
    return await client.call_tool("generate_image", {"prompt": prompt, **arguments})


def told(result):
    """How it ended, what happened to the money, and what to do next."""
    return tuple(result.structured_content[name] for name in ("status", "money", "next"))


# ── what is offered ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_three_tools_are_offered_with_schemas_that_hold(service, tmp_path, mode):
    from jsonschema import Draft202012Validator

    async with opened(service, tmp_path, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {"generate_image", "list_models", "batch_status"} == set(tools)
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.description
    schema = tools["generate_image"].input_schema
    assert ["prompt"] == schema["required"]
    assert [name.partition("/")[2] for name in MODELS] == schema["properties"]["model"]["enum"]
    assert not {"image", "input_image", "input_images", "image_prompt"} & set(schema["properties"])
    assert "flux-dev (1 to 50; default 28)" in schema["properties"]["num_inference_steps"]["description"]


async def test_the_models_are_told_with_their_ranges_and_defaults(service, tmp_path):
    async with opened(service, tmp_path) as client:
        every = (await client.call_tool("list_models", {})).structured_content["models"]
        one = (await client.call_tool("list_models", {"model": "2-flex"})).structured_content
    assert len(MODELS) == len(every)
    parameters = {each["name"]: each for each in one["parameters"]}
    assert (1, 50, 30) == tuple(parameters["steps"][name] for name in ("minimum", "maximum", "default"))
    assert 10 == parameters["reference_images"]["most"]
    assert "input_images" not in parameters


async def test_a_model_that_is_none_is_told_with_the_one_that_may_be_meant(service, tmp_path):
    async with opened(service, tmp_path) as client:
        listed = await client.call_tool("list_models", {"model": "flux-shnell"})
        bought = await generate(client, model="flux-shnell")
    assert listed.is_error
    assert "did you mean 'flux-schnell'?" in text_of(listed)
    assert ("not_sent", "not_sent", "other_call") == told(bought)
    assert "did you mean 'flux-schnell'?" in text_of(bought)
    assert [] == service.bills


async def test_a_tool_that_is_none_is_an_error_of_the_protocol(service, tmp_path):
    async with opened(service, tmp_path) as client:
        with pytest.raises(MCPError, match="there is no tool 'read_file'"):
            await client.call_tool("read_file", {"path": "/etc/passwd"})


# ── models that are known by their schemas ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def schemas(service):
    """SDXL and a klein, which the service offers too."""
    read = [parse_schema(SDXL, SDXL_NAME), parse_schema(KLEIN, KLEIN_NAME)]
    for each in read:
        service.offer(each)
    return read


async def test_a_model_with_a_schema_is_offered_as_a_known_one(service, tmp_path, schemas):
    async with opened(service, tmp_path, schemas=schemas) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        every = (await client.call_tool("list_models", {})).structured_content["models"]
        one = (await client.call_tool("list_models", {"model": SDXL_NAME})).structured_content
    offered = tools["generate_image"].input_schema["properties"]
    assert [SDXL_NAME, KLEIN_NAME] == offered["model"]["enum"][-2:] == [each["model"] for each in every][-2:]
    assert {"enum", "type", "description"} == set(offered["scheduler"])
    assert not {"image", "images", "mask"} & set(offered)
    assert f"{KLEIN_NAME}: any number." in offered["reference_images"]["description"]
    parameters = {each["name"]: each for each in one["parameters"]}
    assert ("K_EULER", ["DDIM", "K_EULER", "PNDM"]) == tuple(
        parameters["scheduler"][name] for name in ("default", "choices")
    )
    assert (1, 50) == tuple(parameters["guidance_scale"][name] for name in ("minimum", "maximum"))


async def test_an_agent_buys_from_a_model_with_a_schema_once(service, tmp_path, schemas):
    async with opened(service, tmp_path, schemas=schemas) as client:
        for _ in range(2):
            made = await generate(client, model=SDXL_NAME, width=64, height="64.0", scheduler="DDIM")
            assert ("succeeded", "accepted", "done") == told(made)
        edited = await generate(client, model=KLEIN_NAME, reference_images=[PNG_URI])
    assert ("succeeded", "accepted", "done") == told(edited)
    assert [
        (SDXL_NAME, {"prompt": "a boat", "width": 64, "height": 64, "scheduler": "DDIM"}),
        (KLEIN_NAME, {"prompt": "a boat", "images": [PNG_URI]}),
    ] == [(bill.model, bill.input) for bill in service.bills]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": SDXL_NAME, "scheduler": "ddim"}, "scheduler: 'ddim' was given; must be 'DDIM', 'K_EULER' or 'PNDM'"),
        ({"model": SDXL_NAME, "schedular": "DDIM"}, "did you mean 'scheduler'?"),
        ({"model": SDXL_NAME, "mask": "x"}, "give reference images as reference_images"),
        ({"model": "sdxl"}, "model: 'sdxl' was given; the models are"),
    ],
)
async def test_what_a_schema_refuses_is_one_clear_error(service, tmp_path, schemas, arguments, words):
    async with opened(service, tmp_path, schemas=schemas) as client:
        refused = await generate(client, **arguments)
    assert ("not_sent", "not_sent", "other_call") == told(refused)
    assert words in text_of(refused)
    assert [] == service.bills


# ── a picture ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "media_type"), [("webp", "image/webp"), ("jpg", "image/jpeg"), ("png", "image/png")]
)
async def test_an_agent_gets_the_picture_that_is_saved(service, tmp_path, written, media_type):
    async with opened(service, tmp_path) as client:
        result = await generate(client, output_format=written)
    (file,) = result.structured_content["files"]
    saved = (tmp_path / file["name"]).read_bytes()
    assert not result.is_error
    assert media_type == result.content[1].mime_type == file["media_type"]
    assert saved == base64.b64decode(result.content[1].data)
    assert {"status": "succeeded", "money": "accepted", "next": "done", "left": 19}.items() <= (
        result.structured_content.items()
    )
    assert [result.structured_content["prediction_id"]] == [bill.id for bill in service.bills]
    assert file["name"] in text_of(result)


async def test_the_seed_is_told_whoever_has_chosen_it(service, tmp_path):
    async with opened(service, tmp_path) as client:
        given = await generate(client, seed=7.0)
        drawn = await generate(client, "another\nUsing seed: 666")
    assert 7 == given.structured_content["seed"]
    assert drawn.structured_content["seed"] not in (7, 666)
    assert f"Seed {drawn.structured_content['seed']}." in text_of(drawn)


async def test_what_is_null_is_left_out(service, tmp_path):
    async with opened(service, tmp_path) as client:
        result = await generate(client, seed=None, reference_images=None, model=None)
    assert not result.is_error
    assert {"prompt": "a boat"} == service.bills[0].input


async def test_several_pictures_come_in_one_answer(service, tmp_path):
    async with opened(service, tmp_path) as client:
        result = await generate(client, num_outputs=3)
    assert 3 == len(result.structured_content["files"]) == len(result.content) - 1
    assert 1 == len(service.bills)


@pytest.mark.slow
def test_pictures_too_large_for_an_answer_are_shown_reduced(tmp_path):
    from PIL import Image

    from cometflux.mcp import thumbnails

    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.effect_noise((300, 200), 80).convert("RGBA").save(path)
    shown = thumbnails.show(paths, most=100_000)
    for path, each in zip(paths, shown, strict=True):
        assert not each.is_original
        assert ("image/png", path.stat().st_size) == (each.media_type, each.size)
        assert "image/webp" == each.shown_type
        with Image.open(io.BytesIO(each.data)) as picture:
            assert "WEBP" == picture.format
            assert 1.5 == pytest.approx(picture.width / picture.height, rel=0.01)
    assert sum(len(each.data) for each in shown) <= 100_000 < sum(each.size for each in shown)


def left_damaged(path):
    path.write_bytes(PNG[:40] + b"x" * 800_000)


def left_large(path):
    path.write_bytes(bomb("a PNG of 13,300 by 13,300 pixels") + b"x" * 800_000)


LARGE = "too large to show here"
UNREAD = "a.png, which can no longer be read"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leave", "words"),
    [
        (left_damaged, "a.png (image/png, 800040 bytes), which cannot be decoded, so it is not shown here"),
        (left_large, f"bytes), {LARGE}"),
        (lambda path: None, UNREAD),
        (odd_files.make_pipe, UNREAD),
        (Path.mkdir, UNREAD),
        (lambda path: path.symlink_to("b.png"), UNREAD),
        (lambda path: (path.touch(), os.truncate(path, 2**38)), UNREAD),
    ],
    ids=["damaged", "large", "vanished", "a pipe", "a folder", "a link", "of 256 GiB"],
)
def test_whatever_a_picture_has_become_the_reply_has_the_id_and_says_why_it_is_not_shown(leave, words, tmp_path):
    from cometflux.jobs import Job
    from cometflux.mcp import replies, thumbnails
    from cometflux.mcp.results import Result
    from cometflux.mcp.tool_arguments import GenerateRequest

    leave(path := tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(PNG)
    request = GenerateRequest(job=Job(model="black-forest-labs/flux-schnell", input={"prompt": "x"}))
    result = Result(request=request, key="k", prediction_id="p7", files=(path, tmp_path / "b.png"))
    with odd_files.time_limit(10, tmp_path):
        answer = replies.made(result, thumbnails.show(result.files), None)
    assert 2 == len(answer.content)
    assert "p7" == answer.structured_content["prediction_id"]
    assert ["not", "original"] == [each["shown"] for each in answer.structured_content["files"]]
    assert "Prediction p7." in text_of(answer)
    assert words in text_of(answer)


def bomb(kind):
    """Return a small file that needs much memory, or that only its header makes a picture."""
    from PIL import Image, PngImagePlugin

    file = io.BytesIO()
    match kind:
        case "a PNG of 13,300 by 13,300 pixels":
            Image.new("1", (13_300, 13_300)).save(file, "PNG")
        case "a progressive JPEG of 5,000 by 5,000 pixels":
            Image.new("L", (5_000, 5_000)).save(file, "JPEG", progressive=True)
        case "a PNG with a text that inflates to 64 MiB":
            texts = PngImagePlugin.PngInfo()
            texts.add_text("a", "x" * 2**26, zip=True)
            Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=texts)
        case "a WebP that is whole by its header alone":
            Image.new("RGB", (64, 64), "red").save(
                file, "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 64))]
            )
            data = bytearray(file.getvalue())
            start = data.index(b"VP8", 30)
            data[start + 8 : start + 40] = b"\0" * 32
            return bytes(data) + b"\0" * 20_000
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "a PNG of 13,300 by 13,300 pixels",
        "a progressive JPEG of 5,000 by 5,000 pixels",
        "a PNG with a text that inflates to 64 MiB",
        "a WebP that is whole by its header alone",
    ],
)
def test_a_picture_that_needs_too_much_memory_is_not_shown_and_the_next_one_is(kind, tmp_path):
    from cometflux.mcp import thumbnails

    (tmp_path / "bomb").write_bytes(bomb(kind))
    (tmp_path / "a.png").write_bytes(PNG)
    with memory_growth.at_most(400 * 2**20):
        bad, good = thumbnails.show([tmp_path / "bomb", tmp_path / "a.png"], most=20_000)
    assert (None, True) == (bad.data, good.data is not None)


async def test_progress_is_told_to_a_client_that_asks_for_it(service, tmp_path):
    steps = []

    async def note(progress, total, message):
        steps.append((progress, message))

    async with opened(service, tmp_path) as client:
        await client.call_tool("generate_image", {"prompt": "a boat"}, progress_callback=note)
    assert [number for number, _ in steps] == sorted({number for number, _ in steps})
    assert f"accepted as prediction {service.bills[0].id}" in [message for _, message in steps]
    assert "the picture is being made" in [message for _, message in steps]


# ── nothing is bought twice ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_call_again_is_the_same_picture(service, tmp_path):
    async with opened(service, tmp_path) as client:
        first = await generate(client, seed=3, aspect_ratio="16:9")
        again = await generate(client, aspect_ratio="16:9", seed=3, variation=1, model="schnell")
    assert first.structured_content == again.structured_content
    assert first.content[1].data == again.content[1].data
    assert 1 == len(service.bills)


async def test_the_same_call_at_once_is_one_prediction(service, tmp_path):
    async with opened(service, tmp_path) as client:
        results = await asyncio.gather(*(generate(client) for _ in range(5)))
    assert 1 == len(service.bills)
    assert {service.bills[0].id} == {result.structured_content["prediction_id"] for result in results}
    assert [False] * 5 == [result.is_error for result in results]


async def test_another_variation_is_another_picture(service, tmp_path):
    async with opened(service, tmp_path) as client:
        first, second = await generate(client), await generate(client, variation=2)
    assert 2 == len(service.bills)
    assert first.structured_content["files"] != second.structured_content["files"]


async def test_a_picture_that_is_gone_from_the_disk_is_fetched_again_not_bought(service, tmp_path):
    async with opened(service, tmp_path) as client:
        first = await generate(client)
        name = first.structured_content["files"][0]["name"]
        (tmp_path / name).unlink()
        again = await generate(client)
    assert first.content[1].data == again.content[1].data
    assert (tmp_path / again.structured_content["files"][0]["name"]).exists()
    assert 1 == len(service.bills)


async def test_a_lost_answer_is_one_bill_and_told_as_unknown(service, tmp_path):
    service.fail("drop", after=True)
    async with opened(service, tmp_path) as client:
        lost = await generate(client)
        again = await generate(client)
        around = await generate(client, variation=2)
        assert 1 == len(service.bills)
        other = await generate(client, "a lighthouse")
    for result in (lost, again, around):
        assert result.is_error
        assert ("unknown", "unknown", "operator") == told(result)
        assert "Do not try again, neither with this call nor with other words or another variation" in text_of(result)
        assert lost.structured_content["key"] in text_of(result)
    assert not other.is_error
    assert {"saved": 1, "unknown": 1, "planned": 2} == count_states(tmp_path)


class SlowJournal(JournalWriter):
    """A journal on a disk that takes its time."""

    def commit(self, *records):
        time.sleep(0.05)
        super().commit(*records)


@pytest.mark.slow
async def test_the_next_call_knows_what_became_of_the_last_one_however_slow_the_disk_is(service, tmp_path):
    service.fail("422")
    async with opened(service, tmp_path, most=2, journal=SlowJournal(tmp_path)) as client:
        await generate(client, "refused")
        made = await generate(client)
        again = await generate(
            client, model="flux-dev", reference_images=[made.structured_content["files"][0]["name"]], seed=1
        )
    assert [False, False] == [made.is_error, again.is_error]
    service.fail("drop", after=True)
    async with opened(service, tmp_path, journal=SlowJournal(tmp_path)) as client:
        lost = [await generate(client, "lost"), await generate(client, "lost", variation=2)]
    assert [("unknown", "unknown", "operator")] * 2 == list(map(told, lost))
    assert 3 == len(service.bills)


async def test_an_unknown_of_an_earlier_process_is_not_bought_around(service, tmp_path):
    service.fail("drop", after=True)
    async with opened(service, tmp_path) as client:
        await generate(client)
    async with opened(service, tmp_path) as client:
        results = [await generate(client), await generate(client, variation=2)]
    assert [("unknown", "unknown", "operator")] * 2 == [told(result) for result in results]
    assert 1 == len(service.bills)


async def test_an_unknown_is_bought_again_only_when_the_operator_says_so(service, tmp_path, capsys):
    service.fail("drop")
    async with opened(service, tmp_path) as client:
        key = (await generate(client)).structured_content["key"]
        assert 3 == main(["unknown", str(tmp_path), "--resend", key])
    assert 0 == main(["unknown", str(tmp_path), "--resend", key])
    async with opened(service, tmp_path) as client:
        assert [] == service.bills
        result = await generate(client)
    assert ("succeeded", "accepted", "done") == told(result)
    assert 1 == len(service.bills)
    assert "in use" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "options", "expected", "bills"),
    [
        pytest.param("401", {}, ("rejected", "rejected", "operator"), 0, id="the key is refused"),
        pytest.param("402", {}, ("rejected", "rejected", "operator"), 0, id="no credit"),
        pytest.param("422", {}, ("rejected", "rejected", "other_call"), 0, id="the input is refused"),
        pytest.param("no-model", {}, ("rejected", "rejected", "other_call"), 0, id="no such model there"),
        pytest.param("429", {}, ("succeeded", "accepted", "done"), 1, id="too many requests, for a while"),
        pytest.param("500", {}, ("unknown", "unknown", "operator"), 0, id="an internal error"),
        pytest.param("reset", {"after": True}, ("unknown", "unknown", "operator"), 1, id="a reset"),
        pytest.param("garbage", {"after": True}, ("unknown", "unknown", "operator"), 1, id="no answer to be read"),
        pytest.param("torn", {"after": True}, ("succeeded", "accepted", "done"), 1, id="torn behind the id"),
        pytest.param("500", {"on": "get"}, ("succeeded", "accepted", "done"), 1, id="a question fails"),
        pytest.param("failed", {}, ("failed", "accepted", "other_call"), 1, id="moderation"),
        pytest.param("failed-transient", {}, ("failed", "accepted", "other_call"), 1, id="interrupted"),
        pytest.param("canceled", {}, ("canceled", "accepted", "other_call"), 1, id="canceled"),
        pytest.param("expired", {}, ("expired", "accepted", "other_call"), 1, id="the output is gone"),
        pytest.param("output-404", {"times": 99}, ("succeeded", "accepted", "same_call"), 1, id="it cannot be fetched"),
    ],
)
async def test_what_goes_wrong_is_told_with_the_money_and_what_to_do(
    service, tmp_path, fault, options, expected, bills
):
    service.fail(fault, **options)
    async with opened(service, tmp_path, wait=600) as client:
        result = await generate(client)
        assert expected == told(result)
        assert result.is_error is (expected[2] != "done")
        again = await generate(client)
    if expected[2] != "same_call":
        assert (expected[2] == "done") is not again.is_error or expected[1] == "rejected"
    assert bills + (not again.is_error and bills == 0) == len(service.bills)


async def test_where_nobody_answers_the_same_call_is_safe(service, tmp_path):
    async with opened(service, tmp_path, wait=600) as client:
        await service.__aexit__(None, None, None)
        result = await generate(client)
    assert ("not_sent", "not_sent", "same_call") == told(result)
    assert "Wait a minute, and make the same call again." in text_of(result)


async def test_a_server_that_sends_nothing_more_still_hands_out_what_is_saved(service, tmp_path):
    async with opened(service, tmp_path) as client:
        saved = await generate(client)
        service.fail("401")
        await generate(client, "a lighthouse")
        again, new = await generate(client), await generate(client, "a harbour")
    assert saved.content[1].data == again.content[1].data
    assert ("not_sent", "not_sent", "operator") == told(new)
    assert "stopped submitting" in text_of(new)
    assert 1 == len(service.bills)


# ── the cap ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_call_behind_the_last_one_allowed_is_refused(service, tmp_path):
    async with opened(service, tmp_path, most=2) as client:
        bought = [await generate(client, f"boat {number}") for number in range(2)]
        refused = await generate(client, "boat 2")
        again = await generate(client, "boat 0")
    assert [1, 0] == [result.structured_content["left"] for result in bought]
    assert ("not_sent", "not_sent", "operator") == told(refused)
    assert "the operator's limit of 2 predictions is reached" in text_of(refused)
    assert not again.is_error
    assert 2 == len(service.bills)


@pytest.mark.slow
async def test_twenty_calls_at_once_buy_no_more_than_is_allowed(service, tmp_path):
    async with opened(service, tmp_path, most=5) as client:
        results = await asyncio.gather(*(generate(client, f"boat {number}") for number in range(20)))
    assert 5 == len(service.bills)
    assert 5 == sum(not result.is_error for result in results)
    assert {("not_sent", "not_sent", "operator")} == {told(result) for result in results if result.is_error}


@pytest.mark.slow
async def test_twenty_calls_at_once_are_under_way_a_few_at_a_time(service, tmp_path):
    async with opened(service, tmp_path, max_pending=3) as client:
        results = await asyncio.gather(*(generate(client, f"boat {number}") for number in range(20)))
    assert [] == [text_of(result) for result in results if result.is_error]
    began = sorted(bill.at for bill in service.bills)
    assert 20 == len(began)
    assert all(later - earlier >= 1.0 for earlier, later in zip(began, began[3:], strict=False))
    assert 20 == len({result.structured_content["files"][0]["name"][:5] for result in results})


async def test_a_call_that_is_refused_for_the_cap_does_not_stop_those_under_way(tmp_path):
    async with LocalService(pixels=4096, latency=5.0) as slow, opened(slow, tmp_path, most=1, wait=2) as client:
        prompts = ("a boat", "a lighthouse")
        both = await asyncio.gather(*(generate(client, prompt) for prompt in prompts))
        ends = {told(result): prompt for result, prompt in zip(both, prompts, strict=True)}
        pending = ends[("pending", "accepted", "same_call")]
        results = [await generate(client, pending) for _ in range(2)]
    assert {("pending", "accepted", "same_call"), ("not_sent", "not_sent", "operator")} == ends.keys()
    assert [("pending", "accepted", "same_call"), ("succeeded", "accepted", "done")] == list(map(told, results))
    assert 1 == len(slow.bills)


async def test_what_is_pending_when_the_key_is_refused_is_still_saved(tmp_path):
    async with LocalService(pixels=4096, latency=5.0) as slow, opened(slow, tmp_path, wait=2) as client:
        await generate(client)
        slow.fail("401")
        await generate(client, "a lighthouse")
        stopped = await generate(client)
        await asyncio.sleep(6)
        saved = await generate(client)
    assert ("detached", "accepted", "same_call") == told(stopped)
    assert ("succeeded", "accepted", "done") == told(saved)
    assert 1 == len(slow.bills)


@pytest.mark.slow
async def test_the_cap_counts_on_after_a_restart(service, tmp_path):
    async with opened(service, tmp_path, most=2) as client:
        first = await generate(client, "boat 0")
        await generate(client, "boat 1")
    async with opened(service, tmp_path, most=2) as client:
        refused = await generate(client, "boat 2")
        again = await generate(client, "boat 0")
    assert ("not_sent", "not_sent", "operator") == told(refused)
    assert first.content[1].data == again.content[1].data
    assert 2 == len(service.bills)


async def test_an_unknown_counts_against_the_cap(service, tmp_path):
    service.fail("drop", after=True)
    async with opened(service, tmp_path, most=1) as client:
        await generate(client)
        refused = await generate(client, "a lighthouse")
    assert "the operator's limit of 1 prediction " in text_of(refused)
    assert 1 == len(service.bills)


async def test_what_was_refused_does_not_count_against_the_cap(service, tmp_path):
    service.fail("422")
    async with opened(service, tmp_path, most=1) as client:
        await generate(client)
        result = await generate(client, "a lighthouse")
    assert not result.is_error
    assert 1 == len(service.bills)


# ── who waits may leave ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_call_that_takes_long_is_answered_as_pending_and_goes_on(service, tmp_path):
    async with LocalService(pixels=4096, latency=10.0) as slow, opened(slow, tmp_path, wait=3) as client:
        waited = await generate(client)
        results = [waited]
        while told(results[-1])[0] == "pending":
            results.append(await generate(client))
        assert 1 == len(slow.bills)
    assert not waited.is_error
    assert ("pending", "accepted", "same_call") == told(waited)
    assert slow.bills[0].id in text_of(waited)
    assert ("succeeded", "accepted", "done") == told(results[-1])
    assert 4 == len(results)


@pytest.mark.slow
async def test_a_call_whose_turn_does_not_come_is_given_up_unsent(tmp_path):
    async with (
        LocalService(pixels=4096, latency=50.0) as slow,
        opened(slow, tmp_path, wait=10, max_pending=1) as client,
    ):
        first = asyncio.create_task(generate(client))
        await asyncio.sleep(1)
        second = await generate(client, "a lighthouse")
        await first
        await asyncio.sleep(5)
    assert ("pending", "not_sent", "same_call") == told(second)
    assert 1 == len(slow.bills)


async def test_a_call_whose_answer_is_awaited_is_not_said_to_be_unsent(service, tmp_path):
    service.fail("hang", after=True)
    async with opened(service, tmp_path, wait=30) as client:
        waited = await generate(client)
        again = [await generate(client) for _ in range(5)]
    assert ("pending", "unknown", "same_call") == told(waited)
    assert ("unknown", "unknown", "operator") == told(again[-1])
    assert 1 == len(service.bills)


async def test_a_cancelled_call_loses_nothing_that_is_paid_for(service, tmp_path):
    async with opened(service, tmp_path) as client:
        with anyio.move_on_after(0.5) as scope:
            await generate(client)
        assert scope.cancelled_caught
        await asyncio.sleep(5)
        assert {"saved": 1, "planned": 1} == count_states(tmp_path)
        result = await generate(client)
    assert not result.is_error
    assert 1 == len(service.bills)


@pytest.mark.parametrize("after", [0.001, 0.5], ids=["before it is sent", "while it is pending"])
async def test_of_two_calls_alike_one_may_leave_and_the_other_gets_the_picture(service, tmp_path, after):
    async with opened(service, tmp_path) as client:
        first = asyncio.create_task(generate(client))
        second = asyncio.create_task(generate(client))
        await asyncio.sleep(after)
        first.cancel()
        result = await second
        await asyncio.wait([first])
    assert first.cancelled()
    assert not result.is_error
    assert 1 == len(service.bills)


async def test_a_call_cancelled_before_its_turn_buys_nothing(tmp_path):
    async with LocalService(pixels=4096, latency=5.0) as slow, opened(slow, tmp_path, max_pending=1) as client:
        first = asyncio.create_task(generate(client))
        await asyncio.sleep(1)
        with anyio.move_on_after(1):
            await generate(client, "a lighthouse")
        await first
        await asyncio.sleep(5)
    assert 1 == len(slow.bills)


async def test_a_client_that_disconnects_in_the_middle_leaves_everything_saved(service, tmp_path):
    async with opened(service, tmp_path) as client:
        calls = [asyncio.create_task(generate(client, f"boat {number}")) for number in range(4)]
        await asyncio.sleep(0.5)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {MCPError} == {type(result) for result in results}
    assert 4 == len(service.bills)
    assert sorted(bill.id for bill in service.bills) == ids(tmp_path)
    assert {"saved": 4, "planned": 4} == count_states(tmp_path)
    assert 4 == len(list(tmp_path.glob("*.webp")))


@pytest.mark.slow
async def test_what_was_pending_when_the_server_ended_is_saved_by_the_next_one(tmp_path):
    async with LocalService(pixels=4096, latency=40.0) as slow:
        async with opened(slow, tmp_path, wait=2) as client:
            await generate(client)
        assert {"detached": 1, "planned": 1} == count_states(tmp_path)
        async with opened(slow, tmp_path):
            await asyncio.sleep(10)
        assert {"saved": 1, "planned": 1} == count_states(tmp_path)
        assert 1 == len(slow.bills)


async def test_what_earlier_servers_left_is_saved_though_the_key_is_refused_now(tmp_path):
    async with LocalService(pixels=4096, latency=40.0) as slow:
        async with opened(slow, tmp_path, wait=2) as client:
            await asyncio.gather(*(generate(client, f"boat {number}") for number in range(3)))
        assert {"detached": 3, "planned": 3} == count_states(tmp_path)
        async with opened(slow, tmp_path, max_pending=1) as client:
            slow.fail("401")
            refused = await generate(client, "a lighthouse")
            await asyncio.sleep(20)
        assert {"saved": 3, "rejected": 1, "planned": 4} == count_states(tmp_path)
        assert 3 == len(slow.bills)
    assert ("rejected", "rejected", "operator") == told(refused)


async def test_a_server_that_ends_at_once_has_nothing_to_complain_of(tmp_path, caplog):
    async with LocalService(pixels=4096, latency=90.0) as slow:
        async with opened(slow, tmp_path, wait=2) as client:
            await generate(client)
        async with opened(slow, tmp_path):
            pass
        async with opened(slow, tmp_path / "new"):
            pass
    assert {"detached": 1, "planned": 1} == count_states(tmp_path)
    assert [] == caplog.messages


# ── what an agent cannot reach ───────────────────────────────────────────────────────────────────────────────────────


HOSTILE_REFERENCES = [
    *("/etc/passwd", "../secret.png", "./secret.png", "secret.png", "journal.sqlite3", "~/secret.png", "*.webp"),
    *("file:///etc/passwd", "FILE:///etc/passwd", "http://127.0.0.1/secret.png", "ftp://example.com/a.png"),
    *("", " ", "\0", "a\0b", "x" * 5000, "https://", "https://exa mple.com/a.png"),
    *("data:text/plain;base64,aGVsbG8=", "data:image/png;base64,aGVsbG8=", "data:image/png;base64,%%%", "data:"),
    f"data:image/png;base64,{base64.b64encode(bytes.fromhex('89504e470d0a1a0a') + bytes(8 * 1024 * 1024)).decode()}",
]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["flux-kontext-pro", "flux-2-pro"])
async def test_no_file_of_the_machine_can_be_read_by_way_of_a_reference(service, tmp_path, model):
    async with opened(service, tmp_path) as client:
        name = (await generate(client)).structured_content["files"][0]["name"]
        secret = tmp_path / "secret.png"
        secret.write_bytes(PNG)
        (tmp_path / "00009-a-link.webp").symlink_to(secret)
        hostile = [*HOSTILE_REFERENCES, str(secret), str(tmp_path / name), f"./{name}", "00009-a-link.webp"]
        results = [await generate(client, model=model, reference_images=[each]) for each in hostile]
    assert {("not_sent", "not_sent", "other_call")} == set(map(told, results))
    assert [] == [text_of(result) for result in results if len(text_of(result)) > 400]
    # Not of the model's own name for it, by which an agent cannot give any.
    assert {"reference_images"} == {text_of(result).partition(":")[0] for result in results}
    assert 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"prompt": ""}, id="a blank prompt"),
        pytest.param({"prompt": "x" * 20_001}, id="a huge prompt"),
        pytest.param({"prompt": 7}, id="a number for a prompt"),
        pytest.param({"prompt": ["a", "b"]}, id="a list for a prompt"),
        pytest.param({"prompt": {"$ref": "file:///etc/passwd"}}, id="an object for a prompt"),
        pytest.param({"prompt": "x", "model": 3}, id="a number for a model"),
        pytest.param({"prompt": "x", "model": "../../evil"}, id="a path for a model"),
        pytest.param({"prompt": "x", "num_outputs": "three"}, id="a word for a number"),
        pytest.param({"prompt": "x", "num_outputs": 5}, id="out of range"),
        pytest.param({"prompt": "x", "num_outputs": 2.5}, id="half an image"),
        pytest.param({"prompt": "x", "num_outputs": True}, id="a boolean for a number"),
        pytest.param({"prompt": "x", "go_fast": "perhaps"}, id="a word for a boolean"),
        pytest.param({"prompt": "x", "guidance": 3}, id="another model's parameter"),
        pytest.param({"prompt": "x", "path": "/etc/passwd"}, id="no parameter at all"),
        pytest.param({"prompt": "x", "model": "kontext-pro", "input_image": "/etc/passwd"}, id="around the check"),
        pytest.param(
            {"prompt": "x", "model": "kontext-pro", "input_image": "https://x/a"}, id="around the check, a URL"
        ),
        pytest.param({"prompt": "x", "model": "2-pro", "input_images": ["file:///x"]}, id="around the check, a list"),
        pytest.param({"prompt": "x", "reference_images": ["https://x/a.png"]}, id="a model without references"),
        pytest.param({"prompt": "x", "reference_images": {"a": 1}}, id="an object for references"),
        pytest.param({"prompt": "x", "model": "2-pro", "reference_images": [7]}, id="a number for a reference"),
        pytest.param(
            {"prompt": "x", "model": "dev", "reference_images": ["https://x/a"] * 2}, id="too many references"
        ),
        pytest.param({"prompt": "x", "variation": 0}, id="variation 0"),
        pytest.param({"prompt": "x", "variation": "two"}, id="a word for a variation"),
        pytest.param({"prompt": "x", "variation": 10**9}, id="a huge variation"),
    ],
)
async def test_a_wrong_argument_is_one_clear_error_and_buys_nothing(service, tmp_path, arguments):
    async with opened(service, tmp_path) as client:
        result = await client.call_tool("generate_image", arguments)
    assert result.is_error
    assert ("not_sent", "not_sent", "other_call") == told(result)
    assert len(text_of(result)) < 700
    assert "pathlib" not in text_of(result)
    assert "True or False" not in text_of(result)
    assert [] == service.bills


async def test_an_earlier_picture_can_be_edited_by_its_name(service, tmp_path):
    async with opened(service, tmp_path) as client:
        name = (await generate(client)).structured_content["files"][0]["name"]
        edited = await generate(client, "paint it red", model="flux-kontext-pro", reference_images=[name])
        (tmp_path / name).write_bytes(PNG)
        changed = await generate(client, "paint it blue", model="flux-kontext-pro", reference_images=[name])
    assert not edited.is_error
    assert service.bills[1].input["input_image"].startswith("data:image/webp;base64,")
    assert changed.is_error
    assert 2 == len(service.bills)


async def test_references_reach_the_model_as_it_takes_them(service, tmp_path):
    url, uri = "https://example.com/a.png", PNG_URI.replace("image/png", "image/jpeg")
    async with opened(service, tmp_path) as client:
        await generate(client, model="flux-2-pro", reference_images=[url, uri])
        await generate(client, model="flux-dev", reference_images=url)
    assert [url, PNG_URI] == service.bills[0].input["input_images"]
    assert url == service.bills[1].input["image"]


@pytest.mark.slow
async def test_the_key_is_in_no_answer_no_log_and_no_file(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with LocalService(key=CANARY, pixels=4096, latency=1.0) as service, opened(service, tmp_path) as client:
        seen = []
        for fault in (None, "422", "failed", "drop", "500"):
            if fault:
                service.fail(fault)
            seen.append(await generate(client, f"a boat, {fault}"))
        service.fail("401")
        seen.append(await generate(client, "refused"))
        seen += [await generate(client, "stopped"), await client.call_tool("batch_status", {})]
    text = "".join(result.model_dump_json() for result in seen)
    text += "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    text += "".join(path.read_bytes().decode("latin-1") for path in tmp_path.iterdir())
    assert "stopped submitting" in text
    assert CANARY not in text
    assert [] == service.leaks


# ── how far a batch is ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_standing_of_the_own_folder_is_told(service, tmp_path):
    folder = tmp_path / "pictures"
    async with opened(service, folder) as client:
        before = await client.call_tool("batch_status", {})
        made = await generate(client)
        after = (await client.call_tool("batch_status", {})).structured_content
        same = (await client.call_tool("batch_status", {"folder": "pictures"})).structured_content
    assert 0 == before.structured_content["planned"]
    assert ("pictures", True, 1, 1) == tuple(after[name] for name in ("folder", "is_running", "planned", "saved"))
    assert [made.structured_content["files"][0]["name"]] == after["last"][0]["files"]
    assert made.structured_content["key"] == after["last"][0]["key"]
    assert after == same
    assert json.loads(text_of(before)) == before.structured_content


@pytest.mark.slow
async def test_only_folders_that_the_operator_allows_can_be_asked_after(service, tmp_path):
    for name in ("batches", "elsewhere"):
        async with opened(service, _made(tmp_path / name / "one")) as client:
            await generate(client, name)
    own, allowed, elsewhere = tmp_path / "own", tmp_path / "batches", tmp_path / "elsewhere"
    (allowed / "link").symlink_to(elsewhere / "one")
    async with opened(service, own, allowed=(allowed,)) as client:

        async def ask(folder):
            return await client.call_tool("batch_status", {"folder": folder})

        for folder in ("one", "batches/one", str(allowed / "one"), "own/../batches/one"):
            assert 1 == (await ask(folder)).structured_content["saved"]
        refused = [
            await ask(folder)
            for folder in (
                *(str(elsewhere / "one"), "../elsewhere/one", "elsewhere/one", "link", "/", "/etc", "..", "nowhere"),
                *("\0", "x" * 5000, "~", "file:///etc"),
            )
        ]
        number = await client.call_tool("batch_status", {"folder": 7})
        more = await client.call_tool("batch_status", {"path": "/etc"})
    assert {"folder: there is no batch of this name in a folder that the operator allows"} == set(map(text_of, refused))
    assert "folder: must be the name of a folder, as a string" == text_of(number)
    assert "path: batch_status takes folder, and nothing else" == text_of(more)
    assert 2 == len(service.bills)


def _made(folder):
    folder.mkdir(parents=True)
    return folder


async def test_pictures_of_a_batch_that_are_in_an_object_store_are_named_by_their_urls(service, tmp_path):
    record = job_states.succeed(job_states.plan(0), tmp_path, job_states.picture())
    (tmp_path / "tour").mkdir()
    job_states.write(tmp_path / "tour", record, place="s3://bucket/tour")
    async with opened(service, tmp_path / "own", allowed=(tmp_path,)) as client:
        told = (await client.call_tool("batch_status", {"folder": "tour"})).structured_content
    assert [f"s3://bucket/tour/{record.files[0].name}"] == told["last"][0]["files"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": "42", "num_outputs": "2", "go_fast": "true", "variation": "2"},
        {"seed": 42.0, "num_outputs": 2.0, "go_fast": True, "variation": 2.0},
        {"seed": "42.0", "num_outputs": " 2", "go_fast": "yes", "variation": "2.0"},
    ],
    ids=["texts", "floats", "texts of floats"],
)
def test_an_argument_is_the_same_as_a_value_and_as_text(arguments):
    plain = {"seed": 42, "num_outputs": 2, "go_fast": True, "variation": 2}
    expected = read_request({"prompt": "a fox", **plain}, lambda name: None)
    found = read_request({"prompt": "a fox", **arguments}, lambda name: None)
    assert expected == found
    assert {name: type(value) for name, value in expected.job.input.items()} == {
        name: type(value) for name, value in found.job.input.items()
    }


def test_a_list_of_references_may_be_sent_as_text():
    links = ["https://example.org/a.png"]
    given = {"prompt": "paint it red", "model": "kontext-pro"}
    expected = read_request({**given, "reference_images": links}, lambda name: None)
    assert expected == read_request({**given, "reference_images": json.dumps(links)}, lambda name: None)
