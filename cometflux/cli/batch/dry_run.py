"""Estimate a run's predictions: ``--dry-run`` prints them, and a terminal asks for consent. Writes no files."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from rich.table import Table

from cometflux import flux
from cometflux.cli.batch.draft_plan import BatchPlan
from cometflux.cli.batch.journal_status import summary
from cometflux.cli.batch.open_journal import check_maker
from cometflux.cli.batch.plan_journal import check_keys
from cometflux.cli.batch.redo import RedoWish
from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.options.shared import ConsentOptions, RunOptions
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError
from cometflux.jobs import Job
from cometflux.journal.job_rows import pages
from cometflux.journal.plan import PlannedRow
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.redo import was_planned_as
from cometflux.journal.respelling import respelled
from cometflux.journal.states import NextStep
from cometflux.models.docs import slug
from cometflux.number_checks import is_whole
from cometflux.plain_text import by_number, count_of, plain
from cometflux.session.settings import read_key
from cometflux.sources.planner import Plan
from cometflux.storage.object_store import open_store


@attrs.define
class Share:
    """The jobs of one model."""

    jobs: int = 0
    images: int | None = 0
    """How many images all jobs request; None if unknown."""
    predictions: int = 0
    """How many of the jobs still have to be submitted."""
    new_images: int | None = 0
    """How many images those jobs request; None if unknown."""

    def add(self, images: int | None, *, is_new: bool) -> None:
        """Count a job."""
        self.jobs += 1
        self.images = _sum(self.images, images)
        if is_new:
            self.predictions += 1
            self.new_images = _sum(self.new_images, images)


def _sum(known: int | None, more: int | None) -> int | None:
    return None if known is None or more is None else known + more


@attrs.define
class PurchaseEstimate:
    """The predictions that a run would submit."""

    limit: int | None
    """The maximum number of paid predictions; None for no limit."""
    retries: int
    """How often a job that fails for a transient reason may be submitted, and charged, again."""
    reseeds: int
    """How often a job whose images are withheld may be submitted, and charged, again with another seed."""
    shares: dict[str, Share] = attrs.field(factory=dict)
    """By model."""
    bought: int = 0
    """How many predictions of the journal were charged or may have been."""
    again: int = 0
    """How many of the jobs are over, and are asked for again."""
    status: dict[str, int] | None = None
    """The journal's counts by state; None without a journal."""

    def add(self, model: str, images: int | None, *, is_new: bool) -> None:
        """Count a job."""
        self.shares.setdefault(model, Share()).add(images, is_new=is_new)

    @property
    def total(self) -> Share:
        """The sum over all models."""
        shares = self.shares.values()
        total = Share(jobs=sum(each.jobs for each in shares), predictions=sum(each.predictions for each in shares))
        for each in shares:
            total.images = _sum(total.images, each.images)
            total.new_images = _sum(total.new_images, each.new_images)
        return total

    @property
    def predictions(self) -> int:
        """How many predictions would be submitted within the limit."""
        wanted = self.total.predictions
        return wanted if self.limit is None else min(wanted, max(self.limit - self.bought, 0))


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def offer_prompts(plan: Plan, settings: RunOptions, consent: ConsentOptions) -> int | None:
    """Print the estimate for prompts, or ask for consent. Returns the exit code, or None to run them."""

    def make() -> PurchaseEstimate:
        offer = _empty(settings)
        for job in plan:
            offer.add(job.model, _images(job.model, job.input), is_new=True)
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
    sample = len(plan) if consent.sample is None else min(consent.sample, len(plan))

    def make() -> PurchaseEstimate:
        offer = _weigh(plan, settings, folder)
        if sample < len(plan) and not consent.dry_run:
            most = offer.bought + sample
            offer.limit = most if offer.limit is None else min(offer.limit, most)
        return offer

    return _decide(make, sample, plan.notes, settings, consent)


def offer_others(plan: BatchPlan, settings: RunOptions, consent: ConsentOptions, folder: Path) -> bool:
    """Ask whether to make the jobs of a prompt file that are not made yet; without a terminal only ``--yes`` says so.

    Raises:
        JournalError: the journal cannot be read.
    """
    offer = _weigh(plan, settings, folder)
    if not offer.predictions:
        return False
    return consent.yes or (_is_watched() and _ask(offer))


def offer_rest(settings: RunOptions, consent: ConsentOptions, folder: Path, redo: RedoWish) -> int | None:
    """Print the estimate for the rest of a folder, or ask for consent. Returns the exit code, or None to run it.

    For jobs that *redo* asks for again, a person is always asked.

    Raises:
        UsageError: *redo* names no job of the folder, or one that cannot be made again.
        SourceError: the file of changed rows has mistakes.
        ConfigError: the folder has no journal, or the API key is missing.
        JournalError: the journal cannot be read, or ``--local`` was used for only one of the folder's runs.
    """

    def make() -> PurchaseEstimate:
        with Journal(folder) as journal:
            check_maker(journal, folder, settings)
            offer = _of_journal(journal, settings)
            again = redo.find(journal)
            offer.again = len(again)
            for known in journal.records():
                record = again.get(known.identity, known)
                _count(offer, record, record, settings)
            return offer

    return _decide(make, None, (), settings, consent)


def _weigh(plan: BatchPlan, settings: RunOptions, folder: Path) -> PurchaseEstimate:
    try:
        journal = Journal(folder)
    except ConfigError:
        # The journal does not exist yet, or is still empty.
        offer = _empty(settings)
        for row in plan.draft:
            _count(offer, row.to_job().job, None, settings)
        return offer
    with journal:
        check_maker(journal, folder, settings)
        offer = _of_journal(journal, settings)
        find = journal.find if journal.has_names_of_today else _finder_by_name_of_today(journal)
        check_keys(_count_rows(offer, plan.draft, find, settings), plan)
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
    offer.add(job.model, _images(job.model, job.input), is_new=is_new)


def _of_journal(journal: Journal, settings: RunOptions) -> PurchaseEstimate:
    offer = _empty(settings)
    offer.status = journal.status()
    offer.bought = journal.bought
    return offer


def _empty(settings: RunOptions) -> PurchaseEstimate:
    return PurchaseEstimate(limit=settings.limit, retries=settings.retry_failed, reseeds=settings.reseed)


def _images(model: str, given: Any) -> int | None:
    asked = given.get("num_outputs")
    if is_whole(asked, 1):
        return int(asked)
    return 1 if model in flux.MODELS else None


# ── printing and asking ──────────────────────────────────────────────────────────────────────────────────────────────


def _decide(
    make: Callable[[], PurchaseEstimate],
    most: int | None,
    notes: Iterable[str],
    settings: RunOptions,
    consent: ConsentOptions,
) -> int | None:
    if consent.dry_run:
        screen = Screen(settings.voice)
        for note in notes:
            screen.say(f"note: {note}")
        _show(make(), settings)
        return ExitCode.OK
    if settings.local or consent.yes or not _is_watched() or (most is not None and most <= consent.confirm_above):
        return None
    offer = make()
    if offer.predictions <= (0 if offer.again else consent.confirm_above):
        return None
    # Check the key before asking, so that consent is not followed by an error.
    read_key()
    if _ask(offer):
        return None
    Screen(settings.voice).warn("not confirmed; nothing was sent")
    return ExitCode.USAGE


def _is_watched() -> bool:
    """Whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _show(offer: PurchaseEstimate, settings: RunOptions) -> None:
    if settings.json:
        sys.stdout.write(f"{json.dumps(_plain_values(offer), allow_nan=False)}\n")
        return
    console = make_console()
    console.print(_table(offer))
    for line in _lines(offer, settings):
        console.print(line, soft_wrap=True)


def _plain_values(offer: PurchaseEstimate) -> dict[str, Any]:
    models = [{"model": model, **attrs.asdict(share)} for model, share in offer.shares.items()]
    return {
        **attrs.asdict(offer.total),
        "to_buy": offer.predictions,
        "limit": offer.limit,
        "bought": offer.bought,
        "again": offer.again,
        "journal": offer.status,
        "models": models,
    }


def _table(offer: PurchaseEstimate) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("model")
    for name in ("jobs", "images", "predictions to buy", "images to buy"):
        table.add_column(name, justify="right")
    shares = {slug(model): share for model, share in offer.shares.items()}
    if len(shares) > 1:
        shares["together"] = offer.total
    for name, share in shares.items():
        numbers = (share.jobs, share.images, share.predictions, share.new_images)
        table.add_row(plain(name), *("?" if number is None else str(number) for number in numbers))
    return table


def _lines(offer: PurchaseEstimate, settings: RunOptions) -> list[str]:
    lines = [] if offer.status is None else [f"the journal has: {summary(offer.status)}"]
    if offer.predictions < offer.total.predictions:
        lines.append(f"--limit {offer.limit} lets {offer.predictions} of them be bought: {offer.bought} are already")
    if offer.again:
        lines.append(
            f"{count_of(offer.again, 'job')} that {by_number(offer.again, 'is', 'are')} over would be made again"
        )
    if offer.retries:
        lines.append(f"each that fails for a transient reason may be bought again, up to {offer.retries} times")
    if offer.reseeds:
        lines.append(f"each that is withheld may be bought again with a new seed, up to {offer.reseeds} times")
    bought = "nothing would be paid, with --local" if settings.local else _would_be(offer.predictions)
    return [*lines, f"{bought}; this was a dry run"]


def _would_be(predictions: int) -> str:
    return f"{count_of(predictions, 'prediction')} would be bought"


def _ask(offer: PurchaseEstimate) -> bool:
    screen = Screen()
    screen.show(_table(offer))
    most = offer.retries + offer.reseeds
    retries = f", and again up to {most} times what fails" if most else ""
    again = f" ({count_of(offer.again, 'job')} again)" if offer.again else ""
    screen.console.print(f"buy {count_of(offer.predictions, 'prediction')}{again}{retries}? [y/N] ", end="")
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):
            # The answer did not end the line, so end it here.
            screen.say("")
    return answer.strip().lower() in ("y", "yes")
