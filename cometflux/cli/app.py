"""The commands and their arguments. What they do stands in the other modules, imported when it is needed."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console

from cometflux import __version__
from cometflux.cli.commands import completion
from cometflux.cli.commands.local_service import fault_names
from cometflux.cli.commands.mcp_options import ServerOptions
from cometflux.cli.config.apply import fill
from cometflux.cli.errors import ConfigurationError, UsageError
from cometflux.cli.options import converters, help_format
from cometflux.cli.options.shared import (
    FURTHER,
    OPTIONS,
    ConsentOptions,
    Folder,
    ImageOptions,
    JournalFolder,
    KeepGallery,
    NewKey,
    Out,
    RunOptions,
    TemplateOptions,
    with_model_parameters,
)
from cometflux.cli.prompts.prompt_plan import CommandLineInput
from cometflux.cli.prompts.read_file import read_file
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.messages import NO_PROMPT, hinted_text, setting_text, usage_text
from cometflux.cli.terminal.screen import Screen, Verbosity
from cometflux.cli.terminal.streams import discard
from cometflux.errors import CometfluxError, ConfigError, InputError, JournalError
from cometflux.models.docs import complete_model
from cometflux.sources.errors import SourceError
from cometflux.sources.rows import SUFFIXES, Format, Most, Row, Source

if TYPE_CHECKING:
    from cometflux.sources.planner import Plan

_MOST_ERRORS = 10
_ARGUMENTS = Group("Arguments", sort_key=0)
_HELP = ("--help", "-h", help_format.ALL)
_never: tuple[str, ...] = ()

app = App(
    name="cometflux",
    version=__version__,
    help=(
        "Pictures from prompts with the FLUX models of CometAPI, never paid for twice.\n\n"
        "For example, for free; `cometflux COMMAND --help` tells more of each:\n"
        '  cometflux generate "a lighthouse in the rain" --local'
    ),
    help_format="plaintext",
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    help_flags=_HELP,
    usage="Usage: cometflux COMMAND",
    group_parameters=OPTIONS,
    group_arguments=_ARGUMENTS,
    config=fill,
)
for _flag in ("--help", "--version"):
    app[_flag].show = False


def run_command(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code. An error that can be expected is told on one line each."""
    try:
        with signals.raised():
            return _run_command(arguments)
    except KeyboardInterrupt as stop:
        return signals.exit_code(stop)


def _run_command(arguments: Sequence[str]) -> int:
    tell = partial(_tell, Screen(Verbosity(is_log="--log-json" in arguments)))
    try:
        with help_format.in_full() if help_format.ALL in arguments else nullcontext():
            result = app(list(arguments), console=Console())
        sys.stdout.flush()
    except CycloptsError as error:
        return tell([usage_text(error)], 2)
    except ConfigurationError as error:
        return tell(error.lines, 3)
    except (UsageError, SourceError) as error:
        return tell(error.lines, 2)
    except InputError as error:
        return tell([str(error)], 2)
    except ConfigError as error:
        return tell([setting_text(error, arguments)], 3)
    except JournalError as error:
        return tell([hinted_text(error)], 3)
    except CometfluxError as error:
        return tell([str(error)], 1)
    except BrokenPipeError:
        discard(sys.stdout)
        return 1
    except OSError as error:
        discard(sys.stdout)
        return tell([str(error)], 1)
    return result if isinstance(result, int) else 0


def _tell(screen: Screen, lines: Sequence[str], code: int) -> int:
    for line in lines[:_MOST_ERRORS]:
        screen.error(line)
    if len(lines) > _MOST_ERRORS:
        screen.say(f"… and {len(lines) - _MOST_ERRORS} more errors like these; nothing was sent")
    elif len(lines) > 1:
        screen.say(f"{len(lines)} errors; nothing was sent")
    return code


@app.command(
    sort_key=1,
    usage="Usage: cometflux generate PROMPT... [OPTIONS]",
    help_epilogue=help_format.MORE,
)
@with_model_parameters
def generate(
    *prompts: Annotated[str, Parameter(metavar="PROMPT", required=True, help="What a picture should show; in quotes.")],
    out: Out = Path("images"),
    making: ImageOptions = ImageOptions(),  # noqa: B008 - frozen
    settings: RunOptions = RunOptions(),  # noqa: B008 - frozen
    consent: ConsentOptions = ConsentOptions(),  # noqa: B008 - frozen
    **given: str | list[str] | None,
) -> int:
    """Make pictures from prompts, and print their paths.

    For example:
      cometflux generate "a lighthouse in the rain" --aspect-ratio 16:9 --count 4
      cometflux generate "paint it red" --model kontext-pro --input-image boat.png
    """
    _check_prompts(prompts)
    _check_place(settings)
    source = Source(rows=tuple(Row(values={"prompt": prompt}) for prompt in prompts))
    with _nothing_sent(settings):
        from cometflux.cli.batch.dry_run import offer_prompts
        from cometflux.cli.batch.run import run_prompts

        plan = _plan(source, Path(), making, given)
        if (code := offer_prompts(plan, settings, consent)) is not None:
            return code
        return run_prompts(plan, settings, out)


@app.command(
    sort_key=2,
    usage="Usage: cometflux batch FILE [OPTIONS]",
    help_epilogue=(
        "Columns: prompt, model, key, and the parameters of the models. A row beats an\n"
        f"option. Paths of images are relative to the file.\n\n{help_format.MORE}"
    ),
)
@with_model_parameters
def batch(
    file: Annotated[
        # A path among what may stand there lets shells complete the names of files.
        str | Path,
        Parameter(
            metavar="FILE",
            converter=converters.as_written,
            allow_leading_hyphen=True,
            help="A .csv, .tsv, .jsonl, .txt, .yaml or .parquet file; - is stdin.",
        ),
    ],
    /,
    *,
    out: Annotated[
        Path | str | None,
        Parameter(
            metavar="PLACE",
            group=OPTIONS,
            converter=converters.place,
            help="The folder for the pictures, or s3://bucket/prefix, gs://, az://. [default: <name of FILE>-images]",
        ),
    ] = None,
    journal: JournalFolder = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format | None,
        Parameter(
            metavar="FORMAT",
            group=FURTHER,
            show_choices=False,
            help="csv, tsv, jsonl, yaml, parquet or text; stdin is text.",
        ),
    ] = None,
    making: ImageOptions = ImageOptions(),  # noqa: B008 - frozen
    templates: TemplateOptions = TemplateOptions(),  # noqa: B008 - frozen
    settings: RunOptions = RunOptions(),  # noqa: B008 - frozen
    consent: ConsentOptions = ConsentOptions(),  # noqa: B008 - frozen
    new_key: NewKey = False,
    gallery: KeepGallery = False,
    **given: str | list[str] | None,
) -> int:
    """Make the pictures of a prompt file, one row each.

    The whole file is checked first. A journal in the folder keeps every step: the
    same command again, or `resume`, goes on from there and buys nothing twice.

    For example:
      cometflux batch prompts.csv --model 2-pro --aspect-ratio 3:2 --out tour
      cometflux batch sweep.yaml --dry-run
      cometflux batch animals.csv --template "a {animal} in {place}"
    """
    settings = attrs.evolve(settings, gallery=gallery)
    _check_place(settings)
    file = str(file)
    is_stdin = file == "-"
    own = Path("stdin-images" if is_stdin else f"{Path(file).stem}-images")
    if journal is not None and not isinstance(out, str):
        raise UsageError("--journal goes with --out s3://…; a batch into a folder keeps its journal there")
    folder = (journal or own) if isinstance(out, str) else (out or own)
    with _nothing_sent(settings, folder):
        from cometflux.cli.batch.dry_run import offer_batch
        from cometflux.cli.batch.run import run_batch

        prompting = templates.prompting()
        most = Most(jobs=templates.max_jobs, copies=making.count, label="--max-jobs")
        source = prompting.apply(read_file(file, format, needs_prompt=not prompting.is_given, most=most))
        plan = _plan(source, Path() if is_stdin else Path(file).parent, making, given)
        place = out if isinstance(out, str) else None
        if (code := offer_batch(plan, settings, consent, folder, place)) is not None:
            return code
        return run_batch(plan, settings, folder, place=place, new_key=new_key)


@app.command(
    sort_key=3,
    usage="Usage: cometflux resume FOLDER [OPTIONS]",
    help_epilogue=help_format.MORE,
)
def resume(
    folder: Folder,
    /,
    *,
    settings: RunOptions = RunOptions(),  # noqa: B008 - frozen
    consent: ConsentOptions = ConsentOptions(),  # noqa: B008 - frozen
    new_key: NewKey = False,
    gallery: KeepGallery = False,
) -> int:
    """Go on with a batch from its folder, without its prompt file.

    What is bought is asked after and saved, what is not is bought; nothing is
    bought twice. The address is the journal's, unless it is given.

    For example:
      cometflux resume prompts-images
      cometflux resume prompts-images --limit 100 --retry-failed 1
    """
    settings = attrs.evolve(settings, gallery=gallery)
    _check_place(settings)
    with _nothing_sent(settings, folder):
        from cometflux.cli.batch.dry_run import offer_rest
        from cometflux.cli.batch.run import run_resume

        if (code := offer_rest(settings, consent, folder)) is not None:
            return code
        return run_resume(folder, settings, new_key=new_key)


@app.command(
    sort_key=4,
    usage="Usage: cometflux status FOLDER [OPTIONS]",
    help_epilogue=(
        "With --json the same words are the keys of one object: planned, and the\n"
        "eleven places, which add up to it.\n"
        "\n"
        "Example:\n"
        "  cometflux status prompts-images"
    ),
)
def status(
    folder: Folder,
    /,
    *,
    json: Annotated[bool, Parameter(negative=_never, show_default=False, help="Print one JSON object.")] = False,
) -> None:
    """Tell how far a batch is, also while it runs."""
    from cometflux.cli.commands.status import show_status

    show_status(folder, as_json=json)


@app.command(
    sort_key=5,
    usage="Usage: cometflux unknown FOLDER [OPTIONS]",
    help_epilogue=(
        "Examples:\n"
        "  cometflux unknown prompts-images\n"
        "  cometflux unknown prompts-images --adopt boat=xyz123 --abandon fox"
    ),
)
def unknown(
    folder: Folder,
    /,
    *,
    adopt: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="KEY=ID",
            negative=_never,
            consume_multiple=False,
            show_default=False,
            help="It was accepted as prediction ID; ask after it. Repeatable.",
        ),
    ] = (),
    abandon: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="KEY",
            negative=_never,
            consume_multiple=False,
            show_default=False,
            help="Neither look for it nor buy it again; it counts as canceled.",
        ),
    ] = (),
    resend: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="KEY",
            negative=_never,
            consume_multiple=False,
            show_default=False,
            help="Buy it again; if it was accepted, it is paid for twice.",
        ),
    ] = (),
    json: Annotated[bool, Parameter(negative=_never, show_default=False, help="One JSON object per line.")] = False,
) -> None:
    """List the jobs of unknown fate, or settle them.

    Such a job left, and no answer proves whether it was accepted: it may be
    billed, and is not sent again by itself. What is told here is written into the
    journal, all of it or nothing; `resume` then acts on it.
    """
    from cometflux.cli.commands.unknown import Resolutions, settle, show_unknown

    wishes = Resolutions(adopt=adopt, abandon=abandon, resend=resend)
    if wishes:
        settle(Screen(), folder, wishes, as_json=json)
    else:
        show_unknown(Screen(), folder, as_json=json)


@app.command(
    name="gallery",
    sort_key=6,
    usage="Usage: cometflux gallery FOLDER",
    help_epilogue="Example:\n  cometflux gallery prompts-images",
)
def show_gallery(folder: Folder, /) -> None:
    """Make a page of a folder's pictures, and print its path.

    One file, index.html, that needs no network: with the prompt, parameters and
    fate of each job. Also while a batch runs; nothing else is changed.
    """
    from cometflux.cli.batch.gallery import show_gallery

    show_gallery(Screen(), folder)


@app.command(
    sort_key=7,
    usage="Usage: cometflux models [MODEL] [OPTIONS]",
    help_epilogue="Examples:\n  cometflux models\n  cometflux models kontext-pro",
)
def models(
    model: Annotated[
        str | None, Parameter(metavar="MODEL", completer=complete_model, help="The one whose parameters to show.")
    ] = None,
    /,
    *,
    json: Annotated[bool, Parameter(negative=_never, show_default=False, help="One JSON object per line.")] = False,
) -> None:
    """List the models, or the parameters of one."""
    from cometflux.cli.commands.models import show_model, show_models

    if model is None:
        show_models(as_json=json)
    else:
        show_model(model, as_json=json)


@app.command(
    sort_key=8,
    usage="Usage: cometflux show PICTURE [OPTIONS]",
    help_epilogue="Example:\n  cometflux show images/00000-a-lighthouse.webp",
)
def show(
    picture: Annotated[
        Path, Parameter(metavar="PICTURE", converter=converters.picture, help="A picture that was saved.")
    ],
    /,
    *,
    json: Annotated[bool, Parameter(negative=_never, show_default=False, help="Print one JSON object.")] = False,
) -> None:
    """Tell how a picture was made, by its record."""
    from cometflux.cli.commands.show import show_picture

    show_picture(picture, as_json=json)


@app.command(
    sort_key=9,
    usage="Usage: cometflux mcp [OPTIONS]",
    help_epilogue=(
        "Example, as a client of agents starts it:\n"
        "  cometflux mcp --out /home/me/pictures --max-predictions 50\n"
        "Example, to try it for free:\n"
        "  cometflux mcp --local"
    ),
)
def mcp(*, serving: ServerOptions = ServerOptions(), new_key: NewKey = False) -> int:  # noqa: B008 - frozen
    """Offer tools to agents, over stdin and stdout.

    An agent can buy no more than N predictions, and reads no file but the pictures
    made here. The same call again buys nothing again.
    """
    from cometflux.cli.commands.mcp import serve

    _check_place(serving.settings)
    return serve(serving, new_key=new_key)


@app.command(
    sort_key=10,
    usage="Usage: cometflux local-service [OPTIONS]",
    help_epilogue=(
        f"Example:\n  cometflux local-service --port 0 --fault drop:0.1\n\nFaults: {', '.join(fault_names())}"
    ),
)
def local_service(
    *,
    port: Annotated[
        int,
        Parameter(metavar="P", converter=converters.whole(0, 65535), help="The port; 0 takes any that is free."),
    ] = 8642,
    host: Annotated[
        str, Parameter(metavar="HOST", converter=converters.text, help="The address to listen on.")
    ] = "127.0.0.1",
    key: Annotated[
        str, Parameter(metavar="KEY", converter=converters.text, help="The key that clients must bring.")
    ] = "local-key",
    latency: Annotated[float, Parameter(metavar="SECONDS", help="How long a prediction takes.")] = 0.6,
    fault: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="NAME[:RATE]",
            negative=_never,
            consume_multiple=False,
            show_default=False,
            help="Misbehave: once, or at this rate, as in drop:0.1; repeatable; names below.",
        ),
    ] = (),
) -> None:
    """Run a service on this machine that costs nothing.

    It speaks like CometAPI, draws real pictures, and misbehaves when it is told to.
    """
    from cometflux.cli.commands.local_service import serve

    serve(Screen(), fault, port=port, host=host, key=key, latency=latency)


config = App(
    name="config",
    help="Tell what is configured, and where.",
    help_flags=_HELP,
    sort_key=11,
    usage="Usage: cometflux config COMMAND",
    help_epilogue="Example:\n  cometflux config show",
)
for _flag in ("--help", "--version"):
    config[_flag].show = False
app.command(config)


@config.command(
    name="show", usage="Usage: cometflux config show [OPTIONS]", help_epilogue="Example:\n  cometflux config show"
)
def show_config(
    *,
    json: Annotated[bool, Parameter(negative=_never, show_default=False, help="Print one JSON object.")] = False,
) -> None:
    """Tell every setting, and where it comes from.

    An option beats COMETFLUX_* in the environment, that beats cometflux.toml of
    the project, that your own file, and that the default. A key is not shown.
    """
    from cometflux.cli.commands.config import show_configuration

    show_configuration(as_json=json)


@config.command(usage="Usage: cometflux config path", help_epilogue="Example:\n  cometflux config path")
def path() -> None:
    """Tell where the files are: your own, and that of the project here."""
    from cometflux.cli.commands.config import show_paths

    show_paths()


@app.command(
    name="completion",
    sort_key=12,
    usage="Usage: cometflux completion SHELL",
    help_epilogue=(
        "Examples:\n"
        "  cometflux completion bash > ~/.local/share/bash-completion/completions/cometflux\n"
        "  cometflux completion zsh > ~/.zfunc/_cometflux\n"
        "  cometflux completion fish > ~/.config/fish/completions/cometflux.fish"
    ),
)
def print_completion(
    shell: Annotated[completion.Shell, Parameter(metavar="SHELL", show_choices=False, help="bash, zsh or fish.")], /
) -> None:
    """Print what lets a shell complete this command."""
    sys.stdout.write(completion.script(app, shell))


def _plan(source: Source, folder: Path, making: ImageOptions, given: Mapping[str, Any]) -> "Plan":
    from cometflux.cli.prompts.prompt_plan import make_plan

    options = {name: text for name, text in given.items() if text is not None}
    written = CommandLineInput(model=making.model, options=options, inputs=making.input, count=making.count)
    return make_plan(source, written, folder)


@contextmanager
def _nothing_sent(settings: RunOptions, folder: Path | None = None) -> Iterator[None]:
    """Say so where a signal comes before the first step of the work; from then on the work itself takes it.

    An earlier run may have bought what the journal in *folder* still waits for.
    """
    try:
        yield
    except KeyboardInterrupt:
        screen = Screen(settings.voice)
        is_first = folder is None or not os.path.lexists(folder)
        screen.warn("interrupted; nothing was sent" if is_first else "interrupted; nothing was sent by this run")
        if folder is not None and not is_first:
            from cometflux.cli.batch.run import tell_claims

            tell_claims(screen, folder, settings)
        raise


_SMALL_WORDS = {"a", "an", "the", "of", "in", "on", "at", "with", "and", "by", "under", "over", "for"}


def _check_prompts(prompts: Sequence[str]) -> None:
    if not prompts:
        raise UsageError(NO_PROMPT)
    if len(prompts) > 1 and not any(" " in each for each in prompts) and _SMALL_WORDS & set(prompts):
        raise UsageError(
            f'these are {len(prompts)} prompts of one word each; put a prompt in quotes: "{" ".join(prompts)}"'
        )
    for each in prompts:
        if each.endswith(tuple(SUFFIXES)) and " " not in each and Path(each).is_file():
            raise UsageError(f"{each} is a file; for the prompts in it: cometflux batch {each}")


def _check_place(settings: RunOptions) -> None:
    if settings.local:
        for name, value in (("--base-url", settings.base_url), ("--proxy", settings.proxy)):
            if value is not None:
                raise UsageError(f"--local and {name} exclude each other; leave one out")
    if settings.quiet and settings.verbose:
        raise UsageError("--quiet and --verbose exclude each other; leave one out")
