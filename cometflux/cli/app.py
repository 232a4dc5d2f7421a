"""The table of commands, and the way from the arguments to the exit code."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext

import attrs
from cyclopts import App, CycloptsError, Group
from rich.console import Console

from cometflux import __version__
from cometflux.cli.config.apply import fill
from cometflux.cli.config.files import NO_FOLDER, is_folder_there
from cometflux.cli.errors import UsageError
from cometflux.cli.exit_codes import ExitCode, code_of_error, code_of_interrupt
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.options.help_format import ALL, FLAGS, MORE, in_full
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.messages import hinted_text, setting_text, usage_text
from cometflux.cli.terminal.screen import Screen, Verbosity
from cometflux.cli.terminal.streams import discard
from cometflux.errors import CometfluxError, ConfigError, JournalError
from cometflux.sources.errors import SourceError

_MOST_ERRORS = 10
_ARGUMENTS = Group("Arguments", sort_key=0)


@attrs.frozen
class _Command:
    """A command. Its file is imported when the command is used, so the list of commands needs a summary of its own."""

    name: str
    target: str
    """Where the function or the `App` is: a file of `cometflux.cli.commands`, and the name in it."""
    summary: str
    """The first line of its docstring."""
    usage: str = ""
    epilogue: str = ""


COMMANDS = (
    _Command(
        "generate",
        "generate:generate",
        "Make pictures from prompts, and print their paths.",
        "PROMPT... [OPTIONS]",
        MORE,
    ),
    _Command(
        "batch",
        "batch:batch",
        "Make the pictures of a prompt file, one job per row.",
        "[FILE] [OPTIONS]",
        "Columns: prompt, model, key, and the parameters of the models. A row\n"
        f"overrides an option. Paths of images are relative to the file.\n\n{MORE}",
    ),
    _Command(
        "resume",
        "resume:resume",
        "Resume a batch from its folder, without its prompt file.",
        "FOLDER [OPTIONS]",
        MORE,
    ),
    _Command(
        "status",
        "status:status",
        "Print the progress of a batch, even while it is running.",
        "FOLDER [OPTIONS]",
        "With --json it prints one object: planned, and how many jobs are in each of\n"
        "eleven states, which add up to planned. If there are several prompt files, parts\n"
        "or marked pictures, it also has files, parts or picks.\n"
        "\n"
        "Example:\n"
        "  cometflux status prompts-images",
    ),
    _Command(
        "unknown",
        "unknown:unknown",
        "List the unknown jobs, or settle them.",
        "FOLDER [OPTIONS]",
        "Examples:\n"
        "  cometflux unknown prompts-images\n"
        "  cometflux unknown prompts-images --adopt boat=xyz123 --abandon fox",
    ),
    _Command(
        "failures",
        "failures:failures",
        "Write a prompt file of the jobs that did not succeed.",
        "FOLDER [OPTIONS]",
        "Example:\n  cometflux failures prompts-images --out again.csv",
    ),
    _Command(
        "costs",
        "costs:costs",
        "Print what a batch really cost, from the account's log.",
        "FOLDER [OPTIONS]",
        "Example:\n  cometflux costs prompts-images",
    ),
    _Command(
        "balance",
        "balance:balance",
        "Print how much you can still spend.",
        "[OPTIONS]",
        "Example:\n  cometflux balance",
    ),
    _Command(
        "gallery",
        "gallery:gallery",
        "Make a page of a folder's pictures, and print its path.",
        "FOLDER [OPTIONS]",
        "Examples:\n  cometflux gallery prompts-images\n  cometflux gallery prompts-images --serve\n"
        "  cometflux gallery prompts-images --sheet --picks",
    ),
    _Command(
        "export",
        "export:export",
        "Export a folder's pictures as a dataset.",
        "FOLDER --to DIR [OPTIONS]",
        "Examples:\n"
        "  cometflux export tour --to dataset\n"
        "  cometflux export tour --to shards --as webdataset --picks\n"
        '  cometflux export tour --to lora --as captions --caption "sks, {prompt}"',
    ),
    _Command(
        "models",
        "models:models",
        "List the models, or the parameters of one.",
        "[MODEL] [OPTIONS]",
        "Examples:\n  cometflux models\n  cometflux models kontext-pro",
    ),
    _Command(
        "show",
        "show:show",
        "Show how a picture was made, from its record.",
        "PICTURE [OPTIONS]",
        "Example:\n  cometflux show images/00000-a-lighthouse.webp",
    ),
    _Command(
        "get",
        "get:get",
        "Print the state of a prediction, by its id.",
        "ID [OPTIONS]",
        "Examples:\n  cometflux get xyz123\n  cometflux get xyz123 --wait --json",
    ),
    _Command(
        "save",
        "save:save",
        "Save the pictures of a prediction, by its id.",
        "ID [OPTIONS]",
        "Example:\n  cometflux save xyz123 --out images",
    ),
    _Command(
        "mcp",
        "mcp:mcp",
        "Serve tools to agents (MCP), over stdin and stdout.",
        "[OPTIONS]",
        "Example, as an agent's client starts it:\n"
        "  cometflux mcp --out /home/me/pictures --max-predictions 50\n"
        "Example, to try it for free:\n"
        "  cometflux mcp --local",
    ),
    # These two are each an `App`, which brings its usage itself: one has commands of its own, and the other's page
    # names the faults, which need not be imported for the list.
    _Command("local-service", "local_service:local_service", "Run a free local service, for trials and tests."),
    _Command("config", "config:config", "Show the settings, and where they are set."),
    _Command(
        "completion",
        "completion:completion",
        "Print the completion script for a shell.",
        "SHELL",
        "Examples:\n"
        "  cometflux completion bash > ~/.local/share/bash-completion/completions/cometflux\n"
        "  cometflux completion zsh > ~/.zfunc/_cometflux\n"
        "  cometflux completion fish > ~/.config/fish/completions/cometflux.fish",
    ),
)


def make_app(*, is_list: bool = False) -> App:
    """Return the command with every command of the table.

    Args:
        is_list: whether summaries are shown in place of docstrings, so that listing the commands imports none of them.
    """
    app = App(
        name="cometflux",
        version=__version__,
        # With the list of commands it has to fit a screen of 24 lines, so the usage has no line of its own.
        help=(
            "Make pictures with FLUX models through CometAPI, and never pay for one twice.\n"
            'Usage: cometflux COMMAND   For free:  cometflux generate "a lighthouse" --local'
        ),
        help_format="plaintext",
        result_action="return_value",
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        help_flags=FLAGS,
        usage="",
        group_parameters=OPTIONS,
        group_arguments=_ARGUMENTS,
        config=fill,
    )
    for flag in ("--help", "--version"):
        app[flag].show = False
    for sort_key, command in enumerate(COMMANDS, 1):
        _register(app, command, sort_key, command.summary if is_list else None)
    return app


def _register(app: App, command: _Command, sort_key: int, summary: str | None) -> None:
    target = f"cometflux.cli.commands.{command.target}"
    page = {"usage": f"Usage: cometflux {command.name} {command.usage}", "help_epilogue": command.epilogue}
    app.command(target, name=command.name, sort_key=sort_key, help=summary, **(page if command.usage else {}))


app = make_app()


def _app_for(arguments: Sequence[str]) -> App:
    # A wrong command line loads all commands; their summaries would then replace the help of those that are an `App`.
    return make_app(is_list=True) if {*arguments} <= {*FLAGS, "--version"} else app


def run_command(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code. An error that can be expected is told on one line each."""
    try:
        with signals.raised():
            return _run_command(arguments)
    except KeyboardInterrupt as stop:
        return code_of_interrupt(stop)


def _run_command(arguments: Sequence[str]) -> int:
    screen = Screen(Verbosity(is_log="--log-json" in arguments))
    try:
        with in_full() if ALL in arguments else nullcontext():
            result = _app_for(arguments)(list(arguments), console=Console())
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
        return ExitCode.FAILED
    except (CycloptsError, UsageError, SourceError, CometfluxError, OSError) as error:
        if isinstance(error, OSError):
            discard(sys.stdout)
        _tell(screen, _lines(error, arguments))
        return code_of_error(error)
    return result if isinstance(result, int) else ExitCode.OK


def _lines(error: Exception, arguments: Sequence[str]) -> Sequence[str]:
    *lines, last = _texts(error, arguments)
    if not is_folder_there() and NO_FOLDER not in last:
        last = f"{last}; {NO_FOLDER}"
    return [*lines, last]


def _texts(error: Exception, arguments: Sequence[str]) -> Sequence[str]:
    match error:
        case CycloptsError():
            return [usage_text(error)]
        case UsageError() | SourceError():
            return error.lines
        case ConfigError():
            return [setting_text(error, arguments)]
        case JournalError():
            return [hinted_text(error)]
    return [str(error)]


def _tell(screen: Screen, lines: Sequence[str]) -> None:
    for line in lines[:_MOST_ERRORS]:
        screen.error(line)
    if len(lines) > _MOST_ERRORS:
        screen.say(f"… and {len(lines) - _MOST_ERRORS} more errors like these; nothing was sent")
    elif len(lines) > 1:
        screen.say(f"{len(lines)} errors; nothing was sent")
