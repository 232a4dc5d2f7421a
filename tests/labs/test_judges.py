"""Test the local service with other programs: Replicate's clients, a validating proxy, a generator of requests.

They are installed below ``.make/`` on first use.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import aiohttp
import attrs
import installed_tools
import openapi
import pytest
from PIL import Image
from waiting import PATIENCE, terminate

from cometflux import PollPolicy, flux, open_session
from cometflux.outcomes import OutcomeKind
from cometflux.testing import LocalService

HERE = Path(__file__).parents[1] / "support"
SCHNELL = "black-forest-labs/flux-schnell"


@pytest.fixture
def backend():
    with LocalService.in_thread(latency=0.05, pixels=4096) as service:
        yield service


# ── the vendor's command line ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def vendor(backend, tmp_path):
    """Return a function that runs the vendor's command line with --json, and returns what it prints."""
    python = installed_tools.python_with("cometapi-cli==0.3.10")
    # Its configuration file would win over the environment.
    secrets = {"HOME": str(tmp_path), "COMETAPI_KEY": backend.key, "COMETAPI_ACCESS_TOKEN": backend.access_token}

    def run(*arguments):
        command = [python, HERE / "judge_cometapi.py", backend.origin, *arguments, "--json"]
        run = subprocess.run(command, env=os.environ | secrets, capture_output=True, text=True, timeout=PATIENCE)
        assert 0 == run.returncode, run.stderr + run.stdout
        return json.loads(run.stdout)

    return run


async def buy_two(service):
    service.fail("drop", after=True)
    async with open_session(api_key=service.key, base_url=service.url) as session:
        async for _ in session.generate(["a boat", "a tug"]):
            pass


@pytest.mark.hard
@pytest.mark.parametrize(("command", "name"), [("tasks", "task_id"), ("logs", "response_id")])
async def test_the_vendor_s_command_line_lists_what_was_billed(backend, vendor, command, name):
    await buy_two(backend)
    rows = await asyncio.to_thread(vendor, command)
    assert {bill.id for bill in backend.bills} == {row[name] for row in rows}


@pytest.mark.hard
def test_the_vendor_s_command_line_lists_the_models_with_their_prices(vendor):
    rows = {row["id"]: row for row in vendor("models", "--type", "image")}
    assert set(flux.MODELS) == set(rows)
    assert "$0.24/request" == rows["black-forest-labs/flux-2-flex"]["pricing"]
    assert {"create"} == {row["endpoints"] for row in rows.values()}
    found = vendor("model", "info", "black-forest-labs/flux-1.1-pro")
    assert ("black-forest-labs/flux-1.1-pro", 0.8) == (found["id"], found["pricing"]["ratio"])


@pytest.mark.hard
@pytest.mark.parametrize("source", ["account", "key"])
async def test_the_vendor_s_command_line_tells_the_balance(backend, vendor, source):
    backend.credit = 5
    await buy_two(backend)
    spent = sum(bill.quota for bill in backend.bills) / 500_000
    told = await asyncio.to_thread(vendor, "balance", "--source", source)
    assert pytest.approx((5 - spent, spent)) == (told["balance"], told["used"])
    assert {"account": "user", "key": "billing"}[source] == told["source"]


@pytest.mark.hard
def test_the_vendor_s_command_line_takes_a_hundred_million_for_no_limit(backend, vendor):
    backend.credit = 100_000_000
    assert -1 == vendor("balance", "--source", "key")["balance"]


# ── clients of the service underneath ────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Client:
    """A program that runs one case against a service and prints the result."""

    command: list
    environment: dict = attrs.field(factory=dict)

    def tell(self, service, case):
        command = [*self.command, service.url, service.key, case]
        run = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert 0 == run.returncode, run.stderr
        return json.loads(run.stdout)


@pytest.fixture(scope="module")
def python_client():
    return Client([installed_tools.python_with("replicate==2.0.0b4"), HERE / "judge_replicate.py"])


@pytest.fixture(scope="module")
def node_client():
    folder = installed_tools.node_with("replicate@1.4.0")
    return Client(["node", HERE / "judge_replicate.cjs"], {"NODE_PATH": str(folder / "node_modules")})


@pytest.fixture(params=["python", "node"])
def client(request):
    return request.getfixturevalue(f"{request.param}_client")


A_LIST_AND_A_STRING = [["out-0.webp"], "out-0.webp"]


@pytest.mark.hard
@pytest.mark.parametrize(
    ("case", "told"),
    [
        pytest.param("create", ["starting", "succeeded", ["out-0.webp", "out-1.webp"]], id="it creates and waits"),
        pytest.param("by_version", "out-0.webp", id="it names a model as a version"),
        pytest.param("run_blocking", A_LIST_AND_A_STRING, id="it runs and blocks"),
        pytest.param("run_polling", A_LIST_AND_A_STRING, id="it runs and polls"),
        pytest.param("be_refused", [422, "- input: prompt is required\n"], id="it reads a refusal"),
    ],
)
def test_a_client_of_the_service_underneath_understands_the_local_one(client, backend, case, told):
    assert told == client.tell(backend, case)
    expected = {"run_blocking": 2, "run_polling": 2, "be_refused": 0}.get(case, 1)
    assert expected == len(backend.bills)
    assert [] == backend.leaks


@pytest.mark.hard
def test_a_prediction_is_canceled(client):
    with LocalService.in_thread(latency=60.0, pixels=4096) as slow:
        assert "canceled" == client.tell(slow, "cancel")


@pytest.mark.hard
def test_its_asynchronous_half_does_too(python_client, backend):
    assert A_LIST_AND_A_STRING == python_client.tell(backend, "run_asynchronously")


@pytest.mark.hard
def test_a_failed_run_is_read_as_one(client, backend):
    backend.fail("failed")
    assert "flagged as sensitive" in client.tell(backend, "fail")


@pytest.mark.hard
def test_an_output_in_the_response_itself_is_read_as_a_file(client, backend):
    backend.fail("data-uri")
    assert "WEBP" == client.tell(backend, "read_file")


@pytest.mark.hard
@pytest.mark.parametrize(("fault", "place"), [("429", "create"), ("503", "get")], ids=["submission", "poll"])
def test_transient_errors_are_retried(client, backend, fault, place):
    backend.fail(fault, on=place)
    assert "out-0.webp" == client.tell(backend, "by_version")
    assert 1 == len(backend.bills)


# ── the vendor's specification ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def document():
    if name := openapi.missing():
        pytest.skip(f"the vendor's {name} is not beside this checkout")
    return openapi.load()


# If one of these fails, the vendor has corrected an error: remove it from openapi.py, and check for other changes.


def test_the_vendor_s_file_still_has_a_slash_inside_a_parameter_of_the_path(document):
    assert openapi.CREATE in document["paths"]
    assert all("/" in model for model in openapi.models_in(document))


def test_the_vendor_s_file_still_requires_ten_inputs_where_the_prompt_is_enough(document):
    assert 10 == len(openapi.required_inputs(document))
    parameters = [each for model in openapi.load_models().values() for each in model["parameters"]]
    assert {"prompt"} == {each["name"] for each in parameters if each["required"]}


def test_the_vendor_s_file_still_has_no_null_for_an_output_that_its_own_examples_lack(document):
    schema = openapi.answer(document)
    assert "output" in schema["required"]
    assert {"array"} == {schema["properties"]["output"]["type"]}
    assert "nullable" not in schema["properties"]["output"]
    assert {None} == {each["output"] for each in openapi.examples(document)}


def test_the_vendor_s_file_still_has_no_text_for_an_error(document):
    assert "null" == openapi.answer(document)["properties"]["error"]["type"]


def test_the_vendor_s_file_still_forgets_one_model(document):
    assert {"black-forest-labs/flux-2-max"} == set(flux.MODELS) - set(openapi.models_in(document))


def test_the_vendor_s_file_still_has_no_get(document):
    assert [openapi.CREATE] == list(document["paths"])


def test_the_vendor_s_file_still_has_only_a_200(document):
    assert ["200"] == openapi.statuses(document)


# ── a proxy that validates ───────────────────────────────────────────────────────────────────────────────────────────


class Prism:
    """A proxy that validates requests and responses against a specification."""

    MARK = "/the-end-of-the-log"

    def __init__(self, folder, document, service):
        self._program = installed_tools.node_with("@stoplight/prism-cli@5.16.0") / "node_modules" / ".bin" / "prism"
        self._document = folder / "openapi.json"
        self._document.write_text(json.dumps(document))
        self._log = folder / "prism.log"
        self._service = service
        self._process = None

    def __enter__(self):
        self._port = find_port()
        command = [self._program, "proxy", self._document, self._service.origin, "--port", str(self._port)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_for("Prism is listening on")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        terminate(self._process)

    @property
    def url(self):
        return self._service.url.replace(self._service.origin, f"http://127.0.0.1:{self._port}")

    def _wait_for(self, words):
        for _ in range(3000):
            if words in self.read():
                return
            assert self._process.poll() is None, self.read()
            time.sleep(0.01)
        raise AssertionError(f"{words!r} does not come: {self.read()}")

    def read(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self._log.read_text())

    async def judge(self):
        """Return the number of forwarded requests so far, and the violations in them and in their responses."""
        # It writes its log in order, after the responses.
        async with aiohttp.request("GET", f"http://127.0.0.1:{self._port}{self.MARK}"):
            await asyncio.to_thread(self._wait_for, f"get {self.MARK}")
        told = self.read().partition(f"get {self.MARK}")[0]
        return told.count("Request received"), re.findall(r"Violation: (.*)", told)


def find_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.asynccontextmanager
async def judged(folder, document, service):
    with Prism(folder, document, service) as prism:
        policy = PollPolicy.every(0.05, patience=20)
        async with open_session(api_key=service.key, base_url=prism.url, poll_policy=policy) as session:
            yield prism, session


def jobs_of(folder):
    """Return a job of each model with defaults, and some with other parameters."""
    picture = folder / "boat.png"
    Image.new("RGB", (8, 8)).save(picture)
    return [
        *(model(prompt="a boat") for model in flux.MODELS.values()),
        flux.Schnell(prompt="a boat", num_outputs=4, seed=7, output_format="png", aspect_ratio="16:9"),
        flux.Dev(prompt="a boat", image=picture, prompt_strength=0.5, guidance=4, megapixels="0.25"),
        flux.Pro11(prompt="a boat", aspect_ratio="custom", width=256, height=512, safety_tolerance=6),
        flux.Flux2Pro(prompt="a boat", input_images=[picture, picture], resolution="0.5 MP"),
        flux.KontextMax(prompt="a boat", input_image=picture, output_format="jpg"),
    ]


@pytest.mark.hard
@pytest.mark.realtime
async def test_what_passes_between_client_and_service_is_what_the_corrected_file_says(tmp_path, document, backend):
    for fault in ("failed", "canceled", "aborted", "expired", "data-uri", "early-output", "odd-status"):
        backend.fail(fault)
    jobs = jobs_of(tmp_path)
    async with judged(tmp_path, openapi.correct(document), backend) as (prism, session):
        kinds = Counter([outcome.kind async for outcome in session.generate(jobs)])
        passed = len(backend.requests)
        assert (passed, []) == await prism.judge()
    assert {
        OutcomeKind.FAILED: 1,
        OutcomeKind.CANCELED: 2,
        OutcomeKind.EXPIRED: 1,
        OutcomeKind.SUCCEEDED: len(jobs) - 4,
    } == kinds
    assert len(jobs) == len(backend.bills)


@pytest.mark.hard
@pytest.mark.realtime
async def test_the_proxy_notices_what_is_not_as_the_file_says(tmp_path, document, backend):
    """Otherwise the test above would prove nothing."""
    backend.fail("no-id", on="create", after=True)
    async with judged(tmp_path, openapi.correct(document), backend) as (prism, session):
        outcome = await anext(session.generate(["a boat"]))
        _, found = await prism.judge()
    assert OutcomeKind.UNKNOWN is outcome.kind
    assert any("'id'" in each for each in found), found


@pytest.mark.hard
@pytest.mark.realtime
async def test_by_the_file_as_it_is_no_request_would_be_known(tmp_path, document, backend):
    async with judged(tmp_path, document, backend) as (prism, session):
        outcome = await anext(session.generate(["a boat"]))
        _, found = await prism.judge()
    assert outcome.ok
    assert {"request Selected route not found"} == set(found)


# ── requests by chance ───────────────────────────────────────────────────────────────────────────────────────────────

EXAMPLES = 10
"""Examples for each operation, in addition to one for each limit of each parameter."""
# The gateway's response to a method that a route does not have is not known. The local service sends its page.
LEFT_OUT = "unsupported_method"


@pytest.mark.hard
def test_no_request_by_chance_finds_the_service_at_odds_with_the_corrected_file(tmp_path, document, backend):
    """Each model accepts exactly the values that its published parameters allow."""
    python = installed_tools.python_with("schemathesis==4.32.5")
    (tmp_path / "openapi.json").write_text(json.dumps(openapi.correct(document)))
    for fault in ("failed", "failed-transient", "canceled", "aborted", "expired", "missing-image", "odd-status"):
        backend.fail(fault, rate=0.05)
    command = [python, "-m", "schemathesis.cli", "run", "openapi.json", "--url", backend.origin, "--seed", "1"]
    command += ["--header", f"Authorization: Bearer {backend.key}", "--exclude-checks", LEFT_OUT]
    command += ["--max-examples", str(EXAMPLES), "--no-color"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert 0 == run.returncode, run.stdout
    assert "No issues found" in run.stdout
    assert len(flux.MODELS) == len({bill.model for bill in backend.bills})
    print(run.stdout.strip().splitlines()[-1])
