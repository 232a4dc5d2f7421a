"""The options that commands share, and one more for each parameter of a model."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import attrs
from cyclopts import Group, Parameter

from cometflux.cli.options import converters, help_format
from cometflux.cli.terminal.screen import Verbosity
from cometflux.models import docs
from cometflux.sources.rows import Most

if TYPE_CHECKING:
    from cometflux.sources.templates.prompting import Prompting

OPTIONS = Group("Options", sort_key=1)
FURTHER = Group("Further options", sort_key=2, help_formatter=help_format.Briefly(""))
_EACH_TAKES = "Each model takes some of these: `cometflux models MODEL` tells which."
MODEL_PARAMETERS = Group(
    "Model parameters", help=_EACH_TAKES, sort_key=3, help_formatter=help_format.Briefly(_EACH_TAKES)
)

MODEL = "flux-schnell"
MAX_PENDING = 64
CONFIRM_ABOVE = 100
"""How many predictions are bought from a terminal without a question."""

_never: tuple[str, ...] = ()


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class ImageOptions:
    """What both commands that are given prompts are told of the pictures."""

    model: Annotated[
        str,
        Parameter(
            metavar="MODEL",
            converter=converters.text,
            completer=docs.complete_model,
            help="One of `cometflux models`.",
        ),
    ] = MODEL
    count: Annotated[
        int,
        Parameter(
            metavar="N",
            converter=converters.whole(1),
            show_default=False,
            help="Make each prompt N times; a fixed seed goes up by one.",
        ),
    ] = 1
    input: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="KEY=VALUE",
            group=FURTHER,
            negative=_never,
            consume_multiple=False,
            show_default=False,
            help="A parameter by its name at the service; repeatable.",
        ),
    ] = ()


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class RunOptions:
    """What every command that buys is told."""

    json: Annotated[
        bool, Parameter(negative=_never, show_default=False, help="Print one JSON object per outcome, not paths.")
    ] = False
    local: Annotated[
        bool,
        Parameter(negative=_never, show_default=False, help="Draw on this machine: no key, nothing is paid."),
    ] = False
    limit: Annotated[
        int | None,
        Parameter(
            metavar="N",
            converter=converters.whole(0),
            help="Most predictions to buy; what the folder's journal has counts.",
        ),
    ] = None
    retry_failed: Annotated[
        int,
        Parameter(
            metavar="N",
            group=FURTHER,
            converter=converters.whole(0),
            show_default=False,
            help="Buy again up to N times what failed for a passing reason.",
        ),
    ] = 0
    embed: Annotated[
        bool,
        Parameter(negative=_never, show_default=False, help="Put into each picture how it was made, too."),
    ] = False
    max_pending: Annotated[
        int,
        Parameter(
            metavar="N", group=FURTHER, converter=converters.whole(1), help="Most predictions under way at once."
        ),
    ] = MAX_PENDING
    creates_per_minute: Annotated[
        int | None,
        Parameter(
            metavar="N",
            group=FURTHER,
            converter=converters.whole(1),
            help="Most predictions to submit within a minute.",
        ),
    ] = None
    polls_per_minute: Annotated[
        int | None,
        Parameter(
            metavar="N", group=FURTHER, converter=converters.whole(1), help="Most questions to ask within a minute."
        ),
    ] = None
    base_url: Annotated[
        str | None,
        Parameter(
            metavar="URL", group=FURTHER, converter=converters.text, help="Where the API is, if not at CometAPI."
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Parameter(metavar="URL", group=FURTHER, converter=converters.text, help="An HTTP proxy to go through."),
    ] = None
    verbose: Annotated[
        int,
        Parameter(
            name=("--verbose", "-v"),
            group=FURTHER,
            count=True,
            negative=_never,
            show_default=False,
            help="Tell of each outcome as it comes; -vv tells of every event.",
        ),
    ] = 0
    quiet: Annotated[
        bool,
        Parameter(
            name=("--quiet", "-q"),
            group=FURTHER,
            negative=_never,
            show_default=False,
            help="Tell nothing but errors, and what is paid and not saved.",
        ),
    ] = False
    log_json: Annotated[
        bool,
        Parameter(
            group=FURTHER,
            negative=_never,
            show_default=False,
            help="Let stderr be one JSON object per event, without a bar.",
        ),
    ] = False

    gallery: Annotated[bool, Parameter(parse=False)] = False
    """Whether a page of the pictures is kept; only a folder with a journal has such an option."""

    @property
    def voice(self) -> Verbosity:
        """How much is told, and in which form."""
        return Verbosity(is_quiet=self.quiet, is_log=self.log_json, verbosity=self.verbose)


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class TemplateOptions:
    """How a table becomes prompts, and what a sweep may come to."""

    template: Annotated[
        str | None,
        Parameter(metavar="TEXT", converter=converters.text, help='Makes the prompts: "a {animal} in {place}".'),
    ] = None
    max_jobs: Annotated[
        int, Parameter(metavar="N", group=FURTHER, converter=converters.whole(1), help="Most jobs of a sweep.")
    ] = Most().jobs

    def prompting(self) -> "Prompting":
        """Say how prompts are made, in the words of the shell."""
        from cometflux.sources.templates.prompting import Prompting

        return Prompting(template=self.template, template_label="--template")


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class ConsentOptions:
    """Whether what would be bought is shown, asked about, or bought."""

    dry_run: Annotated[
        bool, Parameter(negative=_never, show_default=False, help="Show what would be bought, and buy nothing.")
    ] = False
    confirm_above: Annotated[
        int,
        Parameter(metavar="N", group=FURTHER, converter=converters.whole(0), help="At a terminal, ask above N."),
    ] = CONFIRM_ABOVE
    yes: Annotated[bool, Parameter(negative=_never, show_default=False, help="Do not ask.")] = False


NewKey = Annotated[
    bool,
    Parameter(
        group=FURTHER,
        negative=_never,
        show_default=False,
        help="Go on though the folder was begun with another key.",
    ),
]
Out = Annotated[
    Path | str,
    Parameter(
        metavar="PLACE",
        group=OPTIONS,
        converter=converters.place,
        help="The folder for the pictures, or s3://bucket/prefix, gs://, az://.",
    ),
]
JournalFolder = Annotated[
    Path | None,
    Parameter(
        name="--journal",
        metavar="FOLDER",
        group=FURTHER,
        converter=converters.folder,
        show_default=False,
        help="With --out s3://…: the folder for the journal, which stays here.",
    ),
]
KeepGallery = Annotated[
    bool,
    Parameter(
        group=OPTIONS,
        negative=_never,
        show_default=False,
        help="Keep a page of the pictures in the folder, index.html.",
    ),
]
Folder = Annotated[
    Path,
    Parameter(metavar="DIR", converter=converters.folder, help="The folder of a batch."),
]


_Command = TypeVar("_Command", bound=Callable[..., Any])

# By whether it is an image, and whether it is a list. A path lets shells complete the names of files.
_WRITTEN: dict[tuple[bool, bool], Any] = {
    (False, False): str | None,
    (False, True): list[str] | None,
    (True, False): str | Path | None,
    (True, True): list[str | Path] | None,
}


def with_model_parameters(command: _Command) -> _Command:
    """Give *command*, which takes ``**given``, an option for each parameter of any model."""
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *_model_options()])  # type: ignore[attr-defined]
    return command


def _model_options() -> Iterator[inspect.Parameter]:
    for name, takers in docs.all_parameters().items():
        kind = docs.kind_of(name, takers[0])
        # Texts, because each model has its own types and ranges; they are read when the model is known.
        written: Any = _WRITTEN[bool(kind.most_images), kind.is_list]
        option = Parameter(
            group=MODEL_PARAMETERS,
            help=docs.short_text(name, takers),
            metavar=kind.metavar,
            completer=partial(docs.complete_choice, name) if kind.suggestions else None,
            negative=_never,
            consume_multiple=False,
            allow_leading_hyphen=kind.is_number,
        )
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[written, option]
        )
