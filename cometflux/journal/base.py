"""The interface of a journal, and the journal of a session that keeps none."""

from collections.abc import Awaitable, Generator, Mapping, Sequence
from typing import Any, Protocol

import attrs

from cometflux.journal.record import JobRecord


@attrs.frozen(kw_only=True)
class Opened:
    """The state of a journal at the moment it was opened."""

    bought: int = 0
    """The number of its predictions that are, or may be, paid for."""
    was_empty: bool = True
    """Whether it had no jobs."""
    has_saved: bool = False
    """Whether images of a job are on the disk."""
    has_unfinished: bool = False
    """Whether a prediction is paid for and its images are not on the disk."""
    journal: str = attrs.field(default="", eq=False)
    """The journal's own name; empty if nothing is kept."""
    ids: frozenset[str] = attrs.field(default=frozenset(), eq=False, repr=False)
    """The ids of the predictions that it knows."""
    purchases: Sequence[tuple[str, Mapping[str, Any], int]] = attrs.field(default=(), eq=False, repr=False)
    """What those predictions were: a model, what of its input may change the price, and how many of them.

    Empty unless it was asked for, since a long journal takes a moment to count them.
    """
    place: str = attrs.field(default="", eq=False)
    """Where the images of its jobs are: a folder, or a URL; empty if nothing is kept."""


class JournalBackend(Protocol):
    """The journal of one session. SQLite implements it; another engine may.

    Facts are ordered: a record that is handed in later is written later. A record may change after it was handed in;
    what is written is its `snapshot` of that moment. Every verb but `end` may raise `JournalError`.
    """

    keeps: bool
    """Whether a later process will find what is written; if not, jobs need no identity."""

    async def open(self, *, counts_cost: bool = False) -> Opened:
        """Take the journal for this session alone, and return its state."""

    async def claim(self, identity: str) -> JobRecord | None:
        """Return what an earlier run left of a job; None if the job is new."""

    async def find_each(self, identities: Sequence[str]) -> list[JobRecord | None]:
        """Return what `claim` would return of each job, in one turn, and claim none."""

    async def find_prediction(self, prediction_id: str) -> JobRecord | None:
        """Return the record of the job whose last submission made this prediction; None if there is none."""

    def intent(self, record: JobRecord, *, is_new: bool) -> Awaitable[object]:
        """Write that a submission is about to leave. It may leave when this was awaited, for then this is durable.

        *is_new* says that the journal has no record of this job yet.
        """

    def answer(self, record: JobRecord, *, is_new: bool) -> Awaitable[object]:
        """Write a fact about a submission: its prediction's id, or evidence. It is durable when this was awaited."""

    def end(self, record: JobRecord, *, is_new: bool, can_wait: bool) -> None:
        """Write how a submission or a job ended, without waiting.

        *can_wait* says that the prediction's id was handed in before. If the process is killed before this is durable,
        the next run polls the prediction once more, which costs nothing.
        """

    async def aclose(self) -> None:
        """Write what is left, and let others have the journal."""


class _Done:
    """Awaited, it is over at once; cheaper than a coroutine for each step of each job."""

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # type: ignore[return-value]


_DONE = _Done()


class NoJournal:
    """The journal of a session that keeps none: its jobs are forgotten with the process."""

    keeps = False

    async def open(self, *, counts_cost: bool = False) -> Opened:
        """See `JournalBackend`; so for every verb."""
        return Opened()

    async def claim(self, identity: str) -> JobRecord | None:
        """Return None: every job is new."""

    async def find_each(self, identities: Sequence[str]) -> list[JobRecord | None]:
        """Return None for each: every job is new."""
        return [None] * len(identities)

    async def find_prediction(self, prediction_id: str) -> JobRecord | None:
        """Return None: no prediction is known."""

    def intent(self, record: JobRecord, *, is_new: bool) -> Awaitable[None]:
        """Write nothing."""
        return _DONE

    def answer(self, record: JobRecord, *, is_new: bool) -> Awaitable[None]:
        """Write nothing."""
        return _DONE

    def end(self, record: JobRecord, *, is_new: bool, can_wait: bool) -> None:
        """Write nothing."""

    async def aclose(self) -> None:
        """Do nothing."""
