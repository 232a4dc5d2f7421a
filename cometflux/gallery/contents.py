"""The jobs and pictures that a folder's page shows, in their order, read a page at a time."""

import os
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import attrs

from cometflux.account.cost_words import told_costs
from cometflux.basics.pages import read_ahead
from cometflux.errors import CometfluxError, ConfigError, JournalError
from cometflux.gallery.cards import Card, Picture, card_of_record
from cometflux.gallery.folder_scan import FolderScan
from cometflux.gallery.loose_pictures import LoosePictures
from cometflux.gallery.public_urls import PublicUrl
from cometflux.journal.header import LOCAL
from cometflux.journal.place import FILE_NAME, part_hint
from cometflux.journal.reader import Journal

T = TypeVar("T")


class Source(Protocol):
    """Jobs in their order, each with a key and with a version that changes when the job does."""

    def __len__(self) -> int: ...

    def versions(self, start: int, stop: int) -> dict[Hashable, Hashable]:
        """Return the keys of the jobs from *start* to *stop*, each with its version."""

    def cards(self, keys: Iterable[Hashable]) -> Iterator[tuple[Hashable, Card]]:
        """Yield the cards of the jobs with these keys, in any order."""

    def names(self) -> Iterator[str]:
        """Yield the names of all pictures."""


class JournalJobs:
    """The jobs of a journal that is open. Of each job only its place is kept in memory."""

    def __init__(self, journal: Journal, scan: FolderScan, public_url: PublicUrl | None = None) -> None:
        self._journal = journal
        self._public_url = public_url
        self._scan = scan
        self._place = journal.place
        firsts = scan.flaws.firsts
        self._keys = {name: key for name, key in journal.file_keys() if name in firsts} if firsts else {}
        """The keys of the jobs whose pictures others nearly equal, by the names of these pictures."""
        self.is_running = journal.is_running
        self.numbers, self._serials = array("q"), array("q")
        """The place of each job in the journal, and the serial number of its last change."""
        for number, serial in journal.order():
            self.numbers.append(number)
            self._serials.append(serial)

    def __len__(self) -> int:
        return len(self.numbers)

    def versions(self, start: int, stop: int) -> dict[Hashable, Hashable]:
        """See `Source.versions`."""
        return dict(zip(self.numbers[start:stop], self._serials[start:stop], strict=True))

    def cards(self, keys: Iterable[Hashable]) -> Iterator[tuple[Hashable, Card]]:
        """See `Source.cards`."""
        records = read_ahead(self._journal.read(key for key in keys if isinstance(key, int)))
        shown = ((number, record, [self._picture(file.name) for file in record.files]) for number, record in records)
        for number, record, pictures in read_ahead(shown):
            yield number, card_of_record(record, pictures, is_running=self.is_running)

    def names(self) -> Iterator[str]:
        """See `Source.names`; a job that was redone has earlier pictures, too, whose marks stay."""
        yield from self._journal.file_names()
        yield from self._journal.earlier_file_names()

    def _picture(self, name: str) -> Picture:
        if self._place is None or name in self._scan.files:
            return self._with_key(self._scan.picture(name))
        kept = attrs.evolve(self._scan.picture(f"{self._place}/{name}"), file=name)
        if self._public_url is None:
            return kept
        return attrs.evolve(kept, address=self._public_url.address(name), is_here=True)

    def _with_key(self, picture: Picture) -> Picture:
        found = picture.found
        if found is None or found.near not in self._keys:
            return picture
        return attrs.evolve(picture, found=attrs.evolve(found, near=self._keys[found.near]))


@attrs.frozen(kw_only=True)
class Contents:
    """Everything that the page of a folder shows."""

    sources: Sequence[Source]
    differing: tuple[str, ...]
    """The names of the parameters that differ among the jobs."""
    unknown: int = 0
    """How many jobs may be billed, without a proof."""
    costs: tuple[tuple[str, str], ...] = ()
    """What all jobs cost: see `told_costs`."""
    is_running: bool = False
    is_local: bool = False
    """Whether the pictures are of the command's own local service."""
    batch: str = ""
    """The journal's name; empty if there is no journal."""
    notes: tuple[str, ...] = ()
    """One sentence for each damaged file."""

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def versions(self, start: int, stop: int) -> dict[Hashable, Hashable]:
        """See `Source.versions`."""
        found: dict[Hashable, Hashable] = {}
        for source in self.sources:
            found |= source.versions(max(start, 0), max(stop, 0))
            start, stop = start - len(source), stop - len(source)
        return found

    def cards(self, keys: Sequence[Hashable]) -> Iterator[tuple[Hashable, Card]]:
        """See `Source.cards`."""
        for source in self.sources:
            yield from source.cards(keys)

    def names(self) -> frozenset[str]:
        """Return the names of all pictures, as ``picks.jsonl`` has them."""
        return frozenset(name for source in self.sources for name in source.names())


def contents_of(scan: FolderScan, journal: Journal | None, public_url: PublicUrl | None = None) -> Contents:
    """Look at all jobs of a folder. Reads them, but keeps only their places.

    Raises:
        JournalError: the journal cannot be read.
    """
    if journal is None:
        loose = LoosePictures(scan)
        return Contents(sources=[loose], differing=tuple(loose.differing), notes=tuple(loose.notes))
    jobs = JournalJobs(journal, scan, public_url)
    first = next((record.input for _, record in journal.read(jobs.numbers[:1])), None)
    loose = LoosePictures(scan, journal, first)
    return Contents(
        sources=[jobs, loose],
        differing=tuple(dict.fromkeys([*journal.differing_parameters(), *loose.differing])),
        unknown=journal.status()["unknown"],
        costs=told_costs(journal.costs()),
        is_running=jobs.is_running,
        is_local=journal.base_url == LOCAL,
        batch=journal.name,
        notes=tuple(loose.notes),
    )


def over_contents(scan: FolderScan, public_url: PublicUrl | None, work: Callable[[Contents], T]) -> T:
    """List a folder, and call *work* with its jobs while the journal is open; without its jobs if it cannot be read.

    Raises:
        ConfigError: there is nothing to show, or the folder cannot be listed.
        JournalError: the journal cannot be read, and there is nothing else to show.
    """
    scan.look()
    path = scan.folder / FILE_NAME
    if not os.path.lexists(path):
        return work(_with_jobs(scan, contents_of(scan, None)))
    try:
        journal = Journal(path)
    except (ConfigError, JournalError) as error:
        return work(_without_journal(scan, error))
    with journal:
        try:
            return work(_with_jobs(scan, contents_of(scan, journal, public_url)))
        except JournalError as error:
            return work(_without_journal(scan, error))


def _with_jobs(scan: FolderScan, contents: Contents) -> Contents:
    if not len(contents):
        missing = "no job in a journal, and no picture with its record"
        raise ConfigError(f"there is nothing to show in {str(scan.folder)!r}: {missing}{part_hint(scan.folder)}")
    return contents


def _without_journal(scan: FolderScan, error: CometfluxError) -> Contents:
    """Return the records next to the pictures, if there are any; else raise *error*."""
    contents = contents_of(scan, None)
    if not len(contents):
        raise error
    note = f"{error.message}; only the pictures and their records are shown"
    return attrs.evolve(contents, notes=(note, *contents.notes))
