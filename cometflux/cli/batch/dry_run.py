"""Estimate a run's predictions: ``--dry-run`` prints them, and a terminal asks for consent. Writes no files."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

from cometflux.basics.pages import pages
from cometflux.cli.batch.balance_check import find_shortage
from cometflux.cli.batch.draft_plan import BatchPlan
from cometflux.cli.batch.open_journal import check_maker
from cometflux.cli.batch.plan_journal import check_keys
from cometflux.cli.batch.purchase_estimate import PurchaseEstimate
from cometflux.cli.batch.redo import RedoWish
from cometflux.cli.batch.show_estimate import ask, show_estimate
from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.options.shared import ConsentOptions, RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError
from cometflux.jobs import Job
from cometflux.journal.finished import load_saved
from cometflux.journal.job_rows import JournalRow
from cometflux.journal.plan import PlannedRow
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.redo import was_planned_as
from cometflux.journal.respelling import respelled
from cometflux.journal.states import NextStep
from cometflux.session.settings import read_key
from cometflux.sources.planner import Plan
from cometflux.storage.object_store import open_store

# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def offer_prompts(plan: Plan, settings: RunOptions, consent: ConsentOptions, folder: Path) -> int | None:
    """Print the estimate for prompts, or ask for consent. Returns the exit code, or None to run them.

    Raises:
        ConfigError: the API key is missing.
        JournalError: the journal of *folder* cannot be read, or ``--local`` was used for only one of the folder's runs.
    """

    def make() -> PurchaseEstimate:
        offer = _of_folder(folder, settings)
        for job in plan:
            offer.add(job.model, job.input, is_new=True)
        return offer

    return _decide(make, len(plan), plan.notes, settings, consent)


def offer_batch(
    plan: BatchPlan, settings: RunOptions, consent: ConsentOptions, folder: Path, place: str | None = None
) -> int | None:
    """Print the estimate for a prompt file, or ask for consent. Returns the exit code, or None to run it.

    Raises:
        SourceError: a key belongs to another job in the journal.
        ConfigError: the object store of *place* cannot be opened, or the API key is missing.
        JournalError: the journal cannot be read, or ``--local`` was used for only one of the folder's runs.
    """
    if place is not None:
        open_store(place)
    sample = len(plan) if consent.sample is None else len(plan.sample(consent.sample))

    @cache
    def make() -> PurchaseEstimate:
        offer = _weigh(plan, settings, folder)
        if sample < len(plan) and not consent.dry_run:
            most = offer.bought + sample
            offer.limit = most if offer.limit is None else min(offer.limit, most)
        return offer

    return _decide(make, sample, plan.notes, settings, consent, partial(find_shortage, make, settings, folder))


def offer_others(plan: BatchPlan, settings: RunOptions, consent: ConsentOptions, folder: Path) -> bool:
    """Ask whether to make the jobs of a prompt file that are not made yet; without a terminal only ``--yes`` says so.

    Raises:
        JournalError: the journal cannot be read.
    """
    offer = _weigh(plan, settings, folder)
    if not offer.predictions:
        return False
    return consent.yes or (_is_watched() and ask(offer, settings))


def offer_rest(
    settings: RunOptions, consent: ConsentOptions, folder: Path, redo: RedoWish, own_url: Callable[[], str | None]
) -> int | None:
    """Print the estimate for the rest of a folder, or ask for consent. Returns the exit code, or None to run it.

    For jobs that *redo* asks for again, a person is always asked. *own_url* returns the address in the folder's
    journal, if it may be used.

    Raises:
        UsageError: *redo* names no job of the folder, or one that cannot be redone.
        SourceError: the file of changed rows has mistakes.
        ConfigError: the folder has no journal, or the API key is missing.
        JournalError: the journal cannot be read, or ``--local`` was used for only one of the folder's runs.
    """

    @cache
    def make() -> PurchaseEstimate:
        with Journal(folder) as journal:
            check_maker(journal, folder, settings)
            offer = _of_journal(journal, settings)
            again = redo.find(journal)
            offer.again = len(again)
            for row in journal.rows():
                record = again.get(row.identity)
                if record is not None or not _count_saved(offer, row):
                    record = record or journal.record_of(row)
                    _count(offer, record, record, settings)
            return offer

    return _decide(make, None, (), settings, consent, partial(find_shortage, make, settings, folder, own_url))


def _of_folder(folder: Path, settings: RunOptions) -> PurchaseEstimate:
    try:
        journal = Journal(folder)
    except ConfigError:
        # The journal does not exist yet, or is still empty.
        return _empty(settings)
    with journal:
        check_maker(journal, folder, settings)
        return _of_journal(journal, settings)


def _weigh(plan: BatchPlan, settings: RunOptions, folder: Path) -> PurchaseEstimate:
    try:
        journal = Journal(folder)
    except ConfigError:
        offer = _empty(settings)
        for row in plan.draft:
            _count(offer, row.to_job().job, None, settings)
        return offer
    with journal:
        check_maker(journal, folder, settings)
        offer = _of_journal(journal, settings)
        if journal.has_names_of_today:
            check_keys(_count_rows(offer, _count_saved_rows(offer, plan.draft, journal), journal.find, settings), plan)
        else:
            check_keys(_count_rows(offer, plan.draft, _finder_by_name_of_today(journal), settings), plan)
        return offer


_Find = Callable[[list[str]], Mapping[str, JobRecord]]


def _count_rows(
    offer: PurchaseEstimate, rows: Iterable[PlannedRow], find: _Find, settings: RunOptions
) -> Iterator[PlannedRow]:
    """Count the rows; yield those whose identity has another input in the journal."""
    for page in pages(rows):
        known = find([row.identity for row in page])
        for row in page:
            planned, found = row.to_job(), known.get(row.identity)
            fingerprint = planned.fingerprint or ""
            if found is not None and found.fingerprint != fingerprint and not was_planned_as(found, fingerprint):
                yield row
            _count(offer, found or planned.job, found, settings)


def _count_saved_rows(offer: PurchaseEstimate, rows: Iterable[PlannedRow], journal: Journal) -> Iterator[PlannedRow]:
    """Count those of *rows* that the journal has as saved, and yield the others."""
    for page in pages(rows):
        known = journal.find_rows([row.identity for row in page])
        for row in page:
            found = known.get(row.identity)
            if found is None or found.plan != row.plan or not _count_saved(offer, found):
                yield row


def _count_saved(offer: PurchaseEstimate, row: JournalRow) -> bool:
    """Count the job of a row if it is plainly saved, and return whether it is; its record would take much longer."""
    saved = load_saved(row)
    if saved is not None:
        offer.add(saved.plan["model"], saved.plan["input"], is_new=False)
    return saved is not None


def _finder_by_name_of_today(journal: Journal) -> _Find:
    """Find records by the identities that a writer, which changes an older journal, would give them."""
    known = {record.identity: record for record in journal.records()}
    following: dict[str, int] = {}
    for identity, record in [*known.items()]:
        if (named := respelled(record, known.__contains__, following)) is not record:
            del known[identity]
            known[named.identity] = named
    return lambda names: {name: known[name] for name in names if name in known}


def _count(offer: PurchaseEstimate, job: Job | JobRecord, known: JobRecord | None, settings: RunOptions) -> None:
    is_new = known is None or known.next_step(settings.retry_failed, settings.reseed) is NextStep.SUBMIT
    offer.add(job.model, job.input, is_new=is_new)


def _of_journal(journal: Journal, settings: RunOptions) -> PurchaseEstimate:
    offer = _empty(settings)
    offer.status = journal.status()
    offer.bought = journal.bought
    for purchase in journal.purchases:
        offer.spend(*purchase)
    return offer


def _empty(settings: RunOptions) -> PurchaseEstimate:
    return PurchaseEstimate(
        limit=settings.limit,
        retries=settings.retry_failed,
        reseeds=settings.reseed,
        known=settings.prices,
        max_cost=settings.max_cost,
    )


# ── deciding ──────────────────────────────────────────────────────────────────────────────────────────────


def _decide(
    make: Callable[[], PurchaseEstimate],
    most: int | None,
    notes: Iterable[str],
    settings: RunOptions,
    consent: ConsentOptions,
    compare: Callable[[], str | None] = lambda: None,
) -> int | None:
    if consent.dry_run:
        screen = Screen(settings.voice)
        for note in notes:
            screen.say(f"note: {note}")
        show_estimate(make(), settings)
        return ExitCode.OK
    if settings.local:
        return None
    shortage = compare()
    is_small = most is not None and most <= consent.confirm_above
    if shortage is None and (consent.yes or not _is_watched() or is_small):
        return None
    offer = make()
    if shortage is None and offer.predictions <= (0 if offer.again else consent.confirm_above):
        return None
    # Check the key before asking, so that consent is not followed by an error.
    read_key()
    screen = Screen(settings.voice)
    if shortage is not None:
        screen.warn(shortage)
    if consent.yes or (_is_watched() and ask(offer, settings)):
        return None
    screen.warn("not confirmed; nothing was sent" if _is_watched() else "nothing was sent; --yes sends it anyway")
    return ExitCode.USAGE


def _is_watched() -> bool:
    """Whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
