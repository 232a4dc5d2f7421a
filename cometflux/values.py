"""What facts have in common: they are compared and shown field by field.

attrs would write these methods anew for every class, which takes longer than all the rest that it does at an import.
"""

import reprlib
from typing import Any

import attrs


class Value:
    """A frozen attrs class, made with ``eq=False, repr=False``, takes its comparison, hash and repr from here."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field.name) == getattr(other, field.name) for field in _fields(self) if field.eq)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, field.name) for field in _fields(self) if field.eq)))

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        shown = ", ".join(f"{field.name}={_show(self, field)}" for field in _fields(self) if field.repr)
        return f"{type(self).__qualname__}({shown})"


def _fields(value: Any) -> tuple["attrs.Attribute[Any]", ...]:
    declared: tuple[attrs.Attribute[Any], ...] = attrs.fields(type(value))
    return declared


def _show(value: Value, field: "attrs.Attribute[Any]") -> str:
    show = field.repr if callable(field.repr) else repr
    return show(getattr(value, field.name))
