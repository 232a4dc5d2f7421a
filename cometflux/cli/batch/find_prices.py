"""Find the prices for a run: in options, in the configuration, and in the service's public catalogue.

The catalogue is fetched before anything is sent, at most once a day, without the key. No fault of it is an error.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path

import attrs

from cometflux.account.catalogue import fetch_catalogue
from cometflux.account.prices import Catalogue, Price, parse_dollars, read_prices
from cometflux.account.routes import find_root
from cometflux.cli.batch.journal_status import has_claims
from cometflux.cli.batch.kept_catalogue import keep, read_kept
from cometflux.cli.config.price_tables import join_prices
from cometflux.cli.config.read_settings import read_price_tables
from cometflux.cli.errors import UsageError
from cometflux.cli.options.known_prices import short_name
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import CometfluxError, ConfigError
from cometflux.journal.reader import Journal
from cometflux.session.settings import read_base_url, read_proxy
from cometflux.sources.errors import Fault


def with_prices(
    settings: RunOptions,
    folder: Path | None = None,
    *,
    own_url: Callable[[], str | None] = lambda: None,
    is_dry: bool = False,
) -> RunOptions:
    """Return *settings* with the prices that are known.

    Args:
        settings: the settings of the run.
        folder: the folder of the batch, if there is one. If it has predictions that are paid for and not saved, they do
            not wait for the catalogue.
        own_url: returns the address in the folder's journal, if it may be used.
        is_dry: whether this is a dry run, in which nothing waits.

    Raises:
        UsageError: a price in an option is wrong.
        ConfigurationError: a configuration file is wrong.
    """
    given = read_given(settings.price)
    tables = read_price_tables()
    found = Catalogue()
    if not settings.local:
        found = _find_catalogue(settings, folder, own_url, is_needed=is_dry or settings.max_cost is not None)
    return attrs.evolve(settings, prices=join_prices(given, tables, found))


def check_prices(settings: RunOptions, models: Iterable[str] | None, folder: Path | None = None) -> None:
    """Check that each model has a price, if there is a budget: *models*, and those of which *folder* has predictions.

    If *models* is None, they are those of all jobs in the folder.

    Raises:
        UsageError: one has none.
    """
    if settings.max_cost is None:
        return
    known = settings.prices
    wanted = {*(models or ()), *_models_of(folder, is_all=models is None)}
    missing = sorted(model for model in wanted if model not in known.prices)
    if missing:
        raise UsageError([Fault(_missing(model, known.doubts.get(model) or known.note)) for model in missing])


def _models_of(folder: Path | None, *, is_all: bool) -> set[str]:
    """Return the models of which *folder* has predictions, and of all its jobs if asked for.

    If its journal cannot be read, there are none: the run reports it.
    """
    found = set[str]()
    with contextlib.suppress(CometfluxError):
        if folder is not None:
            with Journal(folder) as journal:
                found = {model for model, _, _ in journal.purchases if model}
                found |= journal.models if is_all else set()
    return found


def _missing(model: str, why: str | None) -> str:
    name = short_name(model)
    return (
        f"--max-cost: no price of {name} is known{f' ({why})' if why else ''}; "
        f"give one in dollars a request, as in --price {name}=0.04"
    )


def read_given(options: Iterable[str]) -> Mapping[str, Price]:
    """Read the values of ``--price``.

    Raises:
        UsageError: one is not a model and a price, or a model has two.
    """
    dollars: dict[str, Decimal] = {}
    for text in options:
        name, equals, amount = text.rpartition("=")
        if not equals or not name.strip():
            raise UsageError(f"--price: {text!r} was given; must be MODEL=DOLLARS, as in flux-dev=0.04")
        if name in dollars:
            raise UsageError(f"--price: {name} has two prices; give one")
        try:
            dollars[name] = Decimal(parse_dollars(amount)).scaleb(-6)
        except ValueError as error:
            raise UsageError(f"--price: {text!r} was given; {error}") from error
    try:
        return read_prices("--price", dollars)
    except ConfigError as error:
        raise UsageError(f"--price: {error.shown} was given; {error.allowed}") from error


# ── the catalogue ────────────────────────────────────────────────────────────────────────────────────────────────────


def _find_catalogue(
    settings: RunOptions, folder: Path | None, own_url: Callable[[], str | None], *, is_needed: bool
) -> Catalogue:
    try:
        root = find_root(read_base_url(settings.base_url or own_url()))
        proxy = read_proxy(settings.proxy)
    except CometfluxError:
        # The run itself reports it.
        return Catalogue()
    if root is None:
        return Catalogue(note="no price catalogue is known for this address")
    kept = read_kept(root, time.time())
    if kept is not None and not (is_needed and kept.note):
        return kept
    if not is_needed and folder is not None and _is_owed(folder):
        return Catalogue(note="the price catalogue is not fetched while predictions are paid and not saved")
    with Screen(settings.voice).waiting("the price catalogue"):
        found = signals.run(fetch_catalogue(root, proxy=proxy))
    keep(root, found, time.time())
    return found


def _is_owed(folder: Path) -> bool:
    with contextlib.suppress(CometfluxError), Journal(folder) as journal:
        return has_claims(journal.status())
    return False
