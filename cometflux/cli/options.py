"""The options that commands share, and one more for each parameter of a model."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import attrs
from cyclopts import Group, Parameter

from cometflux.cli import reference, tokens
from cometflux.flux import Kind
from cometflux.sources.rows import Most

if TYPE_CHECKING:
    from cometflux.sources.templates import Prompting

OPTIONS = Group("Options", sort_key=1)
MODEL_PARAMETERS = Group(
    "Model parameters",
    help="Each model takes some of these: `cometflux models MODEL` tells which.",
    sort_key=2,
)

MAX_PENDING = 64
CONFIRM_ABOVE = 100
"""How many predictions are bought from a terminal without a question."""

_never: tuple[str, ...] = ()


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class Making:
    """What both commands that are given prompts are told of the pictures."""

    model: Annotated[str, Parameter(metavar="MODEL", converter=tokens.text, help="One of `cometflux models`.")] = (
        "flux-schnell"
    )
    count: Annotated[
        int,
        Parameter(
            metavar="N",
            converter=tokens.whole(1),
            show_default=False,
            help="Make each prompt N times; a fixed seed goes up by one.",
        ),
    ] = 1
    input: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="KEY=VALUE",
            negative=_never,
            consume_multiple=False,
            show_default=False,
            help="A parameter by its name at the service; repeatable.",
        ),
    ] = ()


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class Settings:
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
            converter=tokens.whole(0),
            help="Most predictions to buy; what the folder's journal has counts.",
        ),
    ] = None
    retry_failed: Annotated[
        int,
        Parameter(
            metavar="N",
            converter=tokens.whole(0),
            show_default=False,
            help="Buy again up to N times what failed for a passing reason.",
        ),
    ] = 0
    max_pending: Annotated[
        int, Parameter(metavar="N", converter=tokens.whole(1), help="Most predictions under way at once.")
    ] = MAX_PENDING
    creates_per_minute: Annotated[
        int | None,
        Parameter(metavar="N", converter=tokens.whole(1), help="Most predictions to submit within a minute."),
    ] = None
    polls_per_minute: Annotated[
        int | None,
        Parameter(metavar="N", converter=tokens.whole(1), help="Most questions to ask within a minute."),
    ] = None
    base_url: Annotated[
        str | None, Parameter(metavar="URL", converter=tokens.text, help="Where the API is, if not at CometAPI.")
    ] = None
    proxy: Annotated[
        str | None, Parameter(metavar="URL", converter=tokens.text, help="An HTTP proxy to go through.")
    ] = None


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class Templates:
    """How a table becomes prompts, and what a sweep may come to."""

    template: Annotated[
        str | None,
        Parameter(metavar="TEXT", converter=tokens.text, help='Makes the prompts: "a {animal} in {place}".'),
    ] = None
    jinja: Annotated[
        str | None, Parameter(metavar="TEXT", converter=tokens.text, help="The same in the language of Jinja.")
    ] = None
    max_jobs: Annotated[int, Parameter(metavar="N", converter=tokens.whole(1), help="Most jobs of a sweep.")] = (
        Most().jobs
    )

    def prompting(self) -> "Prompting":
        """Say how prompts are made, in the words of the shell."""
        from cometflux.sources.templates import Prompting

        return Prompting(template=self.template, jinja=self.jinja, template_label="--template", jinja_label="--jinja")


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class Consent:
    """Whether what would be bought is shown, asked about, or bought."""

    dry_run: Annotated[
        bool, Parameter(negative=_never, show_default=False, help="Show what would be bought, and buy nothing.")
    ] = False
    confirm_above: Annotated[
        int,
        Parameter(metavar="N", converter=tokens.whole(0), help="At a terminal, ask above N."),
    ] = CONFIRM_ABOVE
    yes: Annotated[bool, Parameter(negative=_never, show_default=False, help="Do not ask.")] = False


NewKey = Annotated[
    bool,
    Parameter(
        group=OPTIONS,
        negative=_never,
        show_default=False,
        help="Go on though the folder was begun with another key.",
    ),
]
Folder = Annotated[
    Path,
    Parameter(metavar="DIR", converter=tokens.folder, help="The folder of a batch."),
]


_Command = TypeVar("_Command", bound=Callable[..., Any])

_METAVARS = {
    Kind.TEXT: "TEXT",
    Kind.INTEGER: "N",
    Kind.NUMBER: "X",
    Kind.BOOLEAN: "BOOL",
    Kind.CHOICE: "WORD",
    Kind.IMAGE: "IMAGE",
    Kind.IMAGES: "IMAGE",
}


def with_model_parameters(command: _Command) -> _Command:
    """Give *command*, which takes ``**given``, an option for each parameter of any model."""
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *_model_options()])  # type: ignore[attr-defined]
    return command


def _model_options() -> Iterator[inspect.Parameter]:
    for name, takers in reference.all_parameters().items():
        kind = reference.kind_of(name, takers[0])
        # Texts, because each model has its own types and ranges; they are read when the model is known.
        written = list[str] | None if kind is Kind.IMAGES else str | None
        option = Parameter(
            group=MODEL_PARAMETERS,
            help=reference.short_text(name, takers),
            metavar=_METAVARS[kind],
            negative=_never,
            consume_multiple=False,
            allow_leading_hyphen=kind in {Kind.INTEGER, Kind.NUMBER},
        )
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[written, option]
        )
