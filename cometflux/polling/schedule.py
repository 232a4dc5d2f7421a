"""When to poll next: one heap of due polls for all pending predictions. Time is a parameter.

The completion times of each model are learned from the polls themselves, and each poll is placed at the age that finds
the most ends; see `hazard`. Until enough is known, the gaps grow with the age; see `timetable`.
"""

import heapq
import math
from typing import Any

from cometflux.polling.last_response import Unsettled
from cometflux.polling.policy import LONGEST_INTERVAL, PollPolicy
from cometflux.polling.timetable import UNLEARNED, ModelTimetable

_MOST_RESCHEDULED = 2000
"""With more pending predictions than this, rescheduling all of them would block the loop for too long."""


class PendingPoll:
    """One pending prediction, as the schedule sees it."""

    # Slots, because thousands may be pending.
    __slots__ = (
        *(
            "began",
            "ends",
            "failures",
            "is_placed",
            "is_planned",
            "is_waiting",
            "lost",
            "ran",
            "rate",
            "subject",
            "timetable",
        ),
        *("refused_since", "unsettled"),
    )

    def __init__(self, subject: Any, timetable: ModelTimetable, began: float, ends: float) -> None:
        self.subject = subject
        """The caller's object for the prediction. The schedule does not use it."""
        self.timetable = timetable
        self.began = began
        """The time of acceptance, by the caller's clock."""
        self.ends = ends
        """The time when patience is over."""
        self.lost = 0.0
        """The part of `Standstill.seconds` that patience does not count already."""
        self.ran = 0.0
        """The latest age at which it was known to run."""
        self.failures = 0
        """Number of failed polls in a row."""
        self.is_planned = False
        """Whether the timetable chose the time of its next poll, which was not delayed."""
        self.rate = 0.0
        """Polls per second that it needs by itself."""
        self.is_placed = True
        """Whether its model and its age are known, so that it uses and teaches the timetable of its model."""
        self.is_waiting = False
        """Whether it is due and waits for its turn."""
        self.refused_since: float | None = None
        """When the service first rejected a poll of a prediction that no response has shown, else None."""
        self.unsettled: Unsettled | None = None
        """Why its last response may be the end; None if it runs."""

    def give_back(self, lost: float) -> None:
        """Extend patience by the time that was lost since *lost*, the `Standstill.seconds`, was given last."""
        self.ends += lost - self.lost
        self.lost = lost


class Schedule:
    """The polls to make, earliest first.

    If all predictions together need more polls per second than allowed, every gap grows by the same factor. So each
    prediction is polled less often, and none is forgotten.

    Args:
        policy: how often to poll.
    """

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._timetables: dict[str, ModelTimetable] = {}
        self._heap: list[tuple[float, int, PendingPoll]] = []
        self._count = 0
        self._demand = 0.0
        self.pending = 0
        """How many predictions are polled."""

    def __len__(self) -> int:
        return len(self._heap)

    def add(
        self, subject: Any, now: float, patience: float | None = None, *, model: str = "", age: float | None = None
    ) -> PendingPoll:
        """Start to poll *subject*.

        Args:
            subject: the caller's object for the prediction.
            now: the time.
            patience: for how many seconds to poll; None to use the policy's patience.
            model: the prediction's model.
            age: seconds since it was accepted, if it may have ended long ago. Then the first poll is due at once.
        """
        timetable = self._timetable(model)
        ends = now + (self._policy.patience if patience is None else patience)
        poll = PendingPoll(subject, timetable, now - max(age or 0.0, 0.0), ends)
        self.pending += 1
        first = timetable.first() if age is None else 0.0
        self._set_rate(poll, first or self._policy.clamp(UNLEARNED))
        self._plan(poll, now + first)
        return poll

    def _timetable(self, model: str) -> ModelTimetable:
        timetable = self._timetables.get(model)
        if timetable is None:
            timetable = self._timetables[model] = ModelTimetable(self._policy)
        return timetable

    def place(self, poll: PendingPoll, model: str, began: float) -> None:
        """Poll a prediction by the timetable of *model* from now on, because a response says when it *began*.

        The timetable is another than that of predictions whose age was measured: the service's clock may be wrong.
        """
        poll.timetable = self._timetable(f"{model} by id")
        poll.began = began
        poll.is_placed = True

    def reschedule(self, poll: PendingPoll, polled: float, now: float, max_rate: float = math.inf) -> None:
        """Plan the next poll of a prediction that was not over at the time *polled*.

        *max_rate* is the number of polls per second allowed for all predictions together.
        """
        poll.failures = 0
        age = max(polled - poll.began, poll.ran)
        if poll.is_placed:
            poll.timetable.ran(poll.ran, age)
        poll.ran = age
        due = max(poll.began + poll.timetable.next(age, self.pending), now + self._policy.floor)
        self._set_rate(poll, due - now)
        if self._demand > max_rate:
            self.put(poll, now + (due - now) * self._demand / max_rate)
        else:
            self._plan(poll, due)

    def fail(self, poll: PendingPoll, now: float) -> None:
        """Plan the next poll after a failed one. The gap grows with each failure in a row."""
        poll.failures += 1
        gap = self._policy.clamp(UNLEARNED)
        gap = min(gap * 2.0 ** min(poll.failures, 32), max(LONGEST_INTERVAL, gap))
        self._set_rate(poll, gap)
        self.put(poll, now + gap)

    def repeat(self, poll: PendingPoll, now: float, gap: float) -> None:
        """Plan the next poll after a response that may be the last, in *gap* seconds if the policy allows it."""
        poll.failures = 0
        gap = self._policy.clamp(gap)
        self._set_rate(poll, gap)
        self.put(poll, now + gap)

    def end(self, poll: PendingPoll, now: float) -> None:
        """Remove a prediction that is over, and learn from it."""
        self.drop(poll)
        if not poll.is_placed:
            return
        timetable = poll.timetable
        has_learned = timetable.ended(poll.ran, max(now - poll.began, poll.ran))
        if timetable.is_outdated:
            self._replace(timetable, now)
        elif has_learned and timetable.observed.ends <= len(self._heap):
            self._bring_forward(timetable, timetable, now)

    def _replace(self, outdated: ModelTimetable, now: float) -> None:
        """Learn anew. Predictions that are pending do not teach the new timetable: the old one chose their polls."""
        for model, timetable in self._timetables.items():
            if timetable is outdated:
                newer = self._timetables[model] = ModelTimetable(self._policy)
                self._bring_forward(outdated, newer, now)
                return

    def _bring_forward(self, timetable: ModelTimetable, newer: ModelTimetable, now: float) -> None:
        """Poll pending predictions sooner if the *newer* estimate says so.

        Otherwise a batch that fills all its slots at once would not benefit until it fills them again.
        """
        if len(self._heap) > _MOST_RESCHEDULED:
            return
        for place, (due, number, poll) in enumerate(self._heap):
            if poll.timetable is timetable and poll.is_planned:
                sooner = max(poll.began + newer.next(poll.ran, self.pending), now)
                self._heap[place] = (min(due, sooner), number, poll)
        heapq.heapify(self._heap)

    def _plan(self, poll: PendingPoll, due: float) -> None:
        self.put(poll, due)
        poll.is_planned = True

    def drop(self, poll: PendingPoll) -> None:
        """Stop counting a prediction that is not polled any more."""
        self.pending -= 1
        self._demand = max(self._demand - poll.rate, 0.0) if self.pending else 0.0
        poll.rate = 0.0

    def _set_rate(self, poll: PendingPoll, gap: float) -> None:
        rate = 1 / max(gap, 1e-6)
        self._demand += rate - poll.rate
        poll.rate = rate

    def put(self, poll: PendingPoll, due: float) -> None:
        """Make a poll due at *due*, or when patience is over if that is earlier."""
        poll.is_planned = False
        self._count += 1
        heapq.heappush(self._heap, (min(due, poll.ends), self._count, poll))

    def pop_due(self, now: float) -> list[PendingPoll]:
        """Remove and return the polls that are due."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due

    @property
    def next_due(self) -> float | None:
        """When the earliest poll is due; None if the heap is empty."""
        return self._heap[0][0] if self._heap else None
