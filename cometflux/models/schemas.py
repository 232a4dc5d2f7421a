"""A model that is known by its JSON Schema, as Replicate publishes it, in place of a class here.

Both published forms are read: an OpenAPI document with ``components.schemas.Input``, and an object whose
``input_schema`` refers to definitions next to it. A bare schema of the input is read too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import attrs

from cometflux.errors import ConfigError, InputError
from cometflux.models.image_kinds import ANY_NUMBER, ImageKind, ImagesKind
from cometflux.models.kinds import BooleanKind, ChoiceKind, IntegerKind, NumberKind, ParameterKind, StringKind, TextKind
from cometflux.models.parameters import Parameter
from cometflux.models.schema_kinds import AnyKind, ListKind, NumberChoiceKind
from cometflux.models.spelling import whole
from cometflux.models.words import listed

_INPUTS = (("components", "schemas", "Input"), ("input_schema",), ("Input",))
_OUTPUTS = (("components", "schemas", "Output"), ("output_schema",), ("Output",))
_ENVELOPES = ("latest_version", "openapi_schema")
"""Replicate's API puts the document into these."""
_SILENT = frozenset(
    {"title", "description", "example", "examples", "deprecated", "nullable", "default", "type", "enum"}
    | {"properties", "required", "additionalProperties", "$schema", "$id", "definitions", "$defs"}
)
"""Keywords that are understood, or that limit no value."""
_UNDERSTOOD = {
    IntegerKind: {"minimum", "maximum"},
    NumberKind: {"minimum", "maximum"},
    ImagesKind: {"items", "maxItems"},
    ListKind: {"items", "maxItems"},
    ImageKind: {"format"},
}
_MOST_STEPS = 20_000
"""How many schemas are resolved at most: references may multiply."""
_MOST_NAMED = 4


@attrs.frozen(kw_only=True, eq=False)
class ModelSchema:
    """A model that is known by its published schema."""

    model: str
    """``owner/name``."""
    by_name: Mapping[str, Parameter] = attrs.field(repr=False)
    """The parameters by name, in the published order."""
    texts: Mapping[str, str] = attrs.field(repr=False)
    """The published descriptions of the parameters; there may be none."""
    has_list_output: bool
    """Whether the output is a list."""
    notes: tuple[str, ...] = ()
    """Says what the schema says and is not checked."""

    @property
    def image_parameters(self) -> tuple[str, ...]:
        """The names of the parameters for reference images."""
        return tuple(name for name, each in self.by_name.items() if each.kind.most_images)


def parse_schema(document: object, model: str, place: str = "the schema") -> ModelSchema:
    """Read the parameters of *model* from its schema, as `json.load` returns it. *place* names it in errors.

    Raises:
        ConfigError: it is not such a schema, a reference in it leads to nothing or to itself, or it contradicts itself.
    """
    try:
        return _Reader(document, model, place).read()
    except RecursionError:
        raise ConfigError(f"{place}: it is nested too deeply", setting="schema") from None


class _Reader:
    def __init__(self, document: object, model: str, place: str) -> None:
        for name in _ENVELOPES:
            if isinstance(document, Mapping) and isinstance(document.get(name), Mapping):
                document = document[name]
        self._document = document
        self._model = model
        self._place = place
        self._steps = 0
        self._unclear: dict[str, dict[str, None]] = {}
        """The names of the parameters by the keyword that is not understood."""

    def read(self) -> ModelSchema:
        inputs = self._resolve(self._find_input(), "the input")
        properties, required = inputs.get("properties"), inputs.get("required", [])
        if not isinstance(properties, Mapping) or not properties:
            self._fail("its input has no parameters")
        if not all(isinstance(name, str) for name in properties):
            self._fail("the names of its parameters must be texts")
        if not isinstance(required, list) or any(name not in [*properties] for name in required):
            self._fail("the required parameters must be a list of names of parameters")
        self._note_keywords("the input", inputs, set())
        resolved = {name: self._resolve(each, name) for name, each in properties.items()}
        ordered = sorted(resolved.items(), key=lambda item: _order(item[1]))
        return ModelSchema(
            model=self._model,
            by_name={name: self._parameter(name, each, is_required=name in required) for name, each in ordered},
            texts={name: text for name, each in ordered if isinstance(text := each.get("description"), str)},
            has_list_output=self._has_list_output(),
            notes=tuple(self._notes()),
        )

    def _find_input(self) -> object:
        if not isinstance(self._document, Mapping):
            self._fail("it is not a JSON Schema: it must be an object")
        found = next(filter(None, (_at(self._document, path) for path in _INPUTS)), None)
        if found is None and "properties" in self._document:
            found = self._document
        if found is None:
            self._fail("it is not the schema of a model: it has neither components.schemas.Input nor input_schema")
        return found

    def _has_list_output(self) -> bool:
        found = next(filter(None, (_at(self._document, path) for path in _OUTPUTS)), None)
        return found is not None and self._resolve(found, "the output").get("type") == "array"

    # ── references ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _resolve(self, node: object, name: str, trail: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return a schema with the schemas that it refers to merged into it; *trail* has the references so far."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            self._fail("its references are too many")
        if not isinstance(node, Mapping):
            self._fail(f"{name}: a schema must be an object")
        merged: dict[str, Any] = {}
        for part in self._parts(node, name):
            found = self._resolve(part, name, trail)
            if any(merged.get(word, value) != value for word, value in found.items() if word not in _SILENT):
                self._mark("allOf", name)
            merged |= found
        if "$ref" in node:
            merged |= self._follow(node["$ref"], name, trail)
        own = {word: value for word, value in node.items() if word not in ("allOf", "$ref")}
        if len(_not_null(own.get("anyOf"))) == 1:
            merged["nullable"] = len(own.pop("anyOf")) > 1
        return merged | own

    def _parts(self, node: Mapping[str, Any], name: str) -> list[Any]:
        parts = node.get("allOf", [])
        if not isinstance(parts, list):
            self._fail(f"{name}: allOf must be a list")
        # One alternative next to null is how some writers say that a parameter may be left out.
        alone = _not_null(node.get("anyOf"))
        return [*parts, *alone] if len(alone) == 1 else parts

    def _follow(self, reference: object, name: str, trail: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(reference, str):
            self._fail(f"{name}: a reference must be a text")
        if reference in trail:
            self._fail(f"{name}: {reference!r} refers to itself")
        path = [part.replace("~1", "/").replace("~0", "~") for part in reference.split("/")]
        found = _at(self._document, path[1:]) if path[0] == "#" else None
        if found is None:
            self._fail(f"{name}: {reference!r} refers to nothing in it")
        return self._resolve(found, name, (*trail, reference))

    # ── one parameter ────────────────────────────────────────────────────────────────────────────────────────────────

    def _parameter(self, name: str, schema: Mapping[str, Any], *, is_required: bool) -> Parameter:
        kind = self._kind(name, schema)
        default = schema.get("default")
        self._check_default(name, kind, default)
        value = tuple(default) if isinstance(default, list) else default
        types, words = schema.get("type"), schema.get("enum", [])
        is_nullable = schema.get("nullable") is True or (isinstance(types, list) and "null" in types) or None in words
        return Parameter(name=name, kind=kind, default=value, required=is_required, nullable=is_nullable)

    def _check_default(self, name: str, kind: ParameterKind, default: object) -> None:
        if default is None or isinstance(kind, ImageKind | ImagesKind):
            return
        # A text that is blank may be a default, though nobody would send it.
        checked = StringKind() if isinstance(kind, TextKind) else kind
        try:
            checked.check(name, default)
        except InputError as error:
            self._fail(f"{name}: its default {default!r} is not one of its own values: {error.allowed}")

    def _kind(self, name: str, schema: Mapping[str, Any], trail: tuple[str, ...] = ()) -> ParameterKind:
        kind = self._choice(name, schema) if "enum" in schema else self._plain_kind(name, schema, trail)
        self._note_keywords(name, schema, _UNDERSTOOD.get(type(kind), set()))
        return kind

    def _choice(self, name: str, schema: Mapping[str, Any]) -> ParameterKind:
        words = schema["enum"]
        if not isinstance(words, list) or not words:
            self._fail(f"{name}: its enum must be a list that is not empty")
        values = [each for each in words if each is not None]
        if all(isinstance(each, str) for each in values):
            return ChoiceKind(tuple(dict.fromkeys(values)))
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
            return NumberChoiceKind(tuple(dict.fromkeys(map(whole, values))))
        self._mark("enum", name)
        return AnyKind()

    def _plain_kind(self, name: str, schema: Mapping[str, Any], trail: tuple[str, ...]) -> ParameterKind:
        types = schema.get("type")
        several = [each for each in types if each != "null"] if isinstance(types, list) else [types]
        match several[0] if len(several) == 1 else None:
            case "string" if schema.get("format") == "uri":
                return ImageKind()
            case "string":
                return TextKind() if name == "prompt" else StringKind()
            case "integer":
                return IntegerKind(*self._range(name, schema))
            case "number":
                return NumberKind(*self._range(name, schema))
            case "boolean":
                return BooleanKind()
            case "array":
                return self._list_kind(name, schema, trail)
            case _:
                self._mark("type", name)
                return AnyKind()

    def _list_kind(self, name: str, schema: Mapping[str, Any], trail: tuple[str, ...]) -> ParameterKind:
        most = schema.get("maxItems")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 0):
            self._fail(f"{name}: maxItems must be a whole number from 0")
        if len(trail) > _MOST_NAMED:
            self._fail(f"{name}: its lists are nested too deeply")
        items = self._resolve(schema.get("items", {}), name)
        item = self._kind(name, items, (*trail, name)) if items else AnyKind()
        if isinstance(item, ImageKind):
            return ImagesKind(ANY_NUMBER if most is None else most)
        return ListKind(StringKind() if isinstance(item, TextKind) else item, most)

    def _range(self, name: str, schema: Mapping[str, Any]) -> tuple[Any, Any]:
        ends = whole(schema.get("minimum")), whole(schema.get("maximum"))
        for end in ends:
            if end is not None and (not isinstance(end, int | float) or isinstance(end, bool)):
                self._fail(f"{name}: its minimum and maximum must be numbers")
        if None not in ends and ends[0] > ends[1]:
            self._fail(f"{name}: its minimum {ends[0]} is above its maximum {ends[1]}")
        return ends

    # ── notes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _note_keywords(self, name: str, schema: Mapping[str, Any], understood: set[str]) -> None:
        for word in schema:
            if word not in _SILENT and word not in understood and not str(word).startswith("x-"):
                self._mark(word, name)

    def _mark(self, word: str, name: str) -> None:
        self._unclear.setdefault(word, {})[name] = None

    def _notes(self) -> Iterator[str]:
        for word, names in self._unclear.items():
            named = [*names] if len(names) <= _MOST_NAMED else [*[*names][: _MOST_NAMED - 1], "others"]
            yield (
                f"the schema of {self._model} says {word!r} of {listed(named, 'and')}: "
                "this is not understood here, so it is not checked"
            )

    def _fail(self, reason: str) -> NoReturn:
        raise ConfigError(f"{self._place}: {reason}", setting="schema")


def _at(node: object, path: Any) -> Any:
    """Return the part of a document at a path; None if there is none."""
    for name in path:
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return node


def _not_null(parts: object) -> list[Any]:
    return [each for each in parts if each != {"type": "null"}] if isinstance(parts, list) else []


def _order(schema: Mapping[str, Any]) -> float:
    order = schema.get("x-order")
    return order if isinstance(order, int | float) and order == order else float("inf")
