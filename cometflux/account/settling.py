"""Decide what became of unknown submissions, from the account's list of tasks. Values in, values out.

A task proves nothing by its model and time. The proof is the input that the service echoes: with each image as its
digest, it must equal the job's input. A task that may be a job's and is not proved keeps the job unknown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Literal

import attrs

from cometflux.account.usage import Task
from cometflux.images import summaries
from cometflux.protocol import encoding

EARLY, LATE = 300.0, 900.0
"""How long before and after its intent a submission may be listed, in seconds: clocks differ, and requests wait."""
DELAY = 60.0
"""How long after the last intent the list may still lack a task that was accepted, in seconds."""


@attrs.frozen(kw_only=True)
class Doubt:
    """A job with submissions that may have been accepted, or may not."""

    identity: str
    model: str
    input: Mapping[str, Any]
    fingerprint: str
    """As `encoding.fingerprint` makes it; empty if it is not known, and then nothing can be proved."""
    times: tuple[float | None, ...]
    """When each of the submissions was about to leave, in seconds since 1970; None if it is not known."""


@attrs.frozen(kw_only=True)
class Echo:
    """The response to a GET of a candidate."""

    input: Mapping[str, Any]
    model: str | None = None


Outcome = Literal["adopted", "none", "early", "incomplete", "several"]


@attrs.frozen(kw_only=True)
class Verdict:
    """What became of a job's unknown submissions."""

    identity: str
    outcome: Outcome
    """``adopted``: *ids* are proved to be the job's. ``several``: *ids* may be the job's, and it is not proved which.
    ``none``: the account has no task of the job. ``early``: nor is there one, and it may still come. ``incomplete``:
    nor is there one, and the list lacks tasks that exist.
    """
    ids: tuple[str, ...] = ()
    """In the order of their times; at most one for each submission if they are adopted."""


class _Proof(IntEnum):
    NO = 0
    POSSIBLE = 1
    """Nothing contradicts it, and nothing proves it."""
    SENT = 2
    """All that was sent is echoed, and more."""
    EXACT = 3
    """Exactly what was sent is echoed."""


def candidates_of(doubts: Sequence[Doubt], tasks: Iterable[Task], known: Iterable[str]) -> list[Task]:
    """Return the tasks that may be one of the *doubts*, by model and time. *known* are the ids that have a job."""
    taken = set(known)
    found = {
        task.id: task
        for task in tasks
        if task.id not in taken
        and any(_may_be(doubt, task) for doubt in doubts)
        and not any(map(task.is_cut_from, taken))
    }
    return list(found.values())


def lists_all(tasks: Iterable[Task], known: Mapping[str, float | None], start: float, end: float) -> bool:
    """Whether the list has every task that is known to exist between two times. *known* maps ids to their times."""
    listed = {task.id for task in tasks}
    inside = (each for each, at in known.items() if at is not None and start <= at <= end)
    return all(each in listed for each in inside)


def decide(
    doubts: Sequence[Doubt],
    candidates: Sequence[Task],
    echoes: Mapping[str, Echo],
    now: float,
    *,
    is_complete: bool,
) -> list[Verdict]:
    """Return a verdict on each of the *doubts*.

    Args:
        doubts: jobs whose submissions are unknown, each once.
        candidates: tasks that have no job yet, each once.
        echoes: the responses to a GET of the candidates, by id; without one that could not be fetched.
        now: the time in seconds since 1970 before which the list was fetched.
        is_complete: whether the list has all tasks. If not, the absence of a task says nothing.
    """
    edges = {
        (doubt.identity, task.id): proof
        for task in candidates
        for doubt, proof in _strongest(doubts, task, echoes.get(task.id))
    }
    return [
        verdict
        for group, tasks in _groups(doubts, candidates, edges)
        for verdict in _decide_group(group, tasks, edges, now, is_complete=is_complete)
    ]


_Edges = Mapping[tuple[str, str], _Proof]


def _strongest(doubts: Iterable[Doubt], task: Task, echo: Echo | None) -> Iterator[tuple[Doubt, _Proof]]:
    """Yield the jobs that a task fits best. Exactly what one job sent is not what another job sent with less."""
    found = [(doubt, _prove(doubt, echo), _is_near(doubt, task)) for doubt in doubts if _is_kind(doubt, task)]
    # At another time it is no proof, but nobody may say that the job has no task.
    fitting = [each for each in found if each[2] or each[1] is _Proof.EXACT]
    best = max((proof for _, proof, _ in fitting), default=_Proof.NO)
    for doubt, proof, is_near in fitting:
        if proof and proof is best:
            yield doubt, proof if is_near else _Proof.POSSIBLE


def _may_be(doubt: Doubt, task: Task) -> bool:
    return _is_near(doubt, task) and _is_kind(doubt, task)


def _is_near(doubt: Doubt, task: Task) -> bool:
    return task.at is None or any(at is None or at - EARLY <= task.at <= at + LATE for at in doubt.times)


def _is_kind(doubt: Doubt, task: Task) -> bool:
    return not task.is_elsewhere and _is_model(doubt.model, task.model)


def _is_model(model: str, named: str | None) -> bool:
    """Whether a name may mean *model*. A name without its owner may be spelled in any way, so it excludes nothing."""
    return named is None or "/" not in named or named.casefold() == model.casefold()


def _prove(doubt: Doubt, echo: Echo | None) -> _Proof:
    if echo is None or not echo.input:
        return _Proof.POSSIBLE
    if not _is_model(doubt.model, echo.model) or _contradicts(doubt.input, echo.input):
        return _Proof.NO
    sent = {name: value for name, value in echo.input.items() if name in doubt.input}
    fingerprint = encoding.fingerprint(doubt.model, summaries.describe_input(sent))
    if not doubt.fingerprint or fingerprint != doubt.fingerprint:
        return _Proof.POSSIBLE
    return _Proof.EXACT if len(sent) == len(echo.input) else _Proof.SENT


def _contradicts(sent: Mapping[str, Any], echo: Mapping[str, Any]) -> bool:
    """Whether a plain value is echoed as another one. Images contradict nothing: they may be echoed in other forms."""
    ours, theirs = encoding.canonical(sent), encoding.canonical(echo)
    return any(_is_plain(value) and name in theirs and theirs[name] != value for name, value in ours.items())


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return not value[:5].casefold().startswith(("data:", "http"))
    return isinstance(value, bool | int | float)


def _groups(
    doubts: Sequence[Doubt], candidates: Sequence[Task], edges: _Edges
) -> Iterator[tuple[list[Doubt], list[Task]]]:
    """Yield the jobs that share candidates, directly or through others, with their candidates."""
    by_job: dict[str, list[str]] = {}
    by_task: dict[str, list[str]] = {}
    for identity, task_id in edges:
        by_job.setdefault(identity, []).append(task_id)
        by_task.setdefault(task_id, []).append(identity)
    seen: set[str] = set()
    for doubt in doubts:
        if doubt.identity in seen:
            continue
        jobs, tasks, left = {doubt.identity}, set[str](), [doubt.identity]
        while left:
            for task_id in by_job.get(left.pop(), ()):
                if task_id not in tasks:
                    tasks.add(task_id)
                    new = set(by_task[task_id]) - jobs
                    jobs |= new
                    left += new
        seen |= jobs
        yield [each for each in doubts if each.identity in jobs], [each for each in candidates if each.id in tasks]


def _decide_group(
    doubts: Sequence[Doubt], tasks: Sequence[Task], edges: _Edges, now: float, *, is_complete: bool
) -> Iterator[Verdict]:
    is_proved = all(
        edges.get((doubt.identity, task.id), _Proof.SENT) >= _Proof.SENT for doubt in doubts for task in tasks
    )
    # Jobs with one input are interchangeable: whichever of their tasks a job gets, it is what the job asked for.
    is_alike = len({(doubt.model, doubt.fingerprint) for doubt in doubts}) == 1
    shared = _share(doubts, tasks, edges) if is_proved and is_alike else None
    for doubt in doubts:
        if shared is None:
            mine = tuple(task.id for task in tasks if (doubt.identity, task.id) in edges)
            yield Verdict(identity=doubt.identity, outcome="several", ids=mine)
        elif ids := shared.get(doubt.identity):
            yield Verdict(identity=doubt.identity, outcome="adopted", ids=tuple(ids))
        else:
            yield Verdict(identity=doubt.identity, outcome=_absence(doubt, now, is_complete=is_complete))


def _share(doubts: Sequence[Doubt], tasks: Sequence[Task], edges: _Edges) -> dict[str, list[str]] | None:
    """Give each task to one of the jobs with its input, and every job one before any gets two; None if some are left.

    A job gets at most one task for each of its submissions.
    """
    shared: dict[str, list[str]] = {}
    jobs = sorted(doubts, key=lambda each: min((at for at in each.times if at is not None), default=0.0))
    for task in sorted(tasks, key=lambda each: each.at or 0.0):
        fitting = [
            doubt
            for doubt in jobs
            if (doubt.identity, task.id) in edges and len(shared.get(doubt.identity, ())) < len(doubt.times)
        ]
        if not fitting:
            return None
        taker = min(fitting, key=lambda each: len(shared.get(each.identity, ())))
        shared.setdefault(taker.identity, []).append(task.id)
    return shared


def _absence(doubt: Doubt, now: float, *, is_complete: bool) -> Outcome:
    if not is_complete:
        return "incomplete"
    is_over = all(at is not None and now - at >= DELAY for at in doubt.times)
    return "none" if is_over else "early"
