"""What every source of prompts becomes: rows, each with what is given for one job."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import attrs

RESERVED = ("prompt", "model", "key")
"""What a row has beside the parameters of its model."""


class Format(StrEnum):
    """How rows are written in a file."""

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
"""The format that the end of a file's name stands for."""


@attrs.frozen(kw_only=True)
class Most:
    """How much a sweep may multiply to."""

    jobs: int = 10_000
    copies: int = 1
    """How often each combination is made."""
    label: str = "max_jobs"
    """What allows more, as it is called where it is given."""


class Quoted(str):
    """A text that was written in quotes: where nobody knows its type it stays a text."""

    __slots__ = ()


@attrs.frozen(kw_only=True)
class Row:
    """One row: a prompt and what goes with it."""

    line: int | None = None
    """Where the row is: a line from 1, or a row of a table from 0; None where it stands nowhere."""
    values: Mapping[str, Any]
    """What is given, by column: text, or values of their own types where *is_typed*. What is empty is left out."""
    is_typed: bool = False
    places: Mapping[str, int] = {}
    """The lines of single values, where they have lines of their own."""


@attrs.frozen(kw_only=True)
class Source:
    """What a file or a table of prompts holds."""

    name: str = ""
    """What messages call it; empty for prompts that stand nowhere."""
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()
    """The names of the columns, in order; empty for what has none."""
    used: frozenset[str] = frozenset()
    """The names that a template has used: they need not be parameters."""
    unit: str = "line"
    """What the lines of the rows count."""
    header: int | None = 1
    """The line on which the columns are named; None where they stand on none."""
    places: Mapping[str, int] = {}
    """The lines of single columns, where they have lines of their own."""
    notes: tuple[str, ...] = ()
    """What the reader of it should know."""
