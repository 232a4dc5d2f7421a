"""The images of one job: how they are saved, and where an earlier run may have saved them."""

from collections.abc import Iterator

from cometflux.engine.saver import find_saved
from cometflux.engine.savers import SaveOrder
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.images.formats import Image
from cometflux.journal.attempts import facts_of
from cometflux.polling import last_response
from cometflux.predictions import Prediction
from cometflux.provenance import sidecar
from cometflux.storage import file_names
from cometflux.storage.destination import Destination


class JobImages:
    """Says how the images of jobs are saved, and finds those that are.

    Args:
        tracker: says what proves that an image is a job's.
    """

    def __init__(self, tracker: JobTracker) -> None:
        self._tracker = tracker

    def order(self, tracked: TrackedJob, prediction: Prediction, place: Destination) -> SaveOrder:
        """Return the order that saves the images of a prediction that succeeded."""
        submission = self._tracker.submission_of(tracked.record)
        stems, is_new = _stems(tracked), tracked.created_id == prediction.id
        sources = facts_of(tracked.record.taken)
        return SaveOrder(
            prediction=prediction,
            place=place,
            stem=next(stems),
            record=sidecar.record_of(prediction, tracked.job, tracked.key, tracked.index, submission, sources),
            earlier_stems=() if is_new else tuple(stems),
            is_new=is_new,
        )

    async def find(self, tracked: TrackedJob, prediction: Prediction, place: Destination) -> tuple[Image, ...] | None:
        """Find the saved images of *prediction* by the journal, else by their names; None unless all are there.

        Raises:
            OutputError: *place* cannot be looked at, so nobody knows.
        """
        record = tracked.record
        if record.is_whole:
            kept = await place.check_files([(each.name, each.size, each.digest) for each in record.files])
            if kept is not None:
                return kept
        # An output that has expired is not listed any more.
        count = len(prediction.output) or last_response.count_wanted(tracked.job.input)
        # The caller may have saved them, and the process ended before the journal knew.
        stems = (*_stems(tracked), file_names.id_stem(prediction.id))
        found = await find_saved(place, stems, prediction.id, count)
        whole = tuple(image for image in found if image is not None)
        return whole if whole and len(whole) == count else None

    async def find_id(self, tracked: TrackedJob, place: Destination) -> str | None:
        """Find the prediction of which an image was saved for the job's last submission; None if there is none.

        Raises:
            OutputError: *place* cannot be looked at, so nobody knows.
        """
        submission = self._tracker.submission_of(tracked.record)
        if submission is None:
            return None
        for stem in _stems(tracked):
            if (found := await place.find_id(stem, submission)) is not None:
                return found
        return None


def _stems(tracked: TrackedJob) -> Iterator[str]:
    """Yield the names that the files of a job may have: the first for new files, the others by earlier runs."""
    job, record = tracked.job, tracked.record
    if record.name is not None:
        yield record.name
        return
    # The run that submitted it may have had it in another place.
    for index in dict.fromkeys((tracked.index, record.index)):
        yield file_names.file_stem(index, job)
        yield from file_names.earlier_stems(index, job)
