"""Count saved pictures by their records: those without an embedded record, and those saved late."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from cometflux.basics.plain_text import by_number, count_of
from cometflux.provenance import sidecar


class UnembeddedCount:
    """Counts the pictures whose record could not be embedded, by the reason in their JSON file."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def look(self, files: Iterable[Path]) -> None:
        """Count the pictures without an embedded record among *files*."""
        for file in files:
            match sidecar.read_sidecar(file):
                case {"embedded": False, "not_embedded": str(reason)}:
                    self._reasons[reason] += 1

    def lines(self) -> Iterator[str]:
        """Yield a line for each reason, with the number of pictures."""
        for reason, count in self._reasons.items():
            pictures = f"{count_of(count, 'picture')} {by_number(count, 'holds', 'hold')}"
            yield f"note: {pictures} no record ({reason}); the JSON file next to it says why"


def count_late(folder: Path, ids: Container[str]) -> Counter[str]:
    """Count the images in *folder* of each prediction in *ids*, by the records next to them."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*.json"):
        prediction_id = sidecar.prediction_id_in(sidecar.read_sidecar(path))
        if prediction_id and prediction_id in ids:
            found[prediction_id] += 1
    return found
