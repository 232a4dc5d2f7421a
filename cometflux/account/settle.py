"""Settle unknown submissions with the account: fetch its list, fetch the candidates, decide."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from cometflux.account.lists import AccountLists
from cometflux.account.settling import EARLY, LATE, Doubt, Echo, Verdict, candidates_of, decide, lists_all
from cometflux.account.usage import Task
from cometflux.errors import AccountError, CometfluxError, RateLimitError
from cometflux.images import summaries
from cometflux.journal.record import JobRecord
from cometflux.journal.states import State
from cometflux.outcomes import OutcomeKind
from cometflux.transport.client import Client

_SKEW = 120.0
"""How far the account's clock may be from ours for the check that the list has all known ids, in seconds."""
_AT_ONCE = 8
_TRIES = 3
_PAUSE = 2.0


def doubt_of(record: JobRecord) -> Doubt | None:
    """Return the unknown submissions of a job; None if it has none."""
    # The account proves nothing of an attempt at another input: the input is the proof.
    times = [each.began for each in record.earlier if each.is_unknown and not each.plan]
    if is_unknown(record):
        times.append(record.began)
    if not times:
        return None
    return Doubt(
        identity=record.identity,
        model=record.model,
        input=record.input,
        fingerprint=record.sent or record.fingerprint,
        times=tuple(times),
    )


def is_unknown(record: JobRecord) -> bool:
    """Whether the last submission of a job may have been accepted, and nobody has decided about it."""
    is_open = record.state is State.ENDED and record.kind is OutcomeKind.UNKNOWN and not record.is_abandoned
    return is_open or record.state is State.INTENT


def known_ids(records: Iterable[JobRecord]) -> dict[str, float | None]:
    """Return the ids of all predictions that belong to a job, each with the time of its submission."""
    found: dict[str, float | None] = {}
    for record in records:
        if record.prediction_id is not None:
            found[record.prediction_id] = record.began
        found.update((each.prediction_id, each.began) for each in record.earlier if each.prediction_id is not None)
    return found


async def settle(
    lists: AccountLists, client: Client, doubts: Sequence[Doubt], known: Mapping[str, float | None], now: float
) -> list[Verdict]:
    """Return a verdict on each of the *doubts*.

    Args:
        lists: the account's lists.
        client: fetches the candidates, whose echoed input is the proof.
        doubts: jobs whose submissions are unknown, each once.
        known: the ids that belong to a job, and when each was submitted.
        now: the wall clock, in seconds since 1970.

    Raises:
        AccountError: the list cannot be fetched or read, or our clock is wrong.
    """
    times = [at for doubt in doubts for at in doubt.times if at is not None]
    start, end = min(times, default=now) - EARLY, max(times, default=now) + LATE
    tasks, is_whole = await lists.tasks(start, min(end, now + _SKEW))
    if abs(lists.ahead) > _SKEW:
        # The list is of other times than those of the submissions, so the absence of a task would prove nothing.
        way = "behind" if lists.ahead > 0 else "ahead of"
        problem = f"the clock of this machine is {abs(lists.ahead):.0f} seconds {way} that of the account"
        raise AccountError(problem, hint="set it, and look again")
    is_complete = is_whole and lists_all(tasks, known, start + _SKEW, min(end - _SKEW, now))
    candidates = candidates_of(doubts, tasks, known)
    echoes = await fetch_echoes(client, candidates)
    return decide(doubts, candidates, echoes, now, is_complete=is_complete)


async def fetch_echoes(client: Client, candidates: Sequence[Task]) -> dict[str, Echo]:
    """Fetch the echoed inputs of candidates, with images as their digests; without those that cannot be fetched."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def fetch(task: Task) -> Echo | None:
        async with places:
            return await _fetch_echo(client, task.id)

    found = await asyncio.gather(*map(fetch, candidates))
    return {task.id: echo for task, echo in zip(candidates, found, strict=True) if echo is not None}


async def _fetch_echo(client: Client, prediction_id: str) -> Echo | None:
    """Return the echoed input of a prediction, with images as their digests; None if it cannot be fetched."""
    for number in range(_TRIES):
        if number:
            await asyncio.sleep(_PAUSE)
        try:
            # An input has at most a few images, each of at most 8 MiB.
            prediction = await client.get(prediction_id, input_size=_LARGEST_INPUT)
            return Echo(input=summaries.describe_input(prediction.input), model=prediction.model)
        except RateLimitError as refusal:
            await asyncio.sleep(_PAUSE if refusal.retry_after is None else refusal.retry_after)
        except CometfluxError:
            # It proves nothing: the next try may succeed.
            continue
    return None


_LARGEST_INPUT = 32 * 1024 * 1024
