"""Changes of a file at a few places: made at once or while its bytes come, and taken back. Pure."""

from collections import deque
from collections.abc import Iterable, Sequence

import attrs

from cometflux.images.formats import Data


@attrs.frozen
class Splice:
    """One change: the bytes *old* at *place* of the file before become *new*."""

    place: int
    old: bytes
    new: bytes


class Splicer:
    """Makes changes in bytes that come in chunks. The first chunk must have all that is replaced by something else.

    Args:
        splices: in the order of their places. A place behind the end is left out, and `made` does not have it.
    """

    def __init__(self, splices: Iterable[Splice]) -> None:
        self._waiting = deque(splices)
        self._place = 0
        self.made: list[Splice] = []

    def change(self, chunk: Data | memoryview) -> list[memoryview]:
        """Return what *chunk* becomes, in pieces."""
        view, start, pieces = memoryview(chunk), 0, []
        while self._waiting and (at := self._waiting[0].place - self._place) <= len(view):
            splice = self._waiting.popleft()
            pieces += [view[start:at], memoryview(splice.new)]
            start = at + len(splice.old)
            self.made.append(splice)
        self._place += len(view)
        return [*pieces, view[start:]]


def spliced(data: Data, splices: Iterable[Splice]) -> bytes:
    """Return the whole of *data* with the changes made."""
    return b"".join(Splicer(splices).change(data))


def reverse(splices: Sequence[Splice]) -> list[Splice]:
    """Return the changes that take *splices* back."""
    back, shift = [], 0
    for each in splices:
        back.append(Splice(each.place + shift, each.new, each.old))
        shift += len(each.new) - len(each.old)
    return back
