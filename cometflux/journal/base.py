"""The value that opening a journal returns."""

import attrs

# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen(kw_only=True)
class Opened:
    """The state of a journal at the moment it was opened."""

    bought: int = 0
    """The number of its predictions that are, or may be, paid for."""
    was_empty: bool = True
    """Whether it had no jobs."""
    has_unfinished: bool = False
    """Whether a prediction is paid for and its images are not on the disk."""
