"""Finds two jobs of a batch that have one name for their files, in the memory of a mark for each name."""

from collections.abc import Iterator, Mapping
from typing import Any

from cometflux.journal.marks import Marks, mark_of
from cometflux.storage.file_names import fold, output_stems


class NameMarks:
    """The names of the jobs so far. Names that some file system takes for the same are the same."""

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
