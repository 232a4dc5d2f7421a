"""Write the manifest after each run on a folder, however the run ended."""

from collections.abc import Callable
from pathlib import Path

from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import CometfluxError
from cometflux.journal.manifest import FILE_NAME, write_manifest


def with_manifest(screen: Screen, folder: Path, run: Callable[[], int]) -> int:
    """Run, write the manifest of *folder*, and return the exit code of the run.

    If only the manifest cannot be written, return the exit code for that.
    """
    try:
        code = run()
    except BaseException:
        renew_manifest(screen, folder)
        raise
    return code if renew_manifest(screen, folder) else code or ExitCode.CONFIGURATION


def renew_manifest(screen: Screen, folder: Path) -> bool:
    """Write the manifest of *folder*, and return whether that succeeded. If not, print a note."""
    try:
        with signals.ignored():
            path = write_manifest(folder)
    except CometfluxError as error:
        screen.say(f"note: the manifest is as it was before: {error.message}")
        return False
    except Exception as error:  # noqa: BLE001 - a defect here must not hide how the run ended
        screen.say(f"note: the manifest is as it was before: {type(error).__name__}: {error}")
        return False
    if path.name != FILE_NAME:
        screen.say(f"note: {folder / FILE_NAME} is not a file of cometflux and stays; the manifest is {path.name}")
    return True
