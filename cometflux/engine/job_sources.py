"""The jobs whose images a job takes: waits for their ends, and puts their saved images into its input."""

import asyncio
from collections.abc import Mapping
from typing import Any

import attrs

from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.errors import ChainError, InputError, OutputError
from cometflux.images import data_uris, summaries
from cometflux.jobs import Job
from cometflux.journal.attempts import SavedFile, TakenImage
from cometflux.journal.record import JobRecord
from cometflux.models.output_of import OutputOf, replace_outputs
from cometflux.protocol import encoding

_ENDS = {
    "failed": "which failed",
    "canceled": "which was canceled",
    "expired": "whose images expired before they were saved",
    "rejected": "which was rejected",
    "unknown": "which is unknown: it may have been accepted or not",
    "unsaved": "which succeeded and is not saved",
    "detached": "which is detached: it continues at the service",
}
CHAIN_NEEDS = "the output of a job is taken from its saved file: generate with save_to=…, in a session with journal=…"


class JobSources:
    """Waits for the jobs whose images a job takes, and reads their saved images.

    Args:
        tracker: finds those jobs, in this session and in the journal.
    """

    def __init__(self, tracker: JobTracker) -> None:
        self._tracker = tracker

    async def wait(self, tracked: TrackedJob) -> None:
        """Wait until each job whose image *tracked* takes is over, and check that it has the image.

        Raises:
            InputError: there is no such job before it, or no place from which its image could be read.
            ChainError: one has no such image.
            JournalError: the journal cannot be read.
        """
        if tracked.place is None or not self._tracker.keeps:
            field, output = tracked.sources[0]
            raise InputError(field, str(output), CHAIN_NEEDS)
        for field, output in tracked.sources:
            _find_image(output, await self._find_over(tracked, field, output))
        tracked.note_ready()

    async def fill(self, tracked: TrackedJob, job: Job) -> Job:
        """Return *job* with the saved images in its input, as data URIs; note them in the record of *tracked*.

        Raises:
            ChainError: a saved image is gone, has changed, cannot be read, or is too large to be sent.
        """
        uris: dict[tuple[str, int], str] = {}
        taken: list[TakenImage] = []
        for field, output in tracked.sources:
            record = await self._find_over(tracked, field, output)
            file = _find_image(output, record)
            if output.mark not in uris:
                uris[output.mark] = await _read(tracked, field, record.key, file)
            image = TakenImage(
                job=output.identity, key=record.key, index=output.index, file=file.name, digest=file.digest
            )
            taken.append(image)
        filled = replace_outputs(job.input, lambda output: uris[output.mark])
        tracked.record.taking(tuple(taken), await asyncio.to_thread(_digest, job.model, filled))
        return attrs.evolve(job, input=filled, validate=False)

    async def _find_over(self, tracked: TrackedJob, field: str, output: OutputOf) -> JobRecord:
        """Return the record of the job that *output* names, when that job is over."""
        if output.identity == tracked.record.identity:
            raise InputError(field, str(output), "a job cannot take its own output")
        while (source := self._tracker.find_before(tracked, output.identity)) is not None:
            source.over = source.over or asyncio.Event()
            await source.over.wait()
            if source.is_over:
                return source.record.snapshot()
        (record,) = await self._tracker.find_each([output.identity])
        if record is None:
            which = "no equal job without a key" if output.key is None else "no such job"
            raise InputError(field, str(output), f"{which} comes before it in the batch")
        return record


def _digest(model: str, values: Mapping[str, Any]) -> str:
    return encoding.fingerprint(model, summaries.describe_input(values))


def _find_image(output: OutputOf, record: JobRecord) -> SavedFile:
    """Return the saved image that *output* means.

    Raises:
        ChainError: the job is not saved, or has fewer images.
    """
    if record.state_name != "saved":
        how = _ENDS.get(record.state_name, "which was not sent")
        raise ChainError(f"it takes the output of {record.key}, {how}")
    count = len(record.files)
    if output.index >= count:
        made = "1 image" if count == 1 else f"{count} images"
        raise ChainError(f"it takes {record.key}[{output.index}], and {record.key} made {made}, counted from 0")
    return record.files[output.index]


async def _read(tracked: TrackedJob, field: str, key: str, file: SavedFile) -> str:
    if file.size > data_uris.LARGEST_IMAGE_INPUT:
        raise ChainError(f"{file.name} of {key} has {file.size} bytes, and at most 8 MiB are sent with a job")
    try:
        data = await tracked.place.read_image(file.name, file.size, file.digest)
    except OutputError as error:
        raise ChainError(f"{file.name} of {key} cannot be read: {error.message}") from error
    if data is None:
        raise ChainError(f"{file.name} of {key} is missing, or has changed since it was saved")
    try:
        return await asyncio.to_thread(data_uris.data_uri, field, data)
    except InputError as error:
        raise ChainError(f"{file.name} of {key} cannot be sent: {error.allowed}") from error
