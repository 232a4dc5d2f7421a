"""Open the journal of a batch: its account, its address, its place, and what --local changes."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from cometflux.cli.options.shared import RunOptions
from cometflux.errors import CometfluxError, ConfigError, JournalMismatchError, OutputError
from cometflux.journal.header import Account
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.storage.destination import Destination, find_destination

LOCAL = "local"
"""What stands in the journal for the address and the key of the local service, which are new each time."""


def own_base_url(folder: Path, settings: RunOptions, *, new_key: bool) -> str | None:
    """Tell where a folder's predictions are, unless that is given; None where it is, or is not known.

    With a new key the folder has no say: it may come from somebody else, who would get the key.

    Raises:
        JournalError: the journal cannot be read, or the folder was made with ``--local`` and is not taken up with it.
        ConfigError: there is no journal.
    """
    with Journal(folder) as journal:
        own = journal.base_url
    if own == LOCAL and not settings.local:
        raise JournalMismatchError(_MADE_WITH_LOCAL.format(str(folder)))
    is_given = settings.local or settings.base_url or os.environ.get("COMETFLUX_BASE_URL", "").strip()
    return None if is_given or new_key else own


def own_place(folder: Path) -> str | None:
    """Tell to which place in an object store the pictures of a folder's batch go; None where they go to the folder.

    Raises:
        JournalError: the journal cannot be read.
        ConfigError: there is no journal.
    """
    with Journal(folder) as journal:
        return journal.place


def account_of(base_url: str, key: str, settings: RunOptions, *, may_change_key: bool) -> Account:
    """Name the account for the journal."""
    if settings.local:
        return Account(base_url=LOCAL, key=LOCAL)
    return Account(base_url=base_url, key=key, may_change_key=may_change_key)


def open_journal(writer: JournalWriter, settings: RunOptions) -> None:
    """Open the journal; with ``--local``, forget what the local service of an earlier run had.

    Raises:
        JournalError: the journal cannot be used.
    """
    try:
        writer.open()
    except JournalMismatchError as error:
        if (own := _mismatch(writer, settings)) is not None:
            raise own from error
        raise
    if settings.local:
        try:
            # What the service of an earlier run had has gone with it.
            writer.forget_service()
            _forget_files(writer)
        except BaseException:
            writer.close()
            raise


def _forget_files(writer: JournalWriter) -> None:
    """Plan anew what is no longer on the disk: nobody has it to be fetched again."""
    with Journal(writer.path) as journal:
        place = find_destination("out", writer.place or writer.path.parent)
        try:
            gone = asyncio.run(_gone(place, journal.records("saved")))
        except OutputError as error:
            # It is of no one prediction.
            raise ConfigError(error.message) from error
    writer.commit((), [record.reset() for record in gone])


async def _gone(place: Destination, records: Iterable[JobRecord]) -> list[JobRecord]:
    """Return the records of which the pictures are not all there."""
    return [
        record
        for record in records
        if await place.check_files([(file.name, file.size, file.digest) for file in record.files]) is None
    ]


_MADE_WITH_LOCAL = "the folder {!r} was made with --local; add --local, or take another folder"
_MADE_WITHOUT = "the folder {!r} was made without --local; leave --local out, or take another folder"


def _mismatch(writer: JournalWriter, settings: RunOptions) -> JournalMismatchError | None:
    """Return the error in the words of the shell; None if the library's own will do."""
    try:
        with Journal(writer.path) as journal:
            check_maker(journal, writer.path.parent, settings)
    except JournalMismatchError as error:
        return error
    except CometfluxError:
        return None
    return None


def check_maker(journal: Journal, folder: Path, settings: RunOptions) -> None:
    """Look whether a folder that was made with ``--local`` is gone on with so, and no other one is.

    Raises:
        JournalMismatchError: it is not.
    """
    own = journal.base_url
    if own is not None and (own == LOCAL) != settings.local:
        raise JournalMismatchError((_MADE_WITH_LOCAL if own == LOCAL else _MADE_WITHOUT).format(str(folder)))
