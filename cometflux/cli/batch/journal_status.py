"""Summarize the progress of a batch from the counts of its jobs by state."""

from collections.abc import Mapping

TO_BUY = ("waiting", "not_sent", "rejected")
"""The states of the jobs that are still to be submitted."""
_UNFINISHED = ("unsaved", "pending", "detached", *TO_BUY)


def summary(status: Mapping[str, int]) -> str:
    """Summarize the progress of a folder as `cometflux status` names it: ``12 of 24 saved, 3 unknown, 9 waiting``."""
    others = {name: count for name, count in status.items() if count and name not in ("planned", "saved")}
    parts = [f"{count} {name.replace('_', ' ')}" for name, count in others.items()]
    return ", ".join([f"{status['saved']} of {status['planned']} saved", *parts])


def is_unfinished(status: Mapping[str, int]) -> bool:
    """Whether another run has jobs to finish or to submit."""
    return any(status[place] for place in _UNFINISHED)


def has_claims(status: Mapping[str, int]) -> bool:
    """Whether predictions are paid for, or may be, and are not saved."""
    return any(status[place] for place in ("unsaved", "pending", "detached", "unknown"))
