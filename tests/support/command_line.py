"""The command, run in this process."""

import shlex

from cometflux.cli import main


def run(line, code=0):
    """Run the command with the arguments in *line*, and check that it ends with *code*."""
    assert code == main(shlex.split(line))
