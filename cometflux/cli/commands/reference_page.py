"""Write the reference of every command from the commands themselves.

``python -m cometflux.cli.commands.reference_page docs/command.md`` replaces the text between the two marks of the page.
`App.generate_docs` cannot be used: it omits the epilogues, which hold most examples, and joins the lines of the others.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclopts import App

from cometflux.cli.app import app
from cometflux.cli.options import help_format
from cometflux.cli.options.groups import MODEL_PARAMETERS

BEGIN = "<!-- written by python -m cometflux.cli.commands.reference_page -->\n"
END = "<!-- as far as here -->\n"


def renewed(text: str) -> str:
    """Return a page with a new reference between the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{manual()}\n{END}{after}"


def manual() -> str:
    """Return the reference of every command, followed by the parameters of the models."""
    return "\n".join([*_commands(app, "cometflux"), *_model_parameters()])


def _commands(parent: App, words: str) -> Iterator[str]:
    for name in parent:
        if name.startswith("-"):
            continue
        command, called = parent[name], f"{words} {name}"
        if command.default_command is None:
            yield from _commands(command, called)
            continue
        yield f"### {called}\n"
        epilogue = (command.help_epilogue or "").removesuffix(help_format.MORE)
        parts = [command.usage, inspect.cleandoc(command.help), epilogue]
        yield "```text\n{}\n```\n".format("\n\n".join(part.strip() for part in parts if part and part.strip()))
        yield from _arguments(command)


def _arguments(command: App) -> Iterator[str]:
    options = [each for each in _shown(command) if MODEL_PARAMETERS not in each.parameter.group]
    if options:
        yield from _table(options)
    if len(options) < len(_shown(command)):
        yield "And the [parameters of the models](#parameters-of-the-models).\n"


def _model_parameters() -> Iterator[str]:
    yield "### Parameters of the models\n"
    yield "Each model takes some of these; `cometflux models MODEL` lists which, with ranges and defaults.\n"
    yield from _table([each for each in _shown(app["generate"]) if MODEL_PARAMETERS in each.parameter.group])


def _table(options: list[Any]) -> Iterator[str]:
    rows = ["| | |", "|---|---|"]
    for each in options:
        names = ", ".join(f"`{name}`" for name in each.names)
        metavar = each.parameter.metavar if each.names[0].startswith("-") else None
        about = _escaped(each.parameter.help)
        default = f" Default: `{each.field_info.default}`." if _has_default(each) else ""
        rows.append(f"| {names}{f' `{metavar}`' if metavar else ''} | {about}{default} |")
    yield "\n".join(rows) + "\n"


def _shown(command: App) -> list[Any]:
    return [
        each
        for each in command.assemble_argument_collection(parse_docstring=True)
        if each.parameter.help and each.show and each.names != ("*",)
    ]


def _has_default(argument: Any) -> bool:
    return bool(argument.show_default) and argument.field_info.default not in (None, inspect.Parameter.empty, (), False)


def _escaped(text: str) -> str:
    for odd, written in (("|", "\\|"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(odd, written)
    # As code, since the site would make a long dash of two, and curly quotes of straight ones.
    return re.sub(r'"[^"]+"|(?<![\w`;-])--?[a-z][a-z-]*', r"`\g<0>`", text)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
