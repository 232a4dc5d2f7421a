"""Make the contact sheet of a folder."""

from pathlib import Path

from cometflux.basics.plain_text import by_number, count_of
from cometflux.cli.terminal.screen import Screen
from cometflux.gallery import ContactSheet

_MOST_NAMED = 5


def show_sheet(screen: Screen, folder: Path, to: Path | None, *, only_picks: bool) -> None:
    """Write the contact sheet of *folder*, and print the path of each page when it is written.

    Raises:
        ConfigError: as `ContactSheet` does.
        JournalError: the journal cannot be read, and there is nothing else to show.
        MissingExtraError: Pillow is missing.
    """
    sheet = ContactSheet(folder, to, only_picks=only_picks)
    for note in sheet.notes:
        screen.say(f"note: {note}")
    for path in sheet.pages():
        screen.data(str(path))
    if faults := sheet.faults:
        verb = by_number(len(faults), "is", "are")
        screen.say(f"note: {len(faults)} of {count_of(len(sheet.cells), 'picture')} {verb} not shown:")
        for name, fault in list(faults.items())[:_MOST_NAMED]:
            screen.say(f"  {name}: {fault}")
        if len(faults) > _MOST_NAMED:
            screen.say(f"  … and {len(faults) - _MOST_NAMED} more")
