"""Make jobs from rows and from the values that apply to all rows.

All rows are checked, and all faults are reported together, before anything is sent.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from cometflux import flux
from cometflux.errors import InputError
from cometflux.images.orientation import turned_note
from cometflux.jobs import Job
from cometflux.models.model import unknown_note
from cometflux.models.words import closest, question
from cometflux.plain_text import by_number, count_of
from cometflux.sources import validation
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.rows import Row, Source
from cometflux.sources.validation import InputChecker, KeyChecker, Model

_FULL_NAME = re.compile(r"[^/\s]+/[^/\s]+")


@attrs.frozen(kw_only=True)
class Constant:
    """The value of a parameter for every row that does not set it."""

    label: str
    """Its name in messages."""
    value: Any
    is_text: bool = False
    """Whether the value is text for the parameter's type to convert. Its paths are relative to the current folder."""
    is_body: bool = False
    """Whether the value is a part of a request body, so that its parameter may be unknown to the model."""

    def read(self, name: str) -> Callable[[Model], Any]:
        """Return a function that reads the value of *name* as a model takes it."""
        if not self.is_text:
            return lambda _: self.value
        return lambda model: validation.read_text(model, name, self.value, Path())


@attrs.frozen(kw_only=True)
class Defaults:
    """The values that apply to every row that does not set its own."""

    model: str = "flux-schnell"
    model_label: str = "model"
    constants: Mapping[str, Constant] = {}
    count: int = 1
    """How many copies of each job are made."""
    count_label: str = "count"
    strict: bool = False
    """Whether a request body with a parameter that the model does not have is a mistake."""
    validate: bool = True
    """Whether to check the inputs of known models."""


@attrs.frozen(kw_only=True)
class Plan:
    """The jobs to run, *count* copies of each. Iterate over it to get them."""

    jobs: tuple[Job, ...]
    count: int = 1
    notes: tuple[str, ...] = ()
    """Warnings for the user, to be shown before the run starts."""
    name: str = ""
    """The name of the prompt file in messages; empty for rows without a file."""
    lines: tuple[int | None, ...] = ()
    """The line on which each job begins."""
    unit: str = "line"
    """The unit of the lines: ``line`` or ``row``."""

    def __len__(self) -> int:
        return len(self.jobs) * self.count

    def __iter__(self) -> Iterator[Job]:
        for job in self.jobs:
            for number in range(self.count):
                yield _copy(job, number) if self.count > 1 else job

    def line_of(self, index: int) -> int | None:
        """Return the line of the job with *index* in iteration order, from 0."""
        return self.lines[index // self.count]


def _copy(job: Job, number: int) -> Job:
    """Make copy *number* of a job, from 0. A fixed seed is increased, since the same seed makes the same picture."""
    seed = job.input.get("seed")
    changed = {"seed": seed + number} if isinstance(seed, int) and not isinstance(seed, bool) else {}
    # Copy 0 keeps the key, so that a job that was run without copies is found again.
    key = f"{job.key}-{number + 1}" if job.key is not None and number else job.key
    return attrs.evolve(job, input={**job.input, **changed}, key=key)


def make_plan(source: Source, defaults: Defaults, folder: Path) -> Plan:
    """Make the jobs of a source. Paths in its rows are relative to *folder*.

    Raises:
        SourceError: the source or the defaults have mistakes; the error lists all of them.
    """
    inputs = InputChecker(strict=defaults.strict, validate=defaults.validate)
    return _Planner(source, defaults, folder, KeyChecker(source.unit), inputs).plan()


@attrs.define
class _Planner:
    source: Source
    defaults: Defaults
    folder: Path
    keys: KeyChecker
    inputs: InputChecker
    faults: list[Fault] = attrs.field(factory=list)
    models: dict[str, Model] = attrs.field(factory=dict)
    constants: dict[Model, dict[str, Any]] = attrs.field(factory=dict)
    unused: dict[str, Fault] = attrs.field(factory=dict)

    def plan(self) -> Plan:
        self._check_default_model()
        self._check_columns()
        found = [(job, row.line) for row in self.source.rows if (job := self._job(row)) is not None]
        self.faults += self.keys.clashes_with_copies(self.defaults.count, self.defaults.count_label)
        if self.faults:
            unique = dict.fromkeys(sorted(self.faults, key=lambda fault: fault.line or 0))
            raise SourceError(unique, self.source.name, self.source.unit)
        plan = Plan(
            jobs=tuple(job for job, _ in found),
            count=self.defaults.count,
            name=self.source.name,
            lines=tuple(line for _, line in found),
            unit=self.source.unit,
        )
        return attrs.evolve(plan, notes=(*self._notes(), *_repeats(plan)))

    def _notes(self) -> Iterator[str]:
        yield from self.source.notes
        if self.inputs.turned:
            yield turned_note(list(self.inputs.turned))
        yield from (unknown_note(model, name) for model, name in self.inputs.strange)
        for name in dict.fromkeys(model for model in self.models.values() if isinstance(model, str)):
            meant = question(closest(name, flux.MODELS), str)
            note = f"{name} is not a known model, so its input is not checked"
            yield f"{note}; {meant}" if meant else note

    # ── all rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _model(self, name: str) -> Model:
        """Find a model by name; a full name that is not known is returned as it is."""
        if name not in self.models:
            try:
                self.models[name] = flux.find(name)
            except InputError:
                if not _FULL_NAME.fullmatch(name):
                    raise
                self.models[name] = name
        return self.models[name]

    def _check_default_model(self) -> None:
        """Check the default model even if every row names its own: the user may have misspelled it."""
        try:
            self._model(_stripped(self.defaults.model))
        except InputError as error:
            self.faults.append(Fault(validation.describe(error.under(self.defaults.model_label))))

    def _check_columns(self) -> None:
        taken = {name: None for row in self.source.rows for name in self._taken_by(row)}
        if "*" not in taken:
            self.unused = validation.find_unused_columns(self.source, taken)
            self.faults += self.unused.values()

    def _taken_by(self, row: Row) -> Sequence[str]:
        """Return the columns that the row's model takes; ``*`` for all."""
        try:
            model = self._model(_name_of(row, self.defaults.model))
        except InputError:
            return ("*",)
        if isinstance(model, str) or not self.defaults.validate:
            return ("*",)
        return [each.name for each in flux.parameters(model)]

    def _constants_for(self, row: Row, model: Model) -> dict[str, Any]:
        """Read the constants as values for *model*. Their faults are reported once, at the model's first row."""
        if model in self.constants:
            return self.constants[model]
        read: dict[str, Any] = {}
        for name, constant in self.defaults.constants.items():
            try:
                read[name] = self.inputs.take(model, name, constant.read(name), is_body=constant.is_body)
            except InputError as error:
                self._note(row, error.under(constant.label))
        self.constants[model] = read
        return read

    # ── one row ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, row: Row) -> Job | None:
        before = len(self.faults)
        try:
            model = self._model(_name_of(row, self.defaults.model))
        except InputError as error:
            if "model" in row.values:
                self._note(row, error)
            return None
        constants = self._constants_for(row, model)
        cells = self._read_cells(row, model)
        self._check_key(row)
        if self._lacks_prompt(row, model):
            self.faults.append(Fault("the row has no prompt", row.line))
        if len(self.faults) > before or len(constants) < len(self.defaults.constants):
            return None
        return self._checked_job(row, model, {**constants, **cells}, cells)

    def _lacks_prompt(self, row: Row, model: Model) -> bool:
        if isinstance(model, str) or "prompt" in row.values or not self.defaults.validate:
            return False
        return row.is_body or not validation.misspells_prompt(row, model)

    def _checked_job(self, row: Row, model: Model, given: Mapping[str, Any], cells: Mapping[str, Any]) -> Job | None:
        name = model if isinstance(model, str) else model.model
        try:
            job = Job(model=name, input=given, key=row.values.get("key"), validate=self.defaults.validate)
            if self.defaults.count > 1:
                _copy(job, self.defaults.count - 1)
        except InputError as error:
            self._note(row, error.under(self._label_of(error.field, row, cells)))
            return None
        return job

    def _label_of(self, field: str, row: Row, cells: Mapping[str, Any]) -> str:
        """Return the user's name for a field: the option's, if the value is not from the row."""
        if field == "model" and "model" not in row.values:
            return self.defaults.model_label
        if field in self.defaults.constants and field not in cells:
            return self.defaults.constants[field].label
        return field

    def _read_cells(self, row: Row, model: Model) -> dict[str, Any]:
        cells: dict[str, Any] = {}
        for name, value in row.values.items():
            if fault := validation.find_no_value(name, value, is_prompt=name in {"prompt", *self.source.used}):
                self.faults.append(Fault(fault, row.places.get(name, row.line)))
                continue
            if name in {"model", "key"} or name in self.unused or self._is_for_template(name, model):
                continue
            try:
                read = partial(validation.read_cell, name=name, value=value, folder=self.folder, is_typed=row.is_typed)
                cells[name] = self.inputs.take(model, name, read, is_body=row.is_body)
            except InputError as error:
                self._note(row, error)
        return cells

    def _is_for_template(self, name: str, model: Model) -> bool:
        """Whether a value is only for the template. A model that is not known does not get it as a parameter."""
        if name not in self.source.used or name == "prompt":
            return False
        return validation.find_parameter(model, name) is None

    def _check_key(self, row: Row) -> None:
        try:
            self.keys.add(row)
        except InputError as error:
            self._note(row, error)

    def _note(self, row: Row, error: InputError) -> None:
        self.faults.append(Fault(validation.describe(error), row.places.get(error.field, row.line)))


def _repeats(jobs: Iterable[Job]) -> Iterator[str]:
    """Count the jobs that have the same input as another one and a seed, which makes the same picture."""
    # Hashes, because an input may contain an image.
    seeded = [hash(repr((job.model, sorted(job.input.items())))) for job in jobs if "seed" in job.input]
    repeated = len(seeded) - len(set(seeded))
    if repeated:
        subject = f"{count_of(repeated, 'job')} {by_number(repeated, 'repeats', 'repeat')}"
        yield f"{subject} another job's input and seed: the same picture would be charged again"


def _name_of(row: Row, default: str) -> str:
    return _stripped(row.values.get("model", default))


def _stripped(name: Any) -> str:
    if not isinstance(name, str):
        raise InputError("model", name, "must be the name of a model, as a string")
    return name.strip()
