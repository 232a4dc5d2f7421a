"""Texts from outside that would move a cursor, set a title, forge a line or hide a part: no face prints them raw."""

import asyncio
import copy
import json
import logging
import re
import threading
from contextlib import closing
from pathlib import Path

import attrs
import job_states
import pytest
import schema_documents
from hypothesis import given
from hypothesis import strategies as st
from socket_server import Peer, http

import cometflux.cli
from cometflux.basics.plain_text import escape_json, log, plain
from cometflux.cli import main
from cometflux.errors import UnknownSubmissionError
from cometflux.journal.place import FILE_NAME
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status
from cometflux.protocol import encoding
from cometflux.provenance.sidecar import record_of

EVIL = (
    "x\x1b]0;owned\x07\x1b[2J\x1b[1A\rerror: forged\nerror: forged\x0berror: forged\x85error: forged"
    "\u2028error: forged\u202e\u2066\u061c\x9b31m\x08\x7f[bold red]y[/]:smile:"
)
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check(*texts):
    """Fail if a text has a raw character that a terminal obeys, or a line that is not ours."""
    for text in texts:
        assert RAW.search(text) is None, text
        assert [] == [line for line in text.splitlines() if line.startswith(("error: forged", "forged"))]


def evil_records():
    plain_job = job_states.plan(0, EVIL, key=f"key {EVIL}", model=f"owner/{EVIL}", **{EVIL: [EVIL, {EVIL: EVIL}]})
    sent = plain_job.sending(job_states.LEFT, "digest", 20)
    answer = job_states.prediction(sent, id=EVIL, error=EVIL, version=EVIL, metrics={EVIL: EVIL}, extra={EVIL: EVIL})
    accepted = sent.accepted(attrs.evolve(answer, status=Status.PROCESSING), job_states.LEFT + 1)
    unknown = UnknownSubmissionError(EVIL, EVIL, fault=EVIL, request_id=EVIL, prediction_id=EVIL)
    records = [
        plain_job,
        sent,
        sent.ended(OutcomeKind.UNKNOWN, None, unknown),
        accepted,
        accepted.ended(OutcomeKind.SUCCEEDED, answer, None),
        accepted.ended(OutcomeKind.CANCELED, answer, None),
    ]
    return [
        attrs.evolve(record, identity=f"key:{number} {EVIL}", key=f"{number} {EVIL}", index=number)
        for number, record in enumerate(records)
    ]


@pytest.fixture
def evil_folder(folder):
    """A folder whose journal and record hold hostile texts wherever there can be one."""
    with closing(JournalWriter(folder / "out" / FILE_NAME)) as writer:
        writer.open()
        writer.commit(evil_records(), ())
    record = evil_records()[4]
    values = record_of(attrs.evolve(record.prediction, logs=EVIL, input=record.input), None, EVIL, 0)
    (folder / "out" / "a.png").write_bytes(job_states.picture())
    (folder / "out" / "a.json").write_text(encoding.dump_readable({**values, "file": "a.png", "sha256": EVIL}))
    (folder / "out" / "b.png").write_bytes(job_states.picture())
    (folder / "out" / "b.json").write_text("{" + EVIL)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [
    ["status", "out"], ["status", "out", "--json"], ["unknown", "out"], ["unknown", "out", "--json"],
    ["unknown", "out", "--abandon", EVIL], ["unknown", "out", "--adopt", f"{EVIL}={EVIL}"],
    ["gallery", "out"], ["show", "out/a.png"], ["show", "out/a.png", "--json"], ["show", "out/b.png"],
    ["show", EVIL], ["status", EVIL], ["gallery", EVIL], ["batch", EVIL], ["resume", EVIL], [EVIL],
    ["resume", "out", "--dry-run"], ["resume", "out", "--dry-run", "--json"], ["models", EVIL],
    ["generate", "fox", "--model", EVIL], ["generate", "fox", "--base-url", EVIL], ["generate", "fox", f"--{EVIL}"],
    ["local-service", "--fault", EVIL], ["local-service", "--host", EVIL], ["completion", EVIL], ["mcp", "--out", "\0"],
], ids=lambda arguments: " ".join(arguments).replace(EVIL, "EVIL").replace("\0", "NUL"))  # fmt: skip
def test_what_a_folder_or_an_argument_holds_is_never_printed_raw(arguments, evil_folder, capsys):
    main(arguments)
    out, err = capsys.readouterr()
    assert out + err
    check(out, err)
    if "--json" in arguments:
        for line in out.splitlines():
            json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("text", [
    f"prompt,key,{EVIL}\nfox,1,2\n",
    json.dumps({"prompt": EVIL}),
    json.dumps({"prompt": EVIL, "key": EVIL, "model": EVIL, EVIL: EVIL}),
    json.dumps({"prompt": "fox", "model": f"owner/{EVIL}", EVIL: EVIL}),
    json.dumps({"prompt": "fox", "aspect_ratio": EVIL}),
    json.dumps({"prompt": "fox", "image_prompt": EVIL, "model": "black-forest-labs/flux-1.1-pro"}),
], ids=["header", "prompt", "all", "names", "value", "path"])  # fmt: skip
@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--expand"], ["--json"], ["--log-json"]], ids=" ".join)
def test_what_a_prompt_file_holds_is_never_printed_raw(text, options, folder, service, capsys):
    name = "p.jsonl" if text.startswith("{") else "p.csv"
    (folder / name).write_text(text, newline="")
    main(["batch", name, "--out", "out", *options])
    check(*capsys.readouterr())


@pytest.mark.parametrize("options", [[], ["--json"]], ids=" ".join)
def test_what_a_schema_of_a_model_holds_is_never_printed_raw(options, folder, capsys):
    document = copy.deepcopy(schema_documents.KLEIN)
    document["input_schema"]["properties"]["prompt"] |= {"title": EVIL, "description": EVIL, "default": EVIL}
    (folder / "owner_evil.json").write_text(json.dumps(document))
    assert 0 == main(["models", "owner_evil.json", *options])
    out, err = capsys.readouterr()
    assert "forged" in out
    check(out, err)


def evil_service(kind):
    """Return the answers of a server, by their kind, as raw HTTP."""
    evil_header = "x-request-id: x\x1b[2J\x9berror: forged"
    body = {
        "refusal": json.dumps({"error": {"message": EVIL, "code": EVIL, "type": EVIL}, "detail": EVIL}),
        "page": f"<html>{EVIL}",
        "answer": json.dumps({"id": EVIL, "status": "failed", "error": EVIL, "logs": EVIL, EVIL: EVIL}),
        "wrapped": json.dumps({"code": EVIL, "data": {"task_id": "t1", "status": "FAILURE", "fail_reason": EVIL}}),
    }[kind].encode("utf-8", "surrogatepass")
    return http(422 if kind == "refusal" else 200, body, evil_header.encode().decode("latin-1"))


@pytest.fixture
def evil_peer(folder, monkeypatch, request):
    """A server whose every answer is hostile; on its own thread and loop."""
    started, stopping = threading.Event(), []

    async def serve():
        async with Peer(lambda _: evil_service(request.param)) as peer:
            monkeypatch.setenv("COMETFLUX_BASE_URL", f"{peer.url}/replicate/v1")
            monkeypatch.setenv("COMETAPI_KEY", "sk-local-1234567890")
            stop = asyncio.Event()
            stopping.append((asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started.wait()
    yield folder
    loop, stop = stopping[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("evil_peer", ["refusal", "page", "answer", "wrapped"], indirect=True)
@pytest.mark.parametrize("options", [[], ["-vv"], ["--json"], ["--log-json"]], ids=" ".join)
def test_what_a_service_answers_is_never_printed_raw(evil_peer, options, capsys):
    (evil_peer / "p.jsonl").write_text(json.dumps({"prompt": EVIL, "key": EVIL.replace("\n", "")}))
    main(["batch", "p.jsonl", "--out", "out", *options])
    main(["unknown", "out"])
    out, err = capsys.readouterr()
    assert err
    check(out, err)


def test_values_and_tracebacks_in_our_log_are_plain_for_every_handler(caplog):
    with caplog.at_level(logging.DEBUG, "cometflux"):
        log.warning("%s is %r of %d", EVIL, EVIL, 3)
        log.warning("%s", ValueError(EVIL))
        try:
            raise ValueError(EVIL)
        except ValueError:
            log.exception("it broke")
    formatter = logging.Formatter("%(levelname)s %(message)s")
    check(*(formatter.format(record) for record in caplog.records))
    assert "%s is %r of %d" == caplog.records[0].msg


@given(st.text(st.characters(codec=None)))
def test_any_text_is_made_plain_and_plain_text_stays(text):
    check(plain(text))
    assert plain(text) == plain(plain(text))
    assert json.loads(escape_json(json.dumps(text, ensure_ascii=False))) == text
    check(escape_json(json.dumps(text, ensure_ascii=False)))


def test_all_data_goes_through_the_screen():
    """It makes texts plain on a terminal. The script of a completion is all ours, and must not be changed."""
    root = Path(cometflux.cli.__file__).parent
    writers = {str(path.relative_to(root)) for path in root.rglob("*.py") if "stdout.write(" in path.read_text()}
    assert {"terminal/screen.py", "commands/completion.py"} == writers
