"""Check the rows that take the output of other rows, and the keys of all rows."""

from collections.abc import Container, Mapping
from typing import Any

from cometflux.basics.plain_text import count_of
from cometflux.jobs import Job
from cometflux.journal.manifest import expected
from cometflux.journal.marks import Marks, mark_of
from cometflux.models.output_of import OutputOf, find_outputs
from cometflux.sources.errors import Fault
from cometflux.sources.rows import Row
from cometflux.sources.validation import KeyChecker

_UNKNOWN = 0


class ChainChecker:
    """Checks that a row takes only the output of a row before it, before anything is sent.

    So no row can wait for another one in a circle. The memory for it is that of `KeyChecker`, and a mark for each row
    that does not make exactly one image.

    Args:
        keys: checks that every key is unique.
        count: how many copies of each row are made.
        others: the keys of jobs elsewhere whose output a row may take.
        labels: the names, in messages, of the parameters that all rows share.
    """

    def __init__(
        self, keys: KeyChecker, count: int, others: Container[str] = (), labels: Mapping[str, str] | None = None
    ) -> None:
        self._labels = labels or {}
        self._keys = keys
        self._others = others
        self._count = count
        self._images = Marks()
        """How many images the row of a key makes; rows that make one are left out."""
        self.outputs = 0
        """How many outputs of other rows were taken."""

    def add(self, row: Row, constants: Mapping[str, Any], cells: Mapping[str, Any]) -> list[Fault]:
        """Note a row with its values; return the faults of its key and of the outputs that it takes."""
        faults, outputs = list[Fault](), find_outputs(cells)
        if constants:
            outputs += tuple(each for each in find_outputs(constants) if each[0] not in cells)
        for field, output in outputs:
            self.outputs += 1
            if fault := self._fault(row, output):
                label = field if field in cells else self._labels.get(field, field)
                faults.append(Fault(f"{label}: {output}: {fault}", row.places.get(field, row.line)))
        return faults + self._keys.add(row)

    def note(self, row: Row, job: Job | None) -> Job | None:
        """Note how many images the job of a row makes, and return the job; None if the row has faults."""
        key = row.values.get("key")
        if isinstance(key, str) and (images := _UNKNOWN if job is None else expected(job) or _UNKNOWN) != 1:
            for name in (key, *(f"{key}-{number}" for number in range(2, self._count + 1))):
                self._images.setdefault(mark_of(name), images)
        return job

    def _fault(self, row: Row, output: OutputOf) -> str | None:
        key = output.key or ""
        if key == row.values.get("key"):
            return "a job cannot take its own output"
        if not self._keys.has(key):
            if key in self._others:
                return None
            return "a job can only take the output of a job that comes before it, and none of them has this key"
        images = self._images.get(mark_of(key))
        images = 1 if images is None else images
        if images != _UNKNOWN and output.index >= images:
            return f"{key} makes {count_of(images, 'image')}, and the first is {key}[0]"
        return None
