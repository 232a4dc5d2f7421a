"""Carry out requests for pictures with one session and one folder. Each request is submitted once.

A request has the same key in this process and in later ones. So a call that is repeated after a time-out, a
cancellation or a crash resumes the paid prediction. A call may be cancelled at any moment: an unsent request is then
dropped, and the session still finishes and saves a request that was sent.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs

from cometflux.basics.plain_text import count_of
from cometflux.basics.plain_text import log as _log
from cometflux.errors import (
    CometfluxError,
    LimitError,
    Money,
    PredictionError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
)
from cometflux.events import Event
from cometflux.images import reference_files
from cometflux.jobs import PlannedJob
from cometflux.journal import plan
from cometflux.journal.outcome import outcome_of
from cometflux.journal.record import JobRecord, identify
from cometflux.journal.states import State
from cometflux.mcp import progress_text
from cometflux.mcp.results import Result
from cometflux.mcp.served_folder import AllowedFolders, ServedFolder, StoredImages
from cometflux.mcp.tool_arguments import GenerateRequest
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.protocol import encoding
from cometflux.session.session import Session

Listener = Callable[[str], object]
_LAG = 5.0
"""How many seconds the journal may take to record the end of a job."""


class ImageService:
    """Carries out requests. Make it with `open_image_service`.

    Args:
        session: submits the requests. Its journal is in the folder, and its ``max_predictions`` is *most*.
        served_folder: the folder for the pictures and the journal.
        allowed_folders: the folders whose state agents may read.
        most: the maximum number of paid predictions, including those already in the journal.
        wait: how many seconds a call may wait before it is answered as pending.
    """

    def __init__(
        self, session: Session, served_folder: ServedFolder, allowed_folders: AllowedFolders, *, most: int, wait: float
    ) -> None:
        self.served_folder = served_folder
        self.allowed_folders = allowed_folders
        self._session = session
        self._most = most
        self._wait = wait
        self._deciding = asyncio.Lock()
        self._admitted: Counter[str] = Counter()
        """How many calls of each key are in progress."""
        self._indexes: dict[str, int] = {}
        """The batch places that this process has assigned, by identity."""
        self._listeners: dict[Listener, str] = {}

    # ── a request ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def carry_out(self, request: GenerateRequest, listener: Listener) -> Result:
        """Make the picture of *request*, or return the picture of an earlier call.

        The result is pending if the picture takes longer than a call may wait. Cancelling this call drops only a
        request that was not sent.

        Args:
            request: the model, the input and the variation.
            listener: called with a short text at each step.

        Raises:
            InputError: a reference image cannot be read; nothing was sent.
            JournalError: the journal cannot be read; nothing was sent.
        """
        fingerprint = await asyncio.to_thread(_fingerprint, request)
        key = f"{fingerprint[:16]}-{request.variation}"
        self._listeners[listener] = key
        try:
            return await self._carry_out(request, key, fingerprint)
        finally:
            del self._listeners[listener]

    async def _carry_out(self, request: GenerateRequest, key: str, fingerprint: str) -> Result:
        identity = identify(key, "", 1)
        async with self._deciding:
            stock = await asyncio.to_thread(self.served_folder.read)
            known = stock.records.get(identity)
            result = Result(request=request, key=key, left=self._left(stock))
            if known is None or not known.bought:
                refusal = self._refusal(stock, key, fingerprint)
                if refusal is not None:
                    return result.refused(refusal)
            index = self._place(stock, identity)
            self._admitted[key] += 1
        try:
            if known is not None and (saved := await asyncio.to_thread(self._recall, request, known)) is not None:
                return result.ended(saved)
            job = attrs.evolve(request.job, key=key)
            drawn = PlannedJob(job=job, index=index, identity=identity, fingerprint=fingerprint)
            return await self._follow(drawn, result, known)
        finally:
            self._admitted[key] -= 1
            # Adding an empty counter removes the keys whose count is 0.
            self._admitted += Counter()

    async def _follow(self, drawn: PlannedJob, result: Result, known: JobRecord | None) -> Result:
        outcome: Outcome | None = None
        try:
            async with (
                asyncio.timeout(self._wait),
                self._session.generate([drawn], save_to=self.served_folder.folder) as batch,
            ):
                outcome = await anext(batch)
        except TimeoutError:
            _log.debug("%s is not over after %g s", drawn.job.key, self._wait)
        except SessionStoppedError as error:
            return result.refused(_about_this(error, known))
        assert drawn.identity is not None
        stock = await self._catch_up(drawn.identity, outcome)
        result = attrs.evolve(result, left=self._left(stock))
        return result.waited(stock.records.get(drawn.identity)) if outcome is None else result.ended(outcome)

    async def _catch_up(self, identity: str, outcome: Outcome | None) -> StoredImages:
        """Read the journal once it has recorded the job's end, because the next call decides by the journal.

        If the disk refuses, the end is never recorded: stop waiting then. The session submits nothing more either.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAG):
                while True:
                    stock = await asyncio.to_thread(self.served_folder.read)
                    if outcome is None or _is_told(stock.records.get(identity), outcome):
                        return stock
                    await asyncio.sleep(_LAG / 500)
        return await asyncio.to_thread(self.served_folder.read)

    def _refusal(self, stock: StoredImages, key: str, fingerprint: str) -> CometfluxError | None:
        """Return the reason why a request must not be submitted; None if it may be."""
        if (unknown := self._find_unknown(stock, fingerprint)) is not None:
            return UnknownSubmissionError(
                f"an earlier submission of the same arguments ({unknown.key}) is unknown: it may have been accepted, "
                "and another variation could be charged too",
                key=unknown.key,
            )
        others = [each for each in self._admitted if each != key and not _is_bought(stock, each)]
        if stock.bought + len(others) >= self._most:
            under_way = f", {len(others)} of them in flight" if others else ""
            return LimitError(f"the operator's limit of {count_of(self._most, 'prediction')} is reached{under_way}")
        return None

    def _find_unknown(self, stock: StoredImages, fingerprint: str) -> JobRecord | None:
        for record in stock.records.values():
            # An intent of this process is still being sent, and its response may yet arrive.
            is_lost = record.state is State.INTENT and record.identity not in self._indexes
            if record.fingerprint == fingerprint and (record.state_name == "unknown" or is_lost):
                return record
        return None

    def _place(self, stock: StoredImages, identity: str) -> int:
        known = stock.records.get(identity)
        if known is not None:
            return self._indexes.setdefault(identity, known.index)
        following = max(stock.next_index, max(self._indexes.values(), default=-1) + 1)
        return self._indexes.setdefault(identity, following)

    def _left(self, stock: StoredImages) -> int:
        return max(self._most - stock.bought, 0)

    def _recall(self, request: GenerateRequest, record: JobRecord) -> Outcome | None:
        """Return the saved pictures of a job; this works even after the session has stopped submitting."""
        files = self.served_folder.saved_files(record)
        if files is None:
            return None
        return Outcome(
            index=record.index,
            key=record.key,
            job=request.job,
            kind=OutcomeKind.SUCCEEDED,
            prediction=record.last_prediction,
            files=tuple(file.path for file in files),
            resumed=True,
        )

    @property
    def under_way(self) -> int:
        """How many requests are not over."""
        return sum(self._session.accounting[place] for place in ("waiting", "pending", "saving"))

    # ── the session's events ─────────────────────────────────────────────────────────────────────────────────────────

    def watch(self, event: Event) -> None:
        """Pass an event to the calls that wait for its job."""
        words = progress_text.words(event)
        key = getattr(event, "key", None)
        for listener, wanted in tuple(self._listeners.items()):
            if words and key in (None, wanted):
                listener(words)

    def end_grace(self) -> None:
        """Wait no longer for paid predictions when the session closes."""
        self._session.end_grace()

    async def take_up(self) -> None:
        """Resume the predictions that earlier processes left unfinished. Submits nothing."""
        try:
            unfinished = [
                plan.job_of_record(record) for record in await asyncio.to_thread(self.served_folder.unfinished)
            ]
            if not unfinished:
                return
            async for outcome in self._session.generate(unfinished, save_to=self.served_folder.folder):
                _log.info("%s of an earlier run: %s", outcome.key, outcome.kind)
        except SessionClosedError:
            # The rest stays in the journal, and the next server resumes it.
            return
        except CometfluxError as error:
            _log.error("not all predictions of earlier runs could be resumed: %s", error.message)


@contextlib.asynccontextmanager
async def open_image_service(
    make_session: Callable[[Callable[[Event], None]], Session],
    folder: Path,
    *,
    allowed: tuple[Path, ...] = (),
    most: int,
    wait: float,
) -> AsyncIterator[ImageService]:
    """Open an `ImageService` on *folder*, and resume the predictions that earlier ones left unfinished.

    Args:
        make_session: makes the session from the function that receives its events. The session's journal must be in
            the folder, and its ``max_predictions`` must be *most*.
        folder: the folder for the pictures and the journal.
        allowed: agents may read the state of batches in and below these folders.
        most: the maximum number of paid predictions, including those already in the journal.
        wait: how many seconds a call may wait before it is answered as pending.

    Raises:
        JournalError: the journal cannot be used.
    """
    listening: list[ImageService] = []

    def watch(event: Event) -> None:
        for service in listening:
            service.watch(event)

    async with make_session(watch) as session:
        service = ImageService(
            session, ServedFolder(folder), AllowedFolders(own=folder, allowed=allowed), most=most, wait=wait
        )
        listening.append(service)
        leftover = asyncio.create_task(service.take_up())
        try:
            yield service
        finally:
            # Close the session first: it stops submitting at once, and then waits for the paid predictions.
            await session.aclose()
            await leftover


def _fingerprint(request: GenerateRequest) -> str:
    return encoding.fingerprint(request.job.model, reference_files.describe_input(request.job.input))


def _is_told(record: JobRecord | None, outcome: Outcome) -> bool:
    """Whether the journal has recorded the job's end."""
    if record is None:
        # The job was never started, so the journal will not record it.
        return True
    if outcome.ok:
        return record.is_whole
    return record.state in (State.PLANNED, State.ENDED) or record.kind is OutcomeKind.DETACHED


def _is_bought(stock: StoredImages, key: str) -> bool:
    record = stock.records.get(identify(key, "", 1))
    return record is not None and record.bought > 0


def _about_this(error: SessionStoppedError, known: JobRecord | None) -> CometfluxError:
    """Return the error of one job when the session has stopped.

    The stopped session's own error says whether the job that stopped it was charged, and this may be another job.
    """
    if known is None or not known.bought:
        return error
    if known.prediction_id is None:
        return known.unknown_error
    recorded = outcome_of(known).error
    if isinstance(recorded, PredictionError):
        return recorded
    return CometfluxError(error.message, money=Money.ACCEPTED, prediction_id=known.prediction_id)
