"""Make jobs from rows and from the values that apply to all rows.

Rows come and jobs go one by one, so that a source of any length takes little memory. All rows are checked, and all
faults are reported together, before anything is sent.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from cometflux import flux
from cometflux.basics.pages import read_ahead
from cometflux.basics.plain_text import by_number, count_of
from cometflux.errors import InputError
from cometflux.images.orientation import turned_note
from cometflux.jobs import NO_TAGS, Job, Tags, check_key
from cometflux.journal.marks import Repeats
from cometflux.models.kinds import ParameterKind
from cometflux.models.model import check_together, parameters_by_name, unknown_note
from cometflux.models.schemas import ModelSchema
from cometflux.models.words import closest, question
from cometflux.sources import validation
from cometflux.sources.chains import ChainChecker
from cometflux.sources.defaults import Defaults
from cometflux.sources.errors import Fault, FaultList
from cometflux.sources.rows import RESERVED, Lent, Row, Source
from cometflux.sources.validation import InputChecker, KeyChecker, Model

_FULL_NAME = re.compile(r"[^/\s]+/[^/\s]+")


@attrs.frozen(kw_only=True)
class Plan:
    """The jobs to run, *count* copies of each. Iterate over it to get them."""

    jobs: tuple[Job, ...]
    count: int = 1
    notes: tuple[str, ...] = ()
    """Warnings for the user, to be shown before the run starts."""

    def __len__(self) -> int:
        return len(self.jobs) * self.count

    def __iter__(self) -> Iterator[Job]:
        for job in self.jobs:
            yield from copies(job, self.count)


def copies(job: Job, count: int) -> Iterator[Job]:
    """Yield *count* copies of a job."""
    # Copy 0 is the job itself, with its key, so that a job that was run without copies is found again.
    yield job
    for number in range(1, count):
        yield _copy(job, number)


def _copy(job: Job, number: int) -> Job:
    """Make copy *number* of a job, from 0. A fixed seed is increased, since the same seed makes the same picture."""
    seed = job.input.get("seed")
    changed = {"seed": seed + number} if isinstance(seed, int) and not isinstance(seed, bool) else {}
    key = job.key and f"{job.key}-{number + 1}"
    return Job.checked(
        job.model, {**job.input, **changed}, key, validate=job.validate, schema=job.schema, tags=job.tags
    )


@attrs.frozen
class _Column:
    """The facts that all cells of one name share, in the rows of one model."""

    parameter: flux.Parameter | None
    is_prompt: bool
    """Whether its cells become a part of the prompt."""
    is_sent: bool
    """Whether the model gets them. Others are only for the template, or carried along."""
    kind: ParameterKind | None
    """What reads and checks a cell by itself; None if an image may have to be read, or if the kind is not known."""


@attrs.frozen
class _ModelRows:
    """The facts that all rows of one model share."""

    model: Model
    name: str
    parameters: Mapping[str, flux.Parameter]
    """The parameters by name; empty if the input is not checked."""
    constants: Mapping[str, Any]
    """The constants as values for this model."""
    is_usable: bool
    """Whether each constant is such a value."""
    columns: Mapping[str, _Column]
    """The facts of the names that are known."""


class Planner:
    """Checks the rows of a source, and makes a job of each. Paths in the rows are relative to *folder*."""

    def __init__(self, source: Source, defaults: Defaults, folder: Path) -> None:
        self.source = source
        self.notes: tuple[str, ...] = ()
        """Warnings for the user, once all jobs were taken."""
        self.defaults = defaults
        self._folder = folder
        self._faults = FaultList()
        keys = KeyChecker(source.unit, defaults.count, defaults.count_label)
        labels = {name: constant.label for name, constant in defaults.constants.items()}
        self.keys = ChainChecker(keys, defaults.count, defaults.known_keys, labels)
        self._inputs = InputChecker(strict=defaults.strict, validate=defaults.validate)
        self._seeded = Repeats()
        self._models: dict[str, Model] = {}
        self._model_rows: dict[Any, _ModelRows] = {}
        self._taken: dict[str, None] = {}
        """The parameters of the models of all rows so far; ``*`` for all."""
        self._strange: dict[str, FaultList] = {}
        """The faults of cells in columns that no row has used so far."""
        self._columns = frozenset(source.columns)

    def jobs(self) -> Iterator[tuple[Job, int | None]]:
        """Yield the job of each row, and the row's line. After the first fault only the faults are looked for.

        Raises:
            SourceError: there were mistakes; raised at the end, it lists all of them. Or the source cannot be read.
        """
        self._check_default_model()
        is_empty, is_readable = True, True
        for row in read_ahead(self.source.rows):
            is_empty = False
            if isinstance(row, Fault):
                self._faults.add(row)
                is_readable = False
                continue
            job = self._job(row)
            if job is None or self._faults.count or self._strange:
                continue
            if "seed" in job.input:
                for each in copies(job, self.defaults.count):
                    self._seeded.add(_hash(each))
            yield job, row.line
        if is_empty:
            self._faults.add(Fault("it holds no prompt; give one per row"))
        elif is_readable:
            # Else it is not known which columns the other rows use.
            self._check_columns()
        if self._faults.count:
            raise self._faults.error(self.source.name, self.source.unit)
        self.notes = tuple(self._notes())

    def plan(self) -> Plan:
        """Make all jobs at once.

        Raises:
            SourceError: as for `jobs`.
        """
        jobs = tuple(job for job, _ in self.jobs())
        return Plan(jobs=jobs, count=self.defaults.count, notes=self.notes)

    def _notes(self) -> Iterator[str]:
        yield from self.source.notes
        if self._inputs.turned:
            yield turned_note(list(self._inputs.turned))
        yield from (unknown_note(model, name) for model, name in self._inputs.strange)
        for schema in dict.fromkeys(model for model in self._models.values() if isinstance(model, ModelSchema)):
            yield from schema.notes
        for name in dict.fromkeys(model for model in self._models.values() if isinstance(model, str)):
            meant = question(closest(name, [*flux.MODELS, *self.defaults.schemas]), str)
            note = f"{name} is not a known model, so its input is not checked"
            yield f"{note}; {meant}" if meant else note
        if repeated := self._seeded.count():
            subject = f"{count_of(repeated, 'job')} {by_number(repeated, 'repeats', 'repeat')}"
            yield f"{subject} another job's input and seed: the same picture would be charged again"

    # ── all rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _model(self, name: str) -> Model:
        """Find a model by name; a full name that is not known is returned as it is."""
        if name not in self._models:
            try:
                self._models[name] = self._find(name)
            except InputError:
                if not _FULL_NAME.fullmatch(name):
                    raise
                self._models[name] = name
        return self._models[name]

    def _find(self, name: str) -> Model:
        schemas = self.defaults.schemas
        if name in schemas:
            return schemas[name]
        found = flux.find(name)
        # Under a short name too, a schema replaces the class.
        return schemas.get(found.model, found)

    def _check_default_model(self) -> None:
        """Check the default model even if every row names its own: the user may have misspelled it."""
        try:
            self._model(_stripped(self.defaults.model))
        except InputError as error:
            self._faults.add(Fault(validation.describe(error.under(self.defaults.model_label))))

    def _check_columns(self) -> None:
        """Report each column that no row uses once, and the cells of the other columns one by one."""
        unused = (
            {}
            if "*" in self._taken
            else validation.find_unused_columns(self.source, self._taken, self.defaults.keep_label)
        )
        for fault in unused.values():
            self._faults.add(fault)
        for name, faults in self._strange.items():
            if name not in unused:
                self._faults.join(faults)

    def _rows_of(self, row: Row) -> _ModelRows:
        """Return the facts of the row's model. Faults of constants are reported once, at the model's first row.

        Raises:
            InputError: there is no such model.
        """
        name = row.values.get("model", self.defaults.model)
        if isinstance(name, str) and name in self._model_rows:
            return self._model_rows[name]
        try:
            model = self._model(_stripped(name))
        except InputError:
            self._taken["*"] = None
            raise
        known = self._model_rows.get(model)
        if known is None:
            known = self._model_rows[model] = self._first_row_of(model, row)
        self._model_rows[name] = known
        return known

    def _first_row_of(self, model: Model, row: Row) -> _ModelRows:
        is_free = isinstance(model, str) or not self.defaults.validate
        parameters = {} if isinstance(model, str) or is_free else parameters_by_name(model)
        self._taken |= dict.fromkeys(["*"] if is_free else parameters)
        constants = self._read_constants(row, model)
        name = model if isinstance(model, str) else model.model
        is_usable = len(constants) == len(self.defaults.constants)
        known = {*parameters, *RESERVED, *self.source.used, *self.source.kept}
        columns = {each: self._column(each, model, parameters) for each in known}
        return _ModelRows(model, name, parameters, constants, is_usable, columns)

    def _column(self, name: str, model: Model, parameters: Mapping[str, flux.Parameter]) -> _Column:
        used, parameter = self.source.used, parameters.get(name)
        # A model that is not known does not get what is for the template, or carried along, as a parameter.
        is_beside = name != "prompt" and name in used | self.source.kept
        return _Column(
            parameter=parameter,
            is_prompt=name == "prompt" or name in used,
            is_sent=name not in ("model", "key") and not (is_beside and validation.find_parameter(model, name) is None),
            kind=None if parameter is None or parameter.kind.most_images else parameter.kind,
        )

    def _read_constants(self, row: Row, model: Model) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for name, constant in self.defaults.constants.items():
            try:
                read[name] = self._inputs.take(model, name, constant.read(name), is_body=constant.is_body)
            except InputError as error:
                self._note(row, error.under(constant.label))
        return read

    # ── one row ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, row: Row) -> Job | None:
        before = self._faults.count
        try:
            rows = self._rows_of(row)
        except InputError as error:
            if "model" in row.values:
                self._note(row, error)
            return None
        cells = self._read_cells(row, rows)
        for fault in self.keys.add(row, rows.constants, cells):
            self._faults.add(fault)
        for fault in validation.find_unwritable_tags(row) if row.tags else ():
            self._faults.add(fault)
        if "prompt" not in row.values and self._lacks_prompt(row, rows.model):
            self._faults.add(Fault("the row has no prompt", row.line))
        if self._faults.count > before or not rows.is_usable:
            return self.keys.note(row, None)
        return self.keys.note(row, self._checked_job(row, rows, cells))

    def _lacks_prompt(self, row: Row, model: Model) -> bool:
        if isinstance(model, str) or not self.defaults.validate:
            return False
        prompt = validation.find_parameter(model, "prompt")
        if prompt is None or not prompt.required:
            return False
        return row.is_body or not validation.misspells_prompt(row, model)

    def _checked_job(self, row: Row, rows: _ModelRows, cells: Mapping[str, Any]) -> Job | None:
        given, key = {**rows.constants, **cells}, row.values.get("key")
        schema = rows.model if isinstance(rows.model, ModelSchema) else None
        try:
            if isinstance(rows.model, str) or self.defaults.count > 1 or not given.keys() <= rows.parameters.keys():
                job = Job(
                    model=rows.name,
                    input=given,
                    key=key,
                    validate=self.defaults.validate,
                    schema=schema,
                    tags=row.tags,
                )
                if self.defaults.count > 1:
                    # Checks the last copy, which has the largest seed.
                    attrs.evolve(_copy(job, self.defaults.count - 1))
                return job
            check_key(key)
            check_together(rows.model, given)
        except InputError as error:
            self._note(row, error.under(self._label_of(error.field, row, cells)))
            return None
        tags = Tags(row.tags) if row.tags else NO_TAGS
        return Job.checked(rows.name, _unshared(given, rows.constants), key, schema=schema, tags=tags)

    def _label_of(self, field: str, row: Row, cells: Mapping[str, Any]) -> str:
        """Return the user's name for a field: the option's, if the value is not from the row."""
        if field == "model" and "model" not in row.values:
            return self.defaults.model_label
        if field in self.defaults.constants and field not in cells:
            return self.defaults.constants[field].label
        return field

    def _read_cells(self, row: Row, rows: _ModelRows) -> dict[str, Any]:
        cells: dict[str, Any] = {}
        columns, folder, is_typed = rows.columns, self._folder, row.is_typed
        for name, value in self._with_reference(row, rows).items():
            if name == "why":
                continue
            column = columns.get(name) or self._column(name, rows.model, rows.parameters)
            if isinstance(value, str) and (fault := validation.find_no_value(name, value, is_prompt=column.is_prompt)):
                self._faults.add(Fault(fault, row.places.get(name, row.line)))
                continue
            if not column.is_sent:
                continue
            kind = column.kind
            try:
                if kind is None or isinstance(value, list):
                    read = partial(validation.read_cell, name=name, value=value, folder=folder, is_typed=is_typed)
                    cells[name] = self._inputs.take(rows.model, name, read, is_body=row.is_body)
                    continue
                given = kind.read_json(name, value, folder) if is_typed else kind.read_text(name, value, folder)
                cells[name] = given
                kind.check(name, given)
            except InputError as error:
                self._note_cell(row, name, error, is_known=column.parameter is not None)
        return cells

    def _with_reference(self, row: Row, rows: _ModelRows) -> Mapping[str, Any]:
        """Return the values of a row, its reference images under the name by which the model takes one."""
        name = self.defaults.reference
        is_parameter = validation.find_parameter(rows.model, name) is not None
        if row.picture is not None:
            return self._with_picture(row, rows, name if is_parameter else None)
        if name not in row.values or row.is_body or is_parameter:
            return row.values
        try:
            target = validation.reference_of(rows.model)
        except ValueError as error:
            self._faults.add(Fault(f"{name}: {error}", row.places.get(name, row.line)))
            return {other: value for other, value in row.values.items() if other != name}
        self._taken[name] = None
        if target in row.values:
            fault = f"{name}: this row has {target}, too, which is the same; leave one of them empty"
            self._faults.add(Fault(fault, row.places.get(name, row.line)))
        return {target if other == name else other: value for other, value in row.values.items()}

    def _with_picture(self, row: Row, rows: _ModelRows, target: str | None) -> Mapping[str, Any]:
        """Return the values of a row with its picture as *target*; None for the model's own reference image."""
        label = self.source.pictures
        line = row.places.get(label, row.line)
        try:
            target = target or validation.reference_of(rows.model, "give a model that takes one, or its schema")
        except ValueError as error:
            is_own = label in row.places or "model" in row.values
            self._faults.add(Fault(f"{label}: {error}", line if is_own else None))
            return row.values
        for name in (target, self.defaults.reference):
            if name in row.values:
                self._taken[name] = None
                self._faults.add(Fault(f"{label}: this row has {name} already; leave it empty", line))
                break
        else:
            if target in rows.constants:
                option = self.defaults.constants[target].label
                self._faults.add(Fault(f"{label}: {option} gives another {target}; leave one of them out"))
        is_free = isinstance(rows.model, str) or validation.find_parameter(rows.model, "prompt") is not None
        values = {name: value for name, value in row.values.items() if is_free or not isinstance(value, Lent)}
        values.pop(self.defaults.reference, None)
        return {**values, target: row.picture}

    def _note_cell(self, row: Row, name: str, error: InputError, *, is_known: bool) -> None:
        if not is_known and not row.is_body and name not in self._columns and name not in self._taken:
            text = validation.also(validation.describe(error), self.defaults.keep_label(name))
            self._faults.add(Fault(text, row.places.get(error.field, row.line)))
            return
        if is_known or name not in self._columns or name in self._taken:
            self._note(row, error)
            return
        fault = Fault(validation.describe(error), row.places.get(error.field, row.line))
        self._strange.setdefault(name, FaultList()).add(fault)

    def _note(self, row: Row, error: InputError) -> None:
        self._faults.add(Fault(validation.describe(error), row.places.get(error.field, row.line)))


def _unshared(given: dict[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the lists among the constants, so that no two jobs have the same one."""
    for name, value in constants.items():
        if isinstance(value, list) and given[name] is value:
            given[name] = [*value]
    return given


def _hash(job: Job) -> int:
    """Return a hash of a job's model and input."""
    try:
        return hash((job.model, frozenset(job.input.items())))
    except TypeError:
        # A list cannot be hashed.
        return hash(repr((job.model, sorted(job.input.items()))))


def _stripped(name: Any) -> str:
    if not isinstance(name, str):
        raise InputError("model", name, "must be the name of a model, as a string")
    return name.strip()
