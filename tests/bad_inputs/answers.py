"""What a service may answer to a submission and to a question, and how the job ends then.

A bill is counted for each submission that is not refused with a 429, whatever the answer looks like: who takes a
submission may bill it.
"""

import gzip
import json

import attrs
from socket_server import http

from cometflux import errors
from cometflux.outcomes import OutcomeKind

ID = "abc123"
DONE = {"id": ID, "status": "succeeded", "output": ["https://images.example.com/out-0.png"]}
CREATED = {"id": ID, "status": "starting", "output": None}
UNKNOWN = OutcomeKind.UNKNOWN, errors.UnknownSubmissionError
ENDED = {OutcomeKind.FAILED: errors.PredictionFailedError, OutcomeKind.CANCELED: errors.PredictionCanceledError}
_DEEP = 100_000


@attrs.frozen
class Answer:
    """One answer, and what becomes of the job."""

    id: str
    raw: bytes
    """What is sent, from the status line on; nothing for a connection that is closed without a word."""
    kind: OutcomeKind = OutcomeKind.SUCCEEDED
    error: type[Exception] | None = None
    says: str = ""
    """A part of the error's words; for a question that changes nothing, of what the observer is told."""
    bills: int = 1
    times: int = 2
    """How often it comes. A question that comes to nothing is asked once more before anybody is told."""
    within: float = 400.0
    """How long the job may take, in seconds of the virtual clock."""


def body(value, status=200, *headers):
    return http(status, value if isinstance(value, bytes) else json.dumps(value).encode(), *headers)


def unknown(name, raw, says="nothing proves whether the submission was accepted"):
    return Answer(name, raw, *UNKNOWN, says)


def refused(name, raw, says, error=errors.RejectedError):
    return Answer(name, raw, OutcomeKind.REJECTED, error, says)


def created(name, **changed):
    return Answer(name, body({**CREATED, **changed}, 201))


def throttled(name, *headers, told="too fast", within=400.0):
    return Answer(name, body({"detail": told}, 429, *headers), within=within)


def _half(value):
    return json.dumps(value).encode()[:-12]


NOT_JSON = [
    ("nothing at all", b""),
    ("whitespace", b" \r\n\t "),
    ("a word", b"OK"),
    ("single quotes", b"{'id': 'abc123'}"),
    ("half a number", b'{"status": 1'),
    ("NUL bytes", b"\0" * 64),
    ("UTF-16", json.dumps(CREATED).encode("utf-16")),
    ("UTF-32", json.dumps(CREATED).encode("utf-32")),
    ("bytes that are no text", bytes(range(128, 256))),
    ("brackets a hundred thousand deep", b"[" * _DEEP),
    ("objects a hundred thousand deep", b'{"a":' * _DEEP),
    ("compressed, though nobody asked for it", gzip.compress(json.dumps(CREATED).encode())),
    ("a stream of events", b'event: output\ndata: {"id": "abc123"}\n\n'),
    ("a form", b"id=abc123&status=starting"),
    ("XML", b"<?xml version='1.0'?><id>abc123</id>"),
]
NO_OBJECT = [
    ("null", b"null", "null"),
    ("true", b"true", "a boolean"),
    ("a number", b"42", "a number"),
    ("a text", b'"not an id"', "a string"),
    ("an empty list", b"[]", "a list"),
]
NO_ID = [
    ("an empty object", {}),
    ("an id of null", {**CREATED, "id": None}),
    ("a number as id", {**CREATED, "id": 123}),
    ("a boolean as id", {**CREATED, "id": True}),
    ("an empty id", {**CREATED, "id": ""}),
    ("a list as id", {**CREATED, "id": [ID]}),
    ("an object as id", {**CREATED, "id": {"id": ID}}),
    ("the id in capitals", {"ID": ID, "status": "starting"}),
    ("the id one level too deep", {"result": CREATED}),
    ("the id in the echoed input only", {"status": "starting", "input": {"id": ID}}),
    ("an envelope around nothing", {"code": "success", "message": "", "data": None}),
    ("an envelope around two", {"code": "success", "data": [CREATED, {**CREATED, "id": "other"}]}),
    ("words as data", {"code": "success", "data": "it is being drawn"}),
    ("an envelope with the number of a row only", {"code": "success", "data": {"id": 17, "status": "SUBMITTED"}}),
    ("an envelope with a number as task", {"data": {"task_id": 17, "status": "SUBMITTED", "data": None}}),
    ("a success without a word more", {"success": True}),
]
BAD_IDS = {
    "an id that climbs": "../../models",
    "an id with a slash": "a/b",
    "an id with a query": "a?b=c",
    "an id with a blank": "a b",
    "an id with a line break": "a\nb",
    "an id with a NUL": "a\0b",
    "an id of three hundred letters": "a" * 300,
    "an id in another script": "\u0430\u0431\u0432",
    "an id that is half a character": "a\ud800",
    "an id that is a URL": "https://example.com/abc123",
}

CREATE = [
    # What nobody can read is of unknown fate, and is not sent again.
    *(unknown(f"not JSON: {name}", body(raw)) for name, raw in NOT_JSON if raw[:2] != b"\x1f\x8b"),
    *(unknown(f"no object: {name}", body(raw), f"{what}, not an object") for name, raw, what in NO_OBJECT),
    *(unknown(f"no id: {name}", body(value), "without the id of a prediction") for name, value in NO_ID),
    *(
        unknown(name, body({**CREATED, "id": bad}), "carries an id that cannot be polled")
        for name, bad in BAD_IDS.items()
    ),
    unknown("no content", body(b"", 204)),
    unknown("half a page that says it is JSON", body(b"<!doctype html><p>", 200, "Content-Type: application/json")),
    unknown("a status line without a number", b"HTTP/1.1 abc OK\r\n\r\n", "no response came: the response is not HTTP"),
    unknown("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n", "no response came"),
    unknown("a header without end", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "no response came"),
    unknown(
        "two lengths that differ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}\n",
        "no response came",
    ),
    unknown("a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "no response came"),
    unknown("a length in words", b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}", "no response came"),
    unknown("chunks without sizes", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    unknown("another protocol is proposed", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    unknown("an interim answer and no other", b"HTTP/1.1 100 Continue\r\n\r\n", "no response came"),
    unknown("closed without a word", b"", "no response came: the connection was closed"),
    # A status alone proves no refusal, unless the service words it or says nothing at all.
    unknown("a 400 that is no JSON", body(b"\xff\xfe", 400)),
    unknown("a 400 that nests without end", body(b"[" * _DEEP, 400)),
    unknown("a 403 as a page", body(b"<html>", 403), "a web page; is the base URL right?"),
    unknown("a redirect to nowhere", body(b"", 301), "a redirect; is the base URL right?"),
    unknown("a redirect to a file", body(b"", 307, "Location: file:///etc/passwd"), "a redirect"),
    unknown("see elsewhere, without an id", body(b"", 303, "Location: /predictions/"), "a redirect"),
    unknown("a choice of answers", body(b"", 300), "a redirect"),
    unknown("not changed, says a cache", body(b"", 304), "a redirect"),
    # Plain refusals, however they are dressed.
    refused("a refusal with status 200", body({"error": {"code": "invalid_request", "message": "no"}}), "HTTP 200: no"),
    refused("a refusal of numbers", body({"error": 42}, 400), "rejected the request with HTTP 400: 42"),
    refused("a refusal in a list", body({"detail": [{"loc": ["body"], "msg": "bad"}]}, 422), '"msg":"bad"'),
    refused("a refusal as long as a novel", body({"detail": "x" * 100_000}, 422), f"{'x' * 1000}\u2026; nothing is"),
    refused("a refusal without a word", body(b"", 422), "HTTP 422: no reason was given"),
    refused("no credit without a word", body(b"", 402), "HTTP 402", errors.CreditError),
    # An id means that it is paid for, and it is asked after, whatever else is odd.
    created("an unknown status", status="dreaming"),
    created("no status", status=None),
    created("a number as status", status=7),
    created("a list as status", status=["starting"]),
    created("a status with a NUL", status="starting\0"),
    created("a number as output", output=7),
    created("a success with an output of numbers", status="succeeded", output=[1, 2]),
    created("a success with an output in an object", status="succeeded", output={"url": "https://example.com/a.png"}),
    created("a list as input", input=["prompt"]),
    created("a number as logs", logs=7),
    created("a text as metrics", metrics="fast"),
    created("a date in words", created_at="yesterday"),
    created("a date that no calendar has", created_at="2026-02-31T25:61:61Z"),
    created("a number as date", created_at=1767225600),
    created("a date before there were any", created_at="-0001-01-01T00:00:00Z"),
    created("half a character in the logs", logs="a\ud800"),
    created("a field called data", data="here"),
    created("a null for every field", model=None, version=None, input=None, urls=None, error=None, metrics=None),
    Answer("compressed, and no header says so", body(gzip.compress(json.dumps(CREATED).encode()), 201)),
    Answer("see elsewhere, where the prediction is", body(b"", 303, f"Location: /v1/predictions/{ID}")),
    Answer("created, says the Location alone", body(b"", 201, f"Location: https://api.example.com/predictions/{ID}")),
    Answer("a byte order mark", body(b"\xef\xbb\xbf" + json.dumps(CREATED).encode())),
    Answer("letters of another encoding", body(b'{"id": "abc123", "status": "starting", "logs": "caf\xe9"}')),
    Answer("NaN and Infinity", body(b'{"id": "abc123", "metrics": {"a": NaN, "b": -Infinity}, "status": "starting"}')),
    Answer(
        "a number of five thousand digits", body(b'{"id": "abc123", "status": "starting", "seed": %s}' % (b"7" * 5000))
    ),
    Answer("a number too large for a float", body(b'{"id": "abc123", "status": "starting", "seed": 1e999}')),
    Answer("a key that stands twice", body(b'{"id": "first", "id": "abc123", "status": "starting"}')),
    Answer("something deep beside the id", body(b'{"id": "abc123", "status": "starting", "x": ' + b"[" * _DEEP)),
    Answer("half an answer, behind the id", body(_half(CREATED))),
    Answer("a comma too many", body(b'{"id": "abc123", "status": "starting",}')),
    Answer("another object behind the first", body(json.dumps(CREATED).encode() + b'{"id": "other"}')),
    Answer("JSON as plain text", body(CREATED, 200, "Content-Type: text/plain")),
    Answer("JSON as a web page", body(CREATED, 200, "Content-Type: text/html")),
    Answer("JSON as a picture", body(CREATED, 200, "Content-Type: image/png")),
    Answer("a type of content that is none", body(CREATED, 200, "Content-Type: ;;;=\xff")),
    *(Answer(f"an id with HTTP {status}", body(CREATED, status)) for status in (202, 299, 300, 400, 409, 500, 599)),
    Answer("an id beside an error", body({**CREATED, "error": {"message": "odd", "code": "invalid_request"}}, 500)),
    Answer("hints come first", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + body(CREATED)),
    Answer("a length that is too small", http(200, json.dumps(CREATED).encode(), length=30)),
    Answer("a body of nine mebibytes", body({**CREATED, "logs": "x" * (9 << 20)})),
    Answer("an envelope", body({"code": "success", "data": {"task_id": ID, "status": "SUBMITTED", "data": None}})),
    Answer("an envelope without its code", body({"data": {"task_id": ID, "progress": "0%"}})),
    Answer("a prediction under data alone", body({"data": CREATED})),
    Answer("an id as data", body({"code": "success", "message": "", "data": ID})),
    Answer("an id as task", body({"task_id": ID})),
    Answer("an id as a text", body(json.dumps(ID).encode())),
    Answer("an id in a list", body([CREATED])),
    Answer("an id in a list in an envelope", body({"code": "success", "data": [{"task_id": ID}]})),
    Answer("a prediction under its own name", body({"prediction": CREATED})),
    Answer("an id as data, after which the answer breaks off", body(b'{"data": "abc123", "mess')),
    Answer("an id as data with HTTP 500", body({"data": ID}, 500)),
    refused("an id as data with HTTP 422", body({"data": ID, "message": "no"}, 422), "HTTP 422: no"),
    # Over before it began.
    Answer(
        "failed at once, for a number",
        body({**CREATED, "status": "failed", "error": 7}),
        OutcomeKind.FAILED,
        errors.PredictionFailedError,
        "failed: 7",
    ),
    Answer(
        "failed at once, for a list",
        body({**CREATED, "status": "failed", "error": ["a"]}),
        OutcomeKind.FAILED,
        errors.PredictionFailedError,
        '["a"]',
    ),
    Answer(
        "failed at once, for nothing",
        body({**CREATED, "status": "failed", "error": ""}),
        OutcomeKind.FAILED,
        errors.PredictionFailedError,
        "abc123 failed",
    ),
    Answer(
        "failed in the gateway's word",
        body({"data": {"task_id": ID, "status": "FAILURE", "fail_reason": "no GPU", "data": None}}),
        OutcomeKind.FAILED,
        errors.PredictionFailedError,
        "no GPU",
    ),
    Answer(
        "canceled at once",
        body({**CREATED, "status": "canceled"}),
        OutcomeKind.CANCELED,
        errors.PredictionCanceledError,
        "was canceled",
    ),
    # Over, or all but over: a poll makes certain.
    created("succeeded at once with an empty list", status="succeeded", output=[]),
    created("succeeded at once with an empty text", status="succeeded", output=""),
    created("processing with its output", status="processing", output=DONE["output"]),
    created("no status, with its output", status=None, output=DONE["output"]),
    created("starting with an error", error="E005"),
    Answer(
        "succeeded at once, and removed",
        body({**CREATED, "status": "succeeded", "output": None, "data_removed": True}),
        OutcomeKind.EXPIRED,
        errors.PredictionExpiredError,
        "its output is gone",
    ),
    # To be tried later: never sooner than at once, and never later than in five minutes.
    throttled("429, and no wait"),
    throttled("429, and an empty wait", "Retry-After: "),
    throttled("429, wait soon", "Retry-After: soon"),
    throttled("429, wait a negative time", "Retry-After: -5"),
    throttled("429, wait NaN", "Retry-After: NaN"),
    throttled("429, wait for ever", "Retry-After: Infinity"),
    throttled("429, wait 10^30 seconds", f"Retry-After: {10**30}"),
    throttled("429, wait 1e3", "Retry-After: 1e3"),
    throttled("429, wait half a second", "Retry-After: 0.5"),
    throttled("429, wait two times", "Retry-After: 5, 10"),
    throttled("429, two waits", "Retry-After: 5", "Retry-After: 99999"),
    throttled("429, wait in another script", "Retry-After: \u0665"),
    throttled("429, wait until a day that never was", "Retry-After: Wed, 31 Feb 2026 25:61:61 GMT"),
    throttled("429, wait until the Middle Ages", "Retry-After: Wed, 21 Oct 1015 07:28:00 GMT"),
    throttled("429, wait until the year 9999", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"),
    throttled("429, wait as long as a novel", f"Retry-After: {'9' * 7000}"),
    throttled("429, as the words say", told=f"Expected available in {'9' * 40} seconds."),
    Answer("429, wait true", body({"detail": "x", "retry_after": True}, 429)),
    Answer("429, wait a text", body({"detail": "x", "retry_after": "5"}, 429)),
    Answer("429, wait a negative number", body({"detail": "x", "retry_after": -1e308}, 429)),
    Answer("429, wait a huge number", body({"detail": "x", "retry_after": 10**400}, 429)),
    Answer("429, and a page", body(b"<html>", 429)),
]


def passing(name, raw, says):
    """A question that comes to nothing: it is asked again, and nothing is lost."""
    return Answer(name, raw, OutcomeKind.SUCCEEDED, errors.AnswerError, says)


def endless(name, raw, says):
    """A question that comes to nothing until patience is over: the prediction stays known, and is not bought again."""
    return Answer(
        name, raw, OutcomeKind.DETACHED, errors.PatienceError, f"the last poll failed: {says}", 1, 10_000, 1801
    )


def over(name, kind, says="", **changed):
    return Answer(name, body({**DONE, **changed}), kind, ENDED.get(kind), says)


EMPTY = {
    "a number": 7,
    "a boolean": True,
    "null": None,
    "an empty list": [],
    "nulls": [None, None],
    "numbers": [1, 2],
    "an object without a URL": {"seed": 7},
    "a blank": " ",
}


def empty(name, **changed):
    """A success without an output: two more polls, and it is over."""
    return Answer(
        f"a success without output: {name}",
        body({**DONE, "output": None, **changed}),
        OutcomeKind.SUCCEEDED,
        errors.OutputError,
        "the service returned no output",
        times=100,
        within=10.0,
    )


FAILED = {"output": None, "error": "E005"}


def always(name, kind=OutcomeKind.SUCCEEDED, says="", **changed):
    """An answer that never gets better, and is the end at once."""
    return attrs.evolve(over(name, kind, says, **changed), times=100, within=10.0)


def wrapped(**task):
    return body({"code": "success", "message": "", "data": {"task_id": ID, "action": "x", **task}})


GET = [
    *(passing(f"not JSON: {name}", body(raw), "the response is not JSON") for name, raw in NOT_JSON),
    *(passing(f"no object: {name}", body(raw), f"{what}, not an object") for name, raw, what in NO_OBJECT),
    passing("no content", body(b"", 204), "it is empty"),
    passing("an empty object", body({}), "has no status"),
    *(
        passing(f"{name} as status", body({**DONE, "status": status, "output": None}), "has no status")
        for name, status in (("null", None), ("a number", 7), ("a list", ["succeeded"]), ("nothing", ""))
    ),
    passing("an error of the gateway's", body({"error": {"message": "busy", "code": "x"}}), "has no status"),
    passing("somebody else's", body({**DONE, "id": "other"}), "is about prediction 'other'"),
    passing("somebody else's in an envelope", wrapped(status="SUCCESS", task_id="x", data={**DONE, "id": "y"}), "'y'"),
    passing(
        "somebody else's with a long id",
        body({**DONE, "id": "x" * 100_000}),
        f"is about prediction '{'x' * 80}'; the",
    ),
    passing("half an answer", body(_half(DONE)), "the response is not JSON"),
    passing("the body breaks off", http(200, _half(DONE), length=len(json.dumps(DONE))), "broke off"),
    # The HTTP library itself asks once more.
    attrs.evolve(passing("closed without a word", b"", "no response came"), times=4),
    passing("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n", "no response came"),
    passing("nine mebibytes", body({**DONE, "logs": "x" * (9 << 20)}), "larger than"),
    passing("an envelope around nothing", body({"code": "success", "data": None}), "has no status"),
    passing("an envelope that tells of an error", body({"code": "task_not_exist", "data": None}), "has no status"),
    *(
        Answer(f"HTTP {status}", body({"detail": "no"}, status), OutcomeKind.SUCCEEDED, error, f"HTTP {status}")
        for status, error in (
            (301, errors.RejectedError),
            (400, errors.RejectedError),
            (401, errors.AuthenticationError),
            (402, errors.CreditError),
            (404, errors.RejectedError),
            (418, errors.RejectedError),
            (429, errors.RateLimitError),
            (500, errors.RejectedError),
            (599, errors.RejectedError),
        )
    ),
    Answer(
        "429 for ever",
        body({"detail": "x"}, 429, f"Retry-After: {10**30}"),
        error=errors.RateLimitError,
        says="429",
        within=700.0,
    ),
    endless("for ever: not JSON", body(b"OK"), "the response is not JSON (it begins with 'OK')"),
    *(empty(name, output=output) for name, output in EMPTY.items()),
    attrs.evolve(empty("nothing in the envelope"), raw=wrapped(status="SUCCESS", data=None)),
    endless(
        "for ever: a refused key", body({"detail": "no"}, 401), "the service rejected the request with HTTP 401: no"
    ),
    # Readable enough to go on, or to be the end.
    over("an unknown status", OutcomeKind.SUCCEEDED, status="dreaming"),
    over("a status in another case", OutcomeKind.SUCCEEDED, status="SuCcEeDeD"),
    *(
        always(f"its output and {name} as status", status=status)
        for name, status in (
            ("processing", "processing"),
            ("queued", "QUEUED"),
            ("nothing", None),
            ("a number", 7),
            ("done", "done"),
            ("ready", "Ready"),
            ("blanks around it", " succeeded "),
        )
    ),
    *(
        always(f"a success with {name} as output", output=output)
        for name, output in (
            ("a text", DONE["output"][0]),
            ("an object", {"url": DONE["output"][0]}),
            ("objects", [{"url": DONE["output"][0]}]),
            ("a list in a list", [DONE["output"]]),
            ("a null in it", [*DONE["output"], None]),
        )
    ),
    *(
        always(f"an error and {name} as status", OutcomeKind.FAILED, "failed: E005", **{**FAILED, "status": status})
        for name, status in (("processing", "processing"), ("nothing", None), ("a success", "succeeded"))
    ),
    attrs.evolve(
        always("a success around an answer that runs"),
        raw=wrapped(status="SUCCESS", fail_reason=DONE["output"][0], data={**CREATED, "status": "processing"}),
    ),
    attrs.evolve(
        always("a failure around an answer that runs", OutcomeKind.FAILED, "no GPU"),
        raw=wrapped(status="FAILURE", fail_reason="no GPU", data={**CREATED, "status": "processing"}),
    ),
    attrs.evolve(always("a URL in place of the answer"), raw=wrapped(status="SUCCESS", data=DONE["output"][0])),
    over("a number as id", OutcomeKind.SUCCEEDED, id=123),
    over("no id", OutcomeKind.SUCCEEDED, id=None),
    over("odd dates", OutcomeKind.SUCCEEDED, created_at="never", started_at=7, completed_at=["2026"]),
    over("half a character in the logs", OutcomeKind.SUCCEEDED, logs="\udfff"),
    over("wrong types all over", OutcomeKind.SUCCEEDED, model=7, input=7, logs=[], metrics="x", urls=None, version={}),
    over("failed for a reason that is an object", OutcomeKind.FAILED, "failed: {", status="failed", error={"code": 7}),
    over(
        "failed for a reason that is half a character", OutcomeKind.FAILED, "failed: ?", status="failed", error="\ud800"
    ),
    over("failed for a novel", OutcomeKind.FAILED, f"failed: {'x' * 1000}\u2026", status="failed", error="x" * 100_000),
    over("failed for null", OutcomeKind.FAILED, "abc123 failed", status="failed", error=None),
    over("aborted", OutcomeKind.CANCELED, "was canceled", status="aborted"),
    over("canceled in British", OutcomeKind.CANCELED, "was canceled", status="cancelled"),
    Answer("a byte order mark", body(b"\xef\xbb\xbf" + json.dumps(DONE).encode())),
    Answer("a status that stands twice", body(json.dumps(DONE).replace('{"id"', '{"status": "failed", "id"').encode())),
    Answer("JSON as a web page", body(DONE, 200, "Content-Type: text/html")),
    Answer("a failure around a success", wrapped(status="FAILURE", fail_reason="x", data=DONE)),
    Answer(
        "a success with its URL as the reason of a failure",
        wrapped(status="SUCCESS", fail_reason=DONE["output"][0], data=None),
    ),
    Answer(
        "a failure with a number as reason",
        wrapped(status="FAILURE", fail_reason=7, data=None),
        OutcomeKind.FAILED,
        errors.PredictionFailedError,
        "7",
    ),
]
