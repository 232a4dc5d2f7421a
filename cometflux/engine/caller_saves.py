"""Images that the caller fetches or saves. Closing waits for these calls, as for the session's own.

Which job a saved image is of is looked up, so that no later run fetches it again.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from cometflux.basics.plain_text import log as _log
from cometflux.engine.job_ends import saved_files
from cometflux.engine.saver import Saver
from cometflux.engine.savers import SaveOrder, SaveResult
from cometflux.engine.tracking import JobTracker
from cometflux.errors import JournalError
from cometflux.journal.attempts import facts_of
from cometflux.journal.base import JournalBackend
from cometflux.journal.plan import job_of_record
from cometflux.journal.record import JobRecord
from cometflux.predictions import Prediction
from cometflux.provenance import sidecar
from cometflux.storage import file_names
from cometflux.storage.destination import Destination, is_at


class CallerSaves:
    """Saves the images of one prediction for the caller.

    Args:
        tracker: knows the jobs.
        journal: learns which images are saved.
        saver: fetches and writes the images.
    """

    def __init__(self, tracker: JobTracker, journal: JournalBackend, saver: Saver) -> None:
        self._tracker = tracker
        self._journal = journal
        self._saver = saver

    async def fetch(self, prediction: Prediction) -> tuple[bytes, ...]:
        """Fetch the images; see `Session.download`."""
        with self._noted():
            return tuple([await self._saver.fetch(url) for url in prediction.output])

    async def save(self, prediction: Prediction, place: Destination, name: str | None, expected: str) -> SaveResult:
        """Save the images in *place*, under *name* or the prediction's id; see `Session.save`.

        If *place* is *expected*, where the journal expects them, the journal learns that they are saved.

        Raises:
            InputError: *name* is not the name of a file.
        """
        with self._noted():
            return await self._save(prediction, place, name, expected)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        self._tracker.fetching += 1
        try:
            yield
        finally:
            self._tracker.fetching -= 1
            self._tracker.changed.set()

    async def _save(self, prediction: Prediction, place: Destination, name: str | None, expected: str) -> SaveResult:
        known = await self._tracker.find(prediction.id)
        # The name that the job has in its batch may have folders in it.
        is_own = name is not None and known is not None and name == known.name
        given = file_names.id_stem(prediction.id) if name is None else name
        stem = given if name is None or is_own else file_names.check_stem(given)
        is_expected = known is not None and await is_at(place, expected)
        record = self._describe(prediction, known)
        order = SaveOrder(
            prediction=prediction, place=place, stem=stem, record=record, is_named=not (name is None or is_own)
        )
        saved = await self._saver.save(order)
        if is_expected and saved.error is None:
            await self._note(prediction, saved)
        return saved

    def _describe(self, prediction: Prediction, known: JobRecord | None) -> dict[str, Any]:
        if known is None:
            return sidecar.record_of(prediction, None, None, None)
        submission = self._tracker.submission_of(known)
        sources = facts_of(known.taken)
        return sidecar.record_of(prediction, job_of_record(known).job, known.key, known.index, submission, sources)

    async def _note(self, prediction: Prediction, saved: SaveResult) -> None:
        """Write what is saved. A job on its way does that itself."""
        record = await self._tracker.find(prediction.id)
        # From here to the write nothing is awaited, so no job can have changed the record.
        if record is None or self._tracker.identities.is_under_way(record.identity):
            return
        noted = record.saved_by_caller(prediction, saved_files(saved.files))
        if noted == record:
            return
        try:
            await self._journal.answer(noted, is_new=False)
        except JournalError as error:
            text = "the journal could not record that the images of prediction %s are saved: %s"
            _log.error(text, prediction.id, error.message)
