"""Many jobs at once: the session puts the parts of the engine together, and opens and closes them.

A session owns everything that runs: the task of a job is the session's, not that of the caller who awaits the result.
"""

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self, overload

from cometflux.account.settler import AccountSettler
from cometflux.engine.caller_saves import CallerSaves
from cometflux.engine.failure_policy import FailurePolicy
from cometflux.engine.follower import Follower
from cometflux.engine.latch import Latch
from cometflux.engine.notifier import Notifier
from cometflux.engine.poller import MOST_POLLS, Poller
from cometflux.engine.purchase_limit import PurchaseLimit
from cometflux.engine.runner import JobRunner
from cometflux.engine.runtime import Runtime
from cometflux.engine.saver import Saver
from cometflux.engine.savers import Savers
from cometflux.engine.submitter import MOST_POSTS, Submitter
from cometflux.engine.tracking import JobTracker
from cometflux.engine.unknown_policy import OnUnknown, UnknownPolicy
from cometflux.errors import ConfigError, SessionClosedError
from cometflux.events import Observer
from cometflux.jobs import Job
from cometflux.journal.background import BackgroundWriter
from cometflux.journal.base import JournalBackend, NoJournal, Opened
from cometflux.journal.writer import JournalWriter
from cometflux.locations import StoredFile
from cometflux.number_checks import check_count, check_limit, check_seconds
from cometflux.outcomes import Outcome
from cometflux.pacing.admission import AdmissionQueue
from cometflux.pacing.pacer import Pacer
from cometflux.pacing.retry import Retries, RetryPolicy
from cometflux.polling.policy import PollPolicy
from cometflux.predictions import Prediction
from cometflux.protocol.requests import Request, check_id
from cometflux.provenance.signing import Signer
from cometflux.session import one_job
from cometflux.session.argument_checks import (
    check_chains,
    check_prediction,
    check_redo,
    check_transport,
    check_type,
)
from cometflux.session.batch import Batch, BatchState
from cometflux.session.closing import Closing
from cometflux.session.feeder import Feeder
from cometflux.session.settings import check_flag
from cometflux.storage.destination import find_destination
from cometflux.storage.folder import Folder
from cometflux.storage.naming import find_names
from cometflux.storage.object_store import Store
from cometflux.transport.base import Transport
from cometflux.transport.client import Client


class Session:
    """Runs many predictions concurrently over one transport.

    Enter it with ``async with``. It is usually made by `open_session`; make it yourself to use your own transport.

    The arguments that are not listed here are those of `open_session`.

    Args:
        transport: sends the requests; closed with the session.
        journal: as for `open_session`, which alone checks that the journal belongs to the same API key and base URL.
        savers: objects that save the outputs elsewhere, such as on the workers of a cluster; opened and closed with the
            session. None to save in this process.
        settler: looks in the account, for ``on_unknown="settle"``; `open_session` makes it.
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
        creates_per_minute: float | None = None,
        polls_per_minute: float | None = None,
        journal: str | Path | JournalWriter | None = None,
        on_event: Observer | None = None,
        on_unknown: OnUnknown = "hold",
        max_resends: int | None = None,
        max_predictions: int | None = None,
        max_cost: float | Decimal | None = None,
        prices: Mapping[str, Any] | None = None,
        retry_failed: int = 0,
        reseed: int = 0,
        embed: bool = False,
        sign: Signer | None = None,
        savers: Savers | None = None,
        settler: AccountSettler | None = None,
        grace: float = 30.0,
    ) -> None:
        check_transport(transport)
        check_count("max_pending", max_pending, 1)
        failures = FailurePolicy(retry_failed=retry_failed, reseed=reseed)
        check_seconds("grace", grace)
        check_flag("embed", embed)
        check_type("sign", sign, Signer)
        if sign is not None and savers is not None:
            raise ConfigError("sign and savers exclude each other: the private key stays in this process")
        check_limit("creates_per_minute", creates_per_minute)
        check_limit("polls_per_minute", polls_per_minute)
        check_type("poll_policy", poll_policy, PollPolicy)
        check_type("retry_policy", retry_policy, RetryPolicy)
        if on_event is not None and not callable(on_event):
            raise ConfigError(setting="on_event", given=on_event, allowed="must be a function that takes an event")
        self._transport = transport
        self._max_pending = max_pending
        self._runtime = runtime = Runtime()
        self._latch = latch = Latch()
        notifier = Notifier(on_event, runtime.exit)
        retries = Retries(runtime, retry_policy)
        self._creates = Pacer(MOST_POSTS, creates_per_minute)
        self._polls = Pacer(MOST_POLLS, polls_per_minute)
        self._creates.mate, self._polls.mate = self._polls, self._creates
        self._client = client = Client(transport, self._apply_quota)
        limit = PurchaseLimit(max_predictions, max_cost, prices)
        backend = _open_journal(journal, latch)
        self._tracker = JobTracker(backend, limit, notifier)
        self._opened = Opened()
        self._saver = Saver(client, retries.policy, retries, embeds=embed, signer=sign)
        self._caller_saves = CallerSaves(self._tracker, backend, self._saver)
        self._savers = savers = self._saver if savers is None else savers
        limiter = AdmissionQueue(self._creates, runtime, notifier.throttled)
        unknowns = UnknownPolicy(on_unknown, max_resends, settler)
        submitter = Submitter(client, savers, self._tracker, limiter, unknowns, retries, latch, runtime)
        self._poller = Poller(client, poll_policy or PollPolicy(), retries, self._polls, runtime, notifier)
        slots = asyncio.Semaphore(max_pending)
        self._runner = JobRunner(self._tracker, submitter, self._poller, savers, slots, latch, runtime, failures)
        self._follower = Follower(self._tracker, self._runner, self._poller, latch, runtime)
        self._feeder = feeder = Feeder(self._tracker, self._runner, savers, slots, runtime)
        latch.on_stop = feeder.stop
        self._closing = Closing(
            self._tracker, self._runner, latch, runtime, transport, savers, grace, feeder.give_up_all
        )
        runtime.on_exit, runtime.on_defect = self._closing.interrupt, self._closing.fail

    # ── the public face ──────────────────────────────────────────────────────────────────────────────────────────────

    @overload
    async def run(self, job: Job | object, *, patience: float | None = None) -> Prediction: ...

    @overload
    async def run(
        self, job: Job | object, *, patience: float | None = None, save_to: str | Path | Store | Folder
    ) -> Outcome: ...

    async def run(
        self,
        job: Job | object,
        *,
        patience: float | None = None,
        save_to: str | Path | Store | Folder | None = None,
    ) -> Prediction | Outcome:
        """Submit one job, and wait for its prediction; with *save_to*, wait for its images too, and return the outcome.

        If you cancel this, or a timeout around it elapses, a job that was not sent is dropped. If the job was sent, the
        session follows its prediction to the end: the exception has a note with the id, the prediction stays in
        `pending` until then, and its end is logged.

        Args:
            job: a `flux` object, a `Job`, or a prompt for `flux.Schnell`.
            patience: seconds to poll it in total; None for the poll policy's.
            save_to: the folder for the images, as for `generate`; None to save nothing. `Outcome.files` has their
                paths. With a journal, no later run fetches them, and a job with a key that is saved is returned as
                `Outcome.resumed`.

        Raises:
            InputError: the job is wrong; nothing was sent.
            ConfigError: *save_to* is not a place, or cannot be written to; nothing was sent.
            PredictionError: it ended without an image.
            OutputError: an image cannot be saved; it is paid for, and its id is known.
            PatienceError: it was not over in time; it continues at the service.
            CometfluxError: it was not sent, was rejected, or may have been accepted; ``money`` says which.
        """
        self._check_usable()
        if patience is not None:
            check_seconds("patience", patience)
        job = Job.of(job)
        place = None if save_to is None else find_destination("save_to", save_to)
        if place is not None:
            await self._savers.prove(place)
            self._check_usable()
        outcome = await one_job.run(self._tracker, self._runner, job, patience, place)
        prediction = outcome.result()
        return prediction if place is None else outcome

    async def submit(self, job: Job | object, *, key: str | None = None) -> str:
        """Submit one job, and return its prediction's id as soon as the id is durable.

        The session polls the prediction to its end. Until then it is in `pending` and has a slot, so with
        ``max_pending`` predictions pending, the next submission waits. `follow` waits for the end, here or in another
        process. Closing the session detaches the prediction, whose id the journal knows. If the
        prediction fails, the job is not submitted again, even with *retry_failed*, because the id would change.

        If you cancel this, a job that was not sent is dropped, as with `run`.

        Args:
            job: as for `run`.
            key: the job's key; None for the key that it has. With a journal, a job with a key is submitted once: if the
                journal knows it, its id is returned; if it is pending in this session, this waits until it is over.

        Raises:
            InputError: the job or the key is wrong; nothing was sent.
            CometfluxError: it was not sent, was rejected, or may have been accepted; ``money`` says which.
        """
        self._check_usable()
        return await one_job.submit(self._tracker, self._runner, Job.of(job, key=key))

    async def follow(self, prediction_id: str, *, patience: float | None = None) -> Prediction:
        """Wait for the end of a prediction that this session, an earlier run or another process submitted.

        The session polls it like every other prediction, with one loop and one rate limit. Many tasks may follow one
        id, and an id that is pending here is not polled twice. It costs nothing and needs no slot, because nothing is
        submitted. If the journal knows the id, it records the end.

        If you cancel this, the session still follows the prediction: it stays in `pending` until its end.

        Args:
            prediction_id: the id, as `submit` returned it.
            patience: seconds to wait; None for the poll policy's patience.

        Raises:
            InputError: the id is not valid; nothing was sent.
            PredictionError: it ended without an image.
            PatienceError: it was not over in time; it continues at the service.
            RejectedError: the service rejected every poll for 30 seconds; with status 404 the id may not exist.
            SessionClosedError: the session was closed before that.
        """
        self._check_usable(sends=False)
        if patience is not None:
            check_seconds("patience", patience)
        return await self._follower.follow(check_id(prediction_id), patience)

    def generate(
        self,
        jobs: Iterable[Job | object] | AsyncIterable[Job | object],
        *,
        save_to: str | Path | Store | Folder | None = None,
        redo: Iterable[str] = (),
        name: str | None = None,
    ) -> Batch:
        """Run many jobs, and yield their outcomes as they end, in any order.

        Jobs are taken lazily: only when a slot is free, and only if the outcomes are taken.

        Args:
            jobs: any iterable or async iterable of `flux` objects, `Job` objects or prompts. A job may take the output
                of one before it in place of an image; that needs *save_to* and a journal.
            redo: the jobs to redo, and to pay for again, although the journal says that they are over: states
                (``failed``, ``canceled``, ``expired``, ``rejected``) and keys. Their input may have changed. A key
                redoes its job each time that it is given, even if the job is saved or unknown.
            save_to: the folder for the images, created if it is missing; or a place in an object store, as a URL
                (``s3://bucket/prefix``, ``gs://``, ``az://``) or from `open_store`; None to save nothing. No existing
                file is replaced.
            name: the template of the files' names, as ``"{model}/{seed}"``: ``index``, ``key``, ``model``, ``slug``,
                and the names of parameters and tags. A job that the journal knows keeps its name. None for
                ``"{index:05d}-{slug}"``.

        Raises:
            InputError: *jobs* is not an iterable of jobs, is a list in which a job takes the output of a later job, or
                *name* is not such a template. An item that is not a job, a key or a name that an earlier job has, or an
                unsafe name ends the batch when its job is taken: the error is raised after the last outcome.
            ConfigError: *save_to* is neither a path nor such a URL, or *redo* is wrong or there is no journal.
        """
        self._check_usable()
        wanted = check_redo(redo, has_journal=self._tracker.keeps)
        place = None if save_to is None else find_destination("save_to", save_to)
        names = find_names(name)
        check_chains(jobs, is_possible=place is not None and self._tracker.keeps)

        def start(batch: BatchState) -> None:
            self._check_usable()
            self._feeder.start(batch, place)

        return Batch(BatchState(jobs, self._max_pending, wanted, names), start, self._feeder.leave)

    async def download(self, prediction: Prediction) -> tuple[bytes, ...]:
        """Fetch the images of a prediction, in the order of its output.

        Raises:
            InputError: *prediction* is not a prediction.
            OutputError: one of them cannot be fetched, or is not a whole image.
        """
        self._check_usable(sends=False)
        check_prediction(prediction)
        return await self._caller_saves.fetch(prediction)

    async def save(
        self, prediction: Prediction, folder: str | Path | Store | Folder, name: str | None = None
    ) -> tuple[Path | StoredFile, ...]:
        """Save the images of a prediction in *folder*, each with a JSON record of how it was made.

        A file appears under its final name only when it is complete. The service deletes outputs, so save soon. An
        image of this prediction that is already on disk under that name is neither fetched nor written again. With a
        journal, the JSON record also has the job's key and submission; if *folder* is the journal's own, the journal
        records that the images are saved, so that no later run fetches them.

        Args:
            prediction: a prediction that succeeded.
            folder: created if it is missing; or a place in an object store, as for `generate`.
            name: the files' name without its ending; None for the prediction's id.

        Raises:
            InputError: *prediction* is not a prediction, or *name* is not the name of a file in *folder*.
            ConfigError: *folder* is neither a path nor such a URL.
            OutputError: an output is missing, too large or not an image; it is paid for, and its id is known.
        """
        self._check_usable(sends=False)
        check_prediction(prediction)
        place = find_destination("folder", folder)
        saved = await self._caller_saves.save(prediction, place, name, self._opened.place)
        if saved.error is not None:
            raise saved.error
        return tuple(image.path for image in saved.files)

    @property
    def client(self) -> Client:
        """The API's verbs, one request each, over the session's transport; ``get`` polls an id once."""
        return self._client

    @property
    def pending(self) -> Mapping[str, Job]:
        """The predictions that are paid for and not over, by id.

        If a prediction was followed by its id, its job is what the service's last response shows.
        """
        pending = self._tracker.pending
        return MappingProxyType({each.prediction.id: each.seen_job for each in pending if each.prediction})

    @property
    def accounting(self) -> Mapping[str, int]:
        """How many jobs this session took (``all``), and how many ended in each way; they always add up."""
        return MappingProxyType(self._tracker.accounting)

    # ── opening and closing ──────────────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        if self._runtime.loop is not None or self._latch.is_closed:
            raise SessionClosedError("a session is entered once")
        self._runtime.enter()
        self._latch.enter()
        self._closing.enter()
        try:
            self._opened = await self._tracker.open()
            self._feeder.has_unfinished = self._opened.has_unfinished
            self._feeder.has_saved = self._opened.has_saved
            if self._latch.is_closed:
                await self._tracker.aclose()
                raise SessionClosedError("the session was closed while it was opened")
            await self._savers.open(self._saver)
        except BaseException:
            self._closing.begin()
            await self._closing.wait()
            raise
        self._runtime.spawn(self._poller.watch(self._runner))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close: send nothing more, and wait for submissions in flight and images to be saved, for *grace* seconds.

        Predictions that are still pending then end as ``detached``: they are paid for, and their ids are known. If you
        cancel this, the session is closed all the same, and the cancellation is raised afterwards.
        """
        if self._runtime.loop is None:
            self._latch.is_closed = True
            await self._transport.aclose()
            return
        self._check_loop()
        self._closing.begin()
        await self._closing.wait()

    def hurry(self) -> None:
        """Close, and wait only for submissions in flight: the next run with the journal saves the images."""
        self._closing.hurry()

    def end_grace(self) -> None:
        """Wait no longer, if the session is closing: submissions in flight end as ``unknown``."""
        self._closing.end_grace()

    def _check_usable(self, *, sends: bool = True) -> None:
        if self._runtime.loop is None:
            raise SessionClosedError("the session is not open yet: enter it with 'async with'")
        if self._latch.is_closed:
            raise self._latch.closed("the session is closed")
        self._latch.check(sends=sends)
        self._check_loop()

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._runtime.loop:
            raise ConfigError("a session belongs to the event loop that entered it")

    def _apply_quota(self, request: Request, quota: tuple[float, float]) -> None:
        """Slow down by what a response says of the requests that remain."""
        if self._runtime.loop is not None:
            pacer = self._creates if request.body is not None else self._polls
            pacer.apply_quota(*quota, self._runtime.now())


def _open_journal(journal: str | Path | JournalWriter | None, latch: Latch) -> JournalBackend:
    if journal is None:
        return NoJournal()
    writer = journal if isinstance(journal, JournalWriter) else JournalWriter(journal)
    return BackgroundWriter(writer, latch.stop)
