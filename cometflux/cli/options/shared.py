"""The options that several commands share."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import attrs
from cyclopts import Parameter

from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.arguments import BaseUrl, Proxy
from cometflux.cli.options.declare import repeatable, switch, valued
from cometflux.cli.options.groups import FURTHER, OPTIONS
from cometflux.cli.options.known_prices import KnownPrices
from cometflux.cli.terminal.screen import Verbosity
from cometflux.models.schemas import ModelSchema
from cometflux.sources.rows import Most
from cometflux.sources.schema_files import name_schemas, read_schemas

if TYPE_CHECKING:
    from cometflux.sources.templates.prompting import Prompting

MODEL = "flux-schnell"
MAX_PENDING = 64
CONFIRM_ABOVE = 100
"""A run at a terminal asks for consent above this many predictions."""


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class RunOptions:
    """The options of every command that submits jobs."""

    json: Annotated[bool, switch("Print one JSON object per outcome instead of paths.")] = False
    local: Annotated[
        bool,
        switch("Draw the pictures on this machine: no key, no cost."),
    ] = False
    limit: Annotated[
        int | None,
        valued("N", "Maximum predictions to buy, including those in the folder's journal.", converters.whole(0)),
    ] = None
    max_cost: Annotated[
        Decimal | None,
        valued("DOLLARS", "Maximum estimated cost in dollars, counted like --limit.", converters.budget),
    ] = None
    price: Annotated[
        tuple[str, ...],
        repeatable("MODEL=DOLLARS", "A model's price per request, for estimates; repeatable.", group=FURTHER),
    ] = ()
    retry_failed: Annotated[
        int,
        valued(
            "N",
            "Resubmit a job up to N times if it failed for a transient reason.",
            converters.whole(0),
            group=FURTHER,
            show_default=False,
        ),
    ] = 0
    reseed: Annotated[
        int,
        valued(
            "N",
            "Resubmit a job up to N times, with a new seed, if a picture was withheld: failed, black or missing.",
            converters.whole(0),
            group=FURTHER,
            show_default=False,
        ),
    ] = 0
    embed: Annotated[
        bool,
        switch("Embed a record of how it was made in each picture."),
    ] = False
    sign: Annotated[
        Path | None,
        valued(
            "FILE", "Sign each picture (C2PA) with the certificate in this PEM file.", converters.file, group=FURTHER
        ),
    ] = None
    sign_key: Annotated[
        Path | None,
        valued("FILE", "The certificate's private key, in PEM.", converters.file, group=FURTHER),
    ] = None
    sign_timestamp: Annotated[
        str | None,
        valued("URL", "A timestamp authority for the signatures (RFC 3161).", group=FURTHER),
    ] = None
    max_pending: Annotated[
        int,
        valued("N", "Concurrency: maximum predictions pending at once.", converters.whole(1), group=FURTHER),
    ] = MAX_PENDING
    creates_per_minute: Annotated[
        int | None,
        valued("N", "Rate limit: maximum submissions per minute.", converters.whole(1), group=FURTHER),
    ] = None
    polls_per_minute: Annotated[
        int | None,
        valued("N", "Rate limit: maximum polls per minute.", converters.whole(1), group=FURTHER),
    ] = None
    base_url: BaseUrl = None
    proxy: Proxy = None
    verbose: Annotated[
        int,
        switch(
            "Print each outcome as it comes; -vv prints every event.",
            name=("--verbose", "-v"),
            group=FURTHER,
            count=True,
        ),
    ] = 0
    quiet: Annotated[
        bool,
        switch("Print only errors, and paid predictions that are not saved.", name=("--quiet", "-q"), group=FURTHER),
    ] = False
    log_json: Annotated[
        bool,
        switch("Write one JSON object per event to stderr, and no progress bar.", group=FURTHER),
    ] = False

    gallery: Annotated[bool, Parameter(parse=False)] = False
    """Whether to keep a page of the pictures. Only commands on a folder with a journal have this option."""
    look: Annotated[bool, Parameter(parse=False)] = False
    """Whether to look at the pictures. As for `gallery`."""
    check: Annotated[bool, Parameter(parse=False)] = False
    """Whether to request the head of each saved picture of an object store. As for `gallery`."""
    savers: Annotated[str | int | None, Parameter(parse=False)] = None
    """Where the pictures are saved, as for `open_session`. As for `gallery`, not every command has options for it."""
    schemas: Annotated[Mapping[str, ModelSchema], Parameter(parse=False)] = attrs.field(factory=dict)
    """The schemas of models, which ``--local`` offers. As for `gallery`, not every command has options for it."""
    schema_options: Annotated[tuple[str, ...], Parameter(parse=False)] = ()
    """The values of ``--schema`` with which another command reads the same schemas."""
    prices: Annotated[KnownPrices, Parameter(parse=False)] = attrs.field(factory=KnownPrices)
    """The prices that are known, for a budget and for estimates."""

    def naming_schemas(self, given: Sequence[str], model: str | None = None) -> Self:
        """Return the settings with the names of the schemas; a file without a name is for *model*.

        Raises:
            ConfigError: as for `name_schemas`.
        """
        return attrs.evolve(self, schema_options=tuple(name_schemas(given, model)))

    def reading_schemas(self) -> Self:
        """Return the settings with the schemas that they name.

        Raises:
            ConfigError: as for `read_schemas`.
        """
        return attrs.evolve(self, schemas=read_schemas(self.schema_options))

    @property
    def voice(self) -> Verbosity:
        """How much is printed, and in which form."""
        return Verbosity(is_quiet=self.quiet, is_log=self.log_json, verbosity=self.verbose)


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class TemplateOptions:
    """The options that make prompts from a table and limit the size of a sweep."""

    template: Annotated[
        str | None,
        valued("TEXT", 'Make prompts from columns: "a {animal} in {place}".'),
    ] = None
    max_jobs: Annotated[int, valued("N", "Maximum jobs of a sweep.", converters.whole(1), group=FURTHER)] = Most().jobs

    def prompting(self) -> "Prompting":
        """Return the settings that make prompts, with the name of the option for error messages."""
        from cometflux.sources.templates.prompting import Prompting

        return Prompting(template=self.template, template_label="--template")


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class ConsentOptions:
    """The options for a dry run and for the consent before a purchase."""

    dry_run: Annotated[bool, switch("Show what would be bought, and buy nothing.")] = False
    confirm_above: Annotated[
        int,
        valued("N", "At a terminal, ask before buying more than N predictions.", converters.whole(0), group=FURTHER),
    ] = CONFIRM_ABOVE
    yes: Annotated[bool, switch("Do not ask for confirmation.")] = False
    sample: Annotated[int | None, Parameter(parse=False)] = None
    """How many jobs to make before the others, and to ask then. Only ``batch`` has an option for it."""


Schemas = Annotated[
    tuple[str, ...],
    repeatable(
        "[MODEL=]FILE",
        "The schema of another model, or a folder of schemas (owner_name.json); repeatable.",
        group=FURTHER,
    ),
]
NewKey = Annotated[
    bool,
    switch("Continue although the folder was begun with another API key.", group=FURTHER),
]
Out = Annotated[
    Path | str,
    valued(
        "PLACE", "The folder for the pictures, or s3://bucket/prefix, gs://, az://.", converters.place, group=OPTIONS
    ),
]
JournalFolder = Annotated[
    Path | None,
    valued(
        "FOLDER",
        "With --out s3://…: the local folder for the journal.",
        converters.folder,
        name="--journal",
        group=FURTHER,
        show_default=False,
    ),
]
KeepGallery = Annotated[
    bool,
    switch("Keep a gallery page, index.html, up to date in the folder.", group=OPTIONS),
]
LookAt = Annotated[
    bool,
    switch("Report pictures that are black, blank, damaged or near duplicates.", group=FURTHER),
]
CheckEach = Annotated[
    bool,
    switch("In an object store, compare the SHA-256 of each saved picture, not only its name and size.", group=FURTHER),
]


def check_exclusive(settings: RunOptions, out: Path | str | None = None) -> None:
    """Raise if two options exclude each other; *out* is where the pictures go, as a string if it is an object store.

    Raises:
        UsageError: two such options are given.
    """
    if settings.local:
        for name, value in (("--base-url", settings.base_url), ("--proxy", settings.proxy)):
            if value is not None:
                raise UsageError(f"--local and {name} exclude each other; leave one out")
    if settings.quiet and settings.verbose:
        raise UsageError("--quiet and --verbose exclude each other; leave one out")
    if settings.look and isinstance(out, str):
        raise UsageError("--look looks at pictures in a folder; leave it out for an object store")
