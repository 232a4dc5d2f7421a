import collections
import contextlib
import copy
import datetime
import decimal
import math
import pickle
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux import flux
from cometflux.errors import InputError, Money
from cometflux.jobs import Job
from cometflux.outcomes import OutcomeKind
from cometflux.protocol.decoding import load_json
from cometflux.protocol.encoding import dump_body

MODEL = "somebody/something"


def refusal_of(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    assert caught.value.money is Money.NOT_SENT
    return caught.value


# The model's name becomes part of a path.


@pytest.mark.parametrize("model", ["a/b", "black-forest-labs/flux-1.1-pro", "A0/b_c.d-e"])
def test_a_model_is_named_owner_slash_name(model):
    assert model == Job(model=model, input={}, validate=False).model


@pytest.mark.parametrize(
    "model",
    [
        "",
        "flux-schnell",
        "/b",
        "a/",
        "a//b",
        "a/b/c",
        "a/..",
        "../b",
        "a/b..c",
        "./b",
        "a/b ",
        " a/b",
        "a /b",
        "a/b\n",
        "a\n/b",
        "a/b?c=d",
        "a/b#c",
        "a/%2e%2e",
        "a/b%2fc",
        "a\\b/c",
        "ä/b",
        "a/b\u200b",
        "a/\u0661",
        "\udc80/b",
        "https://example.com/a/b",
        None,
        5,
        b"a/b",
        ("a", "b"),
    ],
    ids=repr,
)
def test_a_model_that_would_leave_its_route_is_refused(model):
    assert "model" == refusal_of(Job, model=model, input={}).field


@given(st.text(st.characters(codec=None), max_size=30))
def test_any_model_that_passes_is_two_plain_components(model):
    try:
        Job(model=model, input={})
    except InputError:
        return
    owner, name = model.split("/")
    assert model.isascii()
    assert set(model) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")
    assert "." not in (owner[0], name[0])


# The key.


@pytest.mark.parametrize("key", ["", "  ", "\n\t", "\u2003", "a\ud800", 5, b"a", ["a"], True], ids=repr)
def test_a_key_that_names_nothing_is_refused(key):
    assert "key" == refusal_of(Job, model=MODEL, input={}, key=key).field


@pytest.mark.parametrize("key", [None, "a", " a ", "Boot № 7", "🚣", "a/b"], ids=repr)
def test_a_key_is_kept_as_given(key):
    assert key == Job(model=MODEL, input={}, key=key).key


# The input.


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "must be a finite number"),
        (math.inf, "must be a finite number"),
        (-math.inf, "must be a finite number"),
        ([[math.nan]], "must be a finite number"),
        ({"a": [math.inf]}, "must be a finite number"),
        ("a\ud800", "half a surrogate pair"),
        (["\udfff"], "half a surrogate pair"),
        ({5: 1}, "the names in a mapping must be strings"),
        ({"a": {None: 1}}, "the names in a mapping must be strings"),
        ({1, 2}, "must be text, a number"),
        (object, "must be text, a number"),
        (1j, "must be text, a number"),
        (decimal.Decimal(1), "must be text, a number"),
        (datetime.date(2026, 1, 1), "must be text, a number"),
        ((n for n in range(3)), "must be text, a number"),
    ],
    ids=[
        *("nan", "inf", "-inf", "nan in lists", "inf in a mapping", "surrogate", "surrogate in a list"),
        *("name that is a number", "name that is None", "set", "class", "complex", "decimal", "date", "generator"),
    ],
)
@pytest.mark.parametrize("validate", [True, False])
def test_what_json_cannot_carry_is_refused_by_the_name_of_its_parameter(value, words, validate):
    error = refusal_of(Job, model=MODEL, input={"mask": value}, validate=validate)
    assert "mask" == error.field
    assert words in str(error)


@pytest.mark.parametrize("name", [5, None, True, b"a", ("a",), Path("a")], ids=repr)
@pytest.mark.parametrize("validate", [True, False])
def test_a_parameter_is_named_by_a_string(name, validate):
    assert "input" == refusal_of(Job, model=MODEL, input={name: 1}, validate=validate).field


@pytest.mark.parametrize(
    "value",
    [bytearray(b"\x89PNG"), memoryview(b"\x89PNG"), range(3), collections.deque([1]), [bytearray(b"a")], 10**5000],
    ids=["bytearray", "memoryview", "range", "deque", "bytearray in a list", "integer that Python will not print"],
)
def test_what_passes_here_can_be_written(value):
    with contextlib.suppress(InputError):
        assert dump_body(Job(model=MODEL, input={"mask": value}))


@pytest.mark.parametrize("name", ["x" * 1_000_000, "a\ud800"], ids=["long", "surrogate"])
def test_the_message_can_be_printed_whatever_the_parameter_is_called(name):
    message = str(refusal_of(Job, model=MODEL, input={name: math.nan}))
    assert len(message.encode()) < 300


def test_nesting_without_end_is_refused():
    endless = []
    endless.append(endless)
    assert "nested" in str(refusal_of(Job, model=MODEL, input={"mask": endless}))


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_ends_somewhere():
    assert Job(model=MODEL, input={"mask": nested(32)})
    assert refusal_of(Job, model=MODEL, input={"mask": nested(33)})


@pytest.mark.parametrize("value", [None, "prompt", [("prompt", "a boat")], 5, b"{}"], ids=repr)
def test_an_input_that_is_not_a_mapping_is_refused(value):
    assert "input" == refusal_of(Job, model=MODEL, input=value).field


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)
anything = st.recursive(
    json_values | st.floats() | st.text(st.characters(codec=None)) | st.sets(st.integers()) | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), anything, max_size=4))
def test_any_input_is_refused_at_once_or_can_be_sent(values):
    try:
        job = Job(model=MODEL, input=values)
    except InputError:
        return
    assert values == load_json(dump_body(job))["input"]


@pytest.mark.parametrize("given", [{"a": 1}, MappingProxyType({"a": 1})], ids=["dict", "read-only mapping"])
def test_the_input_is_the_jobs_own(given):
    job = Job(model=MODEL, input=given)
    assert given == job.input
    assert given is not job.input


def test_a_later_change_of_the_callers_dict_does_not_reach_the_job():
    values = {"prompt": "a boat"}
    job = Job(model="black-forest-labs/flux-schnell", input=values)
    values["prompt"] = math.nan
    assert {"prompt": "a boat"} == job.input


def test_images_stay_what_they_are_until_they_are_read():
    values = {"image": b"\x89PNG", "images": [Path("cat.png"), "https://example.com/a.png"]}
    assert values == Job(model=MODEL, input=values).input


# What the service would drop, and bill.


def test_a_known_model_refuses_a_parameter_that_it_would_ignore():
    assert "promt" == refusal_of(Job, model="black-forest-labs/flux-schnell", input={"promt": "a boat"}).field


def test_a_wrong_value_for_a_known_model_is_refused():
    given = {"prompt": "a boat", "num_outputs": 9}
    assert "num_outputs" == refusal_of(Job, model="black-forest-labs/flux-schnell", input=given).field


def test_unknown_parameters_pass_where_checking_is_off():
    values = {"promt": "a boat", "num_outputs": 9}
    assert values == Job(model="black-forest-labs/flux-schnell", input=values, validate=False).input


def test_a_model_without_a_class_passes_unchecked():
    assert {"anything": None} == Job(model=MODEL, input={"anything": None}).input


# What a job may be made of.


def test_a_prompt_is_a_job_for_schnell():
    job = Job.of("a boat")
    assert ("black-forest-labs/flux-schnell", {"prompt": "a boat"}, None) == (job.model, job.input, job.key)


@pytest.mark.parametrize("model", flux.MODELS.values(), ids=lambda model: model.__name__)
def test_a_flux_object_is_a_job_for_its_model(model):
    job = Job.of(model(prompt="a boat", seed=7), key="k1")
    assert (model.model, {"prompt": "a boat", "seed": 7}, "k1") == (job.model, job.input, job.key)


def test_a_job_is_a_job():
    job = Job(model=MODEL, input={"a": 1}, key="k1")
    assert job is Job.of(job)


def test_a_key_given_later_replaces_the_jobs_own():
    job = Job(model=MODEL, input={"a": 1}, key="k1")
    assert attrs.evolve(job, key="k2") == Job.of(job, key="k2")


def test_a_job_that_was_not_checked_stays_unchecked_under_another_key():
    job = Job(model="black-forest-labs/flux-schnell", input={"promt": "a boat"}, validate=False)
    assert {"promt": "a boat"} == Job.of(job, key="k1").input


@pytest.mark.parametrize(
    "item",
    [
        *(None, 5, b"a boat", {"prompt": "a boat"}, ["a boat"], flux.Schnell, Path("prompts.txt"), object()),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_value_that_is_not_a_job_is_refused(item):
    assert "job" == refusal_of(Job.of, item).field


@pytest.mark.parametrize("prompt", ["", " ", "a\ud800"], ids=repr)
def test_a_prompt_is_checked_as_its_class_would(prompt):
    assert "prompt" == refusal_of(Job.of, prompt).field


@pytest.mark.parametrize("item", ["a boat", flux.Dev(prompt="a boat"), Job(model=MODEL, input={})], ids=type)
def test_a_blank_key_is_refused_whatever_the_job_is_made_of(item):
    assert "key" == refusal_of(Job.of, item, key=" ").field


@pytest.mark.parametrize(
    ("values", "prompt"), [({"prompt": "a boat"}, "a boat"), ({"prompt": 5}, None), ({}, None)], ids=repr
)
def test_the_prompt_is_the_text_or_none(values, prompt):
    assert prompt == Job(model=MODEL, input=values).prompt


def test_a_job_travels():
    job = Job(model=MODEL, input={"image": b"\x89PNG"}, key="k1")
    assert job == pickle.loads(pickle.dumps(job)) == copy.deepcopy(job)


def test_a_changed_copy_is_checked_again():
    job = Job(model=MODEL, input={})
    assert "model" == refusal_of(attrs.evolve, job, model="..").field


def test_the_kinds_of_end_are_these():
    names = "succeeded failed canceled expired detached not_sent rejected unknown"
    assert names.split() == [str(kind) for kind in OutcomeKind]


SCENE = {"scene": "a café", "objects": [{"color": "#ff0000", "count": 2}]}
WRITTEN = '{"scene": "a café", "objects": [{"color": "#ff0000", "count": 2}]}'


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Job.of(flux.Flux2Pro(prompt=SCENE)), id="a typed object"),
        pytest.param(lambda: Job(model="black-forest-labs/flux-2-pro", input={"prompt": SCENE}), id="a job"),
        pytest.param(
            lambda: Job(model="black-forest-labs/flux-2-pro", input={"prompt": SCENE}, validate=False), id="unchecked"
        ),
    ],
)
def test_a_prompt_that_is_an_object_is_its_json_text(make):
    assert WRITTEN == make().prompt


def test_an_unknown_model_gets_the_object_itself():
    assert SCENE == Job(model="some/body", input={"prompt": SCENE}).input["prompt"]


@pytest.mark.parametrize("wrong", [{}, {"a": float("nan")}, {"a": object()}, {1: "a"}, {"a": b"bytes"}])
def test_an_object_that_json_cannot_hold_is_refused(wrong):
    for make in (
        lambda: flux.Flux2Pro(prompt=wrong),
        lambda: Job(model="black-forest-labs/flux-2-pro", input={"prompt": wrong}),
    ):
        with pytest.raises(InputError, match="prompt"):
            make()
