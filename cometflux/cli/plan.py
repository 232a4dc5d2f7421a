"""Rows and options become jobs. All of it is checked here, and all faults are told, before anything is sent."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cometflux import flux
from cometflux.cli import values
from cometflux.cli.faults import Fault, UsageError
from cometflux.cli.given import RESERVED, Given
from cometflux.cli.sources import Row, Source
from cometflux.cli.wording import input_text
from cometflux.errors import InputError
from cometflux.jobs import Job

_FULL_NAME = re.compile(r"[^/\s]+/[^/\s]+")
_KEY_OF_COPY = re.compile(r"(.+)-([1-9][0-9]{0,8})", re.DOTALL)


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


def make_plan(source: Source, given: Given, folder: Path) -> Plan:
    """Make the jobs. Paths in options are relative to the current folder, those in rows to *folder*.

    Raises:
        UsageError: something is wrong; it lists everything that is.
    """
    return _Planner(source, given, folder).plan()


@attrs.define
class _Planner:
    source: Source
    given: Given
    folder: Path
    faults: list[Fault] = attrs.field(factory=list)
    models: dict[str, type[flux.Flux] | str] = attrs.field(factory=dict)
    options: dict[type[flux.Flux] | str, dict[str, Any]] = attrs.field(factory=dict)
    keys: dict[str, int | None] = attrs.field(factory=dict)
    images: dict[tuple[str, Path], InputError | None] = attrs.field(factory=dict)
    useless: set[str] = attrs.field(factory=set)

    def plan(self) -> Plan:
        written = self.given.merged()
        self._find_useless_columns()
        found = [(job, row.line) for row in self.source.rows if (job := self._job(row, written)) is not None]
        self._check_copies()
        if self.faults:
            unique = dict.fromkeys(sorted(self.faults, key=lambda fault: fault.line or 0))
            raise UsageError(unique, self.source.name)
        return Plan(
            jobs=tuple(job for job, _ in found),
            count=self.given.count,
            notes=tuple(self._notes()),
            name=self.source.name,
            lines=tuple(line for _, line in found),
        )

    def _notes(self) -> Iterator[str]:
        for name in dict.fromkeys(model for model in self.models.values() if isinstance(model, str)):
            close = difflib.get_close_matches(name, flux.MODELS, n=1)
            question = f"; did you mean {close[0]}?" if close else ""
            yield f"{name} is none of the models known here, so its input is not checked{question}"

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

    def _find_useless_columns(self) -> None:
        used = {name: None for row in self.source.rows for name in self._taken_by(row)}
        if "*" in used:
            return
        for name in self.source.columns:
            if name in used or name in RESERVED:
                continue
            self.useless.add(name)
            self.faults.append(Fault(f"no row can use the column {name!r}{_hint(name, used)}", 1))

    def _taken_by(self, row: Row) -> Sequence[str]:
        try:
            model = self._model(_name_of(row, self.given.model))
        except InputError:
            return ("*",)
        return ("*",) if isinstance(model, str) else [each.name for each in flux.parameters(model)]

    def _options_for(self, row: Row, model: type[flux.Flux] | str, written: Mapping[str, Any]) -> dict[str, Any]:
        """Read the options as values for *model*; what is wrong with them is told at the first row that meets it."""
        if model in self.options:
            return self.options[model]
        read: dict[str, Any] = {}
        for name, (option, text) in written.items():
            try:
                value = _read_option(model, name, text)
                self._check(model, name, value)
                read[name] = value
            except InputError as error:
                self._note(row, InputError(option, error.given, error.allowed))
        self.options[model] = read
        return read

    # ── one row ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, row: Row, written: Mapping[str, Any]) -> Job | None:
        before = len(self.faults)
        try:
            model = self._model(_name_of(row, self.given.model))
        except InputError as error:
            self._note(row, error if "model" in row.values else InputError("--model", error.given, error.allowed))
            return None
        options = self._options_for(row, model, written)
        cells = self._read_cells(row, model)
        self._check_key(row)
        if not isinstance(model, str) and "prompt" not in row.values and not _seems_misspelled(row, model):
            self.faults.append(Fault("the row has no prompt", row.line))
        if len(self.faults) > before or len(options) < len(written):
            return None
        name = model if isinstance(model, str) else model.model
        try:
            job = Job(model=name, input={**options, **cells}, key=row.values.get("key"))
            if self.given.count > 1:
                _copy(job, self.given.count - 1)
        except InputError as error:
            option = written[error.field][0] if error.field in written and error.field not in cells else error.field
            if option == "model" and "model" not in row.values:
                option = "--model"
            self._note(row, InputError(option, error.given, error.allowed))
            return None
        return job

    def _read_cells(self, row: Row, model: type[flux.Flux] | str) -> dict[str, Any]:
        cells: dict[str, Any] = {}
        for name, value in row.values.items():
            if name in {"model", "key"} or name in self.useless:
                continue
            try:
                cells[name] = _read_cell(model, name, value, self.folder, is_typed=row.is_typed)
                self._check(model, name, cells[name])
            except InputError as error:
                self._note(row, error)
        return cells

    def _check_key(self, row: Row) -> None:
        key = row.values.get("key")
        if not isinstance(key, str):
            return
        if key in self.keys:
            self._note(row, InputError("key", key, f"line {self.keys[key]} has this key already"))
        self.keys.setdefault(key, row.line)

    def _check_copies(self) -> None:
        """Look whether a row has a key that the copy of another one gets."""
        for key, line in self.keys.items():
            copy = _KEY_OF_COPY.fullmatch(key)
            if copy and copy[1] in self.keys and 1 < int(copy[2]) <= self.given.count:
                where = f"a copy of line {self.keys[copy[1]]} has this key already, with --count {self.given.count}"
                self.faults.append(Fault(input_text(InputError("key", key, where).message), line))

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
                values.check_image_file(name, path)
            except InputError as error:
                self.images[name, path] = error
        known = self.images[name, path]
        if known is not None:
            raise InputError(known.field, known.given, known.allowed)

    def _note(self, row: Row, error: InputError) -> None:
        self.faults.append(Fault(input_text(error.message), row.line))


def _name_of(row: Row, default: str) -> str:
    name = row.values.get("model", default)
    if not isinstance(name, str):
        raise InputError("model", name, "allowed is the name of a model, as a string")
    return name.strip()


def _parameters(model: type[flux.Flux]) -> dict[str, flux.Parameter]:
    return {each.name: each for each in flux.parameters(model)}


def _seems_misspelled(row: Row, model: type[flux.Flux]) -> bool:
    """Whether a name that nobody takes is close to ``prompt``; it has been told already."""
    strangers = [name.lower() for name in row.values if name not in _parameters(model)]
    return bool(difflib.get_close_matches("prompt", strangers, n=1))


def _read_option(model: type[flux.Flux] | str, name: str, text: str | list[str]) -> Any:
    parameter = None if isinstance(model, str) else _parameters(model).get(name)
    if isinstance(text, str):
        if parameter is not None:
            return values.from_text(parameter, text, Path())
        return values.guess(text) if isinstance(model, str) else text
    if parameter is not None:
        return [image for each in text for image in values.from_text(parameter, each, Path())]
    return [values.guess(each) for each in text]


def _read_cell(model: type[flux.Flux] | str, name: str, value: Any, folder: Path, *, is_typed: bool) -> Any:
    parameter = None if isinstance(model, str) else _parameters(model).get(name)
    if is_typed:
        return value if parameter is None else values.from_json(parameter, value, folder)
    if parameter is not None:
        return values.from_text(parameter, value, folder)
    return values.guess(value) if isinstance(model, str) and name != "prompt" else value


def _hint(name: str, used: Mapping[str, None]) -> str:
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    close = difflib.get_close_matches(plain, [*RESERVED, *used], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    takers = [model.model.rpartition("/")[2] for model in flux.MODELS.values() if name in _parameters(model)]
    if takers:
        return f"; it is a parameter of {', '.join(takers[:3])}{' and others' if len(takers) > 3 else ''}"
    return "; take it out of the file"
