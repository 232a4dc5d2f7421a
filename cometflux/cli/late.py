"""Pictures that reach the disk behind the last event: a second Ctrl-C leaves while threads still write."""

import json
from collections import Counter
from collections.abc import Container
from pathlib import Path


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
