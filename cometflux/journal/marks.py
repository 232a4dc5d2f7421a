"""Numbers of millions of texts in little memory: each text is known by a digest of 16 bytes."""

import hashlib
from array import array
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any

from cometflux.storage.file_names import fold, output_stems

_HALVES = Struct("QQ").unpack
_SMALLEST = 1024


def mark_of(text: str) -> bytes:
    """Return the mark of a text, a digest. No two texts have the same."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Marks:
    """A mapping from marks to numbers of 32 bits. An entry takes about 40 bytes, and 150 in a dict.

    It is an open hash table with linear probing; the marks are digests, so their own bits spread them.
    """

    def __init__(self) -> None:
        self._used = 0
        self._make(_SMALLEST)

    def _make(self, size: int) -> None:
        self._mask = size - 1
        self._highs, self._lows = array("Q", bytes(8 * size)), array("Q", bytes(8 * size))
        # One more than the number of each mark; 0 says that a place is free.
        self._numbers = array("I", bytes(4 * size))

    def __len__(self) -> int:
        return self._used

    def setdefault(self, mark: bytes, number: int) -> int:
        """Return the number of a mark; give it *number*, from 0, if it is new."""
        high, low = _HALVES(mark)
        at = self._place(high, low)
        if not self._numbers[at]:
            self._enter(at, high, low, number + 1)
            return number
        return self._numbers[at] - 1

    def get(self, mark: bytes) -> int | None:
        """Return the number of a mark; None if it has none."""
        number = self._numbers[self._place(*_HALVES(mark))]
        return number - 1 if number else None

    def count(self, mark: bytes) -> int:
        """Return how often a mark was counted, with this time."""
        high, low = _HALVES(mark)
        at = self._place(high, low)
        if not self._numbers[at]:
            self._enter(at, high, low, 2)
            return 1
        self._numbers[at] += 1
        return self._numbers[at] - 1

    def _place(self, high: int, low: int) -> int:
        """Return where a mark is, or where it would be."""
        mask, highs, lows, numbers = self._mask, self._highs, self._lows, self._numbers
        at = low & mask
        while numbers[at] and not (lows[at] == low and highs[at] == high):
            at = (at + 1) & mask
        return at

    def _enter(self, at: int, high: int, low: int, number: int) -> None:
        self._highs[at], self._lows[at], self._numbers[at] = high, low, number
        self._used += 1
        if self._used * 3 > self._mask * 2:
            self._grow()

    def _grow(self) -> None:
        entries = zip(self._highs, self._lows, self._numbers, strict=True)
        self._make(2 * (self._mask + 1))
        for high, low, number in entries:
            if number:
                at = self._place(high, low)
                self._highs[at], self._lows[at], self._numbers[at] = high, low, number


class NameMarks:
    """The names of a batch's files so far. Names that some file system takes for the same are the same."""

    def __init__(self) -> None:
        self._marks = Marks()

    def add(self, name: str, given: Mapping[str, Any], number: int) -> int | None:
        """Note the name of a job with its input; return the *number* of an earlier job that has it, None if it is free.

        A job that asks for several images has the name of each.
        """
        for stem in _stems(name, given):
            size = len(self._marks)
            found = self._marks.setdefault(mark_of(fold(stem)), number)
            if len(self._marks) == size:
                return found
        return None


def _stems(name: str, given: Mapping[str, Any]) -> Iterator[str]:
    yield name
    count = given.get("num_outputs")
    if isinstance(count, int) and 1 < count <= 100:
        yield from output_stems(name, count)


class Repeats:
    """Counts how many of many values were there before, with 8 bytes for each."""

    _PARTS = 64

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(self._PARTS)]

    def add(self, mark: int) -> None:
        """Note a value by its hash."""
        self._parts[mark % self._PARTS].append(mark)

    def count(self) -> int:
        """Return how many values were not the first of their kind."""
        # Part by part, because a set of all would take ten times the memory.
        return sum(len(part) - len(set(part)) for part in self._parts)
