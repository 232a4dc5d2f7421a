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
    return app.generate_completion(prog_name="cometflux", shell=shell.value)
