"""Pictures that were to hold their records and could not."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from cometflux import storage


class Bare:
    """Counts them by what spoke against it, as the records beside them tell."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def look(self, files: Iterable[Path]) -> None:
        """Count those among *files*."""
        for file in files:
            match storage.read_beside(file):
                case {"embedded": False, "not_embedded": str(reason)}:
                    self._reasons[reason] += 1

    def lines(self) -> Iterator[str]:
        """Say how many there are, a line for each reason."""
        for reason, count in self._reasons.items():
            pictures = "1 picture holds" if count == 1 else f"{count} pictures hold"
            yield f"note: {pictures} no record ({reason}); the JSON file beside it tells"
