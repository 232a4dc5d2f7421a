"""What an agent asks for becomes a job, or an error that it can act on. Nothing is sent here."""

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
from cometflux.mcp.tools import REFERENCES
from cometflux.number_checks import is_whole, whole_phrase

_WORDS = {"image": "an https URL, a data URI, or the name of a picture", "boolean": "true or false"}
"""The values of JSON, which has no types of Python."""


@attrs.frozen(kw_only=True)
class GenerateRequest:
    """A job, and the how many-eth picture of the same arguments it is."""

    job: Job
    variation: int = 1


def read_order(arguments: Mapping[str, Any], find_picture: Callable[[str], Path | None]) -> GenerateRequest:
    """Check what ``generate_image`` was given.

    Args:
        arguments: as the client sent them; what is null counts as left out.
        find_picture: returns the file of an earlier picture by its name; None where there is none.

    Raises:
        InputError: something is wrong with it; nothing was sent.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    model = flux.find(given.pop("model", tools.DEFAULT_MODEL))
    variation = _read_variation(given.pop("variation", 1))
    references = _read_references(given.pop(REFERENCES, []), find_picture)
    _check_prompt(given.get("prompt"))
    _refuse_own_names(model, given)
    values = {name: _as_written(model, name, value) for name, value in given.items()}
    if references:
        values |= _placed(model, references)
    return GenerateRequest(job=Job(model=model.model, input=values), variation=variation)


def error_text(error: CometfluxError) -> str:
    """Say what is wrong, in the words of the tools. The hints of other errors are about Python."""
    return error.message_in(_WORDS) if isinstance(error, InputError) else error.problem


def _read_variation(value: Any) -> int:
    number = _whole(value)
    if not is_whole(number, 1, tools.MOST_VARIATIONS):
        raise InputError("variation", value, f"must be {whole_phrase(1, tools.MOST_VARIATIONS)}")
    return number


def _check_prompt(prompt: Any) -> None:
    if isinstance(prompt, str) and len(prompt) > tools.LONGEST_PROMPT:
        allowed = f"must have at most {tools.LONGEST_PROMPT} characters, not {len(prompt)}"
        raise InputError("prompt", prompt, allowed)


def _refuse_own_names(model: type[flux.Flux], given: Mapping[str, Any]) -> None:
    """Refuse the names by which the models take images: what stands there would get round what is checked here."""
    own = {each.name for each in flux.parameters(model) if each.kind.most_images}
    for name in own & set(given):
        raise InputError(name, given[name], f"give reference images as {REFERENCES}")


def _as_written(model: type[flux.Flux], name: str, value: Any) -> Any:
    # JSON knows one kind of number, and some clients write 4 as 4.0.
    types = {each.name: each.kind.json_schema["type"] for each in flux.parameters(model)}
    return _whole(value) if types.get(name) == "integer" else value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# ── reference images ─────────────────────────────────────────────────────────────────────────────────────────────────


def _read_references(value: Any, find_picture: Callable[[str], Path | None]) -> list[str | Path]:
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
        data = data_uris.read_data_uri(text)
    except ValueError as error:
        raise InputError(REFERENCES, text, str(error)) from error
    # Written anew, so that its type is the true one.
    return f"data:{data_uris.check_input(REFERENCES, data)};base64,{base64.b64encode(data).decode()}"


def _placed(model: type[flux.Flux], references: list[str | Path]) -> dict[str, Any]:
    """Hand the images to the parameter by which this model takes them."""
    parameter = tools.image_parameter(model)
    most = tools.most_references(model)
    name = tools.slug(model)
    if parameter is None:
        hint = f"{name} takes no reference image; flux-kontext-pro takes 1 and flux-2-pro up to 8"
        raise InputError(REFERENCES, len(references), hint)
    if len(references) > most:
        raise InputError(REFERENCES, len(references), f"{name} takes at most {most}")
    placed = references if parameter.kind.is_list else references[0]
    # By the only name that an agent knows.
    attrs.evolve(parameter, name=REFERENCES).check(placed)
    return {parameter.name: placed}
