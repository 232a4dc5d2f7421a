"""Rows, and what holds for all of them, become jobs.

All of it is checked here, and all faults are told, before anything is sent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cometflux import flux
from cometflux.errors import InputError
from cometflux.jobs import Job
from cometflux.models.kinds import guess
from cometflux.models.words import closest, question
from cometflux.sources import coercion
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.rows import RESERVED, Quoted, Row, Source

_FULL_NAME = re.compile(r"[^/\s]+/[^/\s]+")
_KEY_OF_COPY = re.compile(r"(.+)-([1-9][0-9]{0,8})", re.DOTALL)


@attrs.frozen(kw_only=True)
class Constant:
    """The value of a parameter for every row that has none of its own."""

    label: str
    """What messages call it."""
    value: Any
    is_text: bool = False
    """Whether it is still to be read by the parameter's type; paths in it are relative to the current folder."""


@attrs.frozen(kw_only=True)
class Defaults:
    """What holds for every row that does not say otherwise."""

    model: str = "flux-schnell"
    model_label: str = "model"
    constants: Mapping[str, Constant] = {}
    count: int = 1
    """How often each job is made."""
    count_label: str = "count"


@attrs.frozen(kw_only=True)
class Plan:
    """The jobs to run, each *count* times; iterate to draw them."""

    jobs: tuple[Job, ...]
    count: int = 1
    notes: tuple[str, ...] = ()
    """What the user should know before it starts."""
    name: str = ""
    """What messages call the prompt file; empty where there is none."""
    lines: tuple[int | None, ...] = ()
    """Where each job begins in it."""
    unit: str = "line"
    """What the lines count."""

    def __len__(self) -> int:
        return len(self.jobs) * self.count

    def __iter__(self) -> Iterator[Job]:
        for job in self.jobs:
            for number in range(self.count):
                yield _copy(job, number) if self.count > 1 else job

    def line_of(self, index: int) -> int | None:
        """Return the line of the job that is drawn as number *index*, from 0."""
        return self.lines[index // self.count]


def _copy(job: Job, number: int) -> Job:
    """Make copy *number* of a job, from 0. A fixed seed goes up, since it would buy the same picture again."""
    seed = job.input.get("seed")
    changed = {"seed": seed + number} if isinstance(seed, int) and not isinstance(seed, bool) else {}
    # The first is the row itself, so that a job bought without copies is known again with them.
    key = f"{job.key}-{number + 1}" if job.key is not None and number else job.key
    return attrs.evolve(job, input={**job.input, **changed}, key=key)


def make_plan(source: Source, defaults: Defaults, folder: Path) -> Plan:
    """Make the jobs. Paths in rows are relative to *folder*.

    Raises:
        SourceError: something is wrong; it lists everything that is.
    """
    return _Planner(source, defaults, folder).plan()


@attrs.define
class _Planner:
    source: Source
    given: Defaults
    folder: Path
    faults: list[Fault] = attrs.field(factory=list)
    models: dict[str, type[flux.Flux] | str] = attrs.field(factory=dict)
    constants: dict[type[flux.Flux] | str, dict[str, Any]] = attrs.field(factory=dict)
    keys: dict[str, int | None] = attrs.field(factory=dict)
    images: dict[tuple[str, Path], InputError | None] = attrs.field(factory=dict)
    useless: set[str] = attrs.field(factory=set)

    def plan(self) -> Plan:
        self._check_model_of_all()
        self._find_useless_columns()
        found = [(job, row.line) for row in self.source.rows if (job := self._job(row)) is not None]
        self._check_copies()
        if self.faults:
            unique = dict.fromkeys(sorted(self.faults, key=lambda fault: fault.line or 0))
            raise SourceError(unique, self.source.name, self.source.unit)
        plan = Plan(
            jobs=tuple(job for job, _ in found),
            count=self.given.count,
            name=self.source.name,
            lines=tuple(line for _, line in found),
            unit=self.source.unit,
        )
        return attrs.evolve(plan, notes=(*self._notes(), *_alike(plan)))

    def _notes(self) -> Iterator[str]:
        yield from self.source.notes
        for name in dict.fromkeys(model for model in self.models.values() if isinstance(model, str)):
            meant = question(closest(name, flux.MODELS), str)
            told = f"{name} is none of the models known here, so its input is not checked"
            yield f"{told}; {meant}" if meant else told

    # ── what holds for many rows ─────────────────────────────────────────────────────────────────────────────────────

    def _model(self, name: str) -> type[flux.Flux] | str:
        """Find a model; one that is not known here stands by its full name."""
        if name not in self.models:
            try:
                self.models[name] = flux.find(name)
            except InputError:
                if not _FULL_NAME.fullmatch(name):
                    raise
                self.models[name] = name
        return self.models[name]

    def _check_model_of_all(self) -> None:
        """Check it once, and also where every row names its own: who wrote it means something by it."""
        try:
            self._model(_stripped(self.given.model))
        except InputError as error:
            self.faults.append(Fault(error.under(self.given.model_label).message_in(_WORDS)))

    def _find_useless_columns(self) -> None:
        used = {name: None for row in self.source.rows for name in self._taken_by(row)}
        if "*" in used:
            return
        for name in self.source.columns:
            if name in used or name in RESERVED or name in self.source.used:
                continue
            self.useless.add(name)
            self.faults.append(self._useless(name, used))

    def _useless(self, name: str, used: Mapping[str, None]) -> Fault:
        if name in self.source.places:
            hint = _hint(name, used, f"write {{{name}}} in the prompt, or take it out")
            return Fault(f"nothing uses {name!r}{hint}", self.source.places[name])
        hint = _hint(name, used, f"take it out of the {'table' if self.source.header is None else 'file'}")
        return Fault(f"no row can use the column {name!r}{hint}", self.source.header)

    def _taken_by(self, row: Row) -> Sequence[str]:
        try:
            model = self._model(_name_of(row, self.given.model))
        except InputError:
            return ("*",)
        return ("*",) if isinstance(model, str) else [each.name for each in flux.parameters(model)]

    def _constants_for(self, row: Row, model: type[flux.Flux] | str) -> dict[str, Any]:
        """Read the constants as values for *model*; what is wrong with them is told at the first row that meets it."""
        if model in self.constants:
            return self.constants[model]
        read: dict[str, Any] = {}
        for name, constant in self.given.constants.items():
            try:
                value = _read_text(model, name, constant.value, Path()) if constant.is_text else constant.value
                self._check(model, name, value)
                read[name] = value
            except InputError as error:
                self._note(row, error.under(constant.label))
        self.constants[model] = read
        return read

    # ── one row ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, row: Row) -> Job | None:
        before = len(self.faults)
        try:
            model = self._model(_name_of(row, self.given.model))
        except InputError as error:
            if "model" in row.values:
                self._note(row, error)
            return None
        constants = self._constants_for(row, model)
        cells = self._read_cells(row, model)
        self._check_key(row)
        if not isinstance(model, str) and "prompt" not in row.values and not _seems_misspelled(row, model):
            self.faults.append(Fault("the row has no prompt", row.line))
        if len(self.faults) > before or len(constants) < len(self.given.constants):
            return None
        return self._checked(row, model, {**constants, **cells}, cells)

    def _checked(
        self, row: Row, model: type[flux.Flux] | str, given: Mapping[str, Any], cells: Mapping[str, Any]
    ) -> Job | None:
        name = model if isinstance(model, str) else model.model
        try:
            job = Job(model=name, input=given, key=row.values.get("key"))
            if self.given.count > 1:
                _copy(job, self.given.count - 1)
        except InputError as error:
            field = error.field
            if field in self.given.constants and field not in cells:
                field = self.given.constants[field].label
            if field == "model" and "model" not in row.values:
                field = self.given.model_label
            self._note(row, error.under(field))
            return None
        return job

    def _read_cells(self, row: Row, model: type[flux.Flux] | str) -> dict[str, Any]:
        cells: dict[str, Any] = {}
        for name, value in row.values.items():
            if name in {"model", "key"} or name in self.useless or self._is_for_template(name, model):
                continue
            try:
                cells[name] = _read_cell(model, name, value, self.folder, is_typed=row.is_typed)
                self._check(model, name, cells[name])
            except InputError as error:
                self._note(row, error)
        return cells

    def _is_for_template(self, name: str, model: type[flux.Flux] | str) -> bool:
        """Whether a value has done its work in the prompt: a model that is not known here is not sent it either."""
        if name not in self.source.used or name == "prompt":
            return False
        return isinstance(model, str) or name not in _parameters(model)

    def _check_key(self, row: Row) -> None:
        key = row.values.get("key")
        if not isinstance(key, str):
            return
        if key in self.keys:
            where = "another combination" if row.places else f"{self.source.unit} {self.keys[key]}"
            self._note(row, InputError("key", key, f"{where} has this key already"))
        self.keys.setdefault(key, row.line)

    def _check_copies(self) -> None:
        """Look whether a row has a key that the copy of another one gets."""
        for key, line in self.keys.items():
            copy = _KEY_OF_COPY.fullmatch(key)
            if copy and copy[1] in self.keys and 1 < int(copy[2]) <= self.given.count:
                first = f"{self.source.unit} {self.keys[copy[1]]}"
                with_count = f"with {self.given.count_label} {self.given.count}"
                error = InputError("key", key, f"a copy of {first} has this key already, {with_count}")
                self.faults.append(Fault(error.message, line))

    def _check(self, model: type[flux.Flux] | str, name: str, value: Any) -> None:
        if isinstance(model, str):
            return
        parameter = _parameters(model).get(name)
        if parameter is None:
            # Refuses the name, and says which one may be meant.
            flux.check_input(model.model, {name: value})
            return
        parameter.check(value)
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                self._check_image(name, path)

    def _check_image(self, name: str, path: Path) -> None:
        if (name, path) not in self.images:
            self.images[name, path] = None
            try:
                coercion.check_image_file(name, path)
            except InputError as error:
                self.images[name, path] = error
        known = self.images[name, path]
        if known is not None:
            raise known.under(name)

    def _note(self, row: Row, error: InputError) -> None:
        self.faults.append(Fault(error.message_in(_WORDS), row.places.get(error.field, row.line)))


def _alike(jobs: Iterable[Job]) -> Iterator[str]:
    """Tell how many ask for what another one asks for, which a seed makes the same picture."""
    # Hashes, since a picture may stand in each of them.
    asked = [hash(repr((job.model, sorted(job.input.items())))) for job in jobs if "seed" in job.input]
    twice = len(asked) - len(set(asked))
    if twice:
        what = "1 job asks" if twice == 1 else f"{twice} jobs ask"
        yield f"{what} for what another one asks for, seed and all: the same picture would be bought again"


_WORDS = {"image": "the path of a file, an http(s) URL or a data URI"}
"""The values of a cell, which has no types of Python."""


def _name_of(row: Row, default: str) -> str:
    return _stripped(row.values.get("model", default))


def _stripped(name: Any) -> str:
    if not isinstance(name, str):
        raise InputError("model", name, "allowed is the name of a model, as a string")
    return name.strip()


def _parameters(model: type[flux.Flux]) -> dict[str, flux.Parameter]:
    return {each.name: each for each in flux.parameters(model)}


def _seems_misspelled(row: Row, model: type[flux.Flux]) -> bool:
    """Whether a name that nobody takes is close to ``prompt``; it has been told already."""
    strangers = [name.lower() for name in row.values if name not in _parameters(model)]
    return closest("prompt", strangers) is not None


def _read_text(model: type[flux.Flux] | str, name: str, text: str | list[str], folder: Path) -> Any:
    """Read what a person wrote, once or several times, as a value of the parameter's type."""
    parameter = None if isinstance(model, str) else _parameters(model).get(name)
    if isinstance(text, list):
        if parameter is not None and not parameter.kind.is_list:
            raise InputError(name, text, f"allowed is {parameter.allowed}")
        parts = [_read_text(model, name, each, folder) for each in text]
        return parts if parameter is None else [item for items in parts for item in items]
    if parameter is not None:
        return parameter.kind.read_text(name, text, folder)
    is_guessed = isinstance(model, str) and name != "prompt" and not isinstance(text, Quoted)
    return guess(text) if is_guessed else str(text)


def _read_cell(model: type[flux.Flux] | str, name: str, value: Any, folder: Path, *, is_typed: bool) -> Any:
    if not is_typed:
        return _read_text(model, name, value, folder)
    parameter = None if isinstance(model, str) else _parameters(model).get(name)
    return value if parameter is None else parameter.kind.read_json(name, value, folder)


def _hint(name: str, used: Mapping[str, None], otherwise: str) -> str:
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    if meant := question(closest(plain, [*RESERVED, *used])):
        return f"; {meant}"
    if takers := _takers(name):
        return f"; it is a parameter of {takers}"
    known = dict.fromkeys(each.name for model in flux.MODELS.values() for each in flux.parameters(model))
    if close := closest(plain, known, cutoff=0.8):
        return f"; {question(close)} it is a parameter of {_takers(close)}"
    return f"; {otherwise}"


def _takers(name: str) -> str:
    """List the models that take a parameter; empty where none does."""
    takers = [model.model.rpartition("/")[2] for model in flux.MODELS.values() if name in _parameters(model)]
    return f"{', '.join(takers[:3])}{' and others' if len(takers) > 3 else ''}"
