"""A published schema becomes the parameters of a model, or one clear error."""

import json
import logging
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_documents import KLEIN, KLEIN_NAME, SDXL, SDXL_NAME, plain

from cometflux import Job, flux, jobs
from cometflux.errors import ConfigError, InputError, Money
from cometflux.models.schemas import parse_schema
from cometflux.protocol.requests import create_request

PUBLISHED = Path(__file__).parents[3] / "shared/api/schemas"
MODEL = "somebody/something"


def read(document, model=MODEL):
    return parse_schema(document, model)


def parameter(schema, *, defs=None):
    """Return the parameter that a schema describes, and the notes about it."""
    found = read(plain(defs=defs, it=schema))
    return found.by_name["it"], found.notes


def job(document, model, **given):
    return Job(model=model, input=given, schema=read(document, model))


# Both forms.


def test_the_parameters_of_an_openapi_document_come_in_their_published_order():
    found = read(SDXL, SDXL_NAME)
    names = ["prompt", "negative_prompt", "image", "mask", "width", "height", "seed", "num_outputs", "scheduler"]
    assert [*names, "guidance_scale", "apply_watermark"] == [each.name for each in flux.parameters(found)]
    kinds = ["text", "string", "image", "image", "integer", "integer", "integer", "integer", "choice", "number"]
    assert [*kinds, "boolean"] == [each.kind.name for each in found.by_name.values()]
    assert ("K_EULER", ("DDIM", "K_EULER", "PNDM")) == (
        found.by_name["scheduler"].default,
        found.by_name["scheduler"].choices,
    )
    assert (1, 50) == (found.by_name["guidance_scale"].minimum, found.by_name["guidance_scale"].maximum)
    assert {"seed": "Blank for any seed"} == found.texts
    assert ("image", "mask") == found.image_parameters
    assert found.has_list_output
    assert () == found.notes


def test_the_parameters_of_an_input_schema_are_read_alike():
    found = read(KLEIN, KLEIN_NAME)
    assert ["prompt"] == [each.name for each in found.by_name.values() if each.required]
    assert ["a list of images"] == [found.by_name["images"].allowed.partition(",")[0]]
    assert () == found.by_name["images"].default
    assert ("0.25", "1", "4") == found.by_name["megapixels"].choices


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"openapi_schema": SDXL}, id="a version"),
        pytest.param({"owner": "a", "latest_version": {"openapi_schema": SDXL}}, id="a model"),
        pytest.param({**SDXL["components"]["schemas"]["Input"], "components": SDXL["components"]}, id="a bare input"),
        pytest.param({"Input": SDXL["components"]["schemas"]["Input"], "components": SDXL["components"]}, id="Input"),
    ],
)
def test_the_same_schema_is_found_in_other_wrappings(document):
    assert [*read(SDXL).by_name] == [*read(document).by_name]


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published schemas are not next to this checkout")
@pytest.mark.parametrize("name", ["stability-ai_sdxl", "black-forest-labs_flux-2-klein-9b", "qwen_qwen-image"])
def test_published_schemas_are_understood_to_the_last_word(name):
    found = read(json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8")))
    assert () == found.notes
    assert not [each.name for each in found.by_name.values() if each.kind.name == "any"]


# One parameter.


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        pytest.param({"type": "string"}, ["", " ", "a"], [1, None, "a\0"], id="a text"),
        pytest.param({"type": "integer"}, [0, -1, 2**63], [0.5, True, "1"], id="a whole number"),
        pytest.param({"type": "integer", "minimum": 3}, [3, 10**9], [2], id="a least number"),
        pytest.param({"type": "integer", "maximum": 3.0}, [3, -5], [4], id="a greatest number"),
        pytest.param({"type": "number"}, [0.5, -3, 1e300], [float("nan"), float("inf"), "x"], id="a number"),
        pytest.param({"type": "number", "minimum": 0, "maximum": 1}, [0, 0.5, 1], [1.01, -1], id="a range"),
        pytest.param({"type": "boolean"}, [True, False], [1, "true"], id="a boolean"),
        pytest.param({"enum": ["a", "b"]}, ["a"], ["c", 1], id="a choice"),
        pytest.param({"type": "integer", "enum": [1, 2, 4]}, [1, 4], [3, "1", True], id="a choice of numbers"),
        pytest.param({"enum": ["a", None]}, ["a"], ["b"], id="a choice with null"),
        pytest.param(
            {"type": "string", "format": "uri"}, ["https://a.b/c", Path("a.png"), b"x"], ["a.png", 1], id="an image"
        ),
        pytest.param(
            {"type": "array", "items": {"type": "string", "format": "uri"}},
            [[], ["https://a.b/c"] * 300],
            ["https://a.b/c", [1]],
            id="images",
        ),
        pytest.param(
            {"type": "array", "items": {"type": "string", "format": "uri"}, "maxItems": 1},
            [["https://a.b/c"]],
            [["https://a.b/c"] * 2],
            id="at most one image",
        ),
        pytest.param(
            {"type": "array", "items": {"type": "number", "maximum": 2}, "maxItems": 2},
            [[1, 1.5], []],
            [[3], 1, [1, 1, 1]],
            id="a list of numbers",
        ),
        pytest.param({"type": "array"}, [[1, "a"]], ["a"], id="a list of anything"),
        pytest.param({"type": ["integer", "null"]}, [1], ["a"], id="a type with null"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, [1], ["a"], id="an alternative to null"),
        pytest.param({"$ref": "#/number"}, [1], [0, "a"], id="a reference"),
        pytest.param({"allOf": [{"$ref": "#/again~1more"}], "minimum": 5}, [5], [4], id="a reference to a reference"),
    ],
)
def test_a_parameter_takes_what_its_schema_says(schema, good, bad):
    defs = {"number": {"type": "integer", "minimum": 1}, "again/more": {"allOf": [{"$ref": "#/number"}]}}
    found, notes = parameter(schema, defs=defs)
    assert () == notes
    for value in good:
        found.check(value)
    for value in bad:
        with pytest.raises(InputError):
            found.check(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "nullable": True},
        {"type": ["integer", "null"]},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        {"enum": ["a", None]},
    ],
    ids=["nullable", "a type", "an alternative", "a choice"],
)
def test_null_may_be_sent_where_the_schema_allows_it(schema):
    assert {"it": None} == Job(model=MODEL, input={"it": None}, schema=read(plain(it=schema))).input
    with pytest.raises(InputError, match="leave the parameter out"):
        Job(model=MODEL, input={"it": None}, schema=read(plain(it={"type": "string"})))


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("7", {"type": "string"}, "7"),
        (" 7.0 ", {"type": "integer"}, 7),
        ("4", {"enum": [1, 4]}, 4),
        ("1.5", {"enum": [1.5]}, 1.5),
        ("[1, 2.0]", {"type": "array", "items": {"type": "number"}}, [1, 2]),
        ("1", {"type": "array", "items": {"type": "number"}}, [1]),
        ("a, b", {"type": "array", "items": {"type": "string"}}, ["a, b"]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("a.png", {"type": "string", "format": "uri"}, Path("folder/a.png")),
    ],
)
def test_a_text_is_read_in_the_type_of_its_parameter(text, schema, value):
    kind = parameter(schema)[0].kind
    read_value = kind.read_text("it", text, Path("folder"))
    assert value == read_value
    kind.check("it", read_value)


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "string", "pattern": "a+"}, "pattern"),
        ({"type": "string", "format": "date"}, "format"),
        ({"type": "integer", "multipleOf": 8}, "multipleOf"),
        ({"type": "object", "properties": {}}, "type"),
        ({"type": "string", "oneOf": []}, "oneOf"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "anyOf"),
        ({"enum": ["a", 1]}, "enum"),
        ({"allOf": [{"type": "integer", "minimum": 1}, {"minimum": 5}]}, "allOf"),
        ({"type": "tuple"}, "type"),
        ({"type": "string", 5: 6}, 5),
        ({"type": "array", "items": {"type": "string", "minLength": 3}}, "minLength"),
    ],
)
def test_what_is_not_understood_is_told_once_and_not_enforced(schema, word):
    found = read(plain(it=schema, other=schema))
    (note,) = [each for each in found.notes if repr(word) in each]
    assert f"the schema of {MODEL} says {word!r} of it and other: this is not understood here" in note
    kind = found.by_name["it"].kind
    kind.check("it", {"any": "x", "string": "x", "integer": 5, "list": ["x"]}[kind.name])


# A schema that is none.

DEEP = {"type": "string"}
for _ in range(3000):
    DEEP = {"allOf": [DEEP]}
LAUGH = {f"l{number}": {"allOf": [{"$ref": f"#/l{number + 1}"}] * 10} for number in range(9)} | {"l9": {}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param([], "it is not a JSON Schema: it must be an object", id="a list"),
        pytest.param(None, "it is not a JSON Schema", id="null"),
        pytest.param({}, "it is not the schema of a model: it has neither", id="nothing"),
        pytest.param({"input_schema": 5}, "a schema must be an object", id="a number"),
        pytest.param({"input_schema": {"properties": {}}}, "its input has no parameters", id="no parameters"),
        pytest.param(
            {"input_schema": {"properties": {"a": 5}}}, "a: a schema must be an object", id="a wrong parameter"
        ),
        pytest.param({"input_schema": {"properties": {5: {}}}}, "must be texts", id="a name that is a number"),
        pytest.param(
            {"input_schema": {"properties": {"a": {}}, "required": [["a"]]}}, "required", id="a list of names"
        ),
        pytest.param({"input_schema": {"properties": {"a": {}}, "required": ["b"]}}, "required", id="a lost name"),
        pytest.param(plain(a={"$ref": "#/nowhere"}), "'#/nowhere' refers to nothing in it", id="refers to nothing"),
        pytest.param(plain(a={"$ref": "http://a.b/c"}), "refers to nothing in it", id="refers to the network"),
        pytest.param(plain(a={"$ref": 5}), "a reference must be a text", id="a number as a reference"),
        pytest.param(plain(a={"$ref": "#/b"}, defs={"b": {"$ref": "#/b"}}), "'#/b' refers to itself", id="itself"),
        pytest.param(
            plain(a={"$ref": "#/b"}, defs={"b": {"allOf": [{"$ref": "#/c"}]}, "c": {"$ref": "#/b"}}),
            "refers to itself",
            id="a circle",
        ),
        pytest.param(
            plain(a={"$ref": "#/b"}, defs={"b": {"type": "array", "items": {"$ref": "#/b"}}}),
            "nested too deeply",
            id="a list of itself",
        ),
        pytest.param(plain(a=DEEP), "it is nested too deeply", id="too deep"),
        pytest.param(plain(a={"$ref": "#/l0"}, defs=LAUGH), "its references are too many", id="multiplying references"),
        pytest.param(plain(a={"allOf": 5}), "allOf must be a list", id="allOf"),
        pytest.param(plain(a={"enum": []}), "enum must be a list that is not empty", id="no choice"),
        pytest.param(plain(a={"enum": "abc"}), "enum must be a list", id="a text for a choice"),
        pytest.param(plain(a={"type": "integer", "minimum": "0"}), "must be numbers", id="a text for a range"),
        pytest.param(plain(a={"type": "integer", "minimum": 5, "maximum": 1}), "is above its maximum", id="no range"),
        pytest.param(plain(a={"type": "array", "maxItems": -1}), "maxItems must be", id="maxItems"),
        pytest.param(
            plain(a={"allOf": [{"$ref": "#/b"}], "default": "c"}, defs={"b": {"enum": ["a", "b"]}}),
            "a: its default 'c' is not one of its own values: must be 'a' or 'b'",
            id="a default that its enum refuses",
        ),
        pytest.param(
            plain(a={"type": "integer", "maximum": 1, "default": 2}), "its default 2", id="a default too large"
        ),
        pytest.param(
            plain(a={"type": "boolean", "default": "yes"}), "its default 'yes'", id="a default of a wrong type"
        ),
    ],
)
def test_a_schema_that_is_none_is_one_clear_error(document, words):
    with pytest.raises(ConfigError) as caught:
        read(document)
    assert words in str(caught.value)
    assert str(caught.value).startswith("the schema: ")
    assert "schema" == caught.value.setting
    assert Money.NOT_SENT is caught.value.money


_WORDS = ["type", "enum", "minimum", "maximum", "default", "format", "items", "allOf", "anyOf", "$ref", "nullable"]
_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["string", "integer", "number", "boolean", "array", "null", "uri", "#/a", "#/input_schema", "#"])
)
_JSON = st.recursive(
    _VALUES,
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(st.sampled_from([*_WORDS, "maxItems", "x-order", "description", "title"]), part, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(properties=st.dictionaries(st.sampled_from("abc"), _JSON), required=_JSON, a=_JSON, output=_JSON)
def test_any_json_is_a_schema_or_one_error(properties, required, a, output):
    inputs = {"properties": properties, "required": required}
    try:
        found = read({"input_schema": inputs, "output_schema": output, "a": a})
    except ConfigError:
        return
    assert {*properties} == {*found.by_name}
    for each in found.by_name.values():
        assert each.allowed
        assert each.kind.summary
        assert isinstance(each.kind.json_schema, dict)


# A job.


def test_a_job_is_checked_by_its_schema():
    found = job(SDXL, SDXL_NAME, prompt="a", scheduler="DDIM", width=512, negative_prompt="")
    assert b'{"input": {"prompt": "a", "scheduler": "DDIM", "width": 512, "negative_prompt": ""}}' == (
        create_request(found).body
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prompt": "a", "scheduler": "ddim"}, "scheduler: 'ddim' was given; must be 'DDIM', 'K_EULER' or 'PNDM'"),
        ({"prompt": "a", "num_outputs": 5}, "num_outputs: 5 was given; must be a whole number from 1 to 4"),
        ({"prompt": "a", "image": "boat.png"}, "image: 'boat.png' was given; must be an http(s) URL"),
        ({"prompt": ""}, "prompt: '' was given; must be a text that is not blank"),
    ],
)
def test_a_value_that_the_schema_refuses_is_refused(given, words):
    with pytest.raises(InputError) as caught:
        job(SDXL, SDXL_NAME, **given)
    assert words in str(caught.value)
    assert given == Job(model=SDXL_NAME, input=given, schema=read(SDXL, SDXL_NAME), validate=False).input
    assert given == Job(model=SDXL_NAME, input=given).input


def test_a_required_parameter_must_be_given():
    with pytest.raises(InputError, match="flux-2-klein-9b needs a text that is not blank"):
        job(KLEIN, KLEIN_NAME, seed=1)
    assert {"seed": 1} == job(SDXL, SDXL_NAME, seed=1).input


def test_a_parameter_that_the_schema_does_not_have_is_warned_of_once(caplog, monkeypatch):
    monkeypatch.setattr(jobs, "_told", set())
    caplog.set_level(logging.WARNING, "cometflux")
    for _ in range(2):
        job(SDXL, SDXL_NAME, prompt="a", schedular="DDIM")
    (record,) = caplog.records
    assert "schedular: sdxl has no such parameter by its published schema; the service will probably ignore it; " in (
        record.getMessage()
    )
    assert record.getMessage().endswith("did you mean 'scheduler'?")
    with pytest.raises(InputError, match="did you mean 'scheduler'"):
        flux.check_input(SDXL_NAME, {"prompt": "a", "schedular": "DDIM"}, schema=read(SDXL, SDXL_NAME))


@pytest.mark.parametrize(
    "schema", [SDXL, "sdxl.json", read(KLEIN, KLEIN_NAME)], ids=["a mapping", "a path", "another's"]
)
def test_a_job_takes_only_the_schema_of_its_model(schema):
    with pytest.raises(InputError) as caught:
        Job(model=SDXL_NAME, input={}, schema=schema)
    assert "schema" == caught.value.field


def test_a_schema_replaces_the_class_of_a_model():
    name = "black-forest-labs/flux-schnell"
    newer = read(plain(prompt={"type": "string"}, num_inference_steps={"type": "integer", "maximum": 8}), name)
    assert (
        8 == Job(model=name, input={"prompt": "a", "num_inference_steps": 8}, schema=newer).input["num_inference_steps"]
    )


def test_a_job_with_a_schema_is_the_same_job_as_one_without():
    checked, raw = job(SDXL, SDXL_NAME, prompt="a"), Job(model=SDXL_NAME, input={"prompt": "a"})
    assert checked == raw == pickle.loads(pickle.dumps(checked))
    assert create_request(checked).body == create_request(raw).body
