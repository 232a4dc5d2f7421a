"""What lets a shell complete the command: names and options at once, models by asking the command."""

from enum import StrEnum

from cyclopts import App


class Shell(StrEnum):
    """The shells that can be told."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def script(app: App, shell: Shell) -> str:
    """Return the script that *shell* is to read."""
    text = app.generate_completion(prog_name="cometflux", shell=shell.value)
    return text + _ZSH if shell is Shell.ZSH else text


# What is generated works only as a file of one certain name; so it does as any, and where it is sourced.
_ZSH = """
if [[ $zsh_eval_context[-1] == *func ]]; then
  _cyclopts_cometflux "$@"
else
  compdef _cyclopts_cometflux cometflux
fi
"""
