import contextlib
import datetime
import json
import math
import time
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cometflux.errors import (
    AnswerError,
    AuthenticationError,
    CometfluxError,
    ConfigError,
    ConnectError,
    CreditError,
    InputError,
    ModelNotFoundError,
    Money,
    OutputError,
    PatienceError,
    RateLimitError,
    RejectedError,
    SessionClosedError,
    UnknownSubmissionError,
)
from cometflux.jobs import Job
from cometflux.pacing.retry import may_retry
from cometflux.predictions import Status
from cometflux.protocol import rate_headers, requests
from cometflux.protocol.rate_headers import read_allowance, read_retry_after
from cometflux.protocol.requests import Request, Response
from cometflux.protocol.responses import read_created, read_prediction, stops_submission

NOW = 1_790_000_000.0
JSON = {"content-type": "application/json; charset=utf-8"}
PROBLEM = {"content-type": "application/problem+json"}
HTML = {"content-type": "text/html; charset=utf-8"}
PAGE = b"<!doctype html><html><title>CometAPI</title></html>"
PREDICTION = {"id": "p1", "status": "starting"}


def answer(status, body=b"", headers=None, cut=None):
    if not isinstance(body, bytes):
        body, headers = json.dumps(body).encode(), JSON if headers is None else headers
    return Response(status=status, headers=headers or {}, body=body, cut=cut)


def gateway(message, code="", **more):
    """Word a refusal as the gateway does."""
    return {"error": {"message": message, "type": "comet_api_error", "param": "", "code": code, **more}}


def refusal_of(response, now=NOW):
    """Return the error of a submission with this response."""
    with pytest.raises(CometfluxError) as caught:
        read_created(response, now)
    return caught.value


def trouble_of(response, asked="p1"):
    """Return the error of a poll with this response."""
    with pytest.raises(CometfluxError) as caught:
        read_prediction(response, asked, NOW)
    return caught.value


# Requests.


def test_a_job_is_posted_to_its_models_route():
    request = requests.create_request(Job(model="a/b-1.0", input={"prompt": "für"}))
    body = '{"input": {"prompt": "für"}}'.encode()
    assert Request("POST", "/models/a/b-1.0/predictions", body, echo=3 * len(body)) == request


@pytest.mark.parametrize(
    "prediction_id", ["p1", "a" * 256, "0abc", "task_9", "a.b~c:d-e", "vgcm4plb7tgzlyznry5d5jkgvu"]
)
def test_a_prediction_is_asked_after_by_its_id(prediction_id):
    assert Request("GET", f"/predictions/{prediction_id}") == requests.get_request(prediction_id)
    assert Request("POST", f"/predictions/{prediction_id}/cancel") == requests.cancel_request(prediction_id)


BAD_IDS = [
    *("", ".", "..", "../models", "a/b", "/a", "a?b", "?", "a#b", "a%2fb", "%2e%2e", "a b", " a", "a ", "a\n", "\na"),
    *("a\r\nHost: b", "a\\b", "a\0", "ä", "\u0661", "a\ud800", "-a", ":a", "a" * 257, None, 5, b"p1", ["p1"]),
]


@pytest.mark.parametrize("build", [requests.get_request, requests.cancel_request])
@pytest.mark.parametrize("prediction_id", BAD_IDS, ids=lambda value: repr(value)[:20])
def test_an_id_that_would_leave_its_route_is_refused(build, prediction_id):
    with pytest.raises(InputError) as caught:
        build(prediction_id)
    assert "prediction id" == caught.value.field


@given(st.text(st.characters(codec=None)))
def test_any_id_is_one_plain_component_or_refused(prediction_id):
    with contextlib.suppress(InputError):
        start, middle, end = requests.get_request(prediction_id).path.rpartition("/")
        assert ("/predictions", "/", prediction_id) == (start, middle, end)
        assert prediction_id.isascii()
        assert not set(prediction_id) & set("/?#%\\ \r\n")


# Submissions that were accepted: an id is proof of a bill, whatever the status says.


@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 302, 400, 401, 404, 408, 422, 429, 499, 500, 502, 503, 504, 524]
)
@pytest.mark.parametrize("cut", [None, "the connection was lost"], ids=["whole", "cut"])
@pytest.mark.parametrize("headers", [JSON, HTML, {}], ids=["json", "html", "untyped"])
def test_an_id_means_that_it_was_accepted(status, cut, headers):
    created = read_created(answer(status, PREDICTION, headers, cut), NOW)
    assert ("p1", Status.STARTING) == (created.id, created.status)


def test_an_id_next_to_an_error_still_counts():
    assert "p1" == read_created(answer(500, {**gateway("timeout", "invalid_request"), "id": "p1"}), NOW).id


@pytest.mark.parametrize("odd", ["../models", "a/b", "p 1", "a\n", "-", "x" * 300, "é"], ids=lambda odd: repr(odd)[:20])
def test_an_id_that_cannot_be_polled_does_not_prove_a_refusal(odd):
    error = refusal_of(answer(201, {"id": odd, "status": "starting"}))
    assert type(error) is UnknownSubmissionError
    assert error.money is Money.UNKNOWN
    assert f"HTTP 201, id {odd[:80]!r}" == error.evidence


# Submissions that were refused.

REFUSALS = {
    "gateway": (
        gateway("no luck (request id: 2026abc)", "some_code"),
        JSON,
        "no luck (request id: 2026abc)",
        "some_code",
    ),
    "gateway without a code": (gateway("no luck"), JSON, "no luck", None),
    "task": ({"code": "some_code", "message": "no luck", "data": None}, JSON, "no luck", "some_code"),
    "problem": ({"title": "Bad", "detail": "no luck", "status": 400}, PROBLEM, "no luck", None),
    "problem without a title": ({"detail": "no luck", "status": 400}, PROBLEM, "no luck", None),
    "problem without a detail": ({"title": "Bad", "status": 400}, PROBLEM, "Bad", None),
    "list of details": (
        {"detail": [{"loc": ["body"], "msg": "no luck"}]},
        JSON,
        '[{"loc":["body"],"msg":"no luck"}]',
        None,
    ),
    "error as a text": ({"error": "no luck"}, JSON, "no luck", None),
    "code that is a number": ({"error": {"message": "no luck", "code": 5}}, JSON, "no luck", None),
    "empty": (b"", {}, None, None),
}
KINDS = {
    400: RejectedError,
    401: AuthenticationError,
    402: CreditError,
    403: AuthenticationError,
    404: ModelNotFoundError,
    405: RejectedError,
    413: RejectedError,
    415: RejectedError,
    422: RejectedError,
    429: RateLimitError,
}


@pytest.mark.parametrize("form", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(("status", "kind"), KINDS.items())
def test_a_refusal_is_read_in_every_form(status, kind, form):
    body, headers, detail, code = form
    error = refusal_of(answer(status, body, headers))
    assert type(error) is kind
    assert Money.REJECTED is error.money
    assert (status, code, detail, False) == (error.status, error.code, error.detail, error.is_foreign)
    reason = detail or "no reason was given"
    assert f"the service rejected the request with HTTP {status}: {reason}; nothing is billed" == str(error)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 422, 500, 503])
def test_a_missing_model_is_recognized_by_its_code(status):
    words = "no available channel for group default and model X (distributor) (request id: 2026abc)"
    error = refusal_of(answer(status, gateway(words, "model_not_found")))
    assert (ModelNotFoundError, Money.REJECTED, "model_not_found") == (type(error), error.money, error.code)
    assert "2026abc" == error.request_id


@pytest.mark.parametrize("status", KINDS)
def test_an_empty_account_is_recognized_by_its_code(status):
    error = refusal_of(answer(status, gateway("user quota is not enough", "insufficient_user_quota")))
    assert (CreditError, Money.REJECTED) == (type(error), error.money)


@pytest.mark.parametrize("status", [200, 500, 502, 503])
@pytest.mark.parametrize(
    "body",
    [gateway("prompt is required", "invalid_request"), {"code": "invalid_request", "message": "prompt is required"}],
    ids=["nested", "flat"],
)
def test_a_plain_refusal_that_comes_as_another_status_is_a_refusal(status, body):
    error = refusal_of(answer(status, body))
    assert (RejectedError, Money.REJECTED) == (type(error), error.money)
    assert (status, "invalid_request", "prompt is required") == (error.status, error.code, error.detail)


PROOFS = {
    "the service's words": (gateway("no luck"), {*range(400, 500)} - {408, 499}),
    "a plain refusal by its code": (gateway("no", "invalid_request"), {*range(200, 300), *range(400, 600)}),
    "nothing": (b"", {400, 401, 402, 403, 404, 405, 413, 415, 422, 429}),
    "a page": (PAGE, {413, 429}),
    "a text": (b"no luck", {413, 429}),
    "bytes": (b"\xff\xfe", {413, 429}),
    "null": (None, {413, 429}),
    "a list": (["no luck"], {413, 429}),
    "an object without a reason": ({"status": "starting"}, {413, 429}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("body", "proving"), PROOFS.values(), ids=PROOFS)
def test_a_response_proves_a_refusal_by_its_status_and_its_body(body, proving):
    """All statuses that HTTP has, and more: what proves no refusal is unknown."""
    moneys = {status: refusal_of(answer(status, body)).money for status in range(100, 1000)}
    assert {*moneys.values()} <= {Money.REJECTED, Money.UNKNOWN}
    assert proving == {status for status, money in moneys.items() if money is Money.REJECTED}


TORN = {
    "nothing": (b"", {400, 401, 402, 403, 404, 405, 413, 415, 422, 429}),
    "the service's words, and no end": (
        b'{"error": {"message": "no luck", "type": "comet',
        {400, 401, 402, 403, 404, 405, 413, 415, 422, 429},
    ),
    "half a word": (b'{"error": {"message": "no lu', {413, 429}),
    "half a page": (PAGE[:20], {413, 429}),
    "half a prediction": (b'{"status": "starting", "id": "p', {413, 429}),
    "a bracket": (b"{", {413, 429}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("body", "proving"), TORN.values(), ids=TORN)
def test_a_refusal_that_broke_off_proves_as_much_as_one_without_a_word(body, proving):
    moneys = {status: refusal_of(answer(status, body, cut="it broke off")).money for status in range(100, 1000)}
    assert proving == {status for status, money in moneys.items() if money is Money.REJECTED}


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
@pytest.mark.parametrize("body", [b"", PAGE], ids=["empty", "page"])
def test_a_redirect_proves_nothing_and_comes_from_somebody_else(status, body):
    error = refusal_of(answer(status, body, {"location": "https://example.com/", **HTML}))
    assert (UnknownSubmissionError, True) == (type(error), error.is_foreign)
    assert f"HTTP {status}, text/html, a redirect; is the base URL right?" == error.evidence


@pytest.mark.parametrize(
    ("target", "prediction_id"),
    [
        ("/predictions/p1", "p1"),
        ("p1", None),
        ("https://api.example.com/replicate/v1/predictions/p1", "p1"),
        ("https://api.example.com/v1/predictions/p1/?x=1#y", "p1"),
        ("/models/predictions/p1/predictions", None),
        ("/models/a/b/predictions", None),
        ("/models/a/b/predictions/", None),
        ("/predictions/p1/cancel", None),
        ("/login?next=/predictions/p1", None),
        ("/predictions/..", None),
        ("/predictions/a%2fb", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 303, 307, 400, 500])
def test_the_location_of_a_response_may_name_its_prediction(status, target, prediction_id):
    """It is a hint: a query has to confirm it, so the submission counts as unknown."""
    error = refusal_of(answer(status, b"", {"location": target}))
    assert prediction_id == getattr(error, "prediction_id", None)
    if prediction_id is not None:
        assert (Money.UNKNOWN, False) == (error.money, error.is_foreign)


@pytest.mark.parametrize(
    ("body", "headers", "request_id"),
    [
        (gateway("no luck (request id: 2026-abc_1.x)"), {}, "2026-abc_1.x"),
        (gateway("no luck (Request ID 77)"), {}, "77"),
        (gateway("no luck"), {"x-request-id": "r-5"}, "r-5"),
        (gateway("no luck"), {"x-cometapi-request-id": "c-6"}, "c-6"),
        (gateway("no luck"), {"x-request-id": "r-5", "x-cometapi-request-id": "c-6"}, "c-6"),
        (gateway("no luck"), {"x-request-id": "r-5", "x-cometapi-request-id": ""}, "r-5"),
        (gateway("no luck (request id: abc)"), {"x-request-id": "r-5"}, "abc"),
        (gateway("no luck"), {}, None),
    ],
    ids=[
        *("in the text", "in other words", "in the header", "in the service's own header", "in two headers"),
        *("in a blank header", "in both", "nowhere"),
    ],
)
@pytest.mark.parametrize("status", [400, 502], ids=["refused", "unknown"])
def test_what_to_quote_to_the_support_is_found_and_shown_once(status, body, headers, request_id):
    error = refusal_of(answer(status, body, {**JSON, **headers}))
    assert request_id == error.request_id
    assert request_id is None or 1 == str(error).count(request_id)


def test_a_request_id_that_is_no_id_is_not_in_the_message():
    error = refusal_of(answer(502, b"", {"x-cometapi-request-id": "two\x1b[2J words"}))
    assert "words" not in str(error)


# Submissions whose fate nothing proves.


@pytest.mark.slow
@pytest.mark.parametrize("status", [408, 499, 500, 501, 502, 503, 504, 520, 522, 524, 529, 200, 201, 202])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"error code: 524", {"content-type": "text/plain"}),
        (PAGE, HTML),
        (b'{"id": "p', JSON),
        (json.dumps(gateway("upstream timed out")).encode(), JSON),
        (json.dumps(gateway("upstream timed out", "do_request_failed")).encode(), JSON),
        (b'{"status": "starting"}', JSON),
        (b'{"id": null}', JSON),
        (b'{"id": 5}', JSON),
        (b"null", JSON),
        (b"\xff", {}),
    ],
    ids=["empty", "text", "page", "torn", "no code", "other code", "no id", "null id", "number", "null", "bytes"],
)
def test_without_an_id_or_a_refusal_nothing_is_known(status, body, headers):
    error = refusal_of(answer(status, body, headers))
    assert (UnknownSubmissionError, Money.UNKNOWN) == (type(error), error.money)
    assert error.evidence.startswith(f"HTTP {status}")
    assert error.evidence in str(error)


def test_the_evidence_has_the_type_and_how_the_response_broke_off():
    error = refusal_of(answer(201, b'{"id": "p', JSON, "the connection was lost"))
    assert "HTTP 201, application/json, the connection was lost" == error.evidence


def test_the_services_own_words_are_passed_on():
    assert "upstream timed out" in str(refusal_of(answer(504, gateway("upstream timed out"))))


# Who answered.


@pytest.mark.parametrize(
    ("status", "is_foreign"),
    [
        (200, True),
        (201, True),
        (301, True),
        (302, True),
        (404, True),
        (403, True),
        (429, False),
        (500, False),
        (502, False),
        (503, False),
        (524, False),
    ],
)
@pytest.mark.parametrize(
    ("body", "headers"),
    [(PAGE, HTML), (PAGE, {}), (b"\r\n " + PAGE, {"content-type": "application/octet-stream"}), (b"", HTML)],
    ids=["page", "untyped page", "mistyped page", "empty page"],
)
def test_a_web_page_instead_of_the_api_is_foreign(status, is_foreign, body, headers):
    assert is_foreign is refusal_of(answer(status, body, headers)).is_foreign


def test_a_page_of_a_busy_proxy_is_a_rate_limit_and_proves_no_wrong_address():
    error = refusal_of(answer(429, PAGE, {**HTML, "retry-after": "7"}))
    assert (RateLimitError, 7.0, False) == (type(error), error.retry_after, error.is_foreign)
    assert "a web page, not the API" in str(error)


def test_a_plain_404_is_the_apis_own():
    assert not refusal_of(answer(404, {"detail": "not found", "status": 404})).is_foreign


# Anything at all.

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FAULT_FIELDS = ["error", "message", "detail", "title", "code", "status", "retry_after", "data", "type", "request_id"]
fault_fields = st.sampled_from(FAULT_FIELDS)
faults = st.dictionaries(fault_fields, anything | st.dictionaries(fault_fields, anything, max_size=4), max_size=5)
bodies = st.binary() | faults.map(lambda fault: json.dumps(fault).encode())
header_texts = st.text(max_size=30) | st.sampled_from(["text/html", "application/json", "5", "-1"])
headers = st.dictionaries(st.sampled_from(["content-type", "retry-after", "x-request-id"]), header_texts)


responses = st.builds(answer, st.integers(200, 599), bodies, headers, st.none() | st.just("cut"))


def end_of(read, *args):
    """Return the prediction, or the error; any error must be one of this package."""
    try:
        return read(*args)
    except CometfluxError as error:
        return error


@pytest.mark.slow
@given(responses)
def test_any_answer_to_a_submission_is_an_id_a_refusal_or_unknown(response):
    end = end_of(read_created, response, NOW)
    if isinstance(end, RejectedError):
        assert Money.REJECTED is end.money
        assert 300 <= response.status < 500 or end.code in {"invalid_request", "model_not_found"}
    elif isinstance(end, CometfluxError):
        assert (UnknownSubmissionError, Money.UNKNOWN) == (type(end), end.money)
        assert str(response.status) in end.evidence
    else:
        assert end.id


@pytest.mark.slow
@given(responses)
def test_any_response_to_a_poll_is_a_prediction_or_an_error_that_says_accepted(response):
    end = end_of(read_prediction, response, "p1", NOW)
    if isinstance(end, CometfluxError):
        assert isinstance(end, RejectedError | AnswerError)
        assert Money.ACCEPTED is end.money
    else:
        assert ("p1", True) == (end.id, 200 <= response.status < 300)


@pytest.mark.parametrize("detail", [r'["\ud800"]', r'"\ud800"', r'{"a": "\udfff"}'])
@pytest.mark.parametrize("status", [422, 429, 500, 503])
def test_half_a_character_in_a_refusal_does_not_break_reading(status, detail):
    error = refusal_of(answer(status, f'{{"detail": {detail}}}'.encode(), PROBLEM))
    assert str(error).encode()


# Answers to questions.


@pytest.mark.parametrize("status", [200, 201, 202])
def test_the_response_to_a_poll_is_a_prediction(status):
    prediction = read_prediction(answer(status, {"id": "p1", "status": "processing"}), "p1", NOW)
    assert ("p1", Status.PROCESSING) == (prediction.id, prediction.status)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((301, RejectedError), (400, RejectedError), (401, AuthenticationError), (402, CreditError)),
        *((403, AuthenticationError), (404, RejectedError), (408, RejectedError), (429, RateLimitError)),
        *((500, RejectedError), (502, RejectedError), (503, RejectedError), (504, RejectedError), (524, RejectedError)),
    ],
)
@pytest.mark.parametrize("body", [PAGE, b"", {"detail": "no luck"}, PREDICTION], ids=["page", "empty", "json", "id"])
def test_a_refused_poll_does_not_change_the_money(status, kind, body):
    error = trouble_of(answer(status, body, HTML if body == PAGE else None))
    assert type(error) is kind
    assert (Money.ACCEPTED, "p1", status) == (error.money, error.prediction_id, error.status)
    assert str(error).endswith("; the prediction is paid for (id p1)")


def test_an_id_the_service_does_not_know_yet_is_not_a_missing_model():
    assert type(trouble_of(answer(404, gateway("no such task", "model_not_found")))) is RejectedError


def test_a_refused_poll_says_how_long_to_wait():
    body = {"detail": "Request was throttled.", "status": 429, "retry_after": 5}
    assert 5.0 == trouble_of(answer(429, body)).retry_after


@pytest.mark.parametrize("body", [PREDICTION, b'{"id": "p', b""], ids=["whole", "torn", "empty"])
def test_an_answer_that_broke_off_is_asked_for_again(body):
    error = trouble_of(answer(200, body, JSON, "the connection was lost"))
    assert (AnswerError, "p1", Money.ACCEPTED) == (type(error), error.prediction_id, error.money)
    assert "the response broke off: the connection was lost" in str(error)


@pytest.mark.parametrize(
    "body",
    [PAGE, b"", b"{}", b"null", {"id": "p2", "status": "starting"}],
    ids=["page", "empty", "{}", "null", "other"],
)
def test_an_unreadable_response_does_not_end_a_prediction(body):
    assert (AnswerError, Money.ACCEPTED) == (type(error := trouble_of(answer(200, body))), error.money)


# How long to wait.


def date(seconds):
    return formatdate(NOW + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("005", 5.0),
        ("300", 300.0),
        ("301", 300.0),
        ("1999", 300.0),
        ("1000000000", 300.0),
        ("9" * 5000, 300.0),
        (date(5), 5.0),
        (date(299), 299.0),
        (date(86400), 300.0),
        (date(-5), 0.0),
        ("Mon, 01 Jan 1999 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        ("-1", None),
        ("+5", None),
        ("1.5", None),
        ("5s", None),
        ("1e3", None),
        ("", None),
        (" ", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("\u0665", None),
        ("\u00b2", None),
        ("\uff15", None),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 01 Jan 2027 00:00:00 +9999999999", None),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_the_header_names_seconds_or_a_date(header, wait):
    assert wait == read_retry_after({"retry-after": header}, None, None, NOW)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of the process cannot be changed")
@pytest.mark.parametrize(
    "text",
    ["Thu Jan  1 00:01:00 1970", "Thu, 01 Jan 1970 00:01:00 -0000", "Thu, 01 Jan 1970 00:01:00 GMT"],
    ids=["asctime", "no zone", "GMT"],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_a_date_is_in_utc_wherever_we_are(zone, text, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert 60.0 == read_retry_after({"retry-after": text}, None, None, 0.0)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_date_in_another_zone_is_the_same_moment():
    zone = datetime.timezone(datetime.timedelta(hours=-5))
    text = format_datetime(datetime.datetime.fromtimestamp(NOW + 60, zone))
    assert 60.0 == read_retry_after({"retry-after": text}, None, None, NOW)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (5, 5.0),
        (0, 0.0),
        (0.25, 0.25),
        (-1, 0.0),
        (-math.inf, None),
        (301, 300.0),
        (10**9, 300.0),
        (10**400, 300.0),
        (-(10**400), 0.0),
        (1e308, 300.0),
        (math.inf, None),
        (math.nan, None),
        (True, None),
        (False, None),
        (None, None),
        ("5", None),
        ([5], None),
        ({}, None),
    ],
    ids=lambda value: repr(value)[:16],
)
def test_the_body_names_seconds(value, wait):
    assert wait == refusal_of(answer(429, {"detail": "slow down", "retry_after": value})).retry_after


@pytest.mark.parametrize(
    ("detail", "wait"),
    [
        ("Request was throttled. Your rate limit for creating predictions resets in ~5s.", 5.0),
        ("Request was throttled. Expected available in 1 second.", 1.0),
        ("Request was throttled. Expected available in 12 seconds.", 12.0),
        ("your rate limit resets in 30s", 30.0),
        ("it resets in ~1.5s", 1.5),
        ("RESETS IN ~7S", 7.0),
        ("resets in ~999999999s", 300.0),
        ("resets in ~\u0665s", None),
        ("resets in 5 minutes", None),
        ("resets in ~s", None),
        ("resets soon", None),
        ("wait 5s", None),
    ],
)
@pytest.mark.parametrize("word", [lambda text: {"detail": text}, gateway], ids=["problem", "gateway"])
def test_the_text_alone_may_name_the_wait(word, detail, wait):
    assert wait == refusal_of(answer(429, word(detail))).retry_after


def test_the_header_wins_over_the_body_and_the_body_over_the_text():
    body = {"detail": "resets in ~3s", "retry_after": 2}
    assert 1.0 == refusal_of(answer(429, body, {"retry-after": "1"})).retry_after
    assert 2.0 == refusal_of(answer(429, body, {"retry-after": "soon"})).retry_after
    assert 3.0 == refusal_of(answer(429, {**body, "retry_after": "2"})).retry_after
    assert 0.0 == refusal_of(answer(429, body, {"retry-after": "0"})).retry_after


def test_a_refusal_that_names_no_wait_says_so():
    assert refusal_of(answer(429, gateway("too many requests"))).retry_after is None


def test_a_429_that_names_no_time_is_waited_out_until_the_reset():
    headers = {"ratelimit-remaining": "0", "ratelimit-reset": "7"}
    assert 7.0 == refusal_of(answer(429, gateway("slow down"), headers)).retry_after
    assert 2.0 == refusal_of(answer(429, gateway("slow down"), {**headers, "retry-after": "2"})).retry_after
    assert refusal_of(answer(429, gateway("slow down"), {**headers, "ratelimit-remaining": "5"})).retry_after is None


@pytest.mark.parametrize(
    ("remaining", "reset", "allowance"),
    [
        ("599", "1", (599.0, 1.0)),
        (" 0 ", "300", (0.0, 300.0)),
        ("0", "1000000000", (0.0, 300.0)),
        ("9" * 5000, "9" * 5000, (999999999999.0, 300.0)),
        *((bad, "1", None) for bad in ("", "-1", "1.5", "1e3", "nan", "\u0661", "none", "1, 2")),
        *(("1", bad, None) for bad in ("", "-1", "1.5", "nan", "\u0661", "soon")),
    ],
)
def test_the_number_of_remaining_requests_is_read_if_it_is_in_digits(remaining, reset, allowance):
    assert allowance == read_allowance({"ratelimit-remaining": remaining, "ratelimit-reset": reset})


def test_most_responses_do_not_say_how_many_requests_remain():
    assert read_allowance({}) is None
    assert read_allowance({"ratelimit-remaining": "5"}) is None


dates = st.datetimes().map(lambda moment: format_datetime(moment.replace(tzinfo=None)).replace("-0000", "GMT"))


@pytest.mark.slow
@given(st.text(max_size=40) | dates, st.none() | st.floats(0, 300), st.none() | st.text(), st.floats(0, 1e10))
@example("Thu, 01 Jan 0001 00:00:00 +2359", None, None, NOW)
@example("Thu, 01 Jan 1970 00:00:00 -0000", None, None, NOW)
@example("1 1 1 1:1:1 1 1", None, None, NOW)
def test_any_wait_is_within_bounds(header, from_body, detail, now):
    wait = read_retry_after({"retry-after": header}, from_body, detail, now)
    assert wait is None or 0.0 <= wait <= 300.0


# What may be repeated.

POST, GET = Request("POST", "/models/a/b/predictions", b"{}"), Request("GET", "/predictions/p1")


@pytest.mark.parametrize(
    ("error", "post", "get"),
    [
        (RateLimitError("slow down", 429), True, True),
        (ConnectError("no route to host"), True, True),
        (ConnectError("no route to host", money=Money.UNKNOWN), False, True),
        (ConnectError("no route to host", money=Money.ACCEPTED), False, True),
        (UnknownSubmissionError("the connection broke"), False, False),
        (AnswerError("not JSON"), False, True),
        (RejectedError("no luck", 400), False, False),
        (RejectedError("no luck", 404), False, False),
        (RejectedError("no luck", 422), False, False),
        (RejectedError("no luck", 408), False, True),
        (RejectedError("no luck", 425), False, True),
        (RejectedError("no luck", 500), False, True),
        (RejectedError("no luck", 503), False, True),
        (RejectedError("no luck", 524), False, True),
        (RejectedError("no luck", 301), False, False),
        (RejectedError("no luck"), False, False),
        (AuthenticationError("no key", 401), False, False),
        (CreditError("no credit", 402), False, False),
        (ModelNotFoundError("no model", 404), False, False),
        (OutputError("no image", is_transient=True), False, True),
        (OutputError("no image"), False, False),
        (ConfigError("no key"), False, False),
        (InputError("seed", -1, "less"), False, False),
        (PatienceError("not over"), False, False),
        (SessionClosedError("closed"), False, False),
        (CometfluxError("given up"), False, False),
    ],
    ids=repr,
)
def test_only_requests_without_risk_are_retried(error, post, get):
    assert post is may_retry(POST, error)
    assert get is may_retry(GET, error)


def test_a_cancel_is_repeated_no_more_than_a_submission():
    assert not may_retry(requests.cancel_request("p1"), AnswerError("not JSON"))


@pytest.mark.slow
@given(responses)
def test_no_answer_but_429_is_ever_repeated(response):
    end = end_of(read_created, response, NOW)
    if isinstance(end, CometfluxError):
        assert (type(end) is RateLimitError) is may_retry(POST, end)
        assert type(end) is not RateLimitError or 429 == response.status


@pytest.mark.parametrize(
    ("response", "stops"),
    [
        (answer(401, gateway("bad key")), True),
        (answer(403, gateway("forbidden")), True),
        (answer(402, {"title": "Insufficient credit", "status": 402}), True),
        (answer(301), True),
        (answer(308), True),
        (answer(200, PAGE, HTML), True),
        (answer(404, PAGE, HTML), True),
        (answer(404, {"detail": "no such model"}), False),
        (answer(400, gateway("bad input")), False),
        (answer(422, {"detail": "bad input"}), False),
        (answer(429, PAGE, HTML), False),
        (answer(429, gateway("slow down")), False),
        (answer(500, gateway("prompt is required", "invalid_request")), False),
        (answer(503, gateway("no channel", "model_not_found")), False),
        (answer(502, PAGE, HTML), False),
        (answer(524, b""), False),
        (answer(200, b""), False),
    ],
    ids=lambda value: f"{value.status}-{value.body[:24]!r}" if isinstance(value, Response) else str(value),
)
def test_only_a_refusal_of_every_submission_stops_submission(response, stops):
    assert stops is stops_submission(refusal_of(response))


def test_a_fault_of_the_network_stops_nothing_by_itself():
    assert not stops_submission(ConnectError("no route to host"))
    assert not stops_submission(UnknownSubmissionError("the connection broke"))


@pytest.mark.parametrize("headers", [{"ratelimit-remaining": 5, "ratelimit-reset": 1}, {"ratelimit-remaining": "5"}])
def test_an_allowance_that_cannot_be_read_costs_no_answer(headers):
    assert rate_headers.read_allowance(headers) is None
