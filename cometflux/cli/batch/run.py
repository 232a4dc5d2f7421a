"""Run the jobs of a command: those of prompts, of a prompt file, or of a folder."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cometflux.cli.batch.batch_run import BatchRun
from cometflux.cli.batch.draft_plan import BatchPlan
from cometflux.cli.batch.keep_manifest import with_manifest
from cometflux.cli.batch.open_journal import account_of, own_base_url, own_place
from cometflux.cli.batch.plan_journal import plan_batch, plan_prompts, plan_rest
from cometflux.cli.batch.redo import RedoWish
from cometflux.cli.batch.run_locally import local_service
from cometflux.cli.errors import UsageError
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.cli.terminal.streams import is_stdout_closed
from cometflux.journal.place import FILE_NAME
from cometflux.journal.writer import JournalWriter
from cometflux.session.settings import read_base_url, read_key
from cometflux.sources.planner import Plan
from cometflux.storage.folder import prepare_folder
from cometflux.storage.object_store import open_store

if TYPE_CHECKING:
    from cometflux.distributed.parts import Part


def run_prompts(
    plan: Plan, settings: RunOptions, folder: Path, place: str | None = None, *, replaces: bool = False
) -> int:
    """Add every job of *plan* to the journal of *folder* as a new one, run these jobs, and return the exit code.

    *place* and *replaces* are as for `run_batch`.

    Raises:
        UsageError: there is no stdout to print JSON to, or the pictures of the folder go elsewhere.
        ConfigError: there is no key, a setting is unusable, or the folder cannot be written to; nothing was sent.
        JournalError: the journal cannot be used; nothing was sent.
        MissingExtraError: ``--local`` cannot draw.
    """
    with _outset(settings, plan.notes) as (screen, stack):
        base_url, key = find_service(stack, screen, settings)
        writer = JournalWriter(folder / FILE_NAME, account_of(base_url, key, settings, may_follow=True))
        run = BatchRun(settings, place or folder, screen, base_url, key, writer)
        _prepare(folder, place)
        work, notes = plan_prompts(writer, plan, settings, place, replaces=replaces)
        return with_manifest(screen, folder, lambda: run.finish(work, stack, notes))


def run_batch(
    plan: BatchPlan,
    settings: RunOptions,
    folder: Path,
    *,
    place: str | None = None,
    new_key: bool,
    replaces: bool = False,
    part: "Part | None" = None,
    sample: int | None = None,
) -> int:
    """Write every job of *plan* to the journal of *folder*, run the unfinished jobs, and return the exit code.

    The images go to the same folder, or to *place*, which the journal then records. *replaces* says that other jobs of
    the folder for which nothing was sent are dropped. *part* is the part that *plan* is; None if it is all jobs. All
    jobs are planned; of those that are not paid for only a *sample* of so many is run, None for all.

    Raises:
        UsageError: as for `run_prompts`, or the journal has a key for another input.
        ConfigError: there is no key, a setting is unusable, or the folder cannot be written to; nothing was sent.
        JournalError: the journal cannot be used; nothing was sent.
        MissingExtraError: ``--local`` cannot draw.
    """
    with _outset(settings, plan.notes) as (screen, stack):
        base_url, key = find_service(stack, screen, settings)
        account = account_of(base_url, key, settings, may_change_key=new_key)
        writer = JournalWriter(folder / FILE_NAME, account)
        run = BatchRun(settings, place or folder, screen, base_url, key, writer)
        _prepare(folder, place)
        with _gallery_of(folder, screen, is_wanted=settings.gallery):
            work, notes = plan_batch(writer, plan, settings, place, replaces=replaces, part=part, sample=sample)
            return with_manifest(screen, folder, lambda: run.finish(work, stack, notes))


def run_resume(folder: Path, settings: RunOptions, redo: RedoWish, *, new_key: bool) -> int:
    """Run the unfinished jobs of the journal in *folder*, and those that *redo* asks for; return the exit code.

    Raises:
        UsageError: there is no stdout to print JSON to, or *redo* is wrong.
        ConfigError: there is no journal, and as for `run_batch`.
        JournalError: the journal cannot be used; nothing was sent.
        MissingExtraError: ``--local`` cannot draw.
    """
    with _outset(settings, ()) as (screen, stack):
        own = own_base_url(folder, settings, new_key=new_key)
        place = own_place(folder)
        base_url, key = find_service(stack, screen, settings, own)
        account = account_of(base_url, key, settings, may_change_key=new_key)
        writer = JournalWriter(folder, account)
        run = BatchRun(settings, place or writer.path.parent, screen, base_url, key, writer)
        prepare_folder(writer.path.parent)
        with _gallery_of(writer.path.parent, screen, is_wanted=settings.gallery):
            work, notes = plan_rest(writer, settings, redo)
            return with_manifest(screen, writer.path.parent, lambda: run.finish(work, stack, notes))


def _prepare(folder: Path, place: str | None) -> None:
    if place is not None:
        # Raises now if an extra or a setting is missing, before anything is written.
        open_store(place)
    prepare_folder(folder)


def _gallery_of(folder: Path, screen: Screen, *, is_wanted: bool) -> contextlib.AbstractContextManager[None]:
    if not is_wanted:
        return contextlib.nullcontext()
    from cometflux.cli.batch.keep_gallery import kept_gallery

    return kept_gallery(screen, folder)


@contextlib.contextmanager
def _outset(settings: RunOptions, notes: Sequence[str]) -> "Iterator[tuple[Screen, contextlib.ExitStack]]":
    if settings.json and is_stdout_closed():
        raise UsageError("stdout is closed, so what --json prints would be lost")
    screen = Screen(settings.voice)
    for note in notes:
        screen.say(f"note: {note}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_few_logs(screen))
        yield screen, stack


def find_service(
    stack: contextlib.ExitStack, screen: Screen, settings: RunOptions, own: str | None = None
) -> tuple[str, str]:
    """Return the base URL and the key; *own* is the address in the folder's journal, if it may be used."""
    if settings.local:
        service = stack.enter_context(local_service(screen, settings.schemas.values()))
        return service.url, service.key
    return read_base_url(settings.base_url or own), read_key()


class _Notes(logging.Handler):
    """Prints warnings as notes, so that they do not break the progress bar."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.say(f"note: {record.getMessage()}")


@contextlib.contextmanager
def _few_logs(screen: Screen) -> "Iterator[None]":
    """Log only defects, because the command prints the rest itself, and print the notes on workers and places."""
    log = logging.getLogger("cometflux")
    if log.handlers:
        yield
        return
    noted = [logging.getLogger(f"cometflux.{name}") for name in ("distributed", "images", "storage")]
    added = (
        (log, logging.StreamHandler(), logging.ERROR),
        *((each, _Notes(screen), logging.WARNING) for each in noted),
    )
    before = [(each, each.level) for each, _, _ in added]
    added[0][1].setLevel(logging.ERROR)
    for each, handler, level in added:
        each.addHandler(handler)
        each.setLevel(level)
    try:
        yield
    finally:
        for each, handler, _ in added:
            each.removeHandler(handler)
        for each, level in before:
            each.setLevel(level)
