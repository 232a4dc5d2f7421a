"""The states of a job in the journal, their names, and the next step that a job can need."""

from enum import StrEnum


class State(StrEnum):
    """How far a job has come."""

    PLANNED = "planned"
    """No submission of it waits for a response."""
    INTENT = "intent"
    """A submission is about to be sent, or was sent and has no response yet."""
    ACCEPTED = "accepted"
    """The prediction's id is known; it is not over."""
    ENDED = "ended"
    """It is over; ``kind`` names how."""


class NextStep(StrEnum):
    """The next step for a job in a later process, or in a later batch."""

    SUBMIT = "submit"
    """Submit it, for the first time or again."""
    DECIDE = "decide"
    """Let the caller decide: it is unknown whether its submission was accepted."""
    POLL = "poll"
    """Poll its prediction, which is paid for and not known to be over."""
    SAVE = "save"
    """Save its images, some of which may be missing; it succeeded."""
    REPORT = "report"
    """Report its outcome; it is over."""


STATE_NAMES = (
    *("saved", "unsaved", "failed", "canceled", "expired", "detached"),
    *("not_sent", "rejected", "unknown", "pending", "waiting"),
)
"""The names of a planned job's states; each job has one of them."""
SENDING = "sending"
"""A twelfth name, only while a process runs; see `visible_name`."""
UNFINISHED = ("unsaved", "pending", "detached")
"""The names of the states of a prediction that is paid for and whose images are not on the disk."""
OWED = (*UNFINISHED, "unknown", SENDING)
"""The names of the states of a prediction that is, or may be, paid for and is not saved."""
DROPPED = "dropped"
"""Another plan replaced the one that had the job, and nothing was sent for it: it is not planned any more."""


def visible_name(name: str, *, is_running: bool) -> str:
    """Return the state's name that a reader shows: one of `STATE_NAMES`, or `DROPPED`.

    A submission that is being sent is pending while a process runs. If none runs, nobody will read the response.
    """
    if name != SENDING:
        return name
    return "pending" if is_running else "unknown"
