"""The tool server as a process that a real client starts and calls over standard streams."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from journal_records import count_states, ids
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_client import text_of

from cometflux.cli import main
from cometflux.cli.commands.mcp_stdio import Lines, Words, answerable, kept_clean
from cometflux.testing import LocalService

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.realtime


def command(folder, *options):
    return [sys.executable, "-W", "error", "-m", "cometflux.cli", "mcp", "--out", str(folder), *options]


def environment(service=None):
    # As a client would start it: with few environment variables.
    known = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    return known if service is None else {**known, "COMETAPI_KEY": service.key, "COMETFLUX_BASE_URL": service.url}


def connect(folder, *options, service=None):
    program, *arguments = command(folder, *options)
    return Client(StdioServerParameters(command=program, args=arguments, env=environment(service)))


@contextlib.asynccontextmanager
async def started(folder, service, *options):
    """Start the server as a plain process, and kill it after the test."""
    process = await asyncio.create_subprocess_exec(
        *command(folder, *options),
        env=environment(service),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def request(number, method, **parameters):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}).encode() + b"\n"


HELLO = request(
    1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "test", "version": "1"}
)


def call(number, prompt):
    return request(number, "tools/call", name="generate_image", arguments={"prompt": prompt})


async def ask(process, *messages):
    for each in messages:
        process.stdin.write(each)
    await process.stdin.drain()


async def until(is_so, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


@pytest.fixture
def shop():
    with LocalService.in_thread(pixels=4096, latency=0.5) as service:
        yield service


async def test_a_client_starts_it_lists_its_tools_and_gets_a_picture(tmp_path):
    folder = tmp_path / "pictures"
    async with connect(folder, "--local") as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("generate_image", {"prompt": "a boat"})
    assert ["generate_image", "list_models", "batch_status"] == names
    assert "image/webp" == result.content[1].mime_type
    assert {"saved": 1, "planned": 1} == count_states(folder)


@pytest.mark.hard
async def test_the_cap_holds_for_calls_at_once_and_over_restarts(shop, tmp_path):
    async with connect(tmp_path, "--max-predictions", "3", service=shop) as client:
        results = await asyncio.gather(
            *(client.call_tool("generate_image", {"prompt": f"boat {number}"}) for number in range(20))
        )
    assert 3 == len(shop.bills) == sum(not result.is_error for result in results)
    async with connect(tmp_path, "--max-predictions", "3", service=shop) as client:
        refused = await client.call_tool("generate_image", {"prompt": "one more"})
    assert "the operator's limit of 3 predictions is reached" in text_of(refused)
    async with connect(tmp_path, "--max-predictions", "4", service=shop) as client:
        await client.call_tool("generate_image", {"prompt": "one more"})
    assert 4 == len(shop.bills)


@pytest.mark.hard
async def test_a_client_that_disconnects_in_the_middle_leaves_everything_saved(shop, tmp_path):
    async with connect(tmp_path, service=shop) as client:
        calls = [
            asyncio.create_task(client.call_tool("generate_image", {"prompt": f"boat {number}"})) for number in range(4)
        ]
        await until(lambda: len(shop.bills) == 4)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {MCPError} == {type(result) for result in results}
    assert sorted(bill.id for bill in shop.bills) == ids(tmp_path)
    assert {"saved": 4, "planned": 4} == count_states(tmp_path)


@pytest.mark.hard
async def test_stdout_holds_messages_of_the_protocol_and_nothing_else(shop, tmp_path):
    async with started(tmp_path, shop) as process:
        await ask(process, HELLO, b"no json at all\n", b"\n", b"\xff\xfe\n", b"[]\n", call(2, "a boat"))
        lines = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        rest, talk = await asyncio.wait_for(process.communicate(), 20)
    assert 0 == process.returncode
    assert [1, 2] == [line["id"] for line in lines]
    assert not lines[1]["result"]["isError"]
    assert b"" == rest
    assert b"serving tools on stdin and stdout; 0 of at most 20 predictions are bought" in talk
    assert b"the tool server has ended; 1 saved" in talk
    assert shop.key.encode() not in talk


@pytest.mark.hard
async def test_a_request_that_cannot_be_read_is_refused_and_nobody_waits_for_its_answer(shop, tmp_path):
    async with started(tmp_path, shop) as process:
        odd = json.dumps({"jsonrpc": "2.0", "id": "odd", "method": "tools/call", "params": [1]}).encode() + b"\n"
        await ask(process, HELLO, call(2, "half an emoji: \ud83d"), odd, b"no JSON\n", b"7\n", request(3, "ping"))
        async with asyncio.timeout(20):
            answers = [json.loads(await process.stdout.readline()) for _ in range(4)]
    refused = {each["id"]: each["error"] for each in answers if "error" in each}
    assert {2, "odd"} == set(refused)
    assert "holds half a surrogate pair" in refused[2]["message"]
    assert "nothing was sent for it" in refused["odd"]["message"]
    assert [] == shop.bills


@pytest.mark.hard
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_it_with_everything_saved_though_stdin_stays_open(shop, tmp_path, number, code):
    async with started(tmp_path, shop) as process:
        await ask(process, HELLO, call(2, "a boat"))
        await until(lambda: len(shop.bills) == 1)
        process.send_signal(number)
        assert code == await asyncio.wait_for(process.wait(), 20)
    assert [shop.bills[0].id] == ids(tmp_path)
    assert {"saved": 1, "planned": 1} == count_states(tmp_path)


@pytest.mark.hard
async def test_a_submission_in_flight_is_not_abandoned_by_a_signal(tmp_path):
    with LocalService.in_thread(pixels=4096, latency=0.5) as shop:
        shop.fail("hang", after=True)
        async with started(tmp_path, shop) as process:
            await ask(process, HELLO, call(2, "a boat"))
            await until(lambda: len(shop.bills) == 1)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(process.wait(), 3)
            # A second signal, from a user who does not want to wait.
            process.send_signal(signal.SIGTERM)
            assert 143 == await asyncio.wait_for(process.wait(), 20)
    assert {"unknown": 1, "planned": 1} == count_states(tmp_path)


@pytest.mark.hard
async def test_a_signal_after_the_end_of_stdin_does_not_cut_the_waiting_short(tmp_path):
    """As clients end a server: stdin is closed, and a signal follows two seconds later."""
    with LocalService.in_thread(pixels=4096, latency=4.0) as shop:
        async with started(tmp_path, shop) as process:
            await ask(process, HELLO, call(2, "a boat"))
            await until(lambda: len(shop.bills) == 1)
            process.stdin.close()
            await asyncio.sleep(1.5)
            process.send_signal(signal.SIGTERM)
            _, talk = await asyncio.wait_for(process.communicate(), 20)
    assert 143 == process.returncode
    assert b"stopping: waiting up to 30 s for what is paid for" in talk
    assert {"saved": 1, "planned": 1} == count_states(tmp_path)


@pytest.mark.hard
async def test_the_next_server_resumes_the_work_of_a_killed_one(tmp_path):
    with LocalService.in_thread(pixels=4096, latency=4.0) as shop:
        async with started(tmp_path, shop) as process:
            await ask(process, HELLO, call(2, "a boat"))
            await until(lambda: shop.bills)
            await until(lambda: [shop.bills[0].id] == ids(tmp_path))
            process.kill()
            await process.wait()
        async with connect(tmp_path, service=shop) as client:
            result = await client.call_tool("generate_image", {"prompt": "a boat"})
        assert not result.is_error
        assert 1 == len(shop.bills)


@pytest.mark.hard
async def test_the_cap_holds_for_what_the_operator_has_sent_again_too(shop, tmp_path):
    shop.fail("drop")
    async with connect(tmp_path, "--max-predictions", "1", service=shop) as client:
        lost = await client.call_tool("generate_image", {"prompt": "a boat"})
    assert 0 == main(["unknown", str(tmp_path), "--resend", lost.structured_content["key"]])
    async with connect(tmp_path, "--max-predictions", "1", service=shop) as client:
        assert (await client.call_tool("generate_image", {"prompt": "a boat"})).is_error
    assert [] == shop.bills
    async with connect(tmp_path, "--max-predictions", "2", service=shop) as client:
        assert not (await client.call_tool("generate_image", {"prompt": "a boat"})).is_error
    assert 1 == len(shop.bills)


@pytest.mark.hard
async def test_two_servers_do_not_share_a_folder(shop, tmp_path):
    async with connect(tmp_path, service=shop) as client:
        await client.list_tools()
        async with started(tmp_path, shop) as process:
            _, talk = await asyncio.wait_for(process.communicate(), 20)
    assert 3 == process.returncode
    assert b"is in use" in talk


# ── the streams ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_lines_come_whole_however_they_are_cut_and_too_long_ones_are_left_out(caplog):
    reading, writing = os.pipe()
    lines = Lines(reading, longest=20)
    taken = []

    async def take():
        async for line in lines:
            taken.append(line)

    taking = asyncio.create_task(take())
    for part in (b"on", b"e\ntwo\n\nth", b"x" * 50, b"y" * 50, b"ree\nfour\n", "fünf\n".encode(), b"\xff\n", b"rest"):
        os.write(writing, part)
        await asyncio.sleep(0.01)
    os.close(writing)
    await asyncio.wait_for(taking, 5)
    os.close(reading)
    assert ["one", "two", "", "four", "fünf", "\ufffd"] == taken
    assert "a message of more than 20 bytes is left out; nothing was sent for it" in caplog.text


@pytest.mark.parametrize("value", [f"{'[' * 10_000}{']' * 10_000}", "9" * 10_000], ids=["too deep", "too long"])
@pytest.mark.parametrize(
    "member", ['"id": 7, "params": {{"id": {}}}', '"params": [{}], "id": 7'], ids=["first", "last"]
)
async def test_a_request_whose_values_no_reader_of_json_takes_is_refused_too(value, member):
    async def lines():
        yield f'{{"method": "tools/call", {member.format(value)}, "jsonrpc": "2.0"}}'

    ours, theirs = os.pipe()
    words = Words(theirs, lambda: None)
    assert [] == [line async for line in answerable(lines(), words)]
    words.close(5)
    assert 7 == json.loads(os.read(ours, 1000))["id"]
    os.close(ours)
    os.close(theirs)


async def test_a_reader_who_stalls_or_leaves_keeps_nobody_waiting():
    reading, writing = os.pipe()
    refused = asyncio.Event()
    loop = asyncio.get_running_loop()
    words = Words(writing, lambda: loop.call_soon_threadsafe(refused.set))
    async with asyncio.timeout(5):
        await words.write("x" * 2_000_000)
        await words.flush()
        os.close(reading)
        await refused.wait()
    words.close(1.0)
    os.close(writing)


def test_other_output_to_stdout_goes_to_stderr(capfd):
    with kept_clean() as wire:
        os.write(1, b"stray")
        os.write(wire, b"wire")
    os.write(1, b", and after")
    assert ("wire, and after", "stray") == tuple(capfd.readouterr())


# ── messages to the operator ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        pytest.param([], 3, "there is no API key; set COMETAPI_KEY, or try it with --local", id="no key"),
        pytest.param(["--max-predictions", "-1"], 2, "must be a whole number from 0", id="a negative cap"),
        pytest.param(["--max-predictions", "many"], 2, "must be a whole number from 0", id="a cap that is none"),
        pytest.param(["--wait", "0"], 2, "must be a whole number from 1 to 86400", id="no wait"),
        pytest.param(["--local", "--allow", "nowhere"], 2, "there is no such folder", id="a folder that is none"),
        pytest.param(["--local", "--base-url", "http://x"], 2, "exclude each other", id="local and elsewhere"),
        pytest.param(["--local", "--out", "/proc/nowhere"], 3, "cannot be written to", id="a folder for no files"),
    ],
)
def test_a_wrong_argument_is_reported_at_the_start(tmp_path, monkeypatch, capfd, options, code, said):
    monkeypatch.chdir(tmp_path)
    for name in ("COMETAPI_KEY", "COMETAPI_API_KEY", "COMETFLUX_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert code == main(["mcp", *options])
    out, err = capfd.readouterr()
    assert "" == out
    assert said in " ".join(err.split())


@pytest.mark.parametrize("missing", ["mcp", "mcp_types", "PIL"])
def test_without_its_extra_it_says_what_to_install(tmp_path, monkeypatch, capfd, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    assert 3 == main(["mcp", "--out", str(tmp_path / "x")])
    assert 'error: cometflux mcp needs an extra: pip install "cometflux[cli,mcp]"\n' == capfd.readouterr().err
    assert not (tmp_path / "x").exists()
