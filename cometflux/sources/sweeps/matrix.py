"""The product of lists, less what is excluded and more what is included, in the way of CI files.

No file and no model is known here: a value is whatever can be compared.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

MOST_COMPARISONS = 2_000_000
"""How many combinations all entries together are compared with."""

Combination = dict[str, Any]


@attrs.frozen(kw_only=True)
class Product:
    """What a matrix multiplies to."""

    combinations: tuple[tuple[Combination, int | None], ...]
    """In the order of the axes, the last one changing fastest; behind them new ones, each with its entry's place."""
    idle: tuple[int, ...]
    """Which entries of *exclude* match nothing, by their place."""


def count(axes: Mapping[str, Sequence[Any]]) -> int:
    """Tell how many combinations the axes multiply to, before any is made."""
    return math.prod(len(values) for values in axes.values()) if axes else 0


def multiply(
    axes: Mapping[str, Sequence[Any]], exclude: Sequence[Mapping[str, Any]], include: Sequence[Mapping[str, Any]]
) -> Product:
    """Multiply the axes; take out what matches an entry of *exclude*; then add those of *include*.

    An entry of *include* adds its values to each combination with whose own values it agrees; one that agrees with
    none is a combination by itself. What the axes say is never overwritten, what an earlier entry has added is.
    """
    made = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    hits = [[_agrees(entry, each) for entry in exclude] for each in made]
    kept = [each for each, hit in zip(made, hits, strict=True) if not any(hit)]
    idle = tuple(number for number in range(len(exclude)) if not any(hit[number] for hit in hits))
    return Product(combinations=(*_included(axes, kept, include),), idle=idle)


def _included(
    axes: Mapping[str, Sequence[Any]], kept: list[Combination], include: Iterable[Mapping[str, Any]]
) -> list[tuple[Combination, int | None]]:
    own = [dict(each) for each in kept]
    new: list[tuple[Combination, int | None]] = []
    for number, entry in enumerate(include):
        asked = {name: value for name, value in entry.items() if name in axes}
        added = {name: value for name, value in entry.items() if name not in axes}
        matching = [each for each, original in zip(own, kept, strict=True) if _agrees(asked, original)]
        for each in matching:
            each.update(added)
        if not matching:
            new.append((dict(entry), number))
    return [(each, None) for each in own] + new


def _agrees(entry: Mapping[str, Any], combination: Mapping[str, Any]) -> bool:
    return all(combination[name] == value for name, value in entry.items())
