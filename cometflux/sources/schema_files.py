"""Read the schemas of models from files."""

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cometflux.basics.plain_text import log as _log
from cometflux.basics.regular_files import fault_words
from cometflux.errors import ConfigError
from cometflux.models.schemas import ModelSchema, parse_schema
from cometflux.storage.paths import expand_home

LARGEST_SCHEMA = 2 * 1024 * 1024
"""The maximum size of a schema's file, in bytes. Published ones have a few thousand."""
_MODEL = r"[A-Za-z0-9][A-Za-z0-9.-]*/[A-Za-z0-9][A-Za-z0-9._-]*"


def read_schema(source: str | os.PathLike[str] | Mapping[str, Any], *, model: str) -> ModelSchema:
    """Read the schema of *model* as Replicate publishes it, from a JSON file or from its parsed content.

    Reads a file, so it blocks for a moment. Logs a warning for each keyword of the schema that is not supported: it is
    not checked.

    Raises:
        ConfigError: the file cannot be read, or is not the schema of a model.
    """
    if isinstance(source, Mapping):
        schema = parse_schema(source, _checked_name(model))
    else:
        schema = read_schema_file(expand_home("source", source), _checked_name(model))
    for note in schema.notes:
        _log.warning("%s", note)
    return schema


def read_schema_file(path: Path, model: str) -> ModelSchema:
    """Read a schema from a JSON file.

    Raises:
        ConfigError: as for `read_schema`.
    """
    try:
        document = json.loads(_read(path), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: it is not JSON ({_reason(error)})", setting="schema") from error
    return parse_schema(document, model, str(path))


def read_schemas(given: Iterable[str], model: str | None = None) -> dict[str, ModelSchema]:
    """Read the schemas that the command's option names, by model.

    Each is ``owner/name=FILE``, a file for *model*, or a folder of files named ``owner_name.json``.

    Raises:
        ConfigError: a file cannot be read, is not a schema, or it is not clear which model it is for.
    """
    found: dict[str, ModelSchema] = {}
    for text in given:
        named = re.fullmatch(f"({_MODEL})=(.+)", text, re.DOTALL)
        path = expand_home("schema", named[2] if named else text)
        if named:
            found[named[1]] = read_schema_file(path, named[1])
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir may raise
            found |= {name: read_schema_file(file, name) for name, file in _files_in(path).items()}
        elif model is None or not re.fullmatch(_MODEL, model):
            allowed = "which model is it for? write owner/name=FILE, or give the full name with --model"
            raise ConfigError(setting="schema", given=text, allowed=allowed)
        else:
            found[model] = read_schema_file(path, model)
    return found


def name_schemas(given: Iterable[str], model: str | None = None) -> Iterator[str]:
    """Yield each value of the command's option with its model, so that it means the same without ``--model``.

    Reads nothing, and leaves a value that `read_schemas` refuses as it is.

    Raises:
        ConfigError: a home folder is not known.
    """
    for text in given:
        is_named = re.match(f"{_MODEL}=.", text, re.DOTALL) or model is None or not re.fullmatch(_MODEL, model)
        # Path.is_dir may raise.
        yield text if is_named or os.path.isdir(expand_home("schema", text)) else f"{model}={text}"  # noqa: PTH112


def _files_in(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by model. The name of an owner has no underscore."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ConfigError(f"{folder}: there is no file owner_name.json in it", setting="schema")
    return {_checked_name(file.stem.replace("_", "/", 1), str(file)): file for file in files}


def _checked_name(model: object, place: str = "model") -> str:
    if isinstance(model, str) and re.fullmatch(_MODEL, model):
        return model
    allowed = "name it owner_name.json" if place != "model" else f"{model!r} was given; a model is named owner/name"
    raise ConfigError(f"{place}: {allowed}", setting="schema")


def _read(path: Path) -> str:
    try:
        # Opening a pipe or a device could block.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path}: it is not a file", setting="schema")
        with path.open("rb") as file:
            data = file.read(LARGEST_SCHEMA + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: it cannot be read ({fault_words(path, error)})", setting="schema") from error
    if len(data) > LARGEST_SCHEMA:
        raise ConfigError(f"{path}: it is larger than 2 MiB, so it is not a schema", setting="schema")
    return data.decode("utf-8-sig")


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at line {error.lineno}"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return str(error)
