"""Turn an agent's arguments into a job, or raise an error that the agent can act on. Sends nothing."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux import flux
from cometflux.errors import CometfluxError, InputError
from cometflux.images import data_uris
from cometflux.jobs import Job
from cometflux.mcp import tools
from cometflux.mcp.tools import REFERENCES, Models
from cometflux.models.image_kinds import read_image_uri
from cometflux.models.kinds import IntegerKind, guess
from cometflux.models.model import Known
from cometflux.models.schemas import ModelSchema
from cometflux.number_checks import is_whole, whole_phrase

_WORDS = {"image": "an https URL, a data URI, or the name of a picture", "boolean": "true or false"}
"""Error texts name JSON values, not Python types."""


@attrs.frozen(kw_only=True)
class GenerateRequest:
    """A request for a picture."""

    job: Job
    variation: int = 1
    """Distinguishes several pictures of the same arguments."""


def read_request(
    arguments: Mapping[str, Any], find_picture: Callable[[str], Path | None], models: Models | None = None
) -> GenerateRequest:
    """Check the arguments of ``generate_image``, and make a request of them.

    Args:
        arguments: the client's JSON values; a null counts as not given.
        find_picture: returns the file of an earlier picture by its name; None if it is unknown.
        models: the models by the names that agents use; None for those of `cometflux.flux`.

    Raises:
        InputError: an argument is wrong; nothing was sent.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    model = find_model(given.pop("model", tools.DEFAULT_MODEL), tools.models_by_name() if models is None else models)
    variation = _read_variation(given.pop("variation", 1))
    references = _read_references(given.pop(REFERENCES, []), find_picture)
    _check_prompt(given.get("prompt"))
    _refuse_own_names(model, given)
    values = {name: _as_written(model, name, value) for name, value in given.items()}
    if references:
        values |= _placed(model, references)
    # A job would only warn of an unknown parameter, and an agent can correct it.
    schema = model if isinstance(model, ModelSchema) else None
    flux.check_input(model.model, values, schema=schema)
    return GenerateRequest(job=Job(model=model.model, input=values, schema=schema), variation=variation)


def find_model(name: Any, models: Models) -> Known:
    """Return the model that an agent names.

    Raises:
        InputError: no model has this name.
    """
    given = models.get(name) if isinstance(name, str) else None
    if given is not None:
        return given
    found = flux.find(name)
    # A schema replaces the class.
    return models.get(found.model, found)


def error_text(error: CometfluxError) -> str:
    """Return an error's text for an agent, without the hints that are meant for Python code."""
    return error.message_in(_WORDS) if isinstance(error, InputError) else error.problem


def _read_variation(value: Any) -> int:
    number = _read(IntegerKind(1, tools.MOST_VARIATIONS), "variation", value)
    if not is_whole(number, 1, tools.MOST_VARIATIONS):
        raise InputError("variation", value, f"must be {whole_phrase(1, tools.MOST_VARIATIONS)}")
    return number


def _check_prompt(prompt: Any) -> None:
    if isinstance(prompt, Mapping):
        raise InputError("prompt", prompt, "must be a text")
    if isinstance(prompt, str) and len(prompt) > tools.LONGEST_PROMPT:
        allowed = f"must have at most {tools.LONGEST_PROMPT} characters, not {len(prompt)}"
        raise InputError("prompt", prompt, allowed)


def _refuse_own_names(model: Known, given: Mapping[str, Any]) -> None:
    """Raise if an image is given by the model's own parameter name, because only *reference_images* is checked."""
    own = {each.name for each in flux.parameters(model) if each.kind.most_images}
    for name in own & set(given):
        raise InputError(name, given[name], f"give reference images as {REFERENCES}")


def _as_written(model: Known, name: str, value: Any) -> Any:
    """Read a value as a cell is read: some clients send 42 as 42.0, and some send every argument as text."""
    kinds = {each.name: each.kind for each in flux.parameters(model)}
    return _read(kinds[name], name, value) if name in kinds else value


def _read(kind: flux.ParameterKind, name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return kind.read_json(name, value, Path())
    return kind.read_text(name, value, Path()) if value.strip() else value


# ── reference images ─────────────────────────────────────────────────────────────────────────────────────────────────


def _read_references(value: Any, find_picture: Callable[[str], Path | None]) -> list[str | Path]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = guess(value)
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise InputError(REFERENCES, value, "must be a list of strings")
    return [_read_reference(each.strip(), find_picture) for each in given]


def _read_reference(text: str, find_picture: Callable[[str], Path | None]) -> str | Path:
    scheme = text[:8].lower()
    if scheme.startswith("https://"):
        return text
    if scheme.startswith("data:"):
        return _checked_data_uri(text)
    found = find_picture(text)
    if found is None:
        allowed = "must be an https URL, a data URI, or the name of a picture that this server made"
        raise InputError(REFERENCES, text, f"{allowed}; files of this machine cannot be read")
    return found


def _checked_data_uri(text: str) -> str:
    try:
        _, data = read_image_uri(text)
    except ValueError as error:
        raise InputError(REFERENCES, text, str(error)) from error
    # Encode it again with the media type of its actual content.
    return f"data:{data_uris.check_input(REFERENCES, data)};base64,{base64.b64encode(data).decode()}"


def _placed(model: Known, references: list[str | Path]) -> dict[str, Any]:
    """Return the images under the model's own parameter name."""
    parameter = tools.image_parameter(model)
    most = tools.most_references(model)
    name = tools.slug(model)
    if parameter is None:
        hint = f"{name} takes no reference image; flux-kontext-pro takes 1 and flux-2-pro up to 8"
        raise InputError(REFERENCES, len(references), hint)
    if len(references) > most:
        raise InputError(REFERENCES, len(references), f"{name} takes at most {most}")
    placed = references if parameter.kind.is_list else references[0]
    # An error must name the only parameter that an agent knows.
    attrs.evolve(parameter, name=REFERENCES).check(placed)
    return {parameter.name: placed}
