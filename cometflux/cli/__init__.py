"""The command ``cometflux``: pictures from prompts and prompt files.

stdout is data and stderr is talk. Needs the extra ``cli``, and says so where it is missing.

Exit codes: 130 interrupted, 143 told to stop; else 3 for the key, the credit, the configuration, the journal, or a
folder that cannot be written to; else 5 when something is of unknown fate; else 4 when a limit ended it; else 1 when
something failed or is not saved, or stdout could not be written to; else 0. 2 says that the arguments or the prompt
file are wrong, and nothing was sent.
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; without *arguments*, those of the process."""
    # The imports take long enough to be interrupted.
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str]) -> int:
    from cometflux.cli.terminal.streams import mend_streams
    from cometflux.errors import MissingExtraError, needs_extra

    mend_streams()
    try:
        with needs_extra("the command", "cli", "cyclopts", "rich"):
            from cometflux.cli.app import run_command
    except MissingExtraError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return run_command(arguments)
