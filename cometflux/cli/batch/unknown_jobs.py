"""Show the unknown jobs, so that the user can compare them with the account."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
from rich.table import Table
from rich.text import Text

from cometflux.basics.quoting import argument, join
from cometflux.cli.batch.undrawn import shown_key
from cometflux.cli.terminal.console import make_wide_console
from cometflux.cli.terminal.screen import Screen, clip
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import SENDING, visible_name
from cometflux.models.docs import slug


def show_unknown(screen: Screen, folder: Path, *, as_json: bool) -> None:
    """Print the unknown jobs, and the commands that settle them.

    Raises:
        ConfigError: *folder* has no journal.
        JournalError: the journal cannot be read.
    """
    with Journal(folder) as journal:
        is_running = journal.is_running
        names = JobNames.in_states(
            journal,
            ("unknown", SENDING),
            lambda record: visible_name(record.state_name, is_running=is_running) == "unknown",
        )
    found = {names.of(record): record for record in names.jobs.values()}
    if as_json:
        for name, record in found.items():
            screen.data_json(_describe(name, record))
        return
    if not found:
        screen.say(f"no job in {folder} is unknown")
        return
    _print(found)
    _tell_choices(screen, folder)


_SHORTEST = 4


@attrs.frozen
class _Mark:
    identity: str
    digest: str
    state_name: str


class JobNames:
    """Unique names for the jobs of a journal. A name keeps its job even after other jobs are settled.

    A job's name is its key. If several jobs share a key, the beginning of the job's digest is added.

    Args:
        records: all jobs, in any state.
        is_meant: whether a job can be shown or settled.
    """

    def __init__(self, records: Iterable[JobRecord], is_meant: Callable[[JobRecord], bool]) -> None:
        self.jobs: dict[str, JobRecord] = {}
        """The jobs that *is_meant* selects, by identity."""
        self._marks: dict[str, list[_Mark]] = {}
        for record in records:
            digest = hashlib.sha256(record.identity.encode("utf-8", "surrogatepass")).hexdigest()
            mark = _Mark(record.identity, digest, record.state_name)
            self._marks.setdefault(shown_key(record), []).append(mark)
            if is_meant(record):
                self.jobs[record.identity] = record

    @classmethod
    def in_states(cls, journal: Journal, states: Sequence[str], is_meant: Callable[[JobRecord], bool]) -> Self:
        """Name the jobs of these *states* that *is_meant* selects, to show them.

        Of the others, which may be a million, only those are held whose names are alike.
        """
        keys: set[str] = set()
        for record in journal.records(*states):
            if is_meant(record):
                keys |= _meanings(shown_key(record))
        alike = (each for each in journal.records() if not keys.isdisjoint(_meanings(shown_key(each))))
        return cls(alike if keys else (), lambda record: record.state_name in states and is_meant(record))

    @property
    def keys(self) -> Iterable[str]:
        """The keys of all jobs, without digests."""
        return self._marks

    def of(self, record: JobRecord) -> str:
        """Return the job's shortest unique name."""
        key = shown_key(record)
        mark = next(each for each in self._marks[key] if each.identity == record.identity)
        lengths = range(_SHORTEST, len(mark.digest) + 1)
        names = (key, *(f"{key}@{mark.digest[:length]}" for length in lengths))
        return next(name for name in names if len(self.find(name)) == 1)

    def find(self, name: str) -> list[_Mark]:
        """Return every job that *name* may mean, in any state."""
        key, _, digest = name.rpartition("@")
        longer = self._marks.get(key, ()) if len(digest) >= _SHORTEST else ()
        return [*self._marks.get(name, ()), *(mark for mark in longer if mark.digest.startswith(digest))]

    def all(self) -> list[str]:
        """Return the names of all selected jobs."""
        return [self.of(record) for record in self.jobs.values()]


def _meanings(key: str) -> set[str]:
    """Return the keys of the jobs that a name which looks like *key* may mean."""
    return {key, key.rpartition("@")[0]} - {""}


def _describe(name: str, record: JobRecord) -> dict[str, Any]:
    known = record.unknown_error
    prompt = record.input.get("prompt")
    return {
        "key": name,
        "when": record.began_at and record.began_at.astimezone().isoformat(timespec="seconds"),
        "evidence": known.evidence,
        "message": known.message,
        "request_id": known.request_id,
        "prediction_id": known.prediction_id,
        "model": record.model,
        "prompt": prompt if isinstance(prompt, str) else None,
    }


def _print(found: Mapping[str, JobRecord]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("key", "when", "evidence", "model"):
        table.add_column(name, no_wrap=name != "evidence", overflow="fold")
    table.add_column("prompt", ratio=1, overflow="fold")
    for name, record in found.items():
        about = _describe(name, record)
        when = f"{record.began_at.astimezone():%Y-%m-%d %H:%M:%S}" if record.began_at else ""
        evidence = clip(about["evidence"] or about["message"], 200)
        if about["request_id"]:
            evidence += clip(f" (request id: {about['request_id']})", 160)
        # Not shortened, because the user has to type it again.
        key = Text(clip(name, 10_000))
        table.add_row(
            key, when, Text(evidence), Text(clip(slug(record.model), 100)), Text(clip(about["prompt"] or "", 60))
        )
    make_wide_console().print(table)


def _tell_choices(screen: Screen, folder: Path) -> None:
    command = join(["cometflux", "unknown", argument(folder)])
    screen.say("")
    screen.say("Each may be billed. With an access token, the account itself can show which was accepted:")
    screen.say(f"  {command} --settle")
    screen.say("Or look in your account for a prediction made at that time; then, for each KEY:")
    # Quoted, because # starts a comment in a shell.
    screen.say(f"  {command} --adopt 'KEY=ID'    it is there, with this id: fetch it")
    screen.say(f"  {command} --abandon 'KEY'     neither look for it nor buy it again")
    screen.say(f"  {command} --resend 'KEY'      it is not there: buy it")
