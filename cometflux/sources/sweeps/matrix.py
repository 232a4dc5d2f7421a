"""Multiply lists, remove the excluded combinations and add the included ones, as the matrix of a CI file does.

This module does not know files or models: values only have to be comparable.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

MOST_COMPARISONS = 2_000_000
"""The maximum number of comparisons of entries with combinations."""

Combination = dict[str, Any]


@attrs.frozen(kw_only=True)
class Product:
    """The combinations of a matrix."""

    combinations: tuple[tuple[Combination, int | None], ...]
    """In the order of the axes, the last axis changing fastest; then the combinations added by *include*, each with the
    index of its entry. The others have None."""
    idle: tuple[int, ...]
    """The indices of the entries of *exclude* that match nothing."""


Lists = Mapping[str, Sequence[Any]]
_NO_LISTS: Lists = {}


def count(axes: Lists, beside: Lists = _NO_LISTS) -> int:
    """Return the number of combinations, without making any."""
    rows = [len(values) for values in beside.values()][:1]
    return math.prod([*rows, *(len(values) for values in axes.values())]) if axes or rows else 0


def multiply(
    axes: Lists,
    exclude: Sequence[Mapping[str, Any]],
    include: Sequence[Mapping[str, Any]],
    beside: Lists = _NO_LISTS,
) -> Product:
    """Multiply the axes, remove the combinations that match an entry of *exclude*, then apply *include*.

    The lists *beside* each other, which have one length, are an axis together: the first of each, the second of each
    and so on. That axis changes slowest.

    An entry of *include* adds its values to each combination whose axis values it matches. An entry that matches
    none becomes a new combination. An entry never overwrites axis values, but may overwrite those of earlier entries.
    """
    made = [*_combined(axes, beside)]
    hits = [[_agrees(entry, each) for entry in exclude] for each in made]
    kept = [each for each, hit in zip(made, hits, strict=True) if not any(hit)]
    idle = tuple(number for number in range(len(exclude)) if not any(hit[number] for hit in hits))
    return Product(combinations=(*_included({**beside, **axes}, kept, include),), idle=idle)


def _combined(axes: Lists, beside: Lists) -> Iterator[Combination]:
    if not axes and not beside:
        return
    rows = zip(*beside.values(), strict=True) if beside else [()]
    for row in rows:
        for values in itertools.product(*axes.values()):
            yield dict(zip((*beside, *axes), (*row, *values), strict=True))


def _included(
    axes: Mapping[str, Sequence[Any]], kept: list[Combination], include: Iterable[Mapping[str, Any]]
) -> list[tuple[Combination, int | None]]:
    own = [dict(each) for each in kept]
    new: list[tuple[Combination, int | None]] = []
    for number, entry in enumerate(include):
        wanted = {name: value for name, value in entry.items() if name in axes}
        added = {name: value for name, value in entry.items() if name not in axes}
        matching = [each for each, original in zip(own, kept, strict=True) if _agrees(wanted, original)]
        for each in matching:
            each.update(added)
        if not matching:
            new.append((dict(entry), number))
    return [(each, None) for each in own] + new


def _agrees(entry: Mapping[str, Any], combination: Mapping[str, Any]) -> bool:
    return all(combination[name] == value for name, value in entry.items())
