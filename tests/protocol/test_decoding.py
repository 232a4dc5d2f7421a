import base64
import contextlib
import datetime
import hashlib
import io
import json
import sys
from datetime import UTC
from pathlib import Path

import attrs
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from cometflux.errors import AnswerError, AuthenticationError, InputError, Money, PredictionFailedError
from cometflux.images.data_uris import LARGEST_IMAGE_INPUT, read_data_uri
from cometflux.images.formats import media_type
from cometflux.images.summaries import describe_input
from cometflux.jobs import Job
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.protocol.decoding import find_id, load_created, load_json, load_prediction, to_plain
from cometflux.protocol.encoding import dump_body, dump_canonical, dump_line, dump_readable
from cometflux.protocol.requests import Response
from cometflux.protocol.responses import read_created, read_prediction
from cometflux.protocol.salvage import load_torn

RECORDED = Path(__file__).parents[3] / "shared/api/recorded"
MODEL = "somebody/something"
URL = "https://replicate.delivery/xezq/a/out-0.webp"
FLAT = {
    "id": "p1",
    "model": "black-forest-labs/flux-schnell",
    "version": "hidden",
    "input": {"prompt": "a boat"},
    "output": [URL],
    "error": None,
    "logs": "Using seed: 7",
    "metrics": {"predict_time": 0.53},
    "data_removed": False,
    "status": "succeeded",
    "created_at": "2026-03-16T10:18:07.51Z",
    "started_at": "2026-03-16T10:18:07.52Z",
    "completed_at": "2026-03-16T10:18:08.05Z",
    "urls": {"get": "https://api.replicate.com/v1/predictions/p1"},
}


def body_of(value):
    return json.dumps(value).encode()


def flat(**changes):
    return {**FLAT, **changes}


def wrapped(inner, **changes):
    """Wrap a flat answer as the gateway does."""
    task = {
        "id": 4711,
        "created_at": 1763000000,
        "task_id": "p1",
        "platform": "replicate",
        "action": "generate",
        "status": "SUCCESS",
        "fail_reason": "",
        "submit_time": 1763000000,
        "progress": "100%",
        "data": inner,
    }
    return {"code": "success", "message": "", "data": {**task, **changes}}


def load(value, asked="p1"):
    return load_prediction(body_of(value), asked)


def refusal_of(value, asked="p1"):
    with pytest.raises(AnswerError) as caught:
        load(value, asked)
    return str(caught.value)


# Reading is total.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
ids = st.sampled_from(["p1", "p2", "", 5, None, ["p1"]])
fields = st.sampled_from([*FLAT, "data", "task_id", "progress", "fail_reason", "result_url", "code", "message"])
words = st.sampled_from(["succeeded", "SUCCESS", "FAILURE", "failed", "processing", "no such word", ""])
answers = st.recursive(
    st.dictionaries(fields, json_values | words | ids, max_size=8),
    lambda inner: st.builds(lambda outer, data: {**outer, "data": data}, inner, inner | st.none()),
    max_leaves=3,
)


# JSON may escape half of a pair of surrogates, as where a text was cut; UTF-8 cannot carry that on.
broken_texts = st.text(st.characters(codec=None), max_size=8)
broken_values = st.recursive(
    json_values | broken_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(broken_texts, inner, max_size=3),
)


def load_any_way(body):
    """Read a body in every way; nothing but an AnswerError may come out."""
    for read in (load_json, lambda body: load_prediction(body, "p1")):
        with contextlib.suppress(AnswerError):
            read(body)
    created = load_created(body)
    assert created is None or isinstance(created, Prediction)


@pytest.mark.parametrize("levels", [40, 200, 450, 700, 900])
@pytest.mark.parametrize("field", ["logs", "metrics", "input", "data", "unheard_of"])
@pytest.mark.parametrize("kind", ["lists", "objects"])
def test_a_response_is_read_however_deep_a_field_is_nested(field, kind, levels):
    opening, closing = {"lists": ("[", "]"), "objects": ('{"a":', "}")}[kind]
    deep = f'"{field}": {opening * levels}1{closing * levels}'
    body = f'{{"id": "p1", "status": "succeeded", "output": ["{URL}"], {deep}}}'.encode()
    assert "p1" == load_created(body).id
    prediction = load_prediction(body, "p1")
    assert (Status.SUCCEEDED, (URL,)) == (prediction.status, prediction.output)
    assert json.loads(dump_line(to_plain(prediction)))


@given(st.binary())
@example(b"")
@example(b"\xff")
@example(b"\xef\xbb\xbf")
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"9" * 5000)
@example(b'{"id": "p1", "status": "failed", "metrics": {"n": ' + b"9" * 5000 + b"}}")
@example(b"<!doctype html><title>502</title>")
@example(b'{"id": "p1", "status": "succ')
def test_any_bytes_become_a_value_or_an_answer_error(body):
    load_any_way(body)


@pytest.mark.slow
@given(json_values | answers)
def test_any_json_becomes_a_value_or_an_answer_error(value):
    load_any_way(body_of(value))


@pytest.mark.slow
@given(st.dictionaries(fields | broken_texts, broken_values | words | ids, max_size=8))
@example({"id": "p1", "status": "failed", "error": {"a": "\ud800"}})
@example({"id": "p1", "status": "failed", "error": ["\ud83d cut"]})
def test_half_a_character_does_not_lose_a_response(value):
    load_any_way(body_of(value))
    created = load_created(body_of({**value, "id": "p1", "data": None}))
    assert "p1" == created.id
    assert dump_readable(created).encode()


def test_an_id_is_found_next_to_any_depth_of_nesting():
    # At some depth reading just works and writing the same no more.
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
        body = b'{"id": "p1", "status": "failed", "error": %s}' % (b"[" * depth + b"]" * depth)
        load_any_way(body)


@pytest.mark.slow
@given(answers)
def test_a_prediction_is_well_typed(value):
    try:
        prediction = load(value)
    except AnswerError:
        return
    assert "p1" == prediction.id
    assert isinstance(prediction.status, Status)
    assert all(isinstance(url, str) for url in prediction.output)
    assert prediction.error is None or isinstance(prediction.error, str)
    assert prediction.logs is None or isinstance(prediction.logs, str)
    assert prediction.created_at is None or prediction.created_at.tzinfo is not None
    assert "None" not in prediction.output


@pytest.mark.slow
@given(answers)
def test_a_prediction_can_be_written_again(value):
    try:
        prediction = load(value)
    except AnswerError:
        return
    assert dump_line(prediction)
    assert dump_readable(prediction)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        ([], "a list"),
        ([FLAT], "a list"),
        ("p1", "a string"),
        (5, "a number"),
        (0.5, "a number"),
        (True, "a boolean"),
    ],
    ids=repr,
)
def test_a_response_that_is_not_an_object_is_reported(value, kind):
    assert f"the response is {kind}, not an object" in refusal_of(value)
    assert load_created(body_of(value)) is None


def test_an_unreadable_answer_is_shown_in_part():
    with pytest.raises(AnswerError, match=r"the response is not JSON \(it begins with '<html> Bad gateway'\)"):
        load_json(b"<html>\n  Bad gateway")
    with pytest.raises(AnswerError, match=r"it is empty"):
        load_json(b"")
    with pytest.raises(AnswerError) as caught:
        load_json(b"x" * 1_000_000)
    assert len(str(caught.value)) < 200


def test_a_byte_order_mark_is_ignored():
    assert "p1" == load_prediction(b"\xef\xbb\xbf" + body_of(FLAT), "p1").id


def test_of_a_repeated_key_the_last_one_counts():
    assert Status.FAILED is load_prediction(b'{"id":"p1","status":"starting","status":"failed"}', "p1").status


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_figures_that_json_does_not_know_lose_no_id(literal):
    body = f'{{"id": "p1", "status": "starting", "metrics": {{"predict_time": {literal}}}}}'.encode()
    assert ("p1", Status.STARTING) == (load_created(body).id, load_prediction(body, "p1").status)


# The flat shape.


def test_a_flat_answer_is_read_whole():
    assert load(FLAT) == Prediction(
        id="p1",
        status=Status.SUCCEEDED,
        model="black-forest-labs/flux-schnell",
        version="hidden",
        input={"prompt": "a boat"},
        output=(URL,),
        logs="Using seed: 7",
        metrics={"predict_time": 0.53},
        data_removed=False,
        created_at=datetime.datetime(2026, 3, 16, 10, 18, 7, 510000, UTC),
        started_at=datetime.datetime(2026, 3, 16, 10, 18, 7, 520000, UTC),
        completed_at=datetime.datetime(2026, 3, 16, 10, 18, 8, 50000, UTC),
        extra={"urls": {"get": "https://api.replicate.com/v1/predictions/p1"}},
    )


def test_an_id_and_a_status_are_enough():
    assert Prediction(id="p1", status=Status.STARTING) == load({"id": "p1", "status": "starting"})


@pytest.mark.parametrize("data", [None, [], "x"], ids=repr)
def test_a_data_field_that_is_not_an_object_is_not_an_envelope(data):
    assert (URL,) == load(flat(data=data)).output


WORDS = {
    "starting": Status.STARTING,
    "processing": Status.PROCESSING,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
    "aborted": Status.ABORTED,
    "NOT_START": Status.STARTING,
    "SUBMITTED": Status.STARTING,
    "QUEUED": Status.STARTING,
    "IN_PROGRESS": Status.PROCESSING,
    "SUCCESS": Status.SUCCEEDED,
    "FAILURE": Status.FAILED,
    "UNKNOWN": Status.UNRECOGNIZED,
    "completed": Status.SUCCEEDED,
    "error": Status.FAILED,
    "cancelled": Status.CANCELED,
    "warming up": Status.UNRECOGNIZED,
}
SPELLINGS = {"as is": str, "lower": str.lower, "upper": str.upper, "title": str.title, "blanks": " {}\n".format}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(("word", "status"), WORDS.items())
def test_a_status_is_read_in_both_vocabularies_and_any_case(word, status, spell):
    assert status is load(flat(status=spell(word))).status
    assert status is load(wrapped(None, status=spell(word))).status


NO_STATUS = pytest.mark.parametrize("word", [None, "", " ", 5, True, ["succeeded"], {}], ids=repr)


@NO_STATUS
@pytest.mark.parametrize("changes", [{}, {"output": "queued"}, {"id": None, "error": {"code": "busy"}}], ids=repr)
def test_a_response_without_a_status_and_without_an_end_is_an_error(word, changes):
    """An error without a status and without an id is the gateway's, and says nothing of the prediction."""
    assert "the response has no status" in refusal_of(flat(**{"output": None, "status": word, **changes}))


@NO_STATUS
@pytest.mark.parametrize("shape", [lambda inner: inner, lambda inner: wrapped(inner, status=None)])
def test_an_output_or_an_error_needs_no_status(word, shape):
    done, failed = load(shape(flat(status=word))), load(shape(flat(status=word, output=None, error="E005")))
    assert (Status.UNRECOGNIZED, (URL,), None) == (done.status, done.output, done.error)
    assert (Status.UNRECOGNIZED, (), "E005") == (failed.status, failed.output, failed.error)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (URL, (URL,)),
        ([URL, URL], (URL, URL)),
        ([], ()),
        ("", ()),
        (None, ()),
        ("data:image/png;base64,AAAA", ("data:image/png;base64,AAAA",)),
    ],
    ids=["string", "list", "empty list", "empty string", "null", "data URI"],
)
@pytest.mark.parametrize("shape", [lambda inner: inner, wrapped], ids=["flat", "wrapped"])
def test_the_output_is_a_string_a_list_or_nothing(output, expected, shape):
    assert expected == load(shape(flat(output=output))).output


OTHER = "https://replicate.delivery/xezq/a/out-1.webp"
ODD_OUTPUTS = [
    ([URL, None], (URL,)),
    ([None, URL, None, OTHER], (URL, OTHER)),
    ({"url": URL}, (URL,)),
    ([{"url": URL}, {"url": OTHER}], (URL, OTHER)),
    ([[URL], [[OTHER]]], (URL, OTHER)),
    ({"url": [URL]}, (URL,)),
    (f" {URL}\n", (URL,)),
    ([URL, ""], (URL,)),
    ([5, URL], (URL,)),
    ([URL, URL], (URL, URL)),
]
SHAPES = {
    "flat": lambda output, status: flat(output=output, status=status),
    "wrapped": lambda output, status: wrapped(flat(output=output, status=status), status="IN_PROGRESS"),
    "in place of the response": lambda output, status: wrapped(output, status=status),
    "in the envelope": lambda output, status: wrapped(None, status=status, output=output),
}


@pytest.mark.parametrize("status", ["succeeded", "processing", "done"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("output", "expected"), ODD_OUTPUTS, ids=repr)
def test_an_output_is_taken_in_any_shape_that_has_a_url(output, expected, shape, status):
    assert expected == load(shape(output, status)).output


def test_of_an_output_in_named_parts_each_url_is_taken():
    assert (URL, OTHER) == load(flat(output={"image": URL, "seed": 7, "mask": [OTHER]})).output


UNREADABLE = [5, True, [None], [], [5], [{}], {"seed": 7}, "", " ", [[]], {"url": None}]


@pytest.mark.parametrize("output", UNREADABLE, ids=repr)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_output_without_a_url_is_none(output, shape):
    assert (Status.SUCCEEDED, ()) == (load(shape(output, "succeeded")).status, load(shape(output, "succeeded")).output)


def test_an_output_that_cannot_be_read_is_kept_raw():
    assert [5, None] == load(flat(output=[5, None])).extra["output"]


@pytest.mark.parametrize("output", ["queued", ["30%"], {"url": "soon"}], ids=repr)
def test_a_word_is_an_output_only_after_the_end(output):
    assert () == load(flat(output=output, status="processing")).output


def test_after_the_end_a_text_that_is_not_a_url_is_kept_for_its_error():
    assert ("out-0.png",) == load(flat(output="out-0.png")).output


@pytest.mark.parametrize("data", [URL, [URL], [{"url": URL}], {"url": URL}], ids=repr)
def test_a_success_may_have_its_url_in_data(data):
    assert (URL,) == load({"id": "p1", "status": "succeeded", "data": data}).output


@pytest.mark.parametrize("data", [flat(), {"output": URL}, URL, None], ids=["all", "output", "URL", "nothing"])
def test_an_envelope_may_stand_alone(data):
    prediction = load({"code": "success", "task_id": "p1", "status": "SUCCESS", "data": data, "result_url": URL})
    assert ("p1", Status.SUCCEEDED, (URL,)) == (prediction.id, prediction.status, prediction.output)


def test_output_while_processing_is_not_the_end():
    prediction = load(flat(status="processing"))
    assert (False, (URL,)) == (prediction.status.is_terminal, prediction.output)


def test_a_success_whose_data_is_removed_is_expired():
    assert load(flat(output=None, data_removed=True, input={}, logs=None)).is_expired


TEXTS = ["model", "version", "logs"]
MAPPINGS = ["input", "metrics"]
TIMES = ["created_at", "started_at", "completed_at"]


@pytest.mark.parametrize("name", [*TEXTS, *MAPPINGS, *TIMES, "data_removed", "error"])
def test_null_is_left_out_and_never_a_text(name):
    left_out = {other: value for other, value in FLAT.items() if other != name}
    nothing = {} if name in MAPPINGS else None
    assert nothing == getattr(load(flat(**{name: None})), name)
    assert load(left_out) == load(flat(**{name: None}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in TEXTS for value in (5, True, ["a"], {})),
        *((name, value) for name in MAPPINGS for value in (5, "ab", ["a"], True)),
        *((name, value) for name in TIMES for value in (5, "yesterday", "2026-13-01T00:00:00Z", True, "")),
        *(("data_removed", value) for value in ("false", 0, 1, [])),
    ],
)
def test_an_odd_field_counts_as_left_out_and_is_kept_raw(name, value):
    odd, without = load(flat(**{name: value})), load({k: v for k, v in FLAT.items() if k != name})
    assert value == odd.extra[name]
    assert attrs.evolve(without, extra={**without.extra, name: value}) == odd


@pytest.mark.parametrize("shape", [lambda inner: inner, wrapped], ids=["flat", "wrapped"])
def test_unknown_fields_are_kept(shape):
    extra = load(shape(flat(webhook_completed=None, source="api", x={"y": [1]}))).extra
    assert (None, "api", {"y": [1]}) == (extra["webhook_completed"], extra["source"], extra["x"])


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-03-16T10:18:07Z", 0),
        ("2026-03-16T10:18:07.51Z", 510000),
        ("2026-03-16T10:18:07.980Z", 980000),
        ("2026-03-16T10:18:07.98010Z", 980100),
        ("2026-03-16T10:18:07.980101Z", 980101),
        ("2026-03-16T10:18:07.98010100Z", 980101),
        ("2026-03-16T10:18:07.980101003Z", 980101),
        ("2026-03-16T10:18:07.98+00:00", 980000),
        ("2026-03-16T12:18:07.98+02:00", 980000),
        ("2026-03-16T10:18:07.98", 980000),
    ],
)
@pytest.mark.parametrize("name", TIMES)
def test_a_time_is_read_with_any_number_of_digits(name, text, microsecond):
    expected = datetime.datetime(2026, 3, 16, 10, 18, 7, microsecond, UTC)
    assert expected == getattr(load(flat(**{name: text})), name)


# Errors.


@pytest.mark.parametrize(
    ("error", "expected"),
    [("out of memory", "out of memory"), ({"code": "E005"}, '{"code":"E005"}'), (["a"], '["a"]'), (5, "5"), ("", None)],
    ids=repr,
)
def test_an_error_is_a_text_whatever_it_came_as(error, expected):
    assert expected == load(flat(status="failed", error=error, output=None)).error


@pytest.mark.parametrize("status", ["SUCCESS", "IN_PROGRESS", "UNKNOWN", "QUEUED"])
@pytest.mark.parametrize("inner", [None, flat(status=None)], ids=["no inner answer", "inner answer"])
def test_a_fail_reason_counts_only_on_failure(status, inner):
    assert load(wrapped(inner, status=status, fail_reason=URL)).error is None


@pytest.mark.parametrize("status", ["FAILURE", "FAILED"])
def test_a_fail_reason_says_why_a_failure_failed(status):
    assert "content flagged" == load(wrapped(None, status=status, fail_reason="content flagged")).error


def test_the_inner_error_is_nearer_to_the_truth():
    inner = flat(status="failed", error="E9828", output=None)
    assert "E9828" == load(wrapped(inner, status="FAILURE", fail_reason="task failed")).error


# The gateway's envelope.


def test_the_same_is_read_from_either_shape():
    unwrapped = load(wrapped(FLAT))
    assert load(FLAT) == attrs.evolve(unwrapped, extra={"urls": FLAT["urls"]})
    assert 4711 == unwrapped.extra["envelope"]["id"]


def test_a_prediction_under_data_alone_is_read_as_if_it_were_flat():
    assert load(FLAT) == load({"data": FLAT})
    assert load(FLAT) == load({"code": "success", "message": "", "data": FLAT})


def test_the_inner_status_wins():
    assert Status.PROCESSING is load(wrapped(flat(status="processing"), status="QUEUED")).status
    assert Status.FAILED is load(wrapped(flat(status="failed"), status="IN_PROGRESS")).status


@pytest.mark.parametrize("stale", ["processing", "starting", "warming up", None, 5], ids=repr)
def test_the_end_in_the_envelope_wins_over_a_response_that_still_runs(stale):
    done = load(wrapped(flat(status=stale, output=None), status="SUCCESS", fail_reason=URL))
    assert (Status.SUCCEEDED, (URL,), None) == (done.status, done.output, done.error)
    failed = load(wrapped(flat(status=stale, output=None), status="FAILURE", fail_reason="no GPU"))
    assert (Status.FAILED, "no GPU") == (failed.status, failed.error)


@pytest.mark.parametrize(("outer", "inner"), [("FAILURE", "succeeded"), ("SUCCESS", "failed"), ("SUCCESS", "aborted")])
def test_of_two_ends_the_inner_one_counts(outer, inner):
    assert Status(inner) is load(wrapped(flat(status=inner), status=outer)).status


@pytest.mark.parametrize("inner", [None, "", [], "p1", 5], ids=repr)
def test_an_empty_envelope_still_has_the_status(inner):
    prediction = load(wrapped(inner, status="IN_PROGRESS", progress="30%"))
    assert ("p1", Status.PROCESSING, ()) == (prediction.id, prediction.status, prediction.output)


def test_an_envelope_may_name_the_output_itself():
    assert (URL,) == load(wrapped(None, result_url=URL)).output
    assert (URL,) == load(wrapped(flat(output=None), result_url=URL)).output


def test_the_inner_output_wins():
    assert (URL,) == load(wrapped(FLAT, result_url="https://example.com/other.png")).output


# Whose answer it is.


def test_the_number_of_a_row_is_not_an_id():
    assert "p1" == load({"data": {"id": 4711, "status": "SUCCESS", "progress": "100%", "data": None}}).id
    assert load_created(body_of({"data": {"id": 4711, "status": "SUBMITTED", "progress": "0%"}})) is None
    assert load_created(body_of({"id": 4711, "status": "starting"})) is None


@pytest.mark.parametrize(
    "answer",
    [FLAT, {"data": FLAT}, wrapped(FLAT), wrapped(None), wrapped(flat(id=None))],
    ids=["flat", "under data", "wrapped", "task id alone", "task id around an answer without id"],
)
def test_a_response_about_another_prediction_is_an_error(answer):
    assert "the response is about prediction 'p1'" in refusal_of(answer, "p2")


@pytest.mark.parametrize("asked", ["p1", "task-9"])
def test_a_response_may_carry_either_of_the_ids(asked):
    assert asked == load(wrapped(FLAT, task_id="task-9"), asked).id


@pytest.mark.parametrize("missing", [None, "", 5], ids=repr)
def test_a_response_without_ids_is_about_the_polled_prediction(missing):
    assert "p1" == load(flat(id=missing)).id


# What was just submitted.


def test_a_create_answer_is_read_like_any_other():
    assert load(FLAT) == load_created(body_of(FLAT))


@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"status": None},
        {"status": 5},
        {"status": "no such word"},
        {"output": {"url": URL}},
        {"output": [None], "error": {"a": []}, "input": "x", "created_at": "never"},
    ],
    ids=repr,
)
def test_an_id_is_accepted_whatever_else_is_odd(rest):
    created = load_created(body_of({"id": "p1", **rest}))
    assert ("p1", False) == (created.id, created.status.is_terminal)


@pytest.mark.parametrize("name", ["id", "task_id"])
@pytest.mark.parametrize(
    "shape",
    [
        lambda own: own,
        lambda own: [own],
        lambda own: {"code": "success", "data": own},
        lambda own: {"code": "success", "data": [own]},
        lambda own: {"prediction": own},
        lambda own: {"data": {"task": own}},
    ],
    ids=["bare", "list", "data", "list in data", "prediction", "task in data"],
)
def test_an_id_in_an_unusual_place_is_found(name, shape):
    assert "p1" == find_id(body_of(shape({name: "p1", "status": "starting"})))


def test_an_id_may_be_all_the_data_there_is():
    assert "p1" == find_id(body_of({"code": "success", "data": "p1"}))
    assert load_created(body_of({"code": "success", "data": "p1"})) is None, "it is not proven yet"
    assert load_created(body_of({"task_id": "p1"})) is None


@pytest.mark.parametrize(
    "answer",
    [
        *({}, [], {"data": ""}, {"data": None}, {"data": 5}, {"task_id": 5}, {"id": {"id": "p1"}}),
        *({"input": {"id": "p1"}}, {"error": {"id": "p1"}}, {"urls": ["p1"]}, [{"id": "p1"}, {"id": "p2"}]),
    ],
    ids=repr,
)
def test_elsewhere_no_id_is_found(answer):
    assert find_id(body_of(answer)) is None


@pytest.mark.slow
@given(json_values | answers)
def test_looking_for_an_id_is_total(value):
    found = find_id(body_of(value))
    assert found is None or (isinstance(found, str) and found)


def test_a_wrapped_create_answer_goes_by_the_gateways_own_id():
    assert "task-9" == load_created(body_of(wrapped(flat(status="starting"), task_id="task-9"))).id
    assert "task-9" == load_created(body_of(wrapped(None, task_id="task-9"))).id


@pytest.mark.parametrize("answer", [{}, {"id": ""}, {"id": None}, {"id": ["p1"]}, {"error": {"id": "p1"}}], ids=repr)
def test_without_an_id_nothing_was_created(answer):
    assert load_created(body_of(answer)) is None


@pytest.mark.slow
@given(st.text(min_size=1), answers)
def test_an_id_is_never_lost(prediction_id, rest):
    created = load_created(body_of({**rest, "id": prediction_id, "data": None}))
    assert prediction_id == created.id


# Recorded answers of the service underneath.


def recordings(name):
    """Read one file of recordings: method, path, status, headers and body of each exchange."""
    path = RECORDED / name
    if not path.exists():
        pytest.skip("the recorded answers are not beside this checkout")
    # PyYAML's own parser in C, where it is there, reads the largest file in a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for exchange in yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["interactions"]:
        request, response = exchange["request"], exchange["response"]
        text = response["content"] if "content" in response else response["body"]["string"]
        status = response["status_code"] if "status_code" in response else response["status"]["code"]
        headers = {name.lower(): values[0] for name, values in response["headers"].items()}
        content = text if isinstance(text, bytes) else text.encode()
        answer = Response(status=status, headers=headers, body=content)
        yield request["method"], request["uri"].partition("/v1")[2], answer


FILES = [
    "models-predictions-create.yaml",
    "predictions-cancel.yaml",
    "predictions-get.yaml",
    "run.yaml",
    "run__concurrently.yaml",
]
RANK = {Status.STARTING: 0, Status.PROCESSING: 1, Status.SUCCEEDED: 2, Status.CANCELED: 2}


def life_stories(name):
    """Return the predictions by id, in the order in which the service reported them."""
    stories = {}
    for method, path, answer in recordings(name):
        if "predictions" not in path:
            continue
        if method == "POST" and not path.endswith("/cancel"):
            prediction = read_created(answer, 0.0)
        else:
            prediction = read_prediction(answer, path.split("/")[2], 0.0)
        stories.setdefault(prediction.id, []).append(prediction)
    return stories


@pytest.mark.parametrize("name", FILES)
def test_every_recorded_answer_is_understood(name):
    stories = life_stories(name)
    assert stories
    for prediction_id, story in stories.items():
        assert {prediction_id} == {each.extra["urls"]["get"].rpartition("/")[2] for each in story}
        assert all(each.created_at for each in story)
        ranks = [RANK[each.status] for each in story]
        assert sorted(ranks) == ranks


def test_four_recorded_runs_side_by_side_stay_separate():
    stories = life_stories("run__concurrently.yaml")
    assert 4 == len(stories)
    for story in stories.values():
        assert Status.STARTING is story[0].status
        assert Status.SUCCEEDED is story[-1].status
        assert story[-1].output[0].startswith("https://")
        assert all(not each.output for each in story[:-1])


def test_a_recorded_cancel_is_the_end():
    story = life_stories("predictions-cancel.yaml")["hdwst0bb05rgp0cf0p29mzk2am"]
    assert [Status.STARTING, Status.CANCELED] == [each.status for each in story]
    assert story[-1].logs is None
    assert "webhook_completed" in story[-1].extra


def test_a_recorded_refusal_of_the_key_is_one():
    ((_, _, answer),) = recordings("run__invalid-token.yaml")
    with pytest.raises(AuthenticationError, match="You did not pass a valid authentication token") as caught:
        read_created(answer, 0.0)
    assert (401, None, Money.REJECTED) == (caught.value.status, caught.value.code, caught.value.money)


# Writing a job.


def picture(kind, size=(4, 4)):
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, kind)
    return file.getvalue()


KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


def body_with(**values):
    return dump_body(Job(model=MODEL, input=values))


def sent(**values):
    return json.loads(body_with(**values))["input"]


def refused(**values):
    with pytest.raises(InputError) as caught:
        body_with(**values)
    return caught.value


@pytest.mark.parametrize(("kind", "media"), KINDS.items())
def test_an_image_is_sent_as_a_data_uri_of_its_type(kind, media):
    data = picture(kind)
    uri = f"data:{media};base64,{base64.b64encode(data).decode()}"
    assert {"image": uri, "images": [uri, URL], "deep": {"a": uri}} == sent(
        image=data, images=(data, URL), deep={"a": data}
    )
    assert data == read_data_uri(uri)


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF", b"RIFF\0\0\0\0WAVE", b"%PDF-1.7", b"<svg/>", b"BM" + bytes(64), b"\0\0\0\x1cftypavif", b"\x89PN"],
    ids=repr,
)
def test_bytes_that_are_not_an_image_are_refused(data):
    assert media_type(data) is None
    assert "image" == refused(image=data).field
    assert "images" == refused(images=[picture("PNG"), data]).field


def test_the_largest_image_is_eight_mebibytes():
    data = picture("PNG").ljust(LARGEST_IMAGE_INPUT, b"\0")
    assert sent(image=data)
    error = refused(image=data + b"\0")
    assert "image: a value of 8388609 bytes was given; at most 8 MiB are sent with a job" in str(error)


@pytest.mark.parametrize("value", [Path("cat.png"), [Path("cat.png")], {"a": Path("cat.png")}], ids=repr)
def test_a_file_is_not_read_here(value):
    assert "files are read by the session" in str(refused(image=value))


def test_text_is_sent_as_it_is():
    text = "ein Boot für 船 🚣"
    assert text.encode() in body_with(prompt=text)
    assert {"prompt": text} == sent(prompt=text)


def test_nothing_but_the_input_is_sent():
    job = Job(model=MODEL, input={"prompt": "a boat"}, key="k1", validate=False)
    assert b'{"input": {"prompt": "a boat"}}' == dump_body(job)


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), plain_values, max_size=5))
def test_the_input_is_sent_as_given(values):
    assert values == load_json(dump_body(Job(model=MODEL, input=values)))["input"]


@pytest.mark.slow
@given(st.dictionaries(st.text(), plain_values, max_size=5))
def test_there_is_one_canonical_way_to_write_a_value(values):
    backwards = dict(reversed(values.items()))
    assert dump_canonical(values) == dump_canonical(backwards)
    assert values == json.loads(dump_canonical(values))


# Writing for people.


def outcome(**changes):
    values = {
        "index": 3,
        "key": "k1",
        "job": Job(model=MODEL, input={"image": picture("PNG"), "images": [Path("cat.png")], "prompt": "für"}),
        "kind": OutcomeKind.SUCCEEDED,
        "prediction": load(FLAT),
        "files": (Path("images/00003-a-boat.webp"),),
    }
    return Outcome(**{**values, **changes})


@pytest.mark.parametrize("dump", [dump_line, dump_readable])
def test_an_outcome_is_written_with_paths_times_and_digests(dump):
    written = json.loads(dump(outcome()))
    assert (3, "k1", "succeeded", ["images/00003-a-boat.webp"]) == (
        written["index"],
        written["key"],
        written["kind"],
        written["files"],
    )
    assert ("succeeded", "2026-03-16T10:18:07.510000+00:00", [URL]) == (
        written["prediction"]["status"],
        written["prediction"]["created_at"],
        written["prediction"]["output"],
    )
    data = picture("PNG")
    digest = {"type": "image/png", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert {"image": digest, "images": ["cat.png"], "prompt": "für"} == written["job"]["input"]


@pytest.mark.parametrize("dump", [dump_line, dump_readable])
def test_an_outcome_that_is_an_error_is_written_with_its_words(dump):
    error = PredictionFailedError(load(flat(status="failed", error="out of memory", output=None)))
    assert "out of memory" in json.dumps(
        json.loads(dump(outcome(kind=OutcomeKind.FAILED, error=error, files=())))["error"]
    )


def test_a_line_is_one_line():
    line = dump_line({"text": "a\nb\r\n\u00e4"})
    assert "\n" not in line
    assert "\r" not in line
    assert "ä" in line


def test_what_people_read_is_indented_and_keeps_its_letters():
    assert '{\n  "text": "ä"\n}' == dump_readable({"text": "ä"})


def test_a_raw_value_holds_paths_times_and_images_at_any_depth():
    value = {"a": [{"b": Path("x/y")}, (b"abc",)], "c": datetime.datetime(2026, 1, 1, tzinfo=UTC)}
    digest = {"type": None, "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    expected = {"a": [{"b": "x/y"}, [digest]], "c": "2026-01-01T00:00:00+00:00"}
    assert expected == json.loads(dump_line(value)) == json.loads(dump_readable(value))


# Data URIs.


@pytest.mark.parametrize(
    ("uri", "data"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", b"\x89PNG\r\n\x1a\n"),
        ("data:;base64,", b""),
        ("data:,", b""),
        ("data:text/plain,a%20b", b"a b"),
        ("data:image/png;base64,iVBORw0KGgo%3D", b"\x89PNG\r\n\x1a\n"),
        ("data:image/png;name=a;base64,AAAA", b"\0\0\0"),
    ],
)
def test_a_data_uri_is_read(uri, data):
    assert data == read_data_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("", "data:", "data:image/png;base64", "image/png;base64,AAAA", URL, "data:;base64,AAA"),
        *("data:;base64,A A A A", "data:;base64,\u00e4", "data:;base64,AAAA AAAA", "data:,\ud800"),
    ],
    ids=repr,
)
def test_a_broken_data_uri_is_a_value_error(uri):
    with pytest.raises(ValueError):
        read_data_uri(uri)


@given(st.text(st.characters(codec=None)).map("data:;base64,{}".format) | st.text(st.characters(codec=None)))
def test_any_text_is_a_data_uri_or_a_value_error(text):
    try:
        assert isinstance(read_data_uri(text), bytes)
    except ValueError:
        assert True


@given(st.binary())
def test_a_data_uri_gives_back_its_bytes(data):
    assert data == read_data_uri(f"data:;base64,{base64.b64encode(data).decode()}")


def test_a_record_names_an_image_by_its_digest():
    data = picture("PNG")
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    digest = {"type": "image/png", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    expected = {"prompt": "a boat", "seed": 7, "image": digest, "images": [digest, URL]}
    assert expected == describe_input({"prompt": "a boat", "seed": 7, "image": uri, "images": (uri, URL)})


@pytest.mark.parametrize("value", ["data: is what I paint", "data:;base64,!", "data: red, green and blue"], ids=repr)
def test_a_prompt_that_only_begins_like_a_data_uri_is_kept(value):
    assert {"prompt": value} == describe_input({"prompt": value})


def test_a_record_is_a_copy():
    values = {"prompt": "a boat"}
    assert values is not describe_input(values)


# ── torn answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

TORN = {
    "flat": ({"id": "abc", "input": {"id": "fake", "prompt": 'a \\ "b, {['}, "logs": "", "output": None}, "abc"),
    "the input first": ({"input": {"id": "fake", "x": ["id", {"id": "fake"}]}, "id": "abc", "logs": "é"}, "abc"),
    "enveloped": ({"code": "success", "data": {"id": 7, "task_id": "abc", "data": {"input": {"id": "fake"}}}}, "abc"),
}


@pytest.mark.parametrize(("answer", "name"), TORN.values(), ids=list(TORN))
@pytest.mark.parametrize("indent", [None, 2])
def test_an_id_is_salvaged_from_a_response_cut_anywhere_after_it(answer, name, indent):
    body = json.dumps(answer, indent=indent, ensure_ascii=False).encode()
    there = body.index(b'"abc"') + len(b'"abc"')
    found = [load_torn(body[:cut]) for cut in range(len(body) + 1)]
    assert [None] * there + [name] * (len(body) + 1 - there) == found


@given(st.binary() | st.text().map(str.encode))
def test_any_torn_bytes_hold_an_id_or_none(body):
    assert load_torn(body) is None or isinstance(load_torn(body), str)


def test_a_torn_answer_as_large_as_can_be_is_looked_through_quickly():
    assert load_torn(b"[" * 8_000_000) is None
    assert load_torn(b'{"a":"' + b"x" * 8_000_000) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"abc","status":"starting","logs":"\xff"}',
        b'{"id":"abc","status":"starting","logs":"a\tb"}',
        b'{"id":"abc","status":"starting"} and more',
        b'{"id":"abc","status":"starting",}',
        b'{"seed":' + b"7" * 5000 + b',"id":"abc","status":"starting"}',
    ],
    ids=["a broken character", "a raw tab", "more behind it", "a comma too many", "many digits"],
)
def test_an_odd_whole_body_still_shows_its_id(body):
    created = load_created(body)
    assert "abc" == (load_torn(body) if created is None else created.id)


# Of thousands that are pending, what their answers have in common is kept once.


def test_an_input_that_the_service_repeats_is_that_of_the_job():
    given = {"prompt": "a boat"}
    answer = b'{"id": "p1", "status": "starting", "input": {"prompt": "a boat"}}'
    assert load_created(answer, given).input is given
    assert load_prediction(answer, "p1", known_input=given).input is given


def test_an_input_that_the_service_changed_is_kept_as_it_says():
    answer = b'{"id": "p1", "status": "starting", "input": {"prompt": "a boat", "seed": 1}}'
    assert {"prompt": "a boat", "seed": 1} == load_created(answer, {"prompt": "a boat"}).input


def test_the_names_in_the_responses_are_kept_once():
    answer = b'{"id": "p1", "status": "starting", "model": "a/b", "a name": {"another name": 1}}'
    one, other = load_created(answer), load_created(answer)
    assert {"a name": {"another name": 1}} == one.extra
    assert one.model is other.model
    for left, right in ((one.extra, other.extra), (one.extra["a name"], other.extra["a name"])):
        assert all(a is b for a, b in zip(left, right, strict=True))
