"""The tools and their parameters, described for a language model."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from mcp_types import Tool, ToolAnnotations

from cometflux import flux
from cometflux.flux import Parameter
from cometflux.models import docs
from cometflux.models.image_kinds import ANY_NUMBER
from cometflux.models.model import Known
from cometflux.models.schemas import ModelSchema

Models: TypeAlias = Mapping[str, Known]
"""The models by the names that agents use."""

GENERATE, MODELS, STATUS = "generate_image", "list_models", "batch_status"
REFERENCES = "reference_images"
"""The tools' name for reference images; each model has its own parameter for them."""
DEFAULT_MODEL = "flux-schnell"
LONGEST_PROMPT = 20_000
MOST_VARIATIONS = 1000
MOST_JOBS = 20
"""How many jobs of a batch are listed."""

INSTRUCTIONS = (
    "generate_image costs the operator money; the operator limits how many predictions may be paid for.\n\n"
    "The same arguments are never paid for twice: the same call again costs nothing, and returns the same picture or "
    "waits for it. So after a time-out or a broken connection, make exactly the same call again. For another picture "
    "of the same prompt, give another variation or seed.\n\n"
    "Every answer says in `money` whether it was paid for, and in `next` what to do: done; same_call (safe, nothing is "
    "paid twice); other_call (change the arguments); operator (stop, and tell the person in charge). Money `unknown` "
    "means that it may have been paid for: do not try again in any other way, since that may pay twice."
)


def list_tools(models: Models) -> list[Tool]:
    """Return the server's tools for *models*, by the names that agents use."""
    return [
        Tool(
            name=GENERATE,
            title="Make a picture",
            description=(
                "Make a picture from a prompt with a FLUX model, and return it. It costs the operator money, once: the "
                "same arguments again return the same picture and cost nothing. If the answer is `pending`, make the "
                "same call again. Look at `money` and `next` in the answer before you do anything else."
            ),
            input_schema=generate_schema(models),
            output_schema=_ANSWER,
            annotations=ToolAnnotations(
                read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
            ),
        ),
        Tool(
            name=MODELS,
            title="List the models",
            description="List the FLUX models, or with `model` the types, ranges and defaults of its parameters.",
            input_schema=_object(
                {"model": {"type": "string", "description": "One model, such as flux-2-pro; leave out for all."}}
            ),
            annotations=_LOOKS,
        ),
        Tool(
            name=STATUS,
            title="Show the progress of a batch",
            description=(
                "Count the jobs of a folder that are saved, pending, failed or unknown, and list the last "
                f"{MOST_JOBS}. Changes nothing. The listed pictures can be used by their names as reference images if "
                "the folder is this server's own."
            ),
            input_schema=_object(
                {"folder": {"type": "string", "description": "A batch's folder; leave out for this server's own."}}
            ),
            annotations=_LOOKS,
        ),
    ]


def generate_schema(models: Models) -> dict[str, Any]:
    """Return the JSON schema of the arguments of ``generate_image``."""
    own: dict[str, Any] = {
        "prompt": {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_PROMPT,
            "description": "What the picture should show; for a kontext model, how to change the reference image.",
        },
        "model": {
            "type": "string",
            "enum": [*models],
            "default": DEFAULT_MODEL,
            "description": f"The model's name; {MODELS} lists the parameters of each.",
        },
        REFERENCES: {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": max(map(most_references, models.values())),
            "description": (
                "Pictures to edit or to use as a guide: each is an https URL, a data URI, or the name of a picture "
                f"that this server made. {_reference_limits(models)}"
            ),
        },
        "variation": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_VARIATIONS,
            "default": 1,
            "description": "Another number pays for another picture of the same arguments; the same number never does.",
        },
    }
    for name, takers in docs.all_parameters(models.values()).items():
        values = [model for model in takers if not docs.kind_of(name, model).most_images]
        if values and name not in own:
            own[name] = _merged(name, values, len(models))
    return _object(own, "prompt")


def models_by_name(schemas: Iterable[ModelSchema] = ()) -> Models:
    """Return the models that agents may use, by name. A model with a schema has its full name."""
    given = {each.model: each for each in schemas}
    return {slug(each): each for each in flux.MODELS.values() if each.model not in given} | given


def slug(model: Known) -> str:
    """Return the name of a model that agents use."""
    return model.model if isinstance(model, ModelSchema) else docs.slug(model.model)


def image_parameter(model: Known) -> Parameter | None:
    """Return the parameter by which *model* takes reference images; None if it takes no images."""
    return next((each for each in flux.parameters(model) if each.kind.most_images), None)


def most_references(model: Known) -> int:
    """Return the maximum number of reference images that *model* takes."""
    parameter = image_parameter(model)
    return 0 if parameter is None else parameter.kind.most_images


def describe_model(model: Known) -> dict[str, Any]:
    """Describe a model for the list of models."""
    known = {each.name: each for each in flux.parameters(model)}
    return {
        "model": slug(model),
        "about": docs.about(model),
        REFERENCES: most_references(model),
        "pictures": int(known["num_outputs"].maximum or 1) if "num_outputs" in known else 1,
        "parameters": [name for name, each in known.items() if not each.kind.most_images],
    }


def describe_parameters(model: Known) -> list[dict[str, Any]]:
    """Describe each parameter of a model."""
    texts = docs.parameter_texts(model)
    return [
        (_described_references if each.kind.most_images else _described)(each, texts.get(each.name, ""))
        for each in flux.parameters(model)
    ]


def _described_references(parameter: Parameter, text: str) -> dict[str, Any]:
    return {"name": REFERENCES, "type": "array", "most": parameter.kind.most_images, "about": _on_one_line(text)}


def _described(parameter: Parameter, text: str) -> dict[str, Any]:
    values = {
        "name": parameter.name,
        "type": parameter.kind.json_schema.get("type"),
        "items": parameter.kind.json_schema.get("items"),
        "required": parameter.required or None,
        "choices": list(parameter.choices) or None,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "default": parameter.default,
        "about": _on_one_line(text),
    }
    return {name: value for name, value in values.items() if value is not None}


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _merged(name: str, takers: list[Known], total: int) -> dict[str, Any]:
    """Return one schema for all models that take the parameter; its description lists their differences."""
    own = {model: next(each for each in flux.parameters(model) if each.name == name) for model in takers}
    schemas = [each.kind.json_schema for each in own.values()]
    is_one_type = all(each.get("type") == schemas[0].get("type") for each in schemas)
    shared = {key: value for key, value in schemas[0].items() if is_one_type and all(key in each for each in schemas)}
    widest = {key: _WIDEST[key]([each[key] for each in schemas]) for key in shared if key in _WIDEST}
    return {**shared, **widest, "description": f"{_about(name, takers)} {_differences(own, total)}"}


_WIDEST: dict[str, Callable[[list[Any]], Any]] = {
    "enum": lambda choices: list(dict.fromkeys(itertools.chain(*choices))),
    "minimum": min,
    "maximum": max,
    "minItems": min,
    "maxItems": max,
}


def _about(name: str, takers: list[Known]) -> str:
    text = docs.short_text(name, takers).partition(" (flux-")[0]
    return f"{text.partition(' (')[0].rstrip('.')}."


def _differences(own: dict[Known, Parameter], total: int) -> str:
    """Name the models that take a parameter, grouped by range and default."""
    groups: dict[str, list[str]] = {}
    for model, parameter in own.items():
        groups.setdefault(_figures(parameter), []).append(slug(model))
    return " ".join(
        f"{_names(models, total)}{f' ({figures})' if figures else ''}." for figures, models in groups.items()
    )


def _figures(parameter: Parameter) -> str:
    figures = []
    if parameter.kind.is_number and (parameter.minimum is not None or parameter.maximum is not None):
        figures.append(parameter.kind.summary.partition(",")[0])
    if parameter.choices:
        figures.append(", ".join(map(str, parameter.choices)))
    if parameter.default not in (None, ()):
        shown = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
        figures.append(f"default {shown}")
    return "; ".join(figures)


def _names(models: list[str], total: int) -> str:
    return "All models" if len(models) == total else ", ".join(models)


def _reference_limits(models: Models) -> str:
    groups: dict[int, list[str]] = {}
    for name, model in models.items():
        groups.setdefault(most_references(model), []).append(name)
    told = [f"{_names(names, len(models))}: {_limit_words(most)}." for most, names in sorted(groups.items())]
    return " ".join(told)


def _limit_words(most: int) -> str:
    return "any number" if most == ANY_NUMBER else f"up to {most}" if most else "none"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


_LOOKS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


_ANSWER = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "description": "pending, or how it ended: succeeded, failed, unknown, etc."},
        "money": {"type": "string", "enum": ["not_sent", "rejected", "accepted", "unknown"]},
        "next": {"type": "string", "enum": ["done", "same_call", "other_call", "operator"]},
        "message": {"type": "string"},
        "key": {"type": "string", "description": "The operator finds the job in the journal by this key."},
        "model": {"type": "string"},
        "variation": {"type": "integer"},
        "seed": {"type": "integer"},
        "prediction_id": {"type": "string"},
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "media_type": {"type": "string"},
                    "bytes": {"type": "integer"},
                    "shown": {"type": "string", "enum": ["original", "reduced", "not"]},
                },
                "required": ["name", "media_type", "bytes", "shown"],
            },
        },
        "left": {"type": "integer", "description": "How many more predictions may be paid for."},
    },
    "required": ["status", "money", "next", "message"],
}
