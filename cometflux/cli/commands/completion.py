"""Write the scripts for shell completion. They know the names and options, and run the command to complete models."""

import sys
from enum import StrEnum
from typing import Annotated

from cyclopts import App, Parameter


class Shell(StrEnum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, Parameter(metavar="SHELL", show_choices=False, help="bash, zsh or fish.")], /
) -> None:
    """Print the completion script for a shell."""
    from cometflux.cli.app import app

    sys.stdout.write(script(app, shell))


def script(app: App, shell: Shell) -> str:
    """Return the completion script for *shell*."""
    text = app.generate_completion(prog_name="cometflux", shell=shell.value)
    if shell is Shell.BASH:
        return text.replace(_BASH_FILES, _BASH_LINES)
    return text + _ZSH if shell is Shell.ZSH else text


_BASH_FILES = 'COMPREPLY=( $(compgen -f -- "${cur}") )'
# Keep a file name with blanks in one piece. compopt fails outside a completion, which does no harm.
_BASH_LINES = f"local IFS=$'\\n'; compopt -o filenames 2> /dev/null; {_BASH_FILES}"

# The generated script works only from a file of one certain name. With this, it also works when it is sourced.
_ZSH = """
if [[ $zsh_eval_context[-1] == *func ]]; then
  _cyclopts_cometflux "$@"
else
  compdef _cyclopts_cometflux cometflux
fi
"""
