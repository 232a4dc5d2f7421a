"""Images as data URIs, in every spelling of a job: a bad one is refused before anything is submitted."""

import asyncio
import json
import time
import urllib.parse
from pathlib import Path

import pytest
from mcp_client import opened as opened_tools
from mcp_client import text_of
from noise_images import picture, uri_of

from cometflux import Client, Job, PollPolicy, Session, flux
from cometflux.cli import main
from cometflux.errors import InputError
from cometflux.images.data_uris import LARGEST_IMAGE_INPUT, check_data_uri
from cometflux.outcomes import OutcomeKind
from cometflux.sources.validation import InputChecker
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow

KONTEXT = flux.KontextPro.model


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A service that the command finds, too."""
    for name in ("floor", "ceiling"):
        monkeypatch.setitem(PollPolicy.__init__.__kwdefaults__, name, 0.02)
    with LocalService.in_thread(latency=0.0, pixels=1024) as service:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        yield service


# ── the faces: each takes an image, and returns how it was refused, or nothing ───────────────────────────────────────


def outcome_of(service, make, uri):
    async def run():
        async with Session(AiohttpTransport(service.key, service.url)) as session:
            (outcome,) = [each async for each in session.generate([make(uri)])]
            return "" if outcome.ok else str(outcome.error)

    try:
        return asyncio.run(run())
    except InputError as error:
        return str(error)


def create(service, uri):
    async def run():
        transport = AiohttpTransport(service.key, service.url)
        try:
            await Client(transport).create(raw_job(uri))
            return ""
        except InputError as error:
            return str(error)
        finally:
            await transport.aclose()

    return asyncio.run(run())


def ask_server(service, uri):
    async def run():
        async with opened_tools(service, Path("tools")) as client:
            arguments = {"prompt": "a boat", "model": "flux-kontext-pro", "reference_images": [uri]}
            result = await client.call_tool("generate_image", arguments)
            return text_of(result) if result.is_error else ""

    return asyncio.run(run())


def raw_job(uri):
    return Job(model=KONTEXT, input={"prompt": "a boat", "input_image": uri})


def run_command(capsys, *arguments):
    code = main([*arguments, "--yes"])
    return capsys.readouterr().err if code else ""


def batch(capsys, name, text):
    Path(name).write_text(text)
    return run_command(capsys, "batch", name, "--model", "kontext-pro")


FACES = {
    "an object": lambda service, capsys, uri: outcome_of(
        service, lambda uri: flux.KontextPro(prompt="a boat", input_image=uri), uri
    ),
    "a list": lambda service, capsys, uri: outcome_of(
        service, lambda uri: flux.Flux2Pro(prompt="a boat", input_images=["https://example.org/a.png", uri]), uri
    ),
    "a job": lambda service, capsys, uri: outcome_of(service, raw_job, uri),
    "a client": lambda service, capsys, uri: create(service, uri),
    "a csv": lambda service, capsys, uri: batch(capsys, "a.csv", f'prompt,input_image\na boat,"{uri}"\n'),
    "a jsonl": lambda service, capsys, uri: batch(
        capsys, "a.jsonl", json.dumps({"prompt": "a boat", "input_image": uri})
    ),
    "a yaml": lambda service, capsys, uri: batch(capsys, "a.yaml", f'prompt: "a boat"\ninput_image: "{uri}"\n'),
    "an option": lambda service, capsys, uri: run_command(
        capsys, "generate", "a boat", "--model", "kontext-pro", "--input-image", uri
    ),
    "the option --input": lambda service, capsys, uri: run_command(
        capsys, "generate", "a boat", "--model", "kontext-pro", "--input", f"input_image={uri}"
    ),
    "the tool server": lambda service, capsys, uri: ask_server(service, uri),
}
every_face = pytest.mark.parametrize("face", FACES)

BAD = {
    **{
        f"a cut {kind}": (uri_of(picture(kind)[:-20], f"image/{kind.lower()}"), "cut short")
        for kind in ("PNG", "JPEG", "WEBP", "GIF")
    },
    "a cut image of no declared type": (uri_of(picture()[:-20], ""), "cut short"),
    "broken base64": (uri_of(picture())[:-3], "base64"),
    "no data": ("data:image/png;base64,", "empty"),
    "no image": (uri_of(b"a text"), "must be a PNG, JPEG, WebP or GIF image"),
    "another type": (uri_of(picture("JPEG")), "image/jpeg"),
    "too many bytes": (uri_of(picture().ljust(LARGEST_IMAGE_INPUT + 1, b"\0")), "at most"),
}


@every_face
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_data_uri_is_refused_and_nothing_is_submitted(face, bad, service, capsys):
    if (face, bad) == ("the tool server", "another type"):
        pytest.skip("the server writes the type of the bytes, because language models often name a wrong one")
    uri, words = BAD[bad]
    assert words in " ".join(FACES[face](service, capsys, uri).split())
    assert [] == service.bills


@every_face
def test_a_good_data_uri_is_submitted_once(face, service, capsys):
    assert not FACES[face](service, capsys, uri_of(picture()))
    assert 1 == len(service.bills)


@pytest.mark.parametrize(
    "declared", ["", "application/octet-stream", "image/jpg", "image/pjpeg", "IMAGE/JPEG", "image/jpeg;name=a"]
)
def test_a_declared_type_may_be_left_out_or_spelled_as_is_usual(declared):
    check_data_uri("image", uri_of(picture("JPEG"), declared))


def test_white_space_in_base64_and_percent_signs_do_not_matter():
    data = picture()
    check_data_uri("image", uri_of(data).replace("A", "A\n ").replace("=", "%3D"))
    check_data_uri("image", f"data:image/png,{urllib.parse.quote_from_bytes(data)}")


@pytest.mark.parametrize(
    "job",
    [
        lambda uri: Job(model="somebody/something", input={"input_image": uri}),
        lambda uri: Job(model=KONTEXT, input={"prompt": "a boat", "input_image": uri}, validate=False),
        lambda uri: Job(model=KONTEXT, input={"prompt": uri}),
    ],
    ids=["of an unknown model", "of a job that is not to be checked", "as a prompt"],
)
def test_a_data_uri_that_is_not_known_to_be_an_image_is_not_checked(job, service):
    outcome_of(service, job, uri_of(b"a text"))
    # The local service does not know the first model.
    assert 1 == sum(request.method == "POST" for request in service.requests)


def test_a_refused_data_uri_is_not_submitted_when_the_journal_is_resumed(service, capsys):
    async def run():
        async with Session(AiohttpTransport(service.key, service.url), journal="shop") as session:
            return [each async for each in session.generate([raw_job(uri_of(picture()[:-20]))], save_to="shop")]

    assert [OutcomeKind.NOT_SENT] == [each.kind for each in asyncio.run(run())]
    assert "cut short" in run_command(capsys, "resume", "shop")
    assert [] == service.bills


@pytest.mark.parametrize("size", [100, LARGEST_IMAGE_INPUT], ids=["cut", "whole"])
def test_a_data_uri_that_many_rows_share_is_read_once(size):
    """Ten thousand rows with one data URI of 8 MiB would decode 80 GB twice."""
    uri, checker = uri_of(picture().ljust(LARGEST_IMAGE_INPUT, b"\0")[:size]), InputChecker()

    def is_taken():
        try:
            checker.check(flux.KontextPro, "input_image", uri)
        except InputError:
            return False
        return True

    expected, started = is_taken(), time.thread_time()
    assert (size > 100) is expected
    assert all(expected is is_taken() for _ in range(1000))
    assert time.thread_time() - started < 2
