"""The command ``cometflux``: pictures from prompts and prompt files.

stdout is data and stderr is talk. Needs the extra ``cli``, and says so where it is missing.

The exit codes stand in `exit_codes.py`.
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; without *arguments*, those of the process."""
    # The imports take long enough to be interrupted.
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        # The table of exit codes may be one of the imports that are missing.
        return 130


def _run(arguments: Sequence[str]) -> int:
    from cometflux.cli.exit_codes import ExitCode
    from cometflux.cli.terminal.streams import mend_streams
    from cometflux.errors import MissingExtraError, needs_extra

    mend_streams()
    try:
        with needs_extra("the command", "cli", "cyclopts", "rich"):
            from cometflux.cli.app import run_command
    except MissingExtraError as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.CONFIGURATION
    return run_command(arguments)
