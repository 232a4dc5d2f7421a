"""What lets a shell complete the command: names and options at once, models by asking the command."""

import sys
from enum import StrEnum
from typing import Annotated

from cyclopts import App, Parameter


class Shell(StrEnum):
    """The shells that can be told."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, Parameter(metavar="SHELL", show_choices=False, help="bash, zsh or fish.")], /
) -> None:
    """Print what lets a shell complete this command."""
    from cometflux.cli.app import app

    sys.stdout.write(script(app, shell))


def script(app: App, shell: Shell) -> str:
    """Return the script that *shell* is to read."""
    text = app.generate_completion(prog_name="cometflux", shell=shell.value)
    if shell is Shell.BASH:
        return text.replace(_BASH_FILES, _BASH_LINES)
    return text + _ZSH if shell is Shell.ZSH else text


_BASH_FILES = 'COMPREPLY=( $(compgen -f -- "${cur}") )'
# A name that holds a blank is one name; outside of a completion there is nothing to be told how to write it.
_BASH_LINES = f"local IFS=$'\\n'; compopt -o filenames 2> /dev/null; {_BASH_FILES}"

# What is generated works only as a file of one certain name; so it does as any, and where it is sourced.
_ZSH = """
if [[ $zsh_eval_context[-1] == *func ]]; then
  _cyclopts_cometflux "$@"
else
  compdef _cyclopts_cometflux cometflux
fi
"""
