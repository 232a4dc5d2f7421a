"""Open the journal of a batch: its account, its address, its place, and what --local changes."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from cometflux.basics.quoting import argument, join
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal import signals
from cometflux.errors import CometfluxError, ConfigError, JournalLockedError, JournalMismatchError, OutputError
from cometflux.journal.header import LOCAL, Account
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.storage.destination import Destination, find_destination


def own_base_url(folder: Path, settings: RunOptions, *, new_key: bool) -> str | None:
    """Return the base URL of a folder's predictions; None if the settings give one, or if it is not known.

    With a new key the folder's address is not used: the folder may come from somebody else, who would get the key.

    Raises:
        JournalError: the journal cannot be read, or the folder was made with ``--local`` and *settings* lack it.
        ConfigError: there is no journal.
    """
    with Journal(folder) as journal:
        own = journal.base_url
    if own == LOCAL and not settings.local:
        raise _mismatch_of(folder, own)
    is_given = settings.local or settings.base_url or os.environ.get("COMETFLUX_BASE_URL", "").strip()
    return None if is_given or new_key else own


def own_place(folder: Path) -> str | None:
    """Return the place in an object store for the pictures of a folder's batch; None if they go to the folder.

    Raises:
        JournalError: the journal cannot be read.
        ConfigError: there is no journal.
    """
    with Journal(folder) as journal:
        return journal.place


def account_of(
    base_url: str, key: str, settings: RunOptions, *, may_change_key: bool = False, may_follow: bool = False
) -> Account:
    """Return the account that the journal records."""
    if settings.local:
        return Account(base_url=LOCAL, key=LOCAL)
    return Account(base_url=base_url, key=key, may_change_key=may_change_key, may_follow=may_follow)


def open_journal(writer: JournalWriter, settings: RunOptions) -> None:
    """Open the journal; with ``--local``, forget the predictions of an earlier run's local service.

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
            # Predictions and pictures of an earlier local service ended with its process.
            writer.forget_service()
            _forget_files(writer)
        except BaseException:
            writer.close()
            raise


def open_to_add(writer: JournalWriter, settings: RunOptions) -> None:
    """Open the journal of a folder to add new jobs to it. The jobs that it has stay as they are.

    Raises:
        JournalError: the journal cannot be used.
    """
    folder = writer.path.parent
    try:
        with contextlib.suppress(ConfigError), Journal(writer.path) as journal:
            check_maker(journal, folder, settings)
        writer.open()
    except JournalLockedError as error:
        raise JournalLockedError(error.problem, hint=f"wait for it, or {_ANOTHER} with --out") from error
    except JournalMismatchError as error:
        if error.setting is None:
            raise JournalMismatchError(error.problem, hint=f"{error.hint or _ANOTHER} with --out") from error
        finish = f"finish it as it was begun ({join(['cometflux', 'resume', argument(folder)])})"
        problem = f"{error.problem}, and a prediction of it is paid and not saved, or unknown"
        raise JournalMismatchError(problem, hint=f"{finish}, or {_ANOTHER} with --out") from error


def _forget_files(writer: JournalWriter) -> None:
    """Plan the jobs whose pictures are missing again, because no service has them any more."""
    with Journal(writer.path) as journal:
        place = find_destination("out", writer.place or writer.path.parent)
        try:
            gone = signals.run(_gone(place, journal.records("saved")))
        except OutputError as error:
            # The error is not about one prediction.
            raise ConfigError(error.message) from error
    writer.commit((), [record.reset() for record in gone])


async def _gone(place: Destination, records: Iterable[JobRecord]) -> list[JobRecord]:
    """Return the records that miss at least one picture."""
    return [
        record
        for record in records
        if await place.check_files([(file.name, file.size, file.digest) for file in record.files]) is None
    ]


_ANOTHER = "use another folder"


def _mismatch(writer: JournalWriter, settings: RunOptions) -> JournalMismatchError | None:
    """Return the error that names the option; None if the library's own error is right."""
    try:
        with Journal(writer.path) as journal:
            check_maker(journal, writer.path.parent, settings)
    except JournalMismatchError as error:
        return error
    except CometfluxError:
        return None
    return None


def check_maker(journal: Journal, folder: Path, settings: RunOptions) -> None:
    """Check that ``--local`` is given if, and only if, the folder was made with it.

    Raises:
        JournalMismatchError: it is given for another folder, or is missing.
    """
    own = journal.base_url
    if own is not None and (own == LOCAL) != settings.local:
        raise _mismatch_of(folder, own)


def _mismatch_of(folder: Path, own: str) -> JournalMismatchError:
    how, change = ("with", "add --local") if own == LOCAL else ("without", "leave --local out")
    return JournalMismatchError(f"the folder {str(folder)!r} was made {how} --local", hint=f"{change}, or {_ANOTHER}")
