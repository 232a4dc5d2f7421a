"""Take a stream in lists of limited length."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")

PAGE = 500
"""How many rows of a table are read or written at a time."""
SMALL_PAGE = 64
"""How many rows pass from one step to the next at a time.

To do the steps by turns for each row takes a fifth longer: their code does not fit into a processor's first cache.
"""


def pages(items: Iterable[_Item], size: int = PAGE) -> Iterator[list[_Item]]:
    """Yield *items* in lists of *size*; the last one may be shorter."""
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
