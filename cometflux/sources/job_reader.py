"""Read jobs from a dataframe or a prompt file in a script, and check all of them before any is returned."""

import os
from pathlib import Path
from typing import Any

from cometflux.errors import ConfigError
from cometflux.jobs import Job
from cometflux.models.spelling import plain
from cometflux.number_checks import check_count
from cometflux.plain_text import log as _log
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.arrow import is_table, read_table
from cometflux.sources.formats.open_file import format_of, read_path
from cometflux.sources.planner import Constant, Defaults, make_plan
from cometflux.sources.rows import Format, Most, Source
from cometflux.sources.templates.prompting import Prompting

_FORMATS = ", ".join(repr(each.value) for each in Format)


def read_jobs(
    source: Any,
    *,
    model: str = "flux-schnell",
    template: str | None = None,
    format: str | None = None,  # noqa: A002 - the usual name
    folder: str | os.PathLike[str] | None = None,
    max_jobs: int = 10_000,
    comments: bool = False,
    **parameters: Any,
) -> tuple[Job, ...]:
    """Read jobs from a dataframe or a file, and check all of them before any is returned.

    Blocks: in an async application, call it through `asyncio.to_thread`.

    Args:
        source: a dataframe of any library that supports the Arrow PyCapsule interface (Polars, pandas, DuckDB,
            pyarrow …), or the path of a ``.csv``, ``.tsv``, ``.jsonl``, ``.txt``, ``.yaml`` or ``.parquet`` file.
        model: the model for rows that do not name one.
        template: the template of the prompts, as in ``"a {animal} in {place}"``; None to read the column ``prompt``.
        format: the format of the file, if its name does not show it.
        folder: the folder that image paths in the rows are relative to; None for the file's folder, or for the
            current folder if the source is a dataframe.
        max_jobs: the maximum number of jobs that a sweep may make.
        comments: whether to leave out the lines of a text file that begin with ``#``.
        **parameters: parameters of the model, for rows that do not set them.

    Raises:
        SourceError: the source has mistakes; the error lists all of them, each with its line or row.
        ConfigError: an extra is missing, or an argument has a wrong type or value.
    """
    prompting = Prompting(template=_text("template", template))
    read = _read(source, _format(format), prompting, _most(max_jobs), comments=_flag("comments", comments))
    constants = {name: Constant(label=name, value=plain(value)) for name, value in parameters.items()}
    base = Path(folder) if folder is not None else Path() if is_table(source) else Path(source).parent
    plan = make_plan(prompting.apply(read), Defaults(model=model, constants=constants), base)
    for note in plan.notes:
        _log.warning("%s", note)
    return plan.jobs


def _read(source: Any, written: Format | None, prompting: Prompting, most: Most, *, comments: bool) -> Source:
    if is_table(source):
        return read_table(source, needs_prompt=not prompting.is_given)
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise SourceError(_wrong_source(source))
    path = Path(source)
    written = format_of(path, written, "pass format=")
    return read_path(path, written, needs_prompt=not prompting.is_given, most=most, comments=comments)


def _wrong_source(source: object) -> str:
    # isinstance, because the object may define its own ==.
    shown = "nothing" if isinstance(source, str) else type(source).__name__
    hint = "; call its collect() first" if hasattr(source, "collect") else ""
    return f"{shown} was given; source must be a dataframe or the path of a prompt file{hint}"


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(setting=name, given=value, allowed="must be a string")


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigError(setting=name, given=value, allowed="must be True or False")


def _format(value: object) -> Format | None:
    if value is None:
        return None
    try:
        return Format(value)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError(setting="format", given=value, allowed=f"must be one of {_FORMATS}") from error


def _most(value: int) -> Most:
    check_count("max_jobs", value, 1)
    return Most(jobs=value)
