"""Settle unknown jobs by hand."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from cometflux.account.settle import is_unknown
from cometflux.basics.plain_text import by_number
from cometflux.cli.batch.next_command import resume_command, schemas_of
from cometflux.cli.batch.undrawn import shown_key
from cometflux.cli.batch.unknown_jobs import JobNames
from cometflux.cli.errors import UsageError
from cometflux.cli.terminal.screen import Screen, clip
from cometflux.errors import InputError
from cometflux.journal.header import LOCAL
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import State
from cometflux.journal.writer import JournalWriter
from cometflux.models.docs import slug
from cometflux.models.words import closest, question
from cometflux.protocol import requests
from cometflux.sources.errors import Fault


@attrs.frozen(kw_only=True)
class Resolutions:
    """The user's decisions on unknown jobs."""

    adopt: tuple[str, ...] = ()
    """Each as ``KEY=ID``."""
    abandon: tuple[str, ...] = ()
    resend: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.adopt or self.abandon or self.resend)

    @property
    def adopted(self) -> list[tuple[str, str]]:
        """The keys and ids. A key may contain ``=``, an id cannot."""
        return [(key, given) for key, _, given in (each.rpartition("=") for each in self.adopt)]

    @property
    def keys(self) -> list[str]:
        """The keys of all decisions."""
        return [*(key for key, _ in self.adopted), *self.abandon, *self.resend]


def settle_by_hand(screen: Screen, folder: Path, wishes: Resolutions, *, as_json: bool) -> None:
    """Write the decisions on unknown jobs into the journal: all of them, or none if one is wrong.

    Raises:
        UsageError: a decision is wrong; it lists all faults.
        ConfigError: *folder* has no journal.
        JournalError: the journal cannot be used, or a batch is using it.
    """
    with Journal(folder) as reader:
        writer = JournalWriter(reader.path)
        is_local = reader.base_url == LOCAL
        writer.open()
        try:
            names = JobNames(reader.records(), lambda record: is_unknown(record) or _is_correctable(record))
            faults = list(_faults(reader, names, wishes))
            if faults:
                raise UsageError(faults)
            settled = list(_settled(names, wishes))
            writer.commit((), [each.after for each in settled])
        finally:
            writer.close()
    if as_json:
        for each in settled:
            screen.data_json(each.described())
        return
    settled_now = {each.after.identity for each in settled}
    left = sum(is_unknown(record) for identity, record in names.jobs.items() if identity not in settled_now)
    tell_settled(screen, folder, settled, left, is_local=is_local)


def _is_correctable(record: JobRecord) -> bool:
    """Whether the job's id was given by hand and no response has confirmed it yet."""
    return record.state is State.ACCEPTED and record.prediction is None and record.answered is None


@attrs.frozen
class SettledJob:
    """A settled job, and the decision on it."""

    name: str
    how: str
    """``adopted``, ``abandoned`` or ``resent``; by the account also why it stays unknown: see `Verdict`."""
    after: JobRecord
    ids: tuple[str, ...] = ()
    """The ids that the account shows for it."""

    @property
    def has_work(self) -> bool:
        """Whether the next run does something for it."""
        return self.how in ("adopted", "resent")

    def described(self) -> dict[str, Any]:
        """Return the job and the decision for JSON."""
        prompt = self.after.input.get("prompt")
        return {
            "key": self.name,
            "settled": self.how,
            "prediction_id": self.after.prediction_id,
            **({"prediction_ids": self.ids} if self.ids else {}),
            "model": self.after.model,
            "prompt": prompt if isinstance(prompt, str) else None,
        }

    def sentence(self) -> str:
        """Return the job and the decision for people."""
        about = self.described()
        said = {
            "adopted": f"adopted as prediction {self.after.prediction_id}; the next run polls it",
            "abandoned": "abandoned; it is neither looked for nor bought again",
            "resent": "to be bought again",
            "several": f"it may be the prediction {' or '.join(self.ids)}, and nothing proves it: see --adopt",
            "none": "the account has no prediction of it",
            "early": "the account has no prediction of it yet; look again in a minute",
            "incomplete": "the account's list lacks predictions that exist, so it proves nothing",
            "earlier": f"an earlier submission of it is the prediction {', '.join(self.ids)}",
        }
        return f"{self.name} ({slug(self.after.model)}: {clip(about['prompt'] or '', 60)}): {said[self.how]}"


def _settled(names: JobNames, wishes: Resolutions) -> Iterator[SettledJob]:
    def job(name: str) -> JobRecord:
        return names.jobs[names.find(name)[0].identity]

    for name, prediction_id in wishes.adopted:
        yield SettledJob(name, "adopted", job(name).adopted(prediction_id))
    for name in wishes.abandon:
        yield SettledJob(name, "abandoned", job(name).abandoned())
    for name in wishes.resend:
        yield SettledJob(name, "resent", job(name).ready_for_retry())


def _faults(reader: Journal, names: JobNames, wishes: Resolutions) -> Iterator[Fault]:
    for each, (key, _) in zip(wishes.adopt, wishes.adopted, strict=True):
        if not key:
            yield Fault(f"--adopt {each}: write it as KEY=ID")
    for option, given in (("--abandon", wishes.abandon), ("--resend", wishes.resend)):
        if "" in given:
            yield Fault(f"{option} is blank; give the KEY of a job")
    times: Counter[str] = Counter()
    called: dict[str, str] = {}
    for name in filter(None, wishes.keys):
        fault = _name_fault(names, name, is_resent=name in wishes.resend)
        # Two names may mean the same job.
        identity = name if fault else names.find(name)[0].identity
        times[identity] += 1
        called.setdefault(identity, name)
        if fault and times[identity] == 1:
            yield Fault(fault)
    for identity, number in times.items():
        if number > 1:
            yield Fault(f"the key {called[identity]!r} is given {number} times; settle each job in one way")
    ids = Counter(given for key, given in wishes.adopted if key)
    owners = _owners(reader, ids)
    for prediction_id, number in ids.items():
        yield from _id_faults(prediction_id, number, owners.get(prediction_id))


def _owners(reader: Journal, ids: Collection[str]) -> dict[str, str]:
    """Return the key of the job of each id in *ids*, if it has one."""
    if not ids:
        return {}
    return {
        prediction_id: shown_key(record)
        for record in reader.records()
        for prediction_id in (record.prediction_id, *(attempt.prediction_id for attempt in record.earlier))
        if prediction_id is not None and prediction_id in ids
    }


def _name_fault(names: JobNames, name: str, *, is_resent: bool) -> str | None:
    """Return why *name* does not name a job that can be settled; None if it does."""
    marks = names.find(name)
    if not marks:
        meant = question(closest(name, names.all()))
        return f"no job has the key {name!r}{f'; {meant}' if meant else ''}"
    jobs = [names.jobs[mark.identity] for mark in marks if mark.identity in names.jobs]
    if not jobs:
        return f"the job {name!r} is not unknown: its state is {marks[0].state_name!r}"
    if len(marks) > 1:
        each = "; ".join(f"{names.of(job)} ({clip(str(job.input.get('prompt')), 60)})" for job in jobs)
        which = "name one of them" if len(jobs) > 1 else "the one that can be settled is"
        return f"{len(marks)} jobs go by {name!r}; {which}: {each}"
    if is_resent and not is_unknown(jobs[0]):
        return f"the job {name!r} has the prediction {jobs[0].prediction_id}; correct it with --adopt or --abandon"
    return None


def _id_faults(prediction_id: str, times: int, owner: str | None) -> Iterator[Fault]:
    try:
        requests.get_request(prediction_id)
    except InputError as error:
        yield Fault(str(error))
        return
    if times > 1:
        yield Fault(f"the id {prediction_id!r} is given {times} times; a prediction belongs to one job")
    if owner is not None:
        yield Fault(f"the id {prediction_id!r} already belongs to the job {owner!r}")


def tell_settled(screen: Screen, folder: Path, settled: Iterable[SettledJob], left: int, *, is_local: bool) -> None:
    """Print the decisions, how many jobs are still unknown, and the command that goes on."""
    work = []
    for each in settled:
        work += [each.after.model] if each.has_work else []
        screen.say(each.sentence())
    if left:
        screen.say(f"{left} more {by_number(left, 'is', 'are')} unknown")
    if work:
        screen.say("to resume:")
        screen.say(f"  {resume_command(folder, is_local=is_local, schemas=schemas_of(work))}")
