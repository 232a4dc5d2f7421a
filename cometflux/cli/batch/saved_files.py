"""Pictures that were to hold their records and could not."""

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from cometflux.provenance import sidecar


class UnembeddedCount:
    """Counts them by what spoke against it, as the records beside them tell."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def look(self, files: Iterable[Path]) -> None:
        """Count those among *files*."""
        for file in files:
            match sidecar.read_sidecar(file):
                case {"embedded": False, "not_embedded": str(reason)}:
                    self._reasons[reason] += 1

    def lines(self) -> Iterator[str]:
        """Say how many there are, a line for each reason."""
        for reason, count in self._reasons.items():
            pictures = "1 picture holds" if count == 1 else f"{count} pictures hold"
            yield f"note: {pictures} no record ({reason}); the JSON file beside it tells"


def count_late(folder: Path, ids: Container[str]) -> Counter[str]:
    """Count the images below *folder* of each prediction among *ids*, by the records beside them."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.json"):
        try:
            prediction_id = json.loads(path.read_bytes())["prediction"]["id"]
        except (OSError, ValueError, LookupError, TypeError):
            # Not one of ours.
            continue
        if isinstance(prediction_id, str) and prediction_id in ids:
            found[prediction_id] += 1
    return found
