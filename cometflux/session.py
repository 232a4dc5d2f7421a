"""Many at once: the slots, the registry, and one loop that asks after everything pending.

The way of one submission, in this order and no other::

    slot → files read → place among the POSTs → pacer → is the session stopped? → POST → registry → schedule

From the moment before the POST until its answer is in the registry, nothing but the end of the event loop
interrupts it: the task that carries it belongs to the session, not to whoever awaits the result.
"""

import asyncio
import contextlib
import logging
import math
import weakref
from collections.abc import AsyncIterable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import attrs

from cometflux import protocol, storage
from cometflux.batch import Batch, Drawing
from cometflux.client import Client
from cometflux.errors import (
    AnswerError,
    CometfluxError,
    ConfigError,
    Money,
    OutputError,
    PatienceError,
    RateLimitError,
    RejectedError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
)
from cometflux.events import Accepted, Ended, Event, Observer, Polled, Saved, Submitted, Throttled
from cometflux.jobs import Job, Kind
from cometflux.pacing import Breaker, Pacer
from cometflux.polling import Poll, PollPolicy, Schedule, check_seconds
from cometflux.predictions import Prediction
from cometflux.protocol import Request
from cometflux.registry import Entry, Outcome, Registry, kind_of_loss, verdict
from cometflux.retry import RetryPolicy, retrying
from cometflux.transport import Transport

_log = logging.getLogger("cometflux")

MOST_POSTS = 100
"""Submissions in flight at most. With questions and downloads this makes 316 sockets, far below the usual 1024."""
MOST_ASKS = 200
"""Questions in flight at most."""
MOST_DOWNLOADS = 16
"""Outputs fetched at the same time at most; twice as many unsaved ones hold up submission."""


class Session:
    """Runs many predictions at once over one transport.

    Enter it with ``async with``. Usually made by `open_session`; make it yourself to bring your own transport.

    Args:
        transport: what moves the bytes; closed with the session.
        max_pending: how many predictions may be under way at once.
        poll_policy: how often to ask after each, and for how long.
        retry_policy: how to repeat what is free of risk.
        on_event: called on the loop with each event of `cometflux.events`; its exceptions are logged once.
        grace: seconds that closing waits for submissions in flight and for images to be saved.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        max_pending: int = 64,
        poll_policy: PollPolicy | None = None,
        retry_policy: RetryPolicy | None = None,
        on_event: Observer | None = None,
        grace: float = 30.0,
    ) -> None:
        if isinstance(max_pending, bool) or not isinstance(max_pending, int) or max_pending < 1:
            raise ConfigError(f"max_pending={max_pending!r}: allowed is a whole number from 1")
        check_seconds("grace", grace)
        self._transport = transport
        self._client = Client(transport)
        self._max_pending = max_pending
        self._retry_policy = retry_policy or RetryPolicy()
        self._on_event = on_event
        self._grace = grace

        self._registry = Registry()
        self._schedule = Schedule(poll_policy or PollPolicy())
        self._post_pacer, self._ask_pacer, self._breaker = Pacer(), Pacer(), Breaker()
        self._attempt = retrying(self._post, self._retry_policy, _may_send_again)
        # The schedule asks again anyway, so only a passing fault is worth asking twice at once.
        twice = attrs.evolve(self._retry_policy, tries=min(2, self._retry_policy.tries))
        self._get = retrying(self._client.get, twice, _may_ask_again)
        self._fetch = retrying(self._fetch_image, self._retry_policy, _may_fetch_again)

        self._slots = asyncio.Semaphore(max_pending)
        self._posts = asyncio.Semaphore(MOST_POSTS)
        self._asks = asyncio.Semaphore(MOST_ASKS)
        self._downloads = asyncio.Semaphore(MOST_DOWNLOADS)
        self._wake = asyncio.Event()
        self._wakes_at = math.inf
        self._changed = asyncio.Event()
        self._saving: set[Entry] = set()
        self._caught_up = asyncio.Event()
        self._caught_up.set()

        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drawings: weakref.WeakSet[Drawing] = weakref.WeakSet()
        self._feeders: dict[Drawing, asyncio.Task[None]] = {}
        self._stopped: CometfluxError | None = None
        self._is_closed = False
        self._has_complained = False

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
        self._launch(entry)
        try:
            return (await ended).result()
        except asyncio.CancelledError:
            _give_up(entry)
            raise

    def generate(
        self, jobs: Iterable[Job | object] | AsyncIterable[Job | object], *, save_to: str | Path | None = None
    ) -> Batch:
        """Run many jobs; iterate over the result for their outcomes, as they end, in any order.

        Jobs are drawn lazily: no further ahead than there are slots, and no further than the outcomes are taken.

        Args:
            jobs: any iterable or async iterable of `flux` objects, `Job` objects or prompts.
            save_to: the folder for the images, made where it is missing; None to save nothing. No file that is
                there already is replaced.

        Raises:
            InputError: *jobs* is no iterable of jobs.
        """
        self._check_usable()
        folder = None if save_to is None else Path(save_to)

        def start(drawing: Drawing) -> None:
            self._check_usable()
            self._drawings.add(drawing)
            self._feeders[drawing] = self._spawn(self._feed(drawing, folder))

        return Batch(Drawing(jobs, self._max_pending), start, self._leave)

    async def download(self, prediction: Prediction) -> tuple[bytes, ...]:
        """Fetch the images of a prediction, in the order of its output.

        Raises:
            OutputError: one of them cannot be had, or is no whole image.
        """
        self._check_usable(sends=False)
        return tuple([await self._fetch(url) for url in prediction.output])

    async def save(self, prediction: Prediction, folder: str | Path, name: str | None = None) -> tuple[Path, ...]:
        """Save the images of a prediction below *folder*, each with a JSON record of how it was made.

        A file appears under its final name only when it is whole. Outputs expire at the service, so save soon.

        Args:
            prediction: one that succeeded.
            folder: made where it is missing.
            name: the files' name without its ending; None for the prediction's id.

        Raises:
            OutputError: an output is missing, too large or not an image; the prediction stays paid and known.
        """
        self._check_usable(sends=False)
        record = storage.record_of(prediction, None, None, None)
        files, error = await self._save_all(prediction, Path(folder), name or prediction.id, record)
        if error is not None:
            raise error
        return files

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
        if self._loop is not None:
            raise SessionClosedError("a session is entered once")
        self._loop = asyncio.get_running_loop()
        self._spawn(self._watch())
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
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for entry in self._registry.pending:
                self._lose(entry, SessionClosedError("the session was closed first", money=Money.ACCEPTED))
            await self._transport.aclose()

    def _holds_money(self) -> bool:
        """Whether closing now would lose an id, or a picture that was to be saved."""
        return any(entry.sending for entry in self._registry.waiting) or any(
            entry.folder is not None for entry in self._registry.pending
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("cometflux: a task of the session broke", exc_info=error)

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _feed(self, drawing: Drawing, folder: Path | None) -> None:
        """Draw jobs while there is room for their outcomes and a slot for each."""
        error: Exception | None = None
        try:
            if folder is not None:
                await asyncio.to_thread(storage.prepare_folder, folder)
            while True:
                await drawing.room()
                # Looked at, not held: the caller's iterable may take its time, and slots are for predictions.
                async with self._slots:
                    pass
                job = await drawing.draw()
                if job is None:
                    break
                await self._admit(self._enter(job, drawing.deliver, index=drawing.drawn - 1, folder=folder))
        except Exception as raised:  # noqa: BLE001 - the caller's iterable may raise anything; it is handed on
            error = raised
        finally:
            self._feeders.pop(drawing, None)
            drawing.close(error)

    async def _admit(self, entry: Entry) -> None:
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            self._lose(entry, self._why_not_sent())
            raise
        entry.holds_slot = True
        self._launch(entry)

    def _leave(self, drawing: Drawing) -> None:
        """Stop drawing because the caller has left, and give up what has not been sent."""
        self._close_drawing(drawing)
        for entry in self._registry.waiting:
            if entry.deliver == drawing.deliver:
                _give_up(entry)

    def _close_drawings(self, error: CometfluxError) -> None:
        """Stop every batch, and give up every job that has not been sent."""
        for drawing in tuple(self._drawings):
            self._close_drawing(drawing, error)
        for entry in self._registry.waiting:
            _give_up(entry)

    def _close_drawing(self, drawing: Drawing, error: CometfluxError | None = None) -> None:
        drawing.close(error)
        feeder = self._feeders.pop(drawing, None)
        if feeder is not None:
            feeder.cancel()

    def _enter(self, job: Job, deliver: Any, **values: Any) -> Entry:
        entry = self._registry.enter(job, deliver, **values)
        if self._on_event:
            self._tell(Submitted(key=entry.key, index=entry.index))
        return entry

    # ── submitting ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _launch(self, entry: Entry) -> None:
        entry.task = self._spawn(self._submit(entry))
        # Not in the coroutine itself: a task that is cancelled before its first step never enters it.
        entry.task.add_done_callback(lambda task: self._cut_off(task, entry))

    def _cut_off(self, task: asyncio.Task[None], entry: Entry) -> None:
        if not task.cancelled() or entry.is_over:
            return
        if entry.sending:
            message = "the submission was cut off while its answer was awaited"
            self._lose(entry, UnknownSubmissionError(message, "cancelled"))
        else:
            self._lose(entry, self._why_not_sent())

    async def _submit(self, entry: Entry) -> None:
        """Bring a job to the service, or to its end."""
        try:
            if not entry.holds_slot:
                await self._slots.acquire()
                entry.holds_slot = True
            prediction = await self._offer(entry, await storage.read_images(entry.job))
        except CometfluxError as error:
            self._lose(entry, error)
        except Exception as error:  # noqa: BLE001 - a transport of the caller's may raise anything; no job is dropped
            self._lose(entry, _unforeseen(error, entry))
        else:
            self._accept(entry, prediction)

    async def _offer(self, entry: Entry, job: Job) -> Prediction:
        """Submit *job* again and again while the service asks to slow down."""
        give_up = self._now() + self._retry_policy.throttled_for
        while True:
            try:
                return await self._attempt(entry, job)
            except RateLimitError:
                if self._now() >= give_up:
                    raise

    async def _post(self, entry: Entry, job: Job) -> Prediction:
        """Submit *job* once."""
        # Outputs expire, so saving what is paid for comes before paying for more.
        await self._caught_up.wait()
        async with self._posts:
            await self._pace(self._post_pacer)
            if self._stopped is not None or self._is_closed:
                raise self._why_not_sent()
            sent = self._now()
            entry.sending = True
            try:
                prediction = await self._client.create(job)
            except CometfluxError as error:
                entry.sending = False
                self._judge(error, sent)
                raise
            self._breaker.answered()
            self._post_pacer.accepted()
            return prediction

    async def _pace(self, pacer: Pacer) -> None:
        while True:
            now = self._now()
            leave = pacer.reserve(now)
            if leave > now:
                await asyncio.sleep(leave - now)
            if not pacer.is_paused(self._now()):
                return

    def _judge(self, error: CometfluxError, sent: float) -> None:
        """Learn for all tasks from what one submission met."""
        now = self._now()
        doomed = protocol.stops_submission(error)
        if isinstance(error, RateLimitError):
            self._throttle(self._post_pacer, error, sent)
        if isinstance(error, UnknownSubmissionError):
            doomed = self._breaker.unknown(now) or doomed
        elif isinstance(error, RejectedError):
            self._breaker.answered()
        if doomed and self._stopped is None:
            self._stop(error)

    def _throttle(self, pacer: Pacer, error: RateLimitError, sent: float) -> None:
        seconds = pacer.refused(sent, self._now(), error.retry_after)
        if self._on_event:
            self._tell(Throttled(seconds=seconds))

    def _stop(self, cause: CometfluxError) -> None:
        """Send nothing more; what is pending is still asked after and saved."""
        _log.warning("cometflux: the session sends nothing more: %s", cause)
        self._stopped = cause
        self._close_drawings(SessionStoppedError(cause))

    def _why_not_sent(self) -> CometfluxError:
        if self._stopped is not None:
            return SessionStoppedError(self._stopped)
        if self._is_closed:
            return SessionClosedError("the session was closed first")
        return CometfluxError("the caller gave the job up")

    def _accept(self, entry: Entry, prediction: Prediction) -> None:
        entry.sending = False
        self._registry.accept(entry, prediction)
        self._changed.set()
        if self._on_event:
            self._tell(Accepted(key=entry.key, index=entry.index, prediction_id=prediction.id))
        if prediction.status.is_terminal:
            self._conclude(entry, prediction)
            return
        self._schedule.add(entry, self._now(), entry.patience)
        due = self._schedule.next_due
        if due is not None and due < self._wakes_at:
            self._wake.set()

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        """Ask after whatever is due, for as long as the session lives."""
        assert self._loop is not None
        while True:
            self._wake.clear()
            for poll in self._schedule.pop_due(self._now()):
                await self._attend(poll)
            due = self._schedule.next_due
            self._wakes_at = math.inf if due is None else due
            timer = None if due is None else self._loop.call_at(due, self._wake.set)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    async def _attend(self, poll: Poll) -> None:
        now = self._now()
        if now >= poll.ends:
            self._detach(poll.subject)
        elif self._ask_pacer.is_paused(now):
            self._schedule.put(poll, self._ask_pacer.resume)
        else:
            # Waited for here, so that no question's own time runs while it waits.
            await self._asks.acquire()
            self._spawn(self._ask(poll))

    async def _ask(self, poll: Poll) -> None:
        """Ask once; a question that fails changes nothing for its prediction."""
        entry: Entry = poll.subject
        sent = self._now()
        prediction = None
        entry.trouble = None
        try:
            assert entry.prediction_id is not None
            async with asyncio.timeout_at(poll.ends):
                prediction = await self._get(entry.prediction_id)
            self._ask_pacer.accepted()
        except TimeoutError:
            pass  # patience is over, which the loop will see
        except CometfluxError as error:
            entry.trouble = error
            if isinstance(error, RateLimitError):
                self._throttle(self._ask_pacer, error, sent)
        except Exception as error:  # noqa: BLE001 - a transport of the caller's may raise anything
            _log.exception("cometflux: a question broke")
            entry.trouble = AnswerError(f"the transport broke ({type(error).__name__})")
        finally:
            self._asks.release()
        if entry.is_over:
            return
        if self._on_event:
            status = prediction.status if prediction else None
            self._tell(
                Polled(key=entry.key, prediction_id=poll.subject.prediction_id, status=status, error=entry.trouble)
            )
        if prediction is not None and prediction.status.is_terminal:
            self._conclude(entry, prediction)
            return
        entry.prediction = prediction or entry.prediction
        self._schedule.again(poll, self._now(), failed=prediction is None)
        due = self._schedule.next_due
        if due is not None and due < self._wakes_at:
            self._wake.set()

    def _detach(self, entry: Entry) -> None:
        trouble = f"; the last question failed: {entry.trouble.message}" if entry.trouble else ""
        self._lose(entry, PatienceError(f"the prediction was not over when patience ended{trouble}"))

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _conclude(self, entry: Entry, prediction: Prediction) -> None:
        """Take the service's last word."""
        entry.prediction = prediction
        self._free_slot(entry)
        kind, error = verdict(prediction)
        if error is None and entry.folder is not None:
            self._saving.add(entry)
            self._check_backlog()
            self._spawn(self._save_entry(entry, prediction, entry.folder))
        else:
            self._end(entry, kind, error)

    async def _save_entry(self, entry: Entry, prediction: Prediction, folder: Path) -> None:
        files: tuple[Path, ...] = ()
        error: CometfluxError | None = OutputError("the session was closed before the images were saved")
        try:
            record = storage.record_of(prediction, entry.job, entry.key, entry.index)
            stem = storage.file_stem(entry.index, entry.job)
            files, error = await self._save_all(prediction, folder, stem, record)
            if files and self._on_event:
                self._tell(Saved(key=entry.key, prediction_id=prediction.id, files=files))
        except Exception as broken:  # noqa: BLE001 - the job ends, whatever broke
            _log.exception("cometflux: saving broke")
            error = OutputError(f"saving broke ({type(broken).__name__}: {broken})")
        finally:
            self._saving.discard(entry)
            self._check_backlog()
            self._end(entry, Kind.SUCCEEDED, error, files)

    def _check_backlog(self) -> None:
        if len(self._saving) < 2 * MOST_DOWNLOADS:
            self._caught_up.set()
        else:
            self._caught_up.clear()

    async def _save_all(
        self, prediction: Prediction, folder: Path, stem: str, record: dict[str, Any]
    ) -> tuple[tuple[Path, ...], OutputError | None]:
        """Save what can be saved; return the files, and the first error where some are missing."""
        many = len(prediction.output) > 1
        files: list[Path] = []
        first: OutputError | None = None
        for number, url in enumerate(prediction.output, 1):
            try:
                data = await self._fetch(url)
                name = f"{stem}-{number}" if many else stem
                files.append(await asyncio.to_thread(storage.write_output, folder, name, data, record))
            except OutputError as error:
                error.prediction_id = prediction.id
                first = first or error
        if not prediction.output:
            first = OutputError("there is no output to save", prediction_id=prediction.id)
        return tuple(files), first

    async def _fetch_image(self, url: str) -> bytes:
        async with self._downloads:
            data = await self._client.download(url)
        storage.check_image(data)
        return data

    def _lose(self, entry: Entry, error: CometfluxError) -> None:
        """End a job without the service's last word."""
        self._end(entry, kind_of_loss(error), error)

    def _end(self, entry: Entry, kind: Kind, error: CometfluxError | None = None, files: tuple[Path, ...] = ()) -> None:
        self._free_slot(entry)
        entry.sending = False
        outcome = self._registry.end(entry, kind, error, files)
        self._changed.set()
        if self._on_event:
            self._tell(
                Ended(key=entry.key, index=entry.index, kind=kind, prediction_id=entry.prediction_id, error=error)
            )
        entry.deliver(outcome)

    def _free_slot(self, entry: Entry) -> None:
        if entry.holds_slot:
            entry.holds_slot = False
            self._slots.release()

    def _tell(self, event: Event) -> None:
        assert self._on_event is not None
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - an observer of the caller's may raise anything
            if not self._has_complained:
                self._has_complained = True
                _log.exception("cometflux: on_event raised; this is logged once")


_POST, _GET = Request("POST", ""), Request("GET", "")


def _may_send_again(error: CometfluxError) -> bool:
    # A 429 goes back to the pacer, which holds all tasks, instead of waiting here alone.
    return not isinstance(error, RateLimitError) and protocol.may_retry(_POST, error)


def _may_ask_again(error: CometfluxError) -> bool:
    return not isinstance(error, RateLimitError) and protocol.may_retry(_GET, error)


def _may_fetch_again(error: CometfluxError) -> bool:
    return protocol.may_retry(_GET, error)


def _give_up(entry: Entry) -> None:
    """Stop a submission that has not left; one that may have left is never stopped."""
    if entry.task is not None and not entry.sending and entry.prediction is None:
        entry.task.cancel()


def _unforeseen(error: Exception, entry: Entry) -> CometfluxError:
    name = type(error).__name__
    if entry.sending:
        return UnknownSubmissionError(f"the transport broke while the submission was under way ({name})", name)
    return CometfluxError(f"the job could not be sent ({name}: {error})")
