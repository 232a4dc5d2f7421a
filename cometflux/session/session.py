"""Many at once: the slots, the registry, and the tasks that carry each job to its end.

A session draws jobs while there is a slot and room for their outcomes, and owns everything that runs: what carries a
job is a task of the session, not of whoever awaits the result.
"""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from cometflux.engine.journaling import JobJournal
from cometflux.engine.poller import MOST_ASKS, Poller
from cometflux.engine.runner import UNSAVED, JobRunner, unforeseen
from cometflux.engine.saver import Saver
from cometflux.engine.submitter import MOST_POSTS, Submitter
from cometflux.engine.tracking import JobTracker, TrackedJob
from cometflux.engine.unknown_policy import OnUnknown, UnknownPolicy
from cometflux.errors import (
    CometfluxError,
    ConfigError,
    Money,
    OutputError,
    SessionClosedError,
    SessionStoppedError,
)
from cometflux.events import Event, Observer, Submitted
from cometflux.jobs import Job, PlannedJob
from cometflux.journal.writer import JournalWriter
from cometflux.locations import StoredFile
from cometflux.number_checks import check_count, check_limit, check_seconds
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.pacing.pacer import Pacer
from cometflux.pacing.retry import Retries, RetryPolicy
from cometflux.polling.policy import PollPolicy
from cometflux.predictions import Prediction
from cometflux.protocol.requests import Request
from cometflux.provenance import sidecar
from cometflux.session.argument_checks import check_embed, check_prediction, check_transport, check_type
from cometflux.session.batch import Batch, BatchState
from cometflux.storage import file_names
from cometflux.storage.destination import Folder, find_destination
from cometflux.storage.object_store import Store
from cometflux.transport.base import Transport
from cometflux.transport.client import Client

_log = logging.getLogger("cometflux")
_FAREWELL = 5.0
"""How long a task that was cancelled may take to end, in seconds."""
_MOST_WAITING = 3 * MOST_POSTS // 2
"""So many jobs of batches are on their way to the service at most; enough for those in flight never to run out."""


class Session:
    """Runs many predictions at once over one transport.

    Enter it with ``async with``. Usually made by `open_session`; make it yourself to bring your own transport.

    Args:
        transport: what moves the bytes; closed with the session.
        max_pending: how many predictions may be under way at once.
        poll_policy: how often to ask after each, and for how long.
        retry_policy: how to repeat what is free of risk.
        creates_per_minute: how many submissions may leave within a minute; None where no limit is known, and then it is
            learned from what is refused. Replicate publishes 600.
        polls_per_minute: how many questions may leave within a minute; Replicate publishes 3000. Where that is fewer
            than are due, every prediction is asked after less often.
        journal: where every step is written down before the next one is taken, so that a later run can go on: a file,
            or a folder to hold it; None to keep what is pending in memory only. Given as a path here, it does not
            know whose predictions it holds: `open_session` checks that.
        on_event: called on the loop with each event of `cometflux.events`; its exceptions are logged once.
        on_unknown: what to do about a submission of unknown fate: ``hold`` it, ``resend`` it, or an async function of
            the job and the error that returns ``hold``, ``resend``, or the id of the prediction that it turned out
            to be. What is sent again may be paid for twice. The function is waited for with the job's slot held, so
            it must not wait for other jobs of the session.
        max_resends: how many submissions of unknown fate this session may send again, and how many of one job all
            sessions with one journal; needed with ``resend``.
        max_predictions: how many predictions may be bought altogether, counting those that the journal holds and those
            of unknown fate; None for any number.
        retry_failed: how often to buy a job again whose prediction failed for a passing reason, such as an
            interruption at the service; never one that was refused for its content.
        embed: whether each image that is saved is to hold the record of how it was made itself, besides the JSON file
            beside it; see `cometflux.provenance`. The pixels stay as they are.
        grace: seconds that closing waits for submissions in flight and for images to be saved.

    Raises:
        ConfigError: an argument is out of range, or *embed* lacks its extra.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        max_pending: int = 64,
        poll_policy: PollPolicy | None = None,
        retry_policy: RetryPolicy | None = None,
        creates_per_minute: float | None = None,
        polls_per_minute: float | None = None,
        journal: str | Path | JournalWriter | None = None,
        on_event: Observer | None = None,
        on_unknown: OnUnknown = "hold",
        max_resends: int | None = None,
        max_predictions: int | None = None,
        retry_failed: int = 0,
        embed: bool = False,
        grace: float = 30.0,
    ) -> None:
        check_transport(transport)
        check_count("max_pending", max_pending, 1)
        check_count("retry_failed", retry_failed, 0)
        if max_predictions is not None:
            check_count("max_predictions", max_predictions, 0)
        check_seconds("grace", grace)
        check_embed(embed)
        check_limit("creates_per_minute", creates_per_minute)
        check_limit("polls_per_minute", polls_per_minute)
        check_type("poll_policy", poll_policy, PollPolicy)
        check_type("retry_policy", retry_policy, RetryPolicy)
        if on_event is not None and not callable(on_event):
            raise ConfigError(setting="on_event", given=on_event, allowed="allowed is a function that takes an event")
        policy = retry_policy or RetryPolicy()
        retries = Retries(self._now)
        self._creates = Pacer(MOST_POSTS, creates_per_minute)
        self._polls = Pacer(MOST_ASKS, polls_per_minute)
        self._client = client = Client(transport, self._heed)
        tell = None if on_event is None else _guarded(on_event)
        self._transport = transport
        self._max_pending = max_pending
        self._grace = grace
        self._tell = tell
        self._registry = JobTracker()
        if journal is not None and not isinstance(journal, JournalWriter):
            journal = JournalWriter(journal)
        self._ledger = JobJournal(journal, max_predictions, on_fault=self._stop)
        self._saver = Saver(client, policy, retries, embeds=embed)
        self._submitter = Submitter(
            client,
            self._saver,
            self._ledger,
            policy,
            UnknownPolicy(on_unknown, max_resends),
            clock=self._now,
            retries=retries,
            pacer=self._creates,
            call_at=self._call_at,
            check=self._check_usable,
            on_doom=self._stop,
            on_pause=lambda until: self._asker.hold(until),
            tell=tell,
        )
        self._asker = Poller(
            client,
            poll_policy or PollPolicy(),
            policy,
            clock=self._now,
            retries=retries,
            pacer=self._polls,
            call_at=self._call_at,
            spawn=self._spawn,
            conclude=lambda entry, prediction: self._carrier.conclude(entry, prediction),
            lose=lambda entry, error: self._carrier.lose(entry, error),
            on_pause=self._submitter.hold,
            learn=self._ledger.learn,
            tell=tell,
        )
        self._slots = asyncio.Semaphore(max_pending)
        self._changed = asyncio.Event()
        self._carrier = JobRunner(
            self._registry,
            self._ledger,
            self._submitter,
            self._asker,
            self._saver,
            self._slots,
            retry_failed=retry_failed,
            spawn=self._spawn,
            why_not_sent=self._why_not_sent,
            on_doom=self._stop,
            on_change=self._changed.set,
            tell=tell,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drawings: weakref.WeakSet[BatchState] = weakref.WeakSet()
        self._feeders: dict[BatchState, asyncio.Task[None]] = {}
        self._stopped: CometfluxError | None = None
        self._is_closed = False
        self._has_closed = asyncio.Event()

    # ── the public face ──────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, job: Job | object, *, patience: float | None = None) -> Prediction:
        """Submit one job and wait for its prediction.

        Cancelling this, or a timeout around it, gives a job up that has not been sent; one that has been sent is
        still brought to its end by the session, so that its id is not lost.

        Args:
            job: a `flux` object, a `Job`, or a prompt for `flux.Schnell`.
            patience: seconds to ask after it altogether; None for the poll policy's.

        Raises:
            InputError: the job is wrong; nothing was sent.
            PredictionError: it ended without a picture.
            PatienceError: it was not over in time; it goes on at the service.
            CometfluxError: it was not sent, was refused, or its fate is unknown; ``money`` tells which.
        """
        loop = self._check_usable()
        if patience is not None:
            check_seconds("patience", patience)
        ended: asyncio.Future[Outcome] = loop.create_future()

        def deliver(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        entry = self._enter(Job.of(job), deliver, patience=patience)
        self._carrier.launch(entry)
        try:
            return (await ended).result()
        except asyncio.CancelledError:
            self._carrier.give_up(entry)
            raise

    def generate(
        self, jobs: Iterable[Job | object] | AsyncIterable[Job | object], *, save_to: str | Path | Store | None = None
    ) -> Batch:
        """Run many jobs; iterate over the result for their outcomes, as they end, in any order.

        Jobs are drawn lazily: no further ahead than there are slots, and no further than the outcomes are taken.

        Args:
            jobs: any iterable or async iterable of `flux` objects, `Job` objects or prompts.
            save_to: the folder for the images, made where it is missing; or a place in an object store, as a URL
                (``s3://bucket/prefix``, ``gs://``, ``az://``) or made by `store.open_store`; None to save nothing. No
                file that is there already is replaced.

        Raises:
            InputError: *jobs* is no iterable of jobs.
            ConfigError: *save_to* is no path and no such URL.
        """
        self._check_usable()
        place = None if save_to is None else find_destination("save_to", save_to)

        def start(drawing: BatchState) -> None:
            self._check_usable()
            self._drawings.add(drawing)
            self._feeders[drawing] = self._spawn(self._feed(drawing, place))

        return Batch(BatchState(jobs, self._max_pending), start, self._leave)

    async def download(self, prediction: Prediction) -> tuple[bytes, ...]:
        """Fetch the images of a prediction, in the order of its output.

        Raises:
            InputError: *prediction* is none.
            OutputError: one of them cannot be had, or is no whole image.
        """
        self._check_usable(sends=False)
        check_prediction(prediction)
        return tuple([await self._saver.fetch(url) for url in prediction.output])

    async def save(
        self, prediction: Prediction, folder: str | Path | Store, name: str | None = None
    ) -> tuple[Path | StoredFile, ...]:
        """Save the images of a prediction below *folder*, each with a JSON record of how it was made.

        A file appears under its final name only when it is whole. Outputs expire at the service, so save soon. What
        this prediction has on the disk under that name already is neither fetched nor written again.

        Args:
            prediction: one that succeeded.
            folder: made where it is missing; or a place in an object store, as for `generate`.
            name: the files' name without its ending; None for the prediction's id.

        Raises:
            InputError: *prediction* is none, or *name* is not the name of a file in *folder*.
            ConfigError: *folder* is no path and no such URL.
            OutputError: an output is missing, too large or not an image; the prediction stays paid and known.
        """
        self._check_usable(sends=False)
        check_prediction(prediction)
        place = find_destination("folder", folder)
        stem = file_names.id_stem(prediction.id) if name is None else file_names.check_stem(name)
        record = sidecar.record_of(prediction, None, None, None)
        saved, error = await self._saver.save(prediction, place, stem, record, is_named=name is not None)
        if error is not None:
            raise error
        return tuple(image.path for image in saved)

    @property
    def client(self) -> Client:
        """The API's verbs, one exchange each, over the session's transport: ``get`` asks after an id that is known."""
        return self._client

    @property
    def pending(self) -> Mapping[str, Job]:
        """The predictions that are paid for and not over, by id."""
        return MappingProxyType({e.prediction_id: e.job for e in self._registry.pending if e.prediction_id})

    @property
    def accounting(self) -> Mapping[str, int]:
        """How many jobs this session took in (``all``), and what became of them; the parts always add up."""
        return MappingProxyType(self._registry.accounting)

    # ── opening and closing ──────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        if self._loop is not None or self._is_closed:
            raise SessionClosedError("a session is entered once")
        self._loop = asyncio.get_running_loop()
        try:
            await self._ledger.open()
            if self._is_closed:
                await self._ledger.aclose()
                raise SessionClosedError("the session was closed while it was opened")
            self._asker.take_up(self._ledger.learned)
        except BaseException:
            self._is_closed = True
            self._has_closed.set()
            await self._transport.aclose()
            raise
        self._spawn(self._asker.watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close: send nothing more, and wait for submissions in flight and images to be saved, for *grace* seconds.

        Whatever is still pending then ends as ``detached``: it is paid for, and its id is known.
        """
        if self._is_closed:
            await self._has_closed.wait()
            return
        self._is_closed = True
        try:
            self._close_drawings(SessionClosedError("the session was closed before the batch was over"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    while self._holds_money():
                        self._changed.clear()
                        await self._changed.wait()
        finally:
            try:
                await self._end_tasks()
            finally:
                self._end_jobs()
                try:
                    await self._ledger.aclose()
                finally:
                    self._has_closed.set()
                    await self._transport.aclose()

    async def _end_tasks(self) -> None:
        # Not the one that closes, which may draw jobs.
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=_FAREWELL)
            if left:
                _log.error("%d tasks of the session do not end though they were cancelled", len(left))

    def _end_jobs(self) -> None:
        for entry in self._registry.saving:
            self._carrier.end(entry, OutcomeKind.SUCCEEDED, OutputError(UNSAVED))
        for entry in self._registry.pending:
            self._carrier.lose(entry, SessionClosedError("the session was closed first", money=Money.ACCEPTED))

    def _holds_money(self) -> bool:
        """Whether closing now would lose an id, or a picture that was to be saved."""
        return (
            any(entry.sending for entry in self._registry.waiting)
            # What is not looked up yet may be bought already.
            or (self._ledger.is_kept and any(e.task and not e.is_looked_up for e in self._registry.waiting))
            or any(e.prediction and e.place is not None for e in (*self._registry.waiting, *self._registry.pending))
            or bool(self._registry.saving)
        )

    def _check_usable(self, *, sends: bool = True) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise SessionClosedError("the session is not open yet: enter it with 'async with'")
        if self._is_closed:
            raise SessionClosedError("the session is closed")
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigError("a session belongs to the event loop that entered it")
        if sends and self._stopped is not None:
            raise SessionStoppedError(self._stopped)
        return self._loop

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    def _call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        assert self._loop is not None
        return self._loop.call_at(when, callback)

    def _heed(self, request: Request, allowance: tuple[float, float]) -> None:
        """Heed what an answer tells of the requests that remain."""
        if self._loop is not None:
            pacer = self._creates if request.body is not None else self._polls
            pacer.told(*allowance, self._now())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the session broke", exc_info=error)

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _feed(self, drawing: BatchState, place: Folder | Store | None) -> None:
        """Draw jobs while there is room for their outcomes and a slot for each."""
        error: BaseException | None = None
        try:
            if place is not None:
                await place.prepare()
            deliver = drawing.deliver
            while True:
                await drawing.room()
                await self._submitted_enough()
                # Looked at, not held: the caller's iterable may take its time, and slots are for predictions.
                if self._slots.locked():
                    async with self._slots:
                        pass
                drawn = await drawing.draw()
                if drawn is None:
                    break
                await self._admit(drawing, drawn, deliver, place)
        except BaseException as raised:
            # The caller's iterable may raise anything, and it is handed on; but closing a drawing cancels this task.
            error = None if drawing.is_closed else raised
            if isinstance(raised, SystemExit | KeyboardInterrupt):
                raise
        finally:
            self._feeders.pop(drawing, None)
            drawing.close(error)

    async def _submitted_enough(self) -> None:
        """Wait until few enough jobs wait to be submitted: with thousands of slots, a task for each would be memory."""
        while self._registry.count_waiting >= _MOST_WAITING:
            self._changed.clear()
            await self._changed.wait()

    async def _admit(
        self, drawing: BatchState, drawn: PlannedJob, deliver: Callable[[Outcome], None], place: Folder | Store | None
    ) -> None:
        entry = self._enter(
            drawn.job,
            deliver,
            index=drawn.index,
            place=place,
            identity=drawn.identity,
            fingerprint=drawn.fingerprint,
        )
        try:
            # In the order of drawing, so that jobs that ask for the same are told apart alike in every run.
            await self._carrier.identify(entry, drawing.count_alike)
            if not (self._ledger.is_kept and self._slots.locked()):
                await self._slots.acquire()
                entry.holds_slot = True
        except asyncio.CancelledError:
            self._carrier.lose(entry, self._carrier.reason_not_sent())
            raise
        except Exception as error:  # noqa: BLE001 - the job ends, whatever is wrong with it
            self._carrier.lose(entry, error if isinstance(error, CometfluxError) else unforeseen(error, entry))
            return
        if entry.holds_slot:
            self._carrier.launch(entry)
            return
        entry.admitted = admitted = asyncio.Event()
        self._carrier.launch(entry)
        # It takes one itself, once it is known that it needs one.
        await admitted.wait()
        entry.admitted = None

    def _leave(self, drawing: BatchState) -> None:
        """Stop drawing because the caller has left, and give up what has not been sent."""
        self._close_drawing(drawing)
        for entry in self._registry.waiting:
            if entry.deliver == drawing.deliver:
                self._carrier.give_up(entry)

    def _close_drawings(self, error: CometfluxError) -> None:
        """Stop every batch, and give up every job that has not been sent."""
        for drawing in tuple(self._drawings):
            self._close_drawing(drawing, error)
        for entry in self._registry.waiting:
            self._carrier.give_up(entry)

    def _close_drawing(self, drawing: BatchState, error: CometfluxError | None = None) -> None:
        drawing.close(error)
        feeder = self._feeders.pop(drawing, None)
        if feeder is not None:
            feeder.cancel()

    def _enter(self, job: Job, deliver: Any, **values: Any) -> TrackedJob:
        entry = self._registry.enter(job, deliver, **values)
        if self._tell:
            entry.attempts = []
            self._tell(Submitted(key=entry.key, index=entry.index, model=job.model, job_id=id(entry)))
        return entry

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stop(self, cause: CometfluxError) -> None:
        """Send nothing more, for the first cause; what is pending is still asked after and saved."""
        if self._stopped is not None:
            return
        _log.info("the session sends nothing more: %s", cause)
        self._stopped = cause
        for drawing in tuple(self._drawings):
            if self._ledger.is_owing and drawing.is_finite:
                # What earlier runs have paid for may still be to come; it is asked after and saved.
                drawing.note(SessionStoppedError(cause))
            else:
                self._close_drawing(drawing, SessionStoppedError(cause))
        for entry in self._registry.waiting:
            self._carrier.give_up(entry)

    def _why_not_sent(self) -> CometfluxError | None:
        if self._stopped is not None:
            return SessionStoppedError(self._stopped)
        if self._is_closed:
            return SessionClosedError("the session was closed first")
        return None


def _guarded(on_event: Observer) -> Callable[[Event], None]:
    """Keep an observer's exceptions away from the work; the first is logged."""
    has_raised = False

    def tell(event: Event) -> None:
        nonlocal has_raised
        try:
            on_event(event)
        except Exception:  # noqa: BLE001 - an observer of the caller's may raise anything
            if not has_raised:
                has_raised = True
                _log.exception("on_event raised; further exceptions of it are not logged")

    return tell
