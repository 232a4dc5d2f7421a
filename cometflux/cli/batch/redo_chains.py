"""Redo jobs in a folder in which jobs take the output of other jobs."""

from collections.abc import Iterable, Mapping

from cometflux.basics.plain_text import by_number, count_of
from cometflux.cli.batch.undrawn import shown_key
from cometflux.cli.terminal.screen import clip
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord, identify
from cometflux.models.output_of import find_outputs

_MOST_NAMED = 5


class FolderKeys:
    """The keys of the jobs of a folder, whose output a changed row may take."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self._journal.find([identify(key, "", 1)]))


def takes_own_output(record: JobRecord, changed: Mapping[str, JobRecord], journal: Journal) -> bool:
    """Whether a job takes its own output, through others, when the jobs in *changed*, by identity, are as they are."""
    seen: set[str] = set()
    left = _sources(record)
    while left:
        new = left - seen
        if record.identity in new:
            return True
        seen |= new
        found = {**journal.find(new - changed.keys()), **{each: changed[each] for each in new if each in changed}}
        left = {source for each in found.values() for source in _sources(each)} - seen
    return False


def _sources(record: JobRecord) -> set[str]:
    return {output.identity for _, output in find_outputs(record.input)}


def left_note(again: Mapping[str, JobRecord], records: Iterable[JobRecord]) -> str | None:
    """Return the note on the saved jobs that have taken the output of jobs in *again*; None if there are none."""
    stale = dict(again)
    names: list[str] = []
    # In their order a job stands after those whose output it takes.
    for record in records:
        if record.identity not in again and record.state_name == "saved" and not _sources(record).isdisjoint(stale):
            stale[record.identity] = record
            names.append(shown_key(record))
    if not names:
        return None
    shown = ", ".join(clip(name, 60) for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    jobs, stay = count_of(len(names), "job"), by_number(len(names), "stays as it is", "stay as they are")
    has = by_number(len(names), "has", "have")
    taken = f"{jobs} {has} taken the output of a job that is redone, and {stay}"
    return f"note: {taken}: {shown}{more}; to redo more jobs, give their keys to --redo"
