"""Jobs of unknown fate: shown for a look at the account, and settled by hand."""

import difflib
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cometflux import protocol
from cometflux.cli.faults import Fault, UsageError
from cometflux.cli.journal import LOCAL, argument, shown_key
from cometflux.cli.reference import slug
from cometflux.cli.screen import Screen, clip, escape_json
from cometflux.errors import InputError
from cometflux.journal import Journal, JournalWriter
from cometflux.records import SENDING, Record

# ── showing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def show_unknown(screen: Screen, folder: Path, *, as_json: bool) -> None:
    """Print the jobs of unknown fate, and what can be done about them.

    Raises:
        ConfigError: there is no journal in *folder*.
        JournalError: it cannot be read.
    """
    with Journal(folder) as journal:
        # Where a process works, what it is sending may still be answered.
        places = ("unknown",) if journal.is_running else ("unknown", SENDING)
        found = _named(journal.records(*places))
    if as_json:
        for name, record in found.items():
            screen.data(escape_json(json.dumps(_describe(name, record), ensure_ascii=False)))
        return
    if not found:
        screen.say(f"no job in {folder} is of unknown fate")
        return
    _print(found)
    _tell_choices(screen, folder)


def _named(records: Iterable[Record]) -> dict[str, Record]:
    """Name records by their keys; a number tells those apart that go by the same one."""
    unknown = list(records)
    often = Counter(map(shown_key, unknown))
    seen: Counter[str] = Counter()
    named: dict[str, Record] = {}
    for record in unknown:
        key = shown_key(record)
        seen[key] += 1
        named[key if often[key] == 1 else f"{key}:{seen[key]}"] = record
    return named


def _describe(name: str, record: Record) -> dict[str, Any]:
    known = record.doubt
    prompt = record.input.get("prompt")
    return {
        "key": name,
        "when": None if record.began is None else _local_time(record.began).isoformat(timespec="seconds"),
        "evidence": known.evidence,
        "message": known.message,
        "request_id": known.request_id,
        "prediction_id": known.prediction_id,
        "model": record.model,
        "prompt": prompt if isinstance(prompt, str) else None,
    }


def _local_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone()


def _print(found: Mapping[str, Record]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("key", "when", "evidence", "model"):
        table.add_column(name, no_wrap=name != "evidence", overflow="fold")
    table.add_column("prompt", ratio=1, overflow="fold")
    for name, record in found.items():
        about = _describe(name, record)
        when = "" if record.began is None else f"{_local_time(record.began):%Y-%m-%d %H:%M:%S}"
        evidence = clip(about["evidence"] or about["message"], 200)
        # Whole, since it is to be typed again.
        key = Text(clip(name, 10_000))
        table.add_row(key, when, Text(evidence), slug(record.model), Text(clip(about["prompt"] or "", 60)))
    width = None if sys.stdout.isatty() else 240
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)


def _tell_choices(screen: Screen, folder: Path) -> None:
    command = shlex.join(["cometflux", "unknown", argument(folder)])
    screen.say("")
    screen.say("Each may be billed. Look in your account for a prediction made at that time; then, for each KEY:")
    # In quotes, because to a shell a # begins a comment.
    screen.say(f"  {command} --adopt 'KEY=ID'    it is there, with this id: have it")
    screen.say(f"  {command} --abandon 'KEY'     neither look for it nor buy it again")
    screen.say(f"  {command} --resend 'KEY'      it is not there: buy it")


# ── settling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen(kw_only=True)
class Wishes:
    """What is to become of jobs of unknown fate."""

    adopt: tuple[str, ...] = ()
    """Each as ``KEY=ID``."""
    abandon: tuple[str, ...] = ()
    resend: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.adopt or self.abandon or self.resend)

    @property
    def adopted(self) -> list[tuple[str, str]]:
        """Keys and ids; an id holds no ``=``, and a key may."""
        return [(key, given) for key, _, given in (each.rpartition("=") for each in self.adopt)]

    @property
    def keys(self) -> list[str]:
        """Every key that is named."""
        return [*(key for key, _ in self.adopted), *self.abandon, *self.resend]


def settle(screen: Screen, folder: Path, wishes: Wishes) -> None:
    """Write down what is to become of jobs of unknown fate: all of it, or nothing.

    Raises:
        UsageError: something is wrong with *wishes*; it lists everything that is.
        ConfigError: there is no journal in *folder*.
        JournalError: it cannot be used, or a batch is running on it.
    """
    with Journal(folder) as reader:
        writer = JournalWriter(reader.path)
        is_local = reader.base_url == LOCAL
        writer.open()
        try:
            found = _named(reader.records("unknown", SENDING))
            faults = list(_faults(reader, found, wishes))
            if faults:
                raise UsageError(faults)
            writer.commit((), list(_settled(found, wishes)))
        finally:
            writer.close()
    _tell_settled(screen, folder, wishes, len(found) - len(wishes.keys), is_local=is_local)


def _settled(found: Mapping[str, Record], wishes: Wishes) -> Iterator[Record]:
    for key, prediction_id in wishes.adopted:
        yield found[key].adopted(prediction_id)
    for key in wishes.abandon:
        yield found[key].abandoned()
    for key in wishes.resend:
        yield found[key].again()


def _faults(reader: Journal, found: Mapping[str, Record], wishes: Wishes) -> Iterator[Fault]:
    for each, (key, _) in zip(wishes.adopt, wishes.adopted, strict=True):
        if not key:
            yield Fault(f"--adopt {each}: write it as KEY=ID")
    for option, given in (("--abandon", wishes.abandon), ("--resend", wishes.resend)):
        if "" in given:
            yield Fault(f"{option} is blank; give the KEY of a job")
    keys = Counter(key for key in wishes.keys if key)
    ids = Counter(given for key, given in wishes.adopted if key)
    standings, owners = _look_up(reader, keys, ids)
    for key, times in keys.items():
        if times > 1:
            yield Fault(f"the key {key!r} is given {times} times; settle each job in one way")
        if key not in found:
            yield Fault(_stranger(key, found, standings))
    for prediction_id, times in ids.items():
        yield from _id_faults(prediction_id, times, owners.get(prediction_id))


def _look_up(reader: Journal, keys: Iterable[str], ids: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Find where jobs of these *keys* stand, and which jobs have these *ids*."""
    standings: dict[str, str] = {}
    owners: dict[str, str] = {}
    for record in reader.records():
        key = shown_key(record)
        if key in keys:
            standings[key] = record.standing
        for prediction_id in (record.prediction_id, *(attempt.prediction_id for attempt in record.earlier)):
            if prediction_id is not None and prediction_id in ids:
                owners[prediction_id] = key
    return standings, owners


def _stranger(key: str, found: Mapping[str, Record], standings: Mapping[str, str]) -> str:
    alike = [(name, record) for name, record in found.items() if shown_key(record) == key]
    if alike:
        each = "; ".join(f"{name} ({clip(str(record.input.get('prompt')), 60)})" for name, record in alike)
        return f"{len(alike)} jobs go by {key!r}; name one of them: {each}"
    if key in standings:
        return f"the job {key!r} is not of unknown fate: it stands in {standings[key]!r}"
    close = difflib.get_close_matches(key, found, n=1)
    return f"no job has the key {key!r}{f'; did you mean {close[0]!r}?' if close else ''}"


def _id_faults(prediction_id: str, times: int, owner: str | None) -> Iterator[Fault]:
    try:
        protocol.get_request(prediction_id)
    except InputError as error:
        yield Fault(str(error))
        return
    if times > 1:
        yield Fault(f"the id {prediction_id!r} is given {times} times; a prediction belongs to one job")
    if owner is not None:
        yield Fault(f"the id {prediction_id!r} is that of the job {owner!r} already")


def _tell_settled(screen: Screen, folder: Path, wishes: Wishes, left: int, *, is_local: bool) -> None:
    for key, prediction_id in wishes.adopted:
        screen.say(f"{key}: adopted as prediction {prediction_id}")
    for key in wishes.abandon:
        screen.say(f"{key}: abandoned; it is neither looked for nor bought again")
    for key in wishes.resend:
        screen.say(f"{key}: to be bought again")
    if left:
        screen.say(f"{left} more {'is' if left == 1 else 'are'} of unknown fate")
    if wishes.adopt or wishes.resend:
        screen.say("to go on:")
        line = ["cometflux", "resume", argument(folder), *(["--local"] if is_local else [])]
        screen.say(f"  {shlex.join(line)}")
