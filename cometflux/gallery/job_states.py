"""The texts for each state of a job: whether it is paid for, and what to do next."""

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class StateLabel:
    """The texts that the page shows for one state of a job."""

    name: str
    label: str = attrs.field(default=attrs.Factory(lambda each: each.name.replace("_", " "), takes_self=True))
    icon: str = attrs.field(default=attrs.Factory(lambda each: each.name, takes_self=True))
    """The name of its icon in the page."""
    money: str
    """Whether the job is paid for, in a sentence."""
    advice: str = ""
    """What to do next; empty if nothing needs to be done."""
    command: str = ""
    """The subcommand that does it, without the folder; empty if no command does."""
    is_settled: bool = True
    """Whether the state no longer changes while the batch runs."""


_FETCH = "The service keeps it for about an hour; this fetches it"

_ALL = (
    StateLabel(name="saved", money="It is paid for, and all its pictures are saved."),
    StateLabel(
        name="missing",
        label="file missing",
        money="It is paid for and was saved, but one of its files is not in this folder or cannot be read.",
        advice=_FETCH,
        command="resume",
    ),
    StateLabel(
        name="unsaved",
        label="not saved",
        icon="missing",
        money="It is paid for and succeeded, but not all its pictures are saved.",
        advice=_FETCH,
        command="resume",
        is_settled=False,
    ),
    StateLabel(
        name="saving",
        icon="pending",
        money="It is paid for and succeeded; its pictures are being saved.",
        is_settled=False,
    ),
    StateLabel(
        name="pending",
        money="It is at the service, or on its way there, and is billed once it is accepted.",
        is_settled=False,
    ),
    StateLabel(
        name="waiting",
        money="It has not been sent; nothing is billed.",
        is_settled=False,
    ),
    StateLabel(
        name="unknown",
        money="It may be billed: it was sent, and whether it was accepted is unknown. It is not sent again by itself.",
        advice="Look in your account for a prediction made at that time; this lists what is unknown and settles it",
        command="unknown",
    ),
    StateLabel(
        name="failed",
        money="It was accepted and then failed. Whether a failed run is billed is not published; see your account.",
    ),
    StateLabel(
        name="rejected",
        money="The service rejected it; nothing is billed.",
        advice="Fix the cause; then this sends it again",
        command="resume",
    ),
    StateLabel(
        name="not_sent",
        icon="waiting",
        money="It did not reach the service; nothing is billed.",
        advice="This sends it",
        command="resume",
    ),
    StateLabel(
        name="detached",
        icon="pending",
        money="It is paid for. It was still running when the wait for it ended.",
        advice="This polls it again",
        command="resume",
        is_settled=False,
    ),
    StateLabel(
        name="canceled",
        money="It was accepted and then canceled at the service; your account shows whether it is billed.",
    ),
    StateLabel(
        name="expired",
        icon="missing",
        money="It is paid for and succeeded, but the service deleted its picture before it was saved.",
    ),
)
STATE_LABELS: Mapping[str, StateLabel] = {each.name: each for each in _ALL}
"""The states by name, in the page's order."""

ABANDONED = "It may be billed: it was unknown whether the service accepted it, and it was abandoned by hand."
"""The money text of a canceled job whose unknown submission was abandoned."""
