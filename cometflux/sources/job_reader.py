"""Jobs from whatever holds prompts, for a script: checked as a whole before the first of them is handed over."""

import logging
import os
from pathlib import Path
from typing import Any

from cometflux.errors import ConfigError
from cometflux.jobs import Job
from cometflux.number_checks import check_count
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.arrow import is_table, read_table
from cometflux.sources.formats.open_file import format_of, read_path
from cometflux.sources.planner import Constant, Defaults, make_plan
from cometflux.sources.rows import Format, Most, Source
from cometflux.sources.templates.prompting import Prompting

_log = logging.getLogger(__name__)
_FORMATS = ", ".join(repr(each.value) for each in Format)


def read_jobs(
    source: Any,
    *,
    model: str = "flux-schnell",
    template: str | None = None,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    folder: str | os.PathLike[str] | None = None,
    max_jobs: int = 10_000,
    **parameters: Any,
) -> tuple[Job, ...]:
    """Make the jobs of a dataframe or a file; all of it is checked before any is returned.

    Blocks; in an application call it by `asyncio.to_thread`.

    Args:
        source: a dataframe of any library that speaks the Arrow PyCapsule interface (Polars, pandas, DuckDB,
            pyarrow …), or the path of a ``.csv``, ``.tsv``, ``.jsonl``, ``.txt``, ``.yaml`` or ``.parquet`` file.
        model: of rows that name none.
        template: makes the prompts, as in ``"a {animal} in {place}"``; without it there is a column ``prompt``.
        format: how a file is written whose name does not say so.
        folder: what paths of images in the rows are relative to; else the file's folder, or the current one.
        max_jobs: how many jobs a sweep may multiply to.
        **parameters: of the model, for rows that have none of their own.

    Raises:
        SourceError: something is wrong; it lists everything that is, each with its line or row.
        ConfigError: an extra is missing, or an argument is no such thing.
    """
    prompting = Prompting(template=_text("template", template))
    read = _read(source, _format(format), prompting, _most(max_jobs))
    constants = {name: Constant(label=name, value=value) for name, value in parameters.items()}
    base = Path(folder) if folder is not None else Path() if is_table(source) else Path(source).parent
    plan = make_plan(prompting.apply(read), Defaults(model=model, constants=constants), base)
    for note in plan.notes:
        _log.warning("%s", note)
    return plan.jobs


def _read(source: Any, written: Format | None, prompting: Prompting, most: Most) -> Source:
    if is_table(source):
        return read_table(source, needs_prompt=not prompting.is_given)
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise SourceError(_refusal(source))
    path = Path(source)
    written = format_of(path, written, "give it by format=")
    return read_path(path, written, needs_prompt=not prompting.is_given, most=most)


def _refusal(source: object) -> str:
    # Others may have an == of their own.
    what = "nothing" if isinstance(source, str) else type(source).__name__
    hint = "; call its collect() first" if hasattr(source, "collect") else ""
    return f"{what} was given; allowed is a dataframe, or the path of a file of prompts{hint}"


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(setting=name, given=value, allowed="allowed is a text")


def _format(value: object) -> Format | None:
    if value is None:
        return None
    try:
        return Format(value)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError(setting="format", given=value, allowed=f"allowed are {_FORMATS}") from error


def _most(value: int) -> Most:
    check_count("max_jobs", value, 1)
    return Most(jobs=value)
