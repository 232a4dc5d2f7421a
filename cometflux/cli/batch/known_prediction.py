"""One prediction that is known by its id: get its state, wait for its end, save its images. Nothing is submitted."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from signal import Signals
from typing import Any, TypeVar

from cometflux.cli.batch.account_access import read_own_key
from cometflux.cli.batch.open_journal import account_of, own_base_url
from cometflux.cli.exit_codes import code_of_error
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import AuthenticationError, CometfluxError, PredictionError, RejectedError
from cometflux.journal.place import FILE_NAME
from cometflux.journal.plan import job_of_record
from cometflux.journal.reader import Journal
from cometflux.journal.writer import JournalWriter
from cometflux.locations import StoredFile
from cometflux.pacing.retry import may_retry
from cometflux.polling import last_response
from cometflux.predictions import Prediction
from cometflux.protocol.requests import get_request
from cometflux.session.open import open_session
from cometflux.session.session import Session
from cometflux.session.settings import read_base_url
from cometflux.storage import file_names
from cometflux.storage.folder import Folder
from cometflux.storage.object_store import open_store

_T = TypeVar("_T")


def get_prediction(prediction_id: str, settings: RunOptions, screen: Screen, *, waits: bool) -> Prediction:
    """Fetch the state of a prediction once, or poll it to its end if this *waits*. *screen* says that it waits.

    Raises:
        InputError: no prediction can have this id.
        ConfigError: there is no key, or a setting is unusable.
        CometfluxError: the state cannot be fetched, or patience is over.
    """
    session = _open(settings, None, None)

    async def work() -> Prediction:
        async with session:
            if not waits:
                return await session.client.get(prediction_id)
            try:
                return await _follow(session, prediction_id, screen)
            except PredictionError as error:
                return error.prediction

    return run_work(work(), screen)


def save_prediction(
    prediction_id: str, settings: RunOptions, screen: Screen, out: Path | str
) -> tuple[Path | StoredFile, ...]:
    """Wait for the end of a prediction, save its images in *out*, and return them. *screen* says that it waits.

    If *out* is a folder whose journal knows the prediction, the images get the names of its batch, and the journal
    records them.

    Raises:
        InputError, ConfigError, CometfluxError: as for `get_prediction`.
        JournalError: the journal of *out* cannot be used.
        OutputError: an image cannot be fetched or saved.
    """
    folder = out if isinstance(out, Path) and (out / FILE_NAME).is_file() else None
    own = None if folder is None else own_base_url(folder, settings, new_key=False)
    name = None if folder is None else _name_in(folder, prediction_id)
    session = _open(settings, own, folder)

    async def work() -> tuple[Path | StoredFile, ...]:
        # A path is printed as it was given.
        place = Folder(out) if isinstance(out, Path) else open_store(out)
        async with session:
            await place.prepare()
            return await session.save(await _follow(session, prediction_id, screen), place, name)

    return run_work(work(), screen)


async def _follow(session: Session, prediction_id: str, screen: Screen) -> Prediction:
    """Follow a prediction, unless the first request shows that it cannot be followed, as with a wrong address."""
    try:
        prediction = await _get(session, prediction_id)
    except RejectedError as error:
        # Right after a create it may be a delay.
        if error.status != 404:
            raise
        screen.say("the service does not know the prediction yet; polling it for 30 s; Ctrl-C exits")
    else:
        if last_response.runs(prediction):
            screen.say("the prediction is not over; polling it until it is; Ctrl-C exits")
    return await session.follow(prediction_id)


async def _get(session: Session, prediction_id: str) -> Prediction:
    """Fetch the state of a prediction, again after a transient fault: it says nothing about the address or the id."""
    for pause in _PAUSES:
        try:
            return await session.client.get(prediction_id)
        except CometfluxError as error:
            if not may_retry(get_request(prediction_id), error):
                raise
        await asyncio.sleep(pause)
    return await session.client.get(prediction_id)


_PAUSES = (0.5, 2.0)
"""Seconds before the second try and before the third."""


def _name_in(folder: Path, prediction_id: str) -> str | None:
    """Return the name of a prediction's files in the batch of *folder*; None if its journal does not know the id."""
    with Journal(folder) as journal:
        for record in journal.records():
            if record.prediction_id == prediction_id:
                return record.name or file_names.file_stem(record.index, job_of_record(record).job)
    return None


def _open(settings: RunOptions, own: str | None, folder: Path | None) -> Session:
    base_url = read_base_url(settings.base_url or own)
    key = read_own_key()
    account = account_of(base_url, key, settings)
    journal = None if folder is None else JournalWriter(folder / FILE_NAME, account)
    return open_session(base_url=base_url, api_key=key, proxy=settings.proxy, journal=journal)


def run_work(work: Coroutine[Any, Any, _T], screen: Screen, name: str = "the service") -> _T:
    """Run *work*, and show that the command waits for *name*.

    A signal cancels it, so that the session closes in order, and then ends the command.
    """
    pressed: list[Signals] = []

    async def run() -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def press(number: Signals) -> None:
            pressed.append(number)
            loop.call_soon_threadsafe(task.cancel)

        with signals.taken(press):
            return await work

    try:
        with screen.waiting(name):
            return signals.run(run())
    except asyncio.CancelledError:
        raise signals.Interrupted(pressed[0]) from None


def report(screen: Screen, prediction_id: str, error: CometfluxError) -> int:
    """Print why there is no answer about a prediction, and return the exit code."""
    if isinstance(error, RejectedError) and error.status == 404:
        screen.error(
            f"the service does not know the prediction {prediction_id}; it may have been deleted, or belong to another "
            "account"
        )
    elif isinstance(error, AuthenticationError):
        screen.error(f"{error.message}; check COMETAPI_KEY")
    else:
        screen.error(error.message)
    return code_of_error(error)
