"""Orders are carried out: each is bought once, by one session, and what is bought stays in one folder.

The same order is known again by its key, in this process and in later ones, so a call that is repeated after a
time-out, a cancellation or a crash takes up what was bought. Who waits may leave at any moment: what has not been sent
is given up, and what has is brought to its end and saved by the session.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs

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

_log = logging.getLogger("cometflux")
Listener = Callable[[str], object]
_LAG = 5.0
"""How long the journal may take to write down how a job ended, in seconds."""


class ImageService:
    """Carries out orders. Make it with `open_studio`.

    Args:
        session: buys; keeps its journal in the folder, and is bounded by the same number.
        shelf: the folder.
        reach: what agents may ask after.
        most: how many predictions may be bought altogether, those in the journal included.
        wait: how long a call is kept waiting at most, in seconds.
    """

    def __init__(self, session: Session, shelf: ServedFolder, reach: AllowedFolders, *, most: int, wait: float) -> None:
        self.shelf = shelf
        self.reach = reach
        self._session = session
        self._most = most
        self._wait = wait
        self._deciding = asyncio.Lock()
        self._admitted: Counter[str] = Counter()
        """The keys of the orders that may be bought at this moment."""
        self._indexes: dict[str, int] = {}
        """The places given out by this process, by identity."""
        self._listeners: dict[Listener, str] = {}

    # ── an order ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def carry_out(self, order: GenerateRequest, listener: Listener) -> Result:
        """Return the picture of *order*, bought by this call or an earlier one, or say how far it is.

        Cancelling this gives up what has not been sent, and nothing else.

        Args:
            order: what is to be made.
            listener: told of each step, in a few words.

        Raises:
            InputError: a reference image cannot be read; nothing was sent.
            JournalError: the journal cannot be read; nothing was sent.
        """
        fingerprint = await asyncio.to_thread(_fingerprint, order)
        key = f"{fingerprint[:16]}-{order.variation}"
        self._listeners[listener] = key
        try:
            return await self._carry_out(order, key, fingerprint)
        finally:
            del self._listeners[listener]

    async def _carry_out(self, order: GenerateRequest, key: str, fingerprint: str) -> Result:
        identity = identify(key, "", 1)
        async with self._deciding:
            stock = await asyncio.to_thread(self.shelf.read)
            known = stock.records.get(identity)
            result = Result(order=order, key=key, left=self._left(stock))
            if known is None or not known.bought:
                refusal = self._refusal(stock, key, fingerprint)
                if refusal is not None:
                    return result.refused(refusal)
            index = self._place(stock, identity)
            self._admitted[key] += 1
        try:
            if known is not None and (saved := await asyncio.to_thread(self._recall, order, known)) is not None:
                return result.ended(saved)
            job = attrs.evolve(order.job, key=key)
            drawn = PlannedJob(job=job, index=index, identity=identity, fingerprint=fingerprint)
            return await self._follow(drawn, result, known)
        finally:
            self._admitted[key] -= 1
            # Without those that have come to nothing.
            self._admitted += Counter()

    async def _follow(self, drawn: PlannedJob, result: Result, known: JobRecord | None) -> Result:
        outcome: Outcome | None = None
        try:
            async with asyncio.timeout(self._wait), self._session.generate([drawn], save_to=self.shelf.folder) as batch:
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
        """Read the journal when it has taken in how a job ended: the next call decides by what stands there.

        Where the disk refuses, it never does; then the session buys nothing more.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAG):
                while True:
                    stock = await asyncio.to_thread(self.shelf.read)
                    if outcome is None or _is_told(stock.records.get(identity), outcome):
                        return stock
                    await asyncio.sleep(_LAG / 500)
        return await asyncio.to_thread(self.shelf.read)

    def _refusal(self, stock: StoredImages, key: str, fingerprint: str) -> CometfluxError | None:
        """Tell why a picture that is not bought yet must not be bought; None where it may be."""
        if (unknown := self._find_unknown(stock, fingerprint)) is not None:
            return UnknownSubmissionError(
                f"an earlier submission of the same arguments ({unknown.key}) is of unknown fate, "
                "and another variation could pay for it again",
                key=unknown.key,
            )
        others = [each for each in self._admitted if each != key and not _is_bought(stock, each)]
        if stock.bought + len(others) >= self._most:
            under_way = f", {len(others)} of them under way" if others else ""
            return LimitError(f"the limit of {self._most} predictions, set by the operator, is reached{under_way}")
        return None

    def _find_unknown(self, stock: StoredImages, fingerprint: str) -> JobRecord | None:
        for record in stock.records.values():
            # What this process is sending may be answered yet.
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

    def _recall(self, order: GenerateRequest, record: JobRecord) -> Outcome | None:
        """Return what is on the disk already; it can be had when the session sends nothing more, too."""
        files = self.shelf.saved_files(record)
        if files is None:
            return None
        return Outcome(
            index=record.index,
            key=record.key,
            job=order.job,
            kind=OutcomeKind.SUCCEEDED,
            prediction=record.last_prediction,
            files=tuple(file.path for file in files),
            resumed=True,
        )

    @property
    def under_way(self) -> int:
        """How many orders are not over."""
        return sum(self._session.accounting[place] for place in ("waiting", "pending", "saving"))

    # ── what the session tells ───────────────────────────────────────────────────────────────────────────────────────

    def watch(self, event: Event) -> None:
        """Pass on what happens to those who wait for it."""
        words = progress_text.words(event)
        key = getattr(event, "key", None)
        for listener, wanted in tuple(self._listeners.items()):
            if words and key in (None, wanted):
                listener(words)

    async def take_up(self) -> None:
        """Bring to its end what earlier processes have left at the service; nothing is bought by that."""
        try:
            unfinished = [plan.job_of_record(record) for record in await asyncio.to_thread(self.shelf.unfinished)]
            if not unfinished:
                return
            async for outcome in self._session.generate(unfinished, save_to=self.shelf.folder):
                _log.info("%s of an earlier run: %s", outcome.key, outcome.kind)
        except SessionClosedError:
            # It stays in the journal, for the next one.
            return
        except CometfluxError as error:
            _log.error("what earlier runs have left could not all be taken up: %s", error.message)


@contextlib.asynccontextmanager
async def open_studio(
    make_session: Callable[[Callable[[Event], None]], Session],
    folder: Path,
    *,
    allowed: tuple[Path, ...] = (),
    most: int,
    wait: float,
) -> AsyncIterator[ImageService]:
    """Open a studio on *folder*, and bring to its end what earlier ones have left.

    Args:
        make_session: makes the session that buys, given what watches it; its journal is in the folder, and its
            ``max_predictions`` is *most*.
        folder: where pictures and journal are.
        allowed: folders below which batches may be asked after.
        most: how many predictions may be bought altogether.
        wait: how long a call is kept waiting at most, in seconds.

    Raises:
        JournalError: the journal cannot be used.
    """
    listening: list[ImageService] = []

    def watch(event: Event) -> None:
        for studio in listening:
            studio.watch(event)

    async with make_session(watch) as session:
        studio = ImageService(
            session, ServedFolder(folder), AllowedFolders(own=folder, allowed=allowed), most=most, wait=wait
        )
        listening.append(studio)
        leftover = asyncio.create_task(studio.take_up())
        try:
            yield studio
        finally:
            # First, so that nothing more leaves; what is paid for is waited for there.
            await session.aclose()
            await leftover


def _fingerprint(order: GenerateRequest) -> str:
    return encoding.fingerprint(order.job.model, reference_files.describe_input(order.job.input))


def _is_told(record: JobRecord | None, outcome: Outcome) -> bool:
    """Whether the journal has taken in how a job ended."""
    if record is None:
        # It was not even begun.
        return True
    if outcome.ok:
        return record.is_whole
    return record.state in (State.PLANNED, State.ENDED) or record.kind is OutcomeKind.DETACHED


def _is_bought(stock: StoredImages, key: str) -> bool:
    record = stock.records.get(identify(key, "", 1))
    return record is not None and record.bought > 0


def _about_this(error: SessionStoppedError, known: JobRecord | None) -> CometfluxError:
    """Say what a stopped session means for one job: what it told of the money holds for the job that stopped it."""
    if known is None or not known.bought:
        return error
    if known.prediction_id is None:
        return known.unknown_error
    recorded = outcome_of(known).error
    if isinstance(recorded, PredictionError):
        return recorded
    return CometfluxError(error.message, money=Money.ACCEPTED, prediction_id=known.prediction_id)
