"""Read jobs from a dataframe or a prompt file in a script, and check all of them before any is returned."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.basics.plain_text import log as _log
from cometflux.errors import ConfigError
from cometflux.jobs import Job
from cometflux.journal.draft import Draft
from cometflux.journal.plan import plan_jobs
from cometflux.models.schemas import ModelSchema
from cometflux.models.spelling import plain
from cometflux.number_checks import check_count
from cometflux.sources.columns import Columns
from cometflux.sources.defaults import Constant, Defaults
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.arrow import is_table, read_table
from cometflux.sources.formats.csv_tables import read_delimiter
from cometflux.sources.formats.open_file import format_of, read_path
from cometflux.sources.planner import Planner
from cometflux.sources.rows import Format, Most, Source
from cometflux.sources.templates.prompting import Prompting
from cometflux.sources.templates.wildcard_lists import Wildcards
from cometflux.storage.paths import expand_home

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
    schemas: Iterable[ModelSchema] = (),
    key_column: str | None = None,
    keep: Iterable[str] = (),
    reference_column: str = "reference",
    delimiter: str | None = None,
    wildcards: str | os.PathLike[str] | None = None,
    wildcard_seed: int | None = None,
    **parameters: Any,
) -> tuple[Job, ...]:
    """Read jobs from a dataframe or a file, and check all of them before any is returned.

    Blocks: in an async application, call it through `asyncio.to_thread`.

    Args:
        source: a dataframe of any library that supports the Arrow PyCapsule interface (Polars, pandas, DuckDB,
            pyarrow …); a dataframe of Dask, which is computed one partition at a time; or the path of a ``.csv``,
            ``.tsv``, ``.jsonl``, ``.txt``, ``.yaml`` or ``.parquet`` file.
        model: the model for rows that do not name one.
        template: the template of the prompts, as in ``"a {animal} in {place}"``; None to read the column ``prompt``.
        format: the format of the file, if its name does not show it.
        folder: the folder that image paths in the rows are relative to; None for the file's folder, or for the
            current folder if the source is a dataframe.
        max_jobs: the maximum number of jobs that a sweep may make.
        comments: whether to skip the lines of a text file that begin with ``#``.
        schemas: the schemas of models that are not in `cometflux.flux`, from `read_schema`.
        key_column: the column that holds the keys; None for ``key``.
        keep: columns that become the `Job.tags` of their jobs, and need not be parameters.
        reference_column: the column with the reference images, whatever the model calls that parameter.
        delimiter: the character between the cells of a ``.csv`` or ``.tsv`` file; None to detect it from the header.
        wildcards: the folder of the lists for wildcards in prompts; None if there are none.
        wildcard_seed: the seed of the choices; None for 0. Braces are expanded only if this or *wildcards* is given.
        **parameters: parameters of the model, for rows that do not set them.

    Raises:
        SourceError: the source has mistakes; the error lists all of them, each with its line or row.
        ConfigError: an extra is missing, or an argument has a wrong type or value.
    """
    columns = _columns(key_column, keep, reference_column)
    options = _Options(
        model,
        template,
        format,
        folder,
        max_jobs,
        comments,
        schemas,
        columns,
        reference_column,
        delimiter,
        _wildcards(wildcards, wildcard_seed),
    )
    plan = _prepare(source, options, parameters).plan()
    _tell(plan.notes)
    return plan.jobs


def stream_jobs(
    source: Any,
    *,
    model: str = "flux-schnell",
    template: str | None = None,
    format: str | None = None,  # noqa: A002 - the usual name
    folder: str | os.PathLike[str] | None = None,
    max_jobs: int = 10_000,
    comments: bool = False,
    schemas: Iterable[ModelSchema] = (),
    key_column: str | None = None,
    keep: Iterable[str] = (),
    reference_column: str = "reference",
    delimiter: str | None = None,
    wildcards: str | os.PathLike[str] | None = None,
    wildcard_seed: int | None = None,
    **parameters: Any,
) -> "JobStream":
    """Check all jobs of a dataframe or a file as `read_jobs` does, and keep them in a temporary file.

    When this returns, every row is checked and every reference image was read. Only an image file that changes before
    its job is submitted can still be an error. Memory grows by about 40 bytes per row. Paths in the jobs are absolute.
    Blocks; each 500th step of an iteration also blocks, for a few milliseconds.

    Args:
        source: as for `read_jobs`, and so are the other arguments.
        model: see `read_jobs`.
        template: see `read_jobs`.
        format: see `read_jobs`.
        folder: see `read_jobs`.
        max_jobs: see `read_jobs`.
        comments: see `read_jobs`.
        schemas: see `read_jobs`.
        key_column: see `read_jobs`.
        keep: see `read_jobs`.
        reference_column: see `read_jobs`.
        delimiter: see `read_jobs`.
        wildcards: see `read_jobs`.
        wildcard_seed: see `read_jobs`.
        **parameters: see `read_jobs`.

    Raises:
        SourceError: the source has mistakes; the error lists them, each with its line or row.
        ConfigError: an extra is missing, an argument has a wrong type or value, or the folder for temporary files is
            full.
        InputError: an image file cannot be read any more.
    """
    columns = _columns(key_column, keep, reference_column)
    options = _Options(
        model,
        template,
        format,
        folder,
        max_jobs,
        comments,
        schemas,
        columns,
        reference_column,
        delimiter,
        _wildcards(wildcards, wildcard_seed),
    )
    planner = _prepare(source, options, parameters)
    draft = Draft()
    for row in plan_jobs(job for job, _ in planner.jobs()):
        draft.add(row)
    _tell(planner.notes)
    return JobStream(draft)


class JobStream:
    """The checked jobs of `stream_jobs`, in the order of their rows. It can be iterated over more than once."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def __len__(self) -> int:
        return len(self._draft)

    def __iter__(self) -> Iterator[Job]:
        return (row.to_job().job for row in self._draft)


@attrs.frozen
class _Options:
    """The arguments that a caller gave, still unchecked."""

    model: str
    template: object
    format: object
    folder: str | os.PathLike[str] | None
    max_jobs: int
    comments: object
    schemas: Iterable[ModelSchema]
    columns: Columns
    reference_column: str
    delimiter: str | None
    wildcards: Wildcards | None


def _prepare(source: Any, options: _Options, parameters: Mapping[str, Any]) -> Planner:
    wildcards = options.wildcards
    prompting = Prompting(template=_text("template", options.template), has_wildcards=wildcards is not None)
    comments = _flag("comments", options.comments)
    folder = None if options.folder is None else expand_home("folder", options.folder)
    read = _read(
        source,
        _format(options.format),
        prompting,
        _most(options.max_jobs),
        comments=comments,
        delimiter=_delimiter(options.delimiter),
        folder=folder,
    )
    constants = {name: Constant(label=name, value=plain(value)) for name, value in parameters.items()}
    base = folder if folder is not None else Path() if is_table(source) else Path(source).parent
    schemas = {each.model: each for each in _schemas(options.schemas)}
    defaults = Defaults(model=options.model, constants=constants, schemas=schemas, reference=options.reference_column)
    made = prompting.apply(options.columns.apply(read))
    return Planner(made if wildcards is None else wildcards.apply(made), defaults, base)


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        _log.warning("%s", note)


def _read(
    source: Any,
    written: Format | None,
    prompting: Prompting,
    most: Most,
    *,
    comments: bool,
    delimiter: str | None,
    folder: Path | None,
) -> Source:
    if is_table(source):
        return read_table(source, needs_prompt=not prompting.is_given)
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise SourceError(_wrong_source(source))
    path = Path(source)
    written = format_of(path, written, "pass format=")
    needs_prompt = not prompting.is_given
    return read_path(
        path,
        written,
        needs_prompt=needs_prompt,
        most=most,
        comments=comments,
        delimiter=delimiter,
        has_wildcards=prompting.has_wildcards,
        folder=folder,
    )


def _wrong_source(source: object) -> str:
    # isinstance, because the object may define its own ==.
    shown = "nothing" if isinstance(source, str) else type(source).__name__
    hint = "; call its collect() first" if hasattr(source, "collect") else ""
    return f"{shown} was given; source must be a dataframe or the path of a prompt file{hint}"


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(setting=name, given=value, allowed="must be a string")


def _columns(key: object, keep: object, reference: object) -> Columns:
    if isinstance(keep, str) or not isinstance(keep, Iterable):
        raise ConfigError(setting="keep", given=keep, allowed="must be the names of columns, in a list")
    if not isinstance(reference, str):
        raise ConfigError(setting="reference_column", given=reference, allowed="must be a string")
    names = [_text("keep", name) for name in keep]
    return Columns(key=_text("key_column", key), keep=tuple(filter(None, names)))


def _wildcards(folder: object, seed: int | None) -> Wildcards | None:
    if folder is None and seed is None:
        return None
    if seed is not None:
        check_count("wildcard_seed", seed, 0)
    # Not Path.is_dir, which raises for a name that is too long.
    if folder is not None and not (isinstance(folder, str | os.PathLike) and os.path.isdir(folder)):  # noqa: PTH112
        raise ConfigError(setting="wildcards", given=folder, allowed="must be the folder of the lists")
    return Wildcards(folder=None if folder is None else Path(folder), seed=seed or 0)


def _schemas(given: object) -> tuple[ModelSchema, ...]:
    found = (*given,) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(each, ModelSchema) for each in found):
        allowed = "must be a list of schemas, each as read_schema returns it"
        raise ConfigError(setting="schemas", given=given, allowed=allowed)
    return found


def _delimiter(value: object) -> str | None:
    text = _text("delimiter", value)
    try:
        return None if text is None else read_delimiter(text)
    except ValueError as error:
        raise ConfigError(setting="delimiter", given=value, allowed="must be one character, such as ;") from error


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
