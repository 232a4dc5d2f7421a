"""Build a folder's page, and rebuild it while a batch runs. Unchanged files and jobs are not read again."""

import contextlib
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import attrs

from cometflux.basics.pages import read_ahead
from cometflux.basics.plain_text import log as _log
from cometflux.basics.quoting import argument, join
from cometflux.basics.regular_files import IrregularFileError, open_regular
from cometflux.errors import CometfluxError, ConfigError
from cometflux.gallery import page
from cometflux.gallery.contents import Contents, over_contents
from cometflux.gallery.folder_scan import FolderScan
from cometflux.gallery.page import Entry, Facts, Place
from cometflux.gallery.public_urls import PublicUrl
from cometflux.journal.place import FILE_NAME
from cometflux.journal.reader import Journal
from cometflux.storage import atomic, picks
from cometflux.storage.paths import PICKS, expand_home

PAGE = "index.html"
"""The first page's file name."""
JOBS_PER_PAGE = 10_000
"""A folder with more jobs has several pages."""
_MOST_PAGES = 2
"""The entries of so many pages are kept in memory: those that change while a batch runs."""
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Written:
    """A page that was written."""

    path: Path
    notes: tuple[str, ...] = ()
    """One sentence for each damaged file."""


@attrs.frozen(kw_only=True)
class Served:
    """A page for a server, which keeps the marks of its pictures."""

    data: bytes
    files: frozenset[str]
    """The names of the files that the page shows."""
    names: frozenset[str]
    """The names of all pictures; these can be marked."""


@attrs.frozen
class _Made:
    """The entry of a job, and the version of the job that it shows."""

    version: Hashable
    presence: tuple[bool, ...]
    entry: Entry


@attrs.frozen
class _Seen:
    """What a page that was written depends on."""

    version: int
    missing: frozenset[str]
    """The files that it misses."""


class Gallery:
    """The page of one folder. Blocks; one thread at a time.

    Args:
        folder: the folder with the pictures; the page is written into it.
        public_url: an https URL at which the pictures in an object store are public; the page loads them from there.
            None if there is no such URL: the page only names them.

    Raises:
        ConfigError: *folder* is not a path, or *public_url* is not such a URL.
    """

    def __init__(self, folder: str | Path, public_url: str | None = None) -> None:
        self.folder = expand_home("folder", folder)
        self._public_url = None if public_url is None else PublicUrl.of(public_url)
        self.refresh = 2.0
        """How many seconds a browser waits before it reloads the page of a running batch."""
        self.jobs_per_page = JOBS_PER_PAGE
        self._scan = FolderScan(self.folder)
        self._entries: dict[int, dict[Hashable, _Made]] = {}
        """The entries of the last pages that were made, by the number of the page."""
        self._look: Hashable = None
        """What all entries depend on."""
        self._written: dict[int, _Seen] = {}
        """The pages that were written, by their numbers, if there are several."""
        self._is_running = False

    def check(self) -> None:
        """Check that a page can be written here.

        Raises:
            ConfigError: the extra is missing, or ``index.html`` is not a page of cometflux.
        """
        page.check_extra()
        _check_place(self.folder / PAGE)

    def write(self) -> Written:
        """Write the page. It replaces the previous one in one step.

        Raises:
            ConfigError: there is nothing to show, or the page cannot be written.
            JournalError: the journal cannot be read, and there is nothing else to show.
        """
        self.check()
        written = self._over_contents(self._write_pages)
        # If the batch ended meanwhile, this page replaced the batch's last one and wrongly says that it still runs.
        if self._is_running and not self._runs():
            written = self._over_contents(self._write_pages)
        return written

    def render(self, number: int = 1) -> Served:
        """Make page *number* for a server; the last page if there are fewer. Writes nothing.

        Raises:
            ConfigError: there is nothing to show, or the extra is missing.
            JournalError: the journal cannot be read, and there is nothing else to show.
        """
        page.check_extra()
        return self._over_contents(lambda contents, marks: self._serve(contents, marks, number))

    def log(self, notes: Sequence[str]) -> None:
        """Log each note as a warning."""
        for note in notes:
            _log.warning("%s", note)

    # ── the jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _over_contents(self, work: Callable[[Contents, Mapping[str, str]], T]) -> T:
        return over_contents(self._scan, self._public_url, lambda contents: self._over(contents, work))

    def _over(self, contents: Contents, work: Callable[[Contents, Mapping[str, str]], T]) -> T:
        self._is_running = contents.is_running
        look = (contents.is_running, contents.differing, contents.batch, self._scan.flaws.version)
        if look != self._look:
            self._entries.clear()
            self._look = look
        marks, contents = self._read_marks(contents)
        return work(contents, marks)

    # ── the pages ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_pages(self, contents: Contents, marks: Mapping[str, str]) -> Written:
        pages = _page_count(len(contents), self.jobs_per_page)
        for number in range(1, pages + 1):
            _check_place(self.folder / page_name(number))
        # The first page is the last one written: it links only to pages that are there.
        for number in range(pages, 0, -1):
            place = self._place(number, contents)
            versions = contents.versions(place.start, place.stop)
            rest = (contents.notes, contents.unknown > 0, contents.costs)
            seen = hash((self._look, place, *versions.items(), *marks.items(), *rest))
            if pages > 1 and self._is_written(number, seen):
                continue
            entries = self._entries_of(number, versions, contents)
            _replace(self.folder / page_name(number), self._page(entries, place, contents, marks, is_served=False))
            missing = frozenset(name for entry in entries for name in entry.names if name not in self._scan.files)
            self._written[number] = _Seen(seen, missing)
        self._remove_pages_after(pages)
        return Written(path=self.folder / PAGE, notes=contents.notes)

    def _serve(self, contents: Contents, marks: Mapping[str, str], number: int) -> Served:
        number = min(number, _page_count(len(contents), self.jobs_per_page))
        place = self._place(number, contents)
        entries = self._entries_of(number, contents.versions(place.start, place.stop), contents)
        names = contents.names()
        return Served(
            data=self._page(entries, place, contents, marks, is_served=True),
            files=frozenset(name for name in names if self._scan.files.get(name)),
            names=names,
        )

    def _is_written(self, number: int, version: int) -> bool:
        """Whether the page is there and would be made as it was."""
        seen = self._written.get(number)
        return (
            seen is not None
            and seen.version == version
            and page_name(number) in self._scan.files
            and not self._scan.has_lost_files
            and not any(name in self._scan.files for name in seen.missing)
        )

    def _place(self, number: int, contents: Contents) -> Place:
        total, most = len(contents), self.jobs_per_page
        start = (number - 1) * most
        return Place(number=number, start=start, stop=min(start + most, total), total=total, most=most)

    def _entries_of(self, number: int, versions: Mapping[Hashable, Hashable], contents: Contents) -> list[Entry]:
        """Make the entries of a page; unchanged ones are reused."""
        made = {
            key: known
            for key, known in self._entries.pop(number, {}).items()
            if key in versions
            and known.version == versions[key]
            and known.presence == self._scan.presence(known.entry.names)
        }
        # Before others are made, so that no more are in memory at any time.
        while len(self._entries) >= _MOST_PAGES:
            del self._entries[next(iter(self._entries))]
        for key, card in read_ahead(contents.cards([key for key in versions if key not in made])):
            entry = page.make_entry(card, contents.differing)
            made[key] = _Made(versions[key], self._scan.presence(entry.names), entry)
        self._entries[number] = made
        # A job that was dropped meanwhile is not there.
        return [made[key].entry for key in versions if key in made]

    def _page(
        self, entries: Sequence[Entry], place: Place, contents: Contents, marks: Mapping[str, str], *, is_served: bool
    ) -> bytes:
        facts = Facts(
            title=self.folder.resolve().name or "pictures",
            command_folder=join([argument(self.folder)]),
            is_local=contents.is_local,
            written=datetime.now(UTC).isoformat(timespec="seconds"),
            is_running=contents.is_running,
            refresh=self.refresh,
            place=place,
            differing=contents.differing,
            has_unknown=contents.unknown > 0,
            costs=contents.costs,
            marks=marks,
            batch=contents.batch,
            is_served=is_served,
            origin=None if self._public_url is None else self._public_url.origin,
            notes=contents.notes,
        )
        return page.make_page(entries, facts)

    def _read_marks(self, contents: Contents) -> tuple[Mapping[str, str], Contents]:
        """Read the marks of the pictures; if they are damaged, the contents get a note."""
        if PICKS not in self._scan.files:
            return {}, contents
        try:
            return picks.read_marks(self.folder, contents.names()), contents
        except ConfigError as error:
            return {}, attrs.evolve(contents, notes=(*contents.notes, f"{error.message}; no mark is shown"))

    def _runs(self) -> bool:
        with contextlib.suppress(CometfluxError), Journal(self.folder / FILE_NAME) as journal:
            return journal.is_running
        return False

    def _remove_pages_after(self, number: int) -> None:
        """Remove the pages of an earlier version that had more of them."""
        while page_name(number := number + 1) in self._scan.files:
            self._written.pop(number, None)
            path = self.folder / page_name(number)
            with contextlib.suppress(ConfigError, OSError):
                _check_place(path)
                path.unlink()


def page_name(number: int) -> str:
    """Return the file name of a page; 1 is the first."""
    return PAGE if number == 1 else f"index-{number}.html"


def _page_count(jobs: int, most: int) -> int:
    return -(-jobs // most)


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _replace(path: Path, data: bytes) -> None:
    try:
        atomic.replace(path, data)
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def _check_place(path: Path) -> None:
    """Raise if the file is not a page of cometflux, so that it is not overwritten."""
    try:
        if not os.path.lexists(path) or path.is_symlink():
            return
        with open_regular(path) as file:
            is_ours = f'content="{page.GENERATOR}"'.encode() in file.read(4096)
    except IrregularFileError:
        is_ours = False
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    if not is_ours:
        raise ConfigError(f"{str(path)!r} is not a page of cometflux and would be overwritten; move it away")
