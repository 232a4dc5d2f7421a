"""The states of a job in words for people: what each means for the money, and what to do about it."""

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class StateLabel:
    """One state of a job, as the page shows it."""

    name: str
    label: str
    icon: str
    """The name of its sign in the page."""
    money: str
    """What it means for the money, in a sentence."""
    advice: str = ""
    """What to do about it; empty where nothing is to be done."""
    command: str = ""
    """The command that does it, without the folder; empty where none does."""
    is_settled: bool = True
    """Whether nothing becomes of it while the batch runs."""


_FETCH = "The service keeps it for about an hour; this fetches it"

_ALL = (
    StateLabel(name="saved", label="saved", icon="saved", money="It is paid for, and all its pictures are saved."),
    StateLabel(
        name="missing",
        label="file missing",
        icon="missing",
        money="It is paid for and was saved, but a file of it is not in this folder.",
        advice=_FETCH,
        command="resume",
    ),
    StateLabel(
        name="unsaved",
        label="not saved",
        icon="missing",
        money="It is paid for and succeeded; not all its pictures are saved.",
        advice=_FETCH,
        command="resume",
        is_settled=False,
    ),
    StateLabel(
        name="saving",
        label="saving",
        icon="pending",
        money="It is paid for and succeeded; its pictures are on their way.",
        is_settled=False,
    ),
    StateLabel(
        name="pending",
        label="pending",
        icon="pending",
        money="It is at the service, or on its way there, and is billed once it is accepted.",
        is_settled=False,
    ),
    StateLabel(
        name="waiting",
        label="waiting",
        icon="waiting",
        money="Nothing of it has been sent; nothing is billed.",
        is_settled=False,
    ),
    StateLabel(
        name="unknown",
        label="unknown",
        icon="unknown",
        money="It may be billed: it left, and nothing proves whether it was accepted. It is not sent again by itself.",
        advice="Look in your account for a prediction made at that time; this lists what is unknown and settles it",
        command="unknown",
    ),
    StateLabel(
        name="failed",
        label="failed",
        icon="failed",
        money="The service took it and it failed. Nobody says whether a failed run is billed; your account shows it.",
    ),
    StateLabel(
        name="rejected",
        label="rejected",
        icon="rejected",
        money="The service refused it; nothing is billed.",
        advice="When the cause is mended, this sends it again",
        command="resume",
    ),
    StateLabel(
        name="not_sent",
        label="not sent",
        icon="waiting",
        money="Nothing of it reached the service; nothing is billed.",
        advice="This sends it",
        command="resume",
    ),
    StateLabel(
        name="detached",
        label="detached",
        icon="pending",
        money="It is paid for and was not over when it was no longer waited for.",
        advice="This asks after it",
        command="resume",
        is_settled=False,
    ),
    StateLabel(
        name="canceled",
        label="canceled",
        icon="canceled",
        money="It was stopped at the service, which had taken it; your account shows whether it is billed.",
    ),
    StateLabel(
        name="expired",
        label="expired",
        icon="missing",
        money="It is paid for and succeeded, but the service has deleted its picture before it was saved.",
    ),
)
STATE_LABELS: Mapping[str, StateLabel] = {each.name: each for each in _ALL}
"""All of them by their names, in the order in which the page lists them."""

ABANDONED = "It may be billed: it was unknown whether the service took it, and it was given up by hand."
"""The text for a job that counts as canceled because its unknown submission was given up."""
