"""Build a folder's page, and rebuild it while a batch runs. Unchanged files and jobs are not read again."""

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from cometflux.errors import CometfluxError, ConfigError, JournalError
from cometflux.gallery import page
from cometflux.gallery.cards import Card, Picture, card_of_picture, card_of_record, card_of_sidecars
from cometflux.gallery.folder_scan import DamagedFile, FolderScan, Sidecar
from cometflux.gallery.page import Entry, Facts
from cometflux.journal.reader import FILE_NAME, Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import DROPPED
from cometflux.plain_text import log as _log
from cometflux.regular_files import IrregularFileError, open_regular
from cometflux.storage import atomic, picks

PAGE = "index.html"
"""The page's file name."""


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


@attrs.define
class _Known:
    """A job of the journal, and its entry in the page."""

    record: JobRecord
    names: tuple[str, ...]
    presence: tuple[bool, ...]
    entry: Entry


class Gallery:
    """The page of one folder. Blocks; one thread at a time.

    Args:
        folder: the folder with the pictures; the page is written into it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.refresh = 2.0
        """How many seconds a browser waits before it reloads the page of a running batch."""
        self._scan = FolderScan(self.folder)
        self._jobs: dict[str, _Known] = {}
        self._serial = 0
        self._is_running = False
        self._batch = ""
        """The journal's name; empty if there is no journal."""
        self._place: str | None = None
        """The URL in an object store that the pictures go to; None if they go to the folder."""
        self._others: dict[tuple[str, ...], Entry] = {}
        self._notes: list[str] = []

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
        written = self._write()
        # If the batch ended meanwhile, this page replaced the batch's last one and wrongly says that it still runs.
        if self._is_running and not self._runs():
            written = self._write()
        return written

    def render(self) -> Served:
        """Make the page for a server. Writes nothing.

        Raises:
            ConfigError: there is nothing to show, or the extra is missing.
            JournalError: the journal cannot be read, and there is nothing else to show.
        """
        entries = self._read()
        pictures = [picture for entry in entries for picture in entry.card.pictures]
        return Served(
            data=self._page(entries, is_served=True),
            files=frozenset(picture.name for picture in pictures if picture.is_here),
            names=_names(entries),
        )

    def log(self, notes: Sequence[str]) -> None:
        """Log each note as a warning."""
        for note in notes:
            _log.warning("%s", note)

    def _write(self) -> Written:
        path = self.folder / PAGE
        _replace(path, self._page(self._read(), is_served=False))
        return Written(path=path, notes=tuple(self._notes))

    def _read(self) -> list[Entry]:
        self._notes = []
        self._scan.look()
        self._read_journal()
        entries = [*self._of_journal(), *self._of_sidecars()]
        if not entries:
            raise ConfigError(
                f"there is nothing to show in {str(self.folder)!r}: no job in a journal, and no picture with its record"
            )
        return entries

    def _page(self, entries: Sequence[Entry], *, is_served: bool) -> bytes:
        facts = Facts(
            title=self.folder.resolve().name or "pictures",
            command_folder=shlex.quote(f"./{self.folder}" if str(self.folder).startswith("-") else str(self.folder)),
            written=datetime.now(UTC).isoformat(timespec="seconds"),
            is_running=self._is_running,
            refresh=self.refresh,
            marks=self._marks(entries),
            batch=self._batch,
            is_served=is_served,
            notes=self._notes,
        )
        return page.make_page(entries, facts)

    def _marks(self, entries: Sequence[Entry]) -> Mapping[str, str]:
        try:
            return picks.read_marks(self.folder, _names(entries))
        except ConfigError as error:
            self._notes.append(f"{error.message}; no mark is shown")
            return {}

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_journal(self) -> None:
        if not os.path.lexists(self.folder / FILE_NAME):
            self._jobs.clear()
            self._is_running, self._batch = False, ""
            return
        try:
            with Journal(self.folder / FILE_NAME) as journal:
                self._take(journal)
        except (ConfigError, JournalError) as error:
            # The records next to the pictures can still be shown, if there are any.
            if not any(self._scan.sidecars()):
                raise
            self._notes.append(f"{error.message}; only the pictures and their records are shown")
            self._jobs.clear()
            self._serial, self._is_running, self._batch = 0, False, ""

    def _take(self, journal: Journal) -> None:
        """Update the known jobs with the journal's changes since the last read."""
        is_running, serial = journal.is_running, journal.serial
        self._place, self._batch = journal.place, journal.name
        since = self._serial if serial >= self._serial else 0
        for record in journal.changes(since):
            if record.state_name == DROPPED:
                self._jobs.pop(record.identity, None)
            else:
                self._jobs[record.identity] = self._know(record, is_running=is_running)
        stale = is_running != self._is_running
        for identity, known in self._jobs.items():
            if stale or known.presence != self._scan.presence(known.names):
                self._jobs[identity] = self._know(known.record, is_running=is_running)
        self._serial, self._is_running = serial, is_running

    def _know(self, record: JobRecord, *, is_running: bool) -> _Known:
        names = tuple(file.name for file in record.files)
        presence = self._scan.presence(names)
        pictures = [self._picture(*each) for each in zip(names, presence, strict=True)]
        card = card_of_record(record, pictures, is_running=is_running)
        return _Known(record, names, presence, page.make_entry(card))

    def _picture(self, name: str, is_here: bool) -> Picture:
        if self._place is None or is_here:
            return self._scan.picture(name)
        return attrs.evolve(self._scan.picture(f"{self._place}/{name}"), file=name)

    def _runs(self) -> bool:
        with contextlib.suppress(CometfluxError), Journal(self.folder / FILE_NAME) as journal:
            return journal.is_running
        return False

    def _of_journal(self) -> Iterator[Entry]:
        for known in sorted(self._jobs.values(), key=lambda known: known.record.index):
            yield known.entry

    # ── the records next to the pictures ─────────────────────────────────────────────────────────────────────────────

    def _of_sidecars(self) -> Iterator[Entry]:
        """Yield an entry for each prediction that the journal does not know, in batch order."""
        stems = {name.rpartition(".")[0] for known in self._jobs.values() for name in known.names}
        ids = {known.record.prediction_id for known in self._jobs.values()} - {None}
        groups: dict[str, list[Sidecar]] = {}
        cards: list[Entry] = []
        for sidecar in self._scan.sidecars(stems):
            if isinstance(sidecar, DamagedFile):
                fault = self._scan.picture(sidecar.name).fault
                how = "is shown without its details" if fault is None else f"cannot be shown either ({fault})"
                self._notes.append(f"{sidecar.sidecar} {sidecar.fault}: {sidecar.name} {how}")
                cards.append(self._other((sidecar.name,), []))
                continue
            prediction_id = sidecar.record["prediction"].get("id")
            if prediction_id not in ids:
                # Without an id, two pictures cannot be known to belong to one prediction.
                group = f"id:{prediction_id}" if isinstance(prediction_id, str) else f"file:{sidecar.name}"
                groups.setdefault(group, []).append(sidecar)
        cards += [
            self._other(tuple(each.name for each in group), group, identity) for identity, group in groups.items()
        ]
        yield from sorted(cards, key=_order)

    def _other(self, names: tuple[str, ...], group: list[Sidecar], identity: str = "") -> Entry:
        pictures = [self._scan.picture(name) for name in names]
        key = (*names, *(str(picture.fault) for picture in pictures))
        if key not in self._others:
            self._others[key] = page.make_entry(_card(pictures, group, identity))
        return self._others[key]


def _names(entries: Sequence[Entry]) -> frozenset[str]:
    """Return the names of all pictures, as ``picks.jsonl`` has them."""
    return frozenset(picture.file or picture.name for entry in entries for picture in entry.card.pictures)


def _order(entry: Entry) -> tuple[bool, int, str]:
    card = entry.card
    return card.index is None, card.index or 0, card.pictures[0].name


def _card(pictures: list[Picture], group: list[Sidecar], identity: str) -> Card:
    return (
        card_of_sidecars([each.record for each in group], pictures, identity) if group else card_of_picture(pictures[0])
    )


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
