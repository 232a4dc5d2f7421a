"""A model with a kind of parameter that the package does not have: its class is all that has to be written."""
# ruff: noqa: RUF009 - the calls in the class bodies make attrs fields, not defaults

import json
from typing import Any, ClassVar

import attrs
import pytest
from mcp_client import opened

from cometflux import Job, flux
from cometflux.cli.options.image_options import with_model_parameters
from cometflux.errors import InputError
from cometflux.models.kinds import guess
from cometflux.models.model import _BY_ANY_NAME, _CLASSES, _MODELS, register
from cometflux.models.parameters import choice, frozen_list, optional, whole
from cometflux.session.open import open_session
from cometflux.sources import SourceError, read_jobs

URL = "https://example.com/style.safetensors"
STYLE = {"path": URL, "scale": 0.5}


@attrs.frozen
class LorasKind(flux.ParameterKind):
    """A list of LoRAs, each a mapping with ``path`` and ``scale``."""

    name = "loras"
    metavar = "LORA"
    is_list = True

    most: int

    @property
    def phrase(self):
        return f"a list of at most {self.most} LoRAs, each with path and scale"

    @property
    def json_schema(self):
        properties = {"path": {"type": "string"}, "scale": {"type": "number", "minimum": 0}}
        item = {"type": "object", "properties": properties, "required": ["path", "scale"]}
        return {"type": "array", "items": item, "maxItems": self.most}

    def check(self, field, value):
        is_short = isinstance(value, list | tuple) and len(value) <= self.most
        if not is_short or not all(isinstance(each, dict) and {"path", "scale"} == set(each) for each in value):
            raise self.refusal(field, value)

    def read_text(self, field, text, folder):
        return self.read_json(field, guess(text), folder)

    def read_json(self, field, value, folder):
        return value if isinstance(value, list) else [value]


@attrs.frozen(kw_only=True)
class DevLora(flux.Flux):
    """flux-dev-lora: as flux-dev, in styles of one's own."""

    model: ClassVar[str] = "black-forest-labs/flux-dev-lora"

    loras: Any = optional(LorasKind(2), default=(), converter=frozen_list)
    """Up to 2 LoRAs to apply, as a list."""
    aspect_ratio: flux.AspectRatio | None = choice(flux.AspectRatio, default="1:1")
    """Width to height; 1:1 unless given."""
    seed: int | None = whole()
    """Random seed, any whole number of 64 bits; random unless given."""


@pytest.fixture(autouse=True)
def known():
    register(DevLora)
    yield
    _CLASSES.remove(DevLora)
    for names in (_MODELS, _BY_ANY_NAME):
        for name in [name for name, each in names.items() if each is DevLora]:
            del names[name]


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_its_values_are_checked_in_an_object_and_in_a_job():
    typed = Job.of(DevLora(prompt="a boat", loras=[STYLE]))
    assert Job(model=DevLora.model, input={"prompt": "a boat", "loras": [STYLE]}).input == typed.input
    for make in (lambda given: DevLora(**given), lambda given: Job(model=DevLora.model, input=given)):
        with pytest.raises(InputError) as caught:
            make({"prompt": "a boat", "loras": [URL]})
        assert caught.value.message.endswith("must be a list of at most 2 LoRAs, each with path and scale")


def test_its_values_do_not_change_with_the_caller_s():
    style = dict(STYLE)
    typed = DevLora(prompt="a boat", loras=[style])
    style["scale"] = 9
    assert [STYLE] == Job.of(typed).input["loras"]


def test_a_misspelt_word_gets_a_suggestion():
    with pytest.raises(InputError, match=r"flux-dev-lora has no such parameter.*did you mean 'loras'"):
        DevLora(prompt="a boat", lorras=[STYLE])
    with pytest.raises(InputError, match="loras is a parameter of flux-dev-lora"):
        flux.Schnell(prompt="a boat", loras=[STYLE])


def test_it_is_read_from_a_cell(tmp_path):
    one, several = json.dumps(STYLE).replace('"', '""'), json.dumps([STYLE, STYLE]).replace('"', '""')
    rows = write(tmp_path, "rows.csv", f'prompt,loras\na boat,"{one}"\na mill,"{several}"\na tram,\n')
    jobs = read_jobs(rows, model="dev-lora")
    assert [[STYLE], [STYLE, STYLE], None] == [job.input.get("loras") for job in jobs]
    with pytest.raises(SourceError, match=r"line 2: loras: .* must be a list of at most 2 LoRAs"):
        read_jobs(write(tmp_path, "bad.csv", "prompt,loras\na boat,7\n"), model="dev-lora")


def test_it_is_read_from_a_row_of_json(tmp_path):
    rows = write(tmp_path, "rows.jsonl", json.dumps({"prompt": "a boat", "loras": [STYLE]}))
    assert [[STYLE]] == [job.input["loras"] for job in read_jobs(rows, model="dev-lora")]


def test_a_sweep_takes_it_as_a_list_and_multiplies_it(tmp_path):
    style = json.dumps(STYLE)
    sweep = f"model: dev-lora\nprompt: a boat\nloras: ['{style}', '{style}']\nmatrix:\n  seed: [1, 2]\n"
    jobs = read_jobs(write(tmp_path, "sweep.yaml", sweep))
    assert [(1, [STYLE, STYLE]), (2, [STYLE, STYLE])] == [(job.input["seed"], job.input["loras"]) for job in jobs]
    matrix = f"model: dev-lora\nprompt: a boat\nmatrix:\n  loras: ['{style}', '[{style}, {style}]']\n"
    jobs = read_jobs(write(tmp_path, "matrix.yaml", matrix))
    assert [[STYLE], [STYLE, STYLE]] == [job.input["loras"] for job in jobs]


def test_the_command_has_an_option_that_is_repeated_for_it():
    import inspect

    def command(**given):
        raise NotImplementedError

    made = inspect.signature(with_model_parameters(command)).parameters["loras"].annotation
    (option,) = made.__metadata__
    assert list[str] | None == made.__origin__
    assert ("LORA", "LoRAs to apply; repeat for several (dev-lora)") == (option.metavar, option.help)


async def test_the_tool_server_describes_it_and_takes_it(service, tmp_path):
    async with opened(service, tmp_path) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        schema = tools["generate_image"].input_schema["properties"]["loras"]
        given = {"prompt": "a boat", "model": "flux-dev-lora", "loras": [STYLE]}
        answer = await client.call_tool("generate_image", given)
        refused = await client.call_tool("generate_image", {**given, "loras": [URL]})
    described = LorasKind(2).json_schema
    assert described == {name: schema[name] for name in described}
    assert schema["description"] == "LoRAs to apply; repeat for several. flux-dev-lora."
    assert "succeeded" == answer.structured_content["status"]
    assert "must be a list of at most 2 LoRAs" in refused.structured_content["message"]
    assert [[STYLE]] == [bill.input["loras"] for bill in service.bills]


async def test_the_local_service_draws_it_and_refuses_what_its_schema_forbids(service):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        drawn = await session.run(DevLora(prompt="a boat", loras=[STYLE]))
        wrong = Job(model=DevLora.model, input={"prompt": "a boat", "loras": [URL]}, validate=False)
        (outcome,) = [outcome async for outcome in session.generate([wrong])]
    assert 1 == len(drawn.output)
    assert "Expected: object, given: string" in str(outcome.error)
    assert 1 == len(service.bills)
