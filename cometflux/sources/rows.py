"""The rows that every source of prompts is read into: one row has the values of one job."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from cometflux.sources.errors import Fault

RESERVED = ("prompt", "model", "key", "why")
"""The columns that are not parameters of a model. ``why`` is for the reader of a list of failures: no job takes it."""

FROM_TAG = "from"
"""The tag that has the name of the picture from which a job is made."""


class Format(StrEnum):
    """The format of a prompt file."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    TEXT = "text"
    YAML = "yaml"
    PARQUET = "parquet"


SUFFIXES: Mapping[str, Format] = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".txt": Format.TEXT,
    ".yaml": Format.YAML,
    ".yml": Format.YAML,
    ".parquet": Format.PARQUET,
}
"""The format for each file suffix."""


@attrs.frozen(kw_only=True)
class Most:
    """The maximum number of jobs that a sweep may make."""

    jobs: int = 10_000
    copies: int = 1
    """How many jobs are made of each combination."""
    label: str = "max_jobs"
    """The name, in messages, of the option or argument that sets the limit."""


class Quoted(str):
    """A quoted text. It stays a text if the parameter's type is not known."""

    __slots__ = ()


class Lent(str):
    """A text that the row itself does not have. It is left out if the row's model does not take it."""

    __slots__ = ()


@attrs.frozen(kw_only=True)
class Row:
    """One row: the values of one job."""

    line: int | None = None
    """The line of a file, from 1, or the row of a table, from 0; None if the prompt is not from a file or table."""
    values: Mapping[str, Any]
    """The values by column: text, or Python values if *is_typed*. Empty values are left out."""
    is_typed: bool = False
    is_body: bool = False
    """Whether the values are a request body, whose parameters may be unknown to the model."""
    places: Mapping[str, int] = {}
    """The lines of values that are on a line of their own."""
    tags: Mapping[str, str] = {}
    """The values that are carried along with the job."""
    picture: Path | str | None = None
    """A picture that the row's model takes as its reference image: a file, or a data URI.

    None if the row is not made from one.
    """


Entry: TypeAlias = Row | Fault
"""A row, or the reason why it is not one."""


@attrs.frozen(kw_only=True)
class Source:
    """One file or table of prompts."""

    name: str = ""
    """Its name in messages; empty for prompts that are not from a file or table."""
    rows: Iterable[Entry]
    """The rows of a file or table are read when they are taken, and can be taken once. Taking them may raise."""
    columns: tuple[str, ...] = ()
    """The names of the columns, in order; empty for formats without columns."""
    used: frozenset[str] = frozenset()
    """The names that a template has used. They do not have to be parameters."""
    kept: frozenset[str] = frozenset()
    """The names of columns that are carried along as tags. They do not have to be parameters."""
    unit: str = "line"
    """The unit of the rows' lines: ``line`` or ``row``."""
    header: int | None = 1
    """The line of the header; None if the source has no header line."""
    places: Mapping[str, int] = {}
    """The lines of columns that are on a line of their own."""
    pictures: str = ""
    """The name, in messages, of the pictures that rows are made from."""
    notes: tuple[str, ...] = ()
    """Warnings for the user."""
    share: Callable[[], float] | None = None
    """Returns the share of the file that was read, from 0 to 1; None if it is not known."""
