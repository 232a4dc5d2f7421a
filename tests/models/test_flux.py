import ast
import copy
import inspect
import itertools
import json
import math
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cometflux import flux
from cometflux.errors import InputError, Money
from cometflux.models.spelling import is_blank

API = Path(__file__).parents[3] / "shared/api"
URL = "https://example.com/cat.png"
DATA_URI = "data:image/png;base64,iVBORw0KGgo="

every_model = pytest.mark.parametrize("model", flux.MODELS.values(), ids=lambda model: model.__name__)


def check(slug, **given):
    flux.check_input(f"black-forest-labs/{slug}", given)


def message_of(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def refusal_of(call, *args):
    try:
        call(*args)
    except InputError as error:
        return error
    return None


def parameter(model, name):
    return next(each for each in flux.parameters(model) if each.name == name)


def every_parameter(*kinds):
    return [
        pytest.param(model, each, id=f"{model.__name__}-{each.name}")
        for model in flux.MODELS.values()
        for each in flux.parameters(model)
        if each.kind.name in kinds
    ]


def alone(model, name, value):
    """Return the other parameters that a parameter needs."""
    needed: dict[str, Any] = {"prompt": "a boat"}
    if name in {"width", "height"}:
        needed |= {"aspect_ratio": "custom", "width": 512, "height": 512}
    if name == "prompt_strength":
        needed["image"] = URL
    return model(**{**needed, name: value})


# What the classes know, against what is published.


@pytest.fixture(scope="module")
def published():
    path = API / "flux_models.json"
    if not path.exists():
        pytest.skip("the published schemas are not beside this checkout")
    return json.loads(path.read_text())["models"]


KINDS = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array[string]": "images",
}


def kind_of(entry):
    if entry["enum"]:
        return "choice"
    if entry.get("format") == "uri":
        return "image"
    return KINDS.get(entry["type"], "text")


def test_every_published_model_has_a_class(published):
    assert set(published) == set(flux.MODELS)


@every_model
def test_a_class_has_exactly_the_published_parameters(published, model):
    entries = {entry["name"] for entry in published[model.model]["parameters"]}
    assert entries == {each.name for each in flux.parameters(model)}


@every_model
def test_the_figures_are_the_published_ones(published, model):
    for entry in published[model.model]["parameters"]:
        own = parameter(model, entry["name"])
        assert kind_of(entry) == own.kind.name
        assert set(entry["enum"] or ()) == set(own.choices)
        assert (entry["min"], entry["max"]) == (own.minimum, own.maximum)
        assert (() if entry["default"] == [] else entry["default"]) == own.default
        assert entry["required"] == own.required
        assert entry.get("max_items_prose") == own.most


@every_model
def test_the_help_text_names_the_published_figures(published, model):
    texts = docstrings(model)
    for entry in published[model.model]["parameters"]:
        first_line = texts[entry["name"]].splitlines()[0]
        for figure in ("min", "max", "max_items_prose"):
            if entry.get(figure) is not None:
                assert f"{entry[figure]}" in first_line
        if entry["type"] in {"integer", "number"} and entry["default"] is not None:
            assert f"{entry['default']} unless given" in first_line
        if entry["type"] == "boolean":
            assert f"{'on' if helps_on(entry) else 'off'} unless given" in first_line


def helps_on(entry):
    # Said of the check, which is the other way round than the parameter.
    return entry["default"] != (entry["name"] == "disable_safety_checker")


# What a raw input and its model's published examples are told.

DROPPED = {
    "requests": {
        "1": ("input_images", "takes one image, as 'input_image'; for several use a flux-2 model (input_images)"),
        "2": ("input_images", "takes one image, as 'input_image'; for several use a flux-2 model (input_images)"),
        "3": ("input_image", "flux-schnell takes no reference image"),
        "4": ("input_image", "flux-pro takes its reference image as 'image_prompt'"),
        "5": ("input_image", "flux-dev takes its reference image as 'image'"),
        "7": ("raw", "raw is a parameter of flux-1.1-pro-ultra"),
    },
    "responses": {
        "1": ("input_image_2", "takes one image, as 'input_image'; for several use a flux-2 model (input_images)"),
        "2": ("input_image_2", "takes one image, as 'input_image'; for several use a flux-2 model (input_images)"),
        "3": ("input_image", "flux-schnell takes no reference image"),
        "4": ("input_image", "flux-pro takes its reference image as 'image_prompt'"),
        "5": ("input_image", "flux-dev takes its reference image as 'image'"),
        "7": ("image_prompt_strength", "image_prompt_strength is a parameter of flux-1.1-pro-ultra"),
    },
}


@pytest.fixture(scope="module")
def examples():
    path = API / "openapi.yaml"
    if not path.exists():
        pytest.skip("the service's own specification is not beside this checkout")
    paths = yaml.safe_load(path.read_text())["paths"]
    post = paths["/replicate/v1/models/{models}/predictions"]["post"]
    return {
        "requests": post["requestBody"]["content"]["application/json"]["examples"],
        "responses": post["responses"]["200"]["content"]["application/json"]["examples"],
    }


@pytest.mark.parametrize("side", ["requests", "responses"])
def test_every_published_example_is_accounted_for(examples, side):
    assert {*DROPPED[side], "6"} == set(examples[side])


@pytest.mark.parametrize(
    ("side", "number", "dropped", "suggestion"),
    [
        pytest.param(side, number, *said, id=f"{side}-{number}")
        for side, answers in DROPPED.items()
        for number, said in answers.items()
    ],
)
def test_a_published_example_with_a_dropped_key_is_answered(examples, side, number, dropped, suggestion):
    """The service accepts these, ignores the key, and the picture is paid."""
    example = examples[side][number]
    message = message_of(flux.check_input, example["summary"], example["value"]["input"])
    assert message.startswith(f"{dropped}: ")
    assert suggestion in message
    assert "the service would probably ignore it, and still charge for the picture" in message


@pytest.mark.parametrize("side", ["requests", "responses"])
def test_the_one_published_example_without_dropped_keys_passes(examples, side):
    example = examples[side]["6"]
    flux.check_input(example["summary"], example["value"]["input"])


@pytest.mark.parametrize(
    ("slug", "name", "hint"),
    [
        ("flux-dev", "image_url", "flux-dev takes its reference image as 'image'"),
        ("flux-dev", "images", "flux-dev takes one image, as 'image'; for several use a flux-2 model"),
        ("flux-1.1-pro", "image", "flux-1.1-pro takes its reference image as 'image_prompt'"),
        ("flux-kontext-max", "control_image", "flux-kontext-max takes its reference image as 'input_image'"),
        ("flux-2-pro", "input_image", "flux-2-pro takes its reference images as the list 'input_images'"),
        ("flux-2-flex", "input_image_2", "flux-2-flex takes its reference images as the list 'input_images'"),
        ("flux-schnell", "reference_image", "flux-kontext-pro (input_image) and flux-2-pro (input_images) do"),
        ("flux-dev", "raw", "raw is a parameter of flux-1.1-pro-ultra"),
        ("flux-pro", "disable_safety_checker", "of flux-schnell, flux-dev and flux-2-dev"),
        ("flux-schnell", "safety_tolerance", "of flux-pro, flux-1.1-pro, flux-1.1-pro-ultra and others"),
        ("flux-schnell", "aspect_ration", "did you mean 'aspect_ratio'?"),
        ("flux-schnell", "aspectRatio", "did you mean 'aspect_ratio'?"),
        ("flux-schnell", "promt", "did you mean 'prompt'?"),
        ("flux-dev", "steps", "did you mean 'num_inference_steps'?"),
        ("flux-dev", "guidance_scale", "did you mean 'guidance'?"),
        ("flux-kontext-pro", "negative_prompt", "its parameters are prompt, input_image, aspect_ratio, seed"),
    ],
)
def test_an_unknown_key_is_answered_with_what_to_write_instead(slug, name, hint):
    message = message_of(check, slug, prompt="a boat", **{name: 1})
    assert hint in message
    assert "the service would probably ignore it, and still charge for the picture" in message


@pytest.mark.parametrize("name", ["a key", "", "\ud800", "x" * 1000], ids=["spaced", "empty", "surrogate", "long"])
def test_an_odd_key_is_shown_as_a_value(name):
    message = message_of(check, "flux-schnell", prompt="a boat", **{name: 1})
    assert message.startswith("input: '")
    assert message.encode()
    assert len(message) < 500


def test_a_key_that_is_not_a_string_is_refused():
    message = message_of(flux.check_input, "black-forest-labs/flux-schnell", {5: 1})
    assert "input: 5 was given; the name of a parameter must be a string" == message


def test_null_is_to_be_left_out():
    assert "leave the parameter out" in message_of(check, "flux-schnell", prompt="a boat", seed=None)


def test_a_missing_prompt_is_named():
    message = message_of(check, "flux-schnell", seed=1)
    assert "prompt: nothing was given; flux-schnell needs a text that is not blank" == message


def test_a_misspelt_key_is_reported_before_the_missing_prompt():
    assert message_of(check, "flux-schnell", promt="a boat").startswith("promt: ")


def test_a_raw_input_is_checked_as_its_class_would():
    assert message_of(flux.Schnell, prompt="a boat", num_outputs=5) == message_of(
        check, "flux-schnell", prompt="a boat", num_outputs=5
    )


def test_a_model_without_a_class_passes_unchecked():
    flux.check_input("somebody/something", {"anything": None})


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(URL) | st.just(DATA_URI),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=15,
)
known_names = sorted({each.name for model in flux.MODELS for each in flux.parameters(model)})
surrogates = st.text(st.characters(categories=["Cs", "Ll"]))
python_only = st.binary() | st.just(Path("cat.png")) | surrogates | st.integers(2**63, 2**200) | st.tuples(json_like)


@pytest.mark.slow
@given(
    model=st.sampled_from(list(flux.MODELS)),
    raw=st.dictionaries(
        st.sampled_from(known_names) | st.text(max_size=20) | surrogates, json_like | python_only, max_size=6
    ),
    prompt=st.just({}) | st.just({"prompt": "a boat"}),
)
def test_any_input_passes_or_is_an_input_error(model, raw, prompt):
    error = refusal_of(flux.check_input, model, {**raw, **prompt})
    if error is not None:
        assert str(error)
        assert error.money is Money.NOT_SENT


@st.composite
def good_value(draw, parameter):
    match parameter.kind.name:
        case "text":
            visible = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
            return draw(visible.filter(lambda text: not is_blank(text)))
        case "integer":
            least = -(2**63) if parameter.minimum is None else parameter.minimum
            most = 2**64 - 1 if parameter.maximum is None else parameter.maximum
            return draw(st.integers(least, most))
        case "number":
            whole = st.integers(math.ceil(parameter.minimum), math.floor(parameter.maximum))
            return draw(st.floats(parameter.minimum, parameter.maximum) | whole)
        case "boolean":
            return draw(st.booleans())
        case "choice":
            return draw(st.sampled_from(parameter.choices))
        case "image":
            return draw(an_image)
        case "images":
            return draw(st.lists(an_image, max_size=parameter.most))


an_image = st.sampled_from([URL, "HTTP://example.com/a.png", DATA_URI, Path("cat.png"), b"\x89PNG"])


@pytest.mark.slow
@every_model
@given(data=st.data())
def test_every_allowed_value_is_sent_as_given(model, data):
    parameter = data.draw(st.sampled_from(flux.parameters(model)))
    value = data.draw(good_value(parameter))
    if parameter.name == "resolution" or (parameter.name == "aspect_ratio" and value == "custom"):
        value = parameter.default
    assert value == alone(model, parameter.name, value).to_input()[parameter.name]


@pytest.mark.slow
@every_model
@given(data=st.data())
def test_nothing_outside_its_range_is_sent(model, data):
    figures = [each for each in flux.parameters(model) if each.kind.name in {"integer", "number"}]
    parameter = data.draw(st.sampled_from(figures))
    least = -(2**63) if parameter.minimum is None else parameter.minimum
    most = 2**64 - 1 if parameter.maximum is None else parameter.maximum
    value = data.draw(
        st.integers(max_value=math.ceil(least) - 1)
        | st.integers(min_value=math.floor(most) + 1)
        | st.floats(max_value=float(least), exclude_max=True)
        | st.floats(min_value=float(most), exclude_min=True)
        | st.just(math.nan)
    )
    message = message_of(alone, model, parameter.name, value)
    assert f"{parameter.name}: {value!r} was given; must be {parameter.allowed}" == message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "parameter"), every_parameter("text", "integer", "number", "choice", "image", "images")
)
@pytest.mark.parametrize("value", [True, False])
def test_a_bool_is_nothing_but_a_bool(model, parameter, value):
    assert f"{parameter.name}: {value} was given" in message_of(alone, model, parameter.name, value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"output_quality": 101}, "output_quality: 101 was given; must be a whole number from 0 to 100"),
        ({"num_outputs": 2.0}, "num_outputs: 2.0 was given; must be a whole number from 1 to 4"),
        ({"num_outputs": "2"}, "num_outputs: '2' was given; must be a whole number from 1 to 4"),
        ({"seed": 2**64}, "seed: 18446744073709551616 was given; must be a whole number that fits in 64 bits"),
        ({"go_fast": 1}, "go_fast: 1 was given; must be True or False"),
        ({"megapixels": 1}, "megapixels: 1 was given; must be '1' or '0.25'; give it as a string, in quotes"),
        (
            {"megapixels": 0.25},
            "megapixels: 0.25 was given; must be '1' or '0.25'; give it as a string, in quotes",
        ),
        (
            {"output_format": "jpeg"},
            "output_format: 'jpeg' was given; must be 'webp', 'jpg' or 'png'; did you mean 'jpg'?",
        ),
        (
            {"output_format": "PNG"},
            "output_format: 'PNG' was given; must be 'webp', 'jpg' or 'png'; did you mean 'png'?",
        ),
        ({"output_format": "tiff"}, "output_format: 'tiff' was given; must be 'webp', 'jpg' or 'png'"),
        ({"prompt": " \n"}, r"prompt: ' \n' was given; must be a text that is not blank"),
        ({"prompt": None}, "prompt: None was given; must be a text that is not blank"),
        (
            {"prompt": "boat \udc80"},
            (
                r"prompt: 'boat \udc80' was given; must be text that UTF-8 can encode; "
                "character 6 is half of a surrogate pair"
            ),
        ),
    ],
)
def test_a_wrong_value_is_reported_with_the_allowed_values(wrong, message):
    assert message == message_of(flux.Schnell, **{"prompt": "a boat", **wrong})


@pytest.mark.parametrize("value", [-1, 0, 2**63, -(2**63)])
def test_a_seed_may_be_any_number_of_64_bits(value):
    assert value == flux.Schnell(prompt="a boat", seed=value).to_input()["seed"]


# How a class is called.


@every_model
def test_a_parameter_that_a_class_does_not_take_is_answered_like_a_key_of_a_raw_input(model):
    message = message_of(model, prompt="a boat", num_infrence_steps=2)
    with pytest.raises(InputError) as caught:
        flux.check_input(model.model, {"prompt": "a boat", "num_infrence_steps": 2})
    assert message == str(caught.value)
    assert message.startswith("num_infrence_steps: 2 was given; ")


def test_a_slip_of_the_pen_is_answered_with_what_may_be_meant():
    assert message_of(flux.Schnell, prompt="a boat", aspect_ration="1:1").endswith("did you mean 'aspect_ratio'?")
    assert message_of(flux.Schnell, promt="a boat").endswith("did you mean 'prompt'?")


def test_a_prompt_is_given_by_its_name():
    with pytest.raises(InputError) as caught:
        flux.Schnell("a boat")
    assert "prompt: 'a boat' was given; give it by its name: Schnell(prompt=...)" == str(caught.value)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda job: pickle.loads(pickle.dumps(job))])
def test_a_job_is_copied_and_travels(copied):
    job = flux.Schnell(prompt="a boat", seed=7)
    assert job == copied(job)


@pytest.mark.parametrize("model", [5, None, b"flux-dev", int, flux.Dev(prompt="a boat")], ids=repr)
def test_a_text_that_is_not_the_name_of_a_model_is_refused(model):
    for look in (flux.find, flux.parameters):
        with pytest.raises(InputError, match="must be the name of a model, as a string"):
            look(model)


# Images.


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("data:image/png;base64,%%%", "the base64 of the data URI is broken"),
        ("data:image/png;base64,iVBORw0KGgo", "the base64 of the data URI is broken"),
        ("data:image/png;base64,iVBO*w0KGgo=", "the base64 of the data URI is broken"),
        ("data:image/png;base64,iVBORw0KGgo=\u00e4", "the base64 of the data URI is broken"),
        ("data:image/png;base64,", "the data URI is empty"),
        ("data:,", "the data URI is empty"),
        ("data:text/html;base64,PGI+", "this one is text/html"),
        ("data:TEXT/plain,hello", "this one is text/plain"),
        ("data:image/png;base64", "must be an http(s) URL, a data URI"),
    ],
)
def test_a_data_uri_that_holds_no_image_is_refused(uri, words):
    assert words in message_of(flux.Dev, prompt="a boat", image=uri)


@pytest.mark.parametrize(
    "uri",
    [
        DATA_URI,
        DATA_URI.replace("image/png", "application/octet-stream"),
        DATA_URI.replace("image/png", ""),
        DATA_URI.replace("data:image", "DATA:IMAGE"),
        DATA_URI.replace("=", "%3D"),
        DATA_URI.replace("0K", "0\r\nK"),
        DATA_URI.replace(";base64", ";name=a.png;base64"),
    ],
)
def test_any_other_data_uri_is_taken_as_it_is(uri):
    assert uri == flux.Dev(prompt="a boat", image=uri).to_input()["image"]


@pytest.mark.parametrize("url", ["https://exa mple.com/a.png", "https://example.com/a.png\nhttps://example.com/b.png"])
def test_a_url_with_white_space_is_refused(url):
    assert message_of(flux.Dev, prompt="a boat", image=url).endswith("; a URL has no whitespace")


@pytest.mark.parametrize("url", ["http://", "https:///a.png", "https://?a", "ftp://example.com/a.png", "file:///a.png"])
def test_a_url_without_a_host_or_of_another_kind_is_not_the_name_of_a_file(url):
    assert message_of(flux.Dev, prompt="a boat", image=url).endswith("a data URI, a pathlib.Path or bytes")


def test_a_string_that_is_not_a_link_is_not_taken_for_a_file():
    message = message_of(flux.Dev, prompt="a boat", image="cat.png")
    assert message.startswith("image: 'cat.png' was given; must be an http(s) URL, a data URI, ")
    assert message.endswith("wrap the name of a file in pathlib.Path")


@pytest.mark.parametrize("value", ["", "https://", "ftp://example.com/a.png", "data:", b"", 5, [URL], f"{URL}\ud800"])
def test_a_value_that_is_not_an_image_is_refused(value):
    assert message_of(flux.Dev, prompt="a boat", image=value).startswith("image: ")


@pytest.mark.parametrize("lone", [URL, Path("cat.png"), b"\x89PNG"], ids=["url", "path", "bytes"])
def test_a_single_image_is_not_a_list(lone):
    message = message_of(flux.Flux2Pro, prompt="a boat", input_images=lone)
    assert message.endswith("was given; give a list, even for a single image")


@pytest.mark.parametrize(
    ("model", "most"), [(flux.Flux2Pro, 8), (flux.Flux2Max, 8), (flux.Flux2Dev, 4), (flux.Flux2Flex, 10)]
)
def test_a_list_holds_as_many_images_as_the_model_reads(model, most):
    assert most == len(model(prompt="a boat", input_images=[URL] * most).input_images)
    message = message_of(model, prompt="a boat", input_images=[URL] * (most + 1))
    assert message.endswith(f"must be a list of at most {most} images, and it holds {most + 1}")


def test_a_wrong_image_in_a_list_is_the_one_shown():
    message = message_of(flux.Flux2Pro, prompt="a boat", input_images=[URL, "cat.png"])
    assert message.startswith("input_images: 'cat.png' was given; ")


def test_a_list_is_kept_as_a_tuple_and_sent_as_a_list():
    given = [URL, Path("cat.png"), b"\x89PNG"]
    job = flux.Flux2Pro(prompt="a boat", input_images=given)
    assert tuple(given) == job.input_images
    assert given == job.to_input()["input_images"]


@pytest.mark.parametrize(
    "job",
    [
        flux.Dev(prompt="a boat", image=b"\x89PNG" * 100_000),
        flux.Dev(prompt="a boat", image="data:image/png;base64," + "A" * 2_000_000),
        flux.Flux2Pro(prompt="a boat", input_images=[b"\x89PNG" * 100_000] * 8),
    ],
    ids=["bytes", "data URI", "list"],
)
def test_the_repr_does_not_show_megabytes_of_image(job):
    assert len(repr(job)) < 2000


# Parameters that depend on each other.


@pytest.mark.parametrize("model", [flux.Pro, flux.Pro11, flux.Flux2Pro, flux.Flux2Max, flux.Flux2Dev, flux.Flux2Flex])
@pytest.mark.parametrize("side", ["width", "height"])
@pytest.mark.parametrize("ratio", [{}, {"aspect_ratio": "1:1"}], ids=["no ratio", "a fixed ratio"])
def test_a_side_that_the_service_would_ignore_is_refused(model, side, ratio):
    message = message_of(model, prompt="a boat", **{side: 512}, **ratio)
    assert f"{side}: 512 was given; allowed only together with aspect_ratio='custom'" in message
    assert "still charge for the picture" in message


def test_both_sides_go_with_a_custom_ratio():
    given = {"prompt": "a boat", "aspect_ratio": "custom", "width": 512, "height": 768}
    assert given == flux.Pro11(**given).to_input()


@pytest.mark.parametrize("model", [flux.Pro, flux.Pro11, flux.Flux2Pro, flux.Flux2Max, flux.Flux2Dev, flux.Flux2Flex])
@pytest.mark.parametrize("side", ["width", "height"])
def test_a_custom_ratio_needs_both_sides(model, side):
    given = {"prompt": "a boat", "aspect_ratio": "custom", "width": 512, "height": 768}
    del given[side]
    assert f"{side}: nothing was given; aspect_ratio='custom' needs both width and height" == message_of(model, **given)


@pytest.mark.parametrize("model", [flux.Flux2Pro, flux.Flux2Max, flux.Flux2Flex])
def test_a_resolution_that_the_service_would_ignore_is_refused(model):
    message = message_of(model, prompt="a boat", aspect_ratio="custom", resolution="2 MP")
    assert message.startswith("resolution: '2 MP' was given; not allowed with aspect_ratio='custom'")


@pytest.mark.parametrize("model", [flux.KontextPro, flux.KontextMax])
def test_kontext_is_stricter_with_an_image(model):
    assert 6 == model(prompt="a boat", safety_tolerance=6).safety_tolerance
    assert 2 == model(prompt="a boat", safety_tolerance=2, input_image=URL).safety_tolerance
    message = message_of(model, prompt="a boat", safety_tolerance=3, input_image=URL)
    assert message.startswith("safety_tolerance: 3 was given; must be a whole number from 0 to 2")


def test_a_prompt_strength_without_an_image_is_refused():
    message = message_of(flux.Dev, prompt="a boat", prompt_strength=0.5)
    assert message.startswith("prompt_strength: 0.5 was given; allowed only together with image")


def test_an_image_prompt_strength_without_an_image_is_harmless():
    assert 0.1 == flux.Pro11Ultra(prompt="a boat", image_prompt_strength=0.1).image_prompt_strength


# The classes.


@every_model
def test_only_given_parameters_are_sent(model):
    assert {"prompt": "a boat"} == model(prompt="a boat").to_input()


@pytest.mark.parametrize(("model", "parameter"), every_parameter("integer", "number", "boolean", "choice"))
def test_a_wish_that_equals_the_default_is_sent(model, parameter):
    """The service's defaults drift."""
    if parameter.default is not None:
        assert parameter.default == alone(model, parameter.name, parameter.default).to_input()[parameter.name]


def test_the_input_keeps_the_order_of_declaration():
    job = flux.Schnell(megapixels="1", seed=3, aspect_ratio="16:9", prompt="a boat")
    assert ["prompt", "aspect_ratio", "seed", "megapixels"] == list(job.to_input())


@every_model
def test_a_job_is_a_value(model):
    job = model(prompt="a boat", seed=3)
    assert model(prompt="a boat", seed=3) == job
    assert hash(model(prompt="a boat", seed=3)) == hash(job)
    assert pickle.loads(pickle.dumps(job)) == copy.deepcopy(job) == job
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        job.seed = 4


def test_a_changed_copy_is_checked_again():
    assert message_of(attrs.evolve, flux.Schnell(prompt="a boat"), num_outputs=9).startswith("num_outputs: 9")


@every_model
def test_no_model_is_a_kind_of_another(model):
    assert [model] == [other for other in flux.MODELS.values() if issubclass(model, other)]


def docstrings(model):
    """Read the help texts as the command does: the string under each field, nearest class first."""
    texts = {}
    for owner in reversed(model.__mro__[:-1]):
        body = ast.parse(inspect.getsource(owner)).body[0].body
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                texts[field.target.id] = inspect.cleandoc(text.value.value)
    return texts


@every_model
def test_every_parameter_has_a_help_text_whose_first_line_is_complete(model):
    texts = docstrings(model)
    for each in flux.parameters(model):
        assert texts[each.name].splitlines()[0].endswith(".")
        if each.default not in (None, ()):
            assert "unless given" in texts[each.name].splitlines()[0]


# Names.


def test_the_models_are_in_the_order_of_the_families():
    names = [model.__name__ for model in flux.MODELS.values()]
    expected = "Schnell Dev Pro Pro11 Pro11Ultra KontextPro KontextMax Flux2Pro Flux2Max Flux2Dev Flux2Flex"
    assert expected.split() == names


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("black-forest-labs/flux-schnell", flux.Schnell),
        ("flux-schnell", flux.Schnell),
        ("schnell", flux.Schnell),
        ("Schnell", flux.Schnell),
        ("1.1-pro", flux.Pro11),
        ("pro", flux.Pro),
        ("Flux-1.1-Pro-Ultra", flux.Pro11Ultra),
        ("PRO11ULTRA", flux.Pro11Ultra),
        ("2-pro", flux.Flux2Pro),
        ("flux2dev", flux.Flux2Dev),
        ("kontext-max", flux.KontextMax),
    ],
)
def test_a_model_is_found_by_any_of_its_names(name, model):
    assert model is flux.find(name)


def test_a_misspelt_model_is_answered_with_the_nearest_and_the_list():
    message = message_of(flux.find, "flux-shnell")
    assert message.startswith("model: 'flux-shnell' was given; did you mean 'flux-schnell'? ")
    assert all(name.split("/")[1] in message for name in flux.MODELS)


def test_a_model_like_no_other_is_answered_with_the_list():
    assert message_of(flux.find, "sdxl").startswith("model: 'sdxl' was given; the models are flux-schnell, ")


@given(st.text() | surrogates)
def test_any_name_finds_a_model_or_is_an_input_error(name):
    error = refusal_of(flux.find, name)
    assert error is None or "model" == error.field


@every_model
def test_parameters_are_the_same_by_class_and_by_name(model):
    assert flux.parameters(model) == flux.parameters(model.model)
    assert [field.name for field in attrs.fields(model)] == [each.name for each in flux.parameters(model)]
