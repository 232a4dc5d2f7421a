"""Print the command that resumes a batch."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cometflux import flux
from cometflux.basics.quoting import argument, join
from cometflux.cli.batch.journal_status import has_claims, is_unfinished, summary
from cometflux.cli.options.shared import MAX_PENDING, RunOptions
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import (
    CometfluxError,
)
from cometflux.journal.reader import Journal


def tell_claims(screen: Screen, folder: Path, settings: RunOptions) -> None:
    """Print the command that resumes *folder*, if predictions there are, or may be, paid and not saved."""
    with contextlib.suppress(CometfluxError), signals.ignored(), Journal(folder) as journal:
        status = journal.status()
        if has_claims(status):
            tell_next(screen, folder, settings, status)


def tell_next(
    screen: Screen,
    folder: Path,
    settings: RunOptions,
    status: dict[str, int] | None,
    raised: RunOptions | None = None,
) -> None:
    """Print how many jobs of the folder are done, and the commands to paste: to settle unknown jobs, and to resume.

    Args:
        screen: prints the lines.
        folder: the folder of the journal.
        settings: the settings of this run.
        status: the number of jobs by state; None if the journal cannot be read.
        raised: the settings with a limit with which the batch can resume; None if no limit ended this run.
    """
    left = status is None or is_unfinished(status)
    unknown = 0 if status is None else status["unknown"]
    if status is not None and (left or unknown):
        screen.say(f"{folder}: {summary(status)}")
    if unknown and not settings.local:
        screen.say("to see what is unknown, and to settle it:")
        screen.say(f"  {join(['cometflux', 'unknown', argument(folder)])}")
    if status is not None and any(status[name] for name in ("failed", "canceled", "expired")):
        screen.say("to list what did not succeed, and to redo it:")
        screen.say(f"  {join(['cometflux', 'failures', argument(folder)])}")
    if left or raised is not None or (unknown and settings.local):
        screen.say("to resume:" if raised is None else "to resume, raise the limit, for example:")
        screen.say(f"  {resume_line(folder, raised or settings)}")


def resume_command(folder: Path, *more: str, is_local: bool, schemas: Sequence[str] = ()) -> str:
    """Return the shortest command that resumes *folder*, with *more* arguments, quoted for a shell.

    The local service knows other models only by their *schemas*.
    """
    local = ["--local", *schema_words(schemas)] if is_local else []
    return join(["cometflux", "resume", argument(folder), *local, *more])


def resume_line(folder: Path, settings: RunOptions) -> str:
    """Return the command that resumes *folder*, quoted for a shell."""
    words = ["cometflux", "resume", argument(folder)]
    for name in ("local", "embed", "gallery", "look", "check"):
        words += [f"--{name}"] if getattr(settings, name) else []
    options = {
        "--base-url": settings.base_url,
        # A proxy with a password is not shown.
        "--proxy": None if "@" in (settings.proxy or "") else settings.proxy,
        "--sign": settings.sign and argument(settings.sign),
        "--sign-key": settings.sign_key and argument(settings.sign_key),
        "--sign-timestamp": settings.sign_timestamp,
        "--limit": settings.limit,
        "--max-cost": settings.max_cost,
        "--retry-failed": settings.retry_failed or None,
        "--reseed": settings.reseed or None,
        "--max-pending": settings.max_pending if settings.max_pending != MAX_PENDING else None,
        "--creates-per-minute": settings.creates_per_minute,
        "--polls-per-minute": settings.polls_per_minute,
        "--workers": settings.savers if isinstance(settings.savers, int) else None,
        "--cluster": settings.savers if isinstance(settings.savers, str) else None,
    }
    for name, value in options.items():
        words += [] if value is None else [name, str(value)]
    for price in settings.price:
        words += ["--price", price]
    return join([*words, *schema_words(settings.schema_options)])


def schemas_of(models: Iterable[str]) -> list[str]:
    """Return a ``--schema`` to fill in for each of *models* that is known by its schema alone."""
    return [f"{model}=FILE" for model in dict.fromkeys(models) if model not in flux.MODELS]


def schema_words(schemas: Iterable[str]) -> Iterator[str]:
    """Yield the options that name *schemas*."""
    for schema in schemas:
        yield from ("--schema", argument(schema))
