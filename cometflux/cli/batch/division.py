"""Check, before anything is sent, that a list is made either in parts or without parts: the other way pays again."""

from pathlib import Path
from typing import TYPE_CHECKING

from cometflux.basics.plain_text import count_of
from cometflux.cli.batch.part_folders import is_part_folder
from cometflux.cli.errors import UsageError
from cometflux.cli.terminal import signals
from cometflux.errors import ConfigError
from cometflux.journal.place import FILE_NAME
from cometflux.journal.reader import Journal
from cometflux.storage.backend import RefusedError
from cometflux.storage.destination import find_destination
from cometflux.storage.paths import CLAIMS

if TYPE_CHECKING:
    from cometflux.distributed.parts import Part

_ELSEWHERE = "use another place with --out"


def check_undivided(shared: str | Path, *, has_parts: bool = False) -> None:
    """Check that *shared*, the place of a run without ``--part``, holds no list in parts.

    *has_parts* says that the command has that option.

    Raises:
        UsageError: it does, or it is the folder of a part.
        ConfigError: the place cannot be read.
    """
    places = [shared, shared.parent] if isinstance(shared, Path) and is_part_folder(shared) else [shared]
    for place in places:
        try:
            claims = signals.run(find_destination("out", place).read_note(CLAIMS))
        except RefusedError as refusal:
            raise ConfigError(f"whether {place} holds a list in parts cannot be read: {refusal}") from refusal
        if claims is not None:
            # Imported here, because few places hold parts.
            from cometflux.distributed.parts import count_parts

            count = count_parts(claims, place)
            advice = f"give --part K/{count}, or {_ELSEWHERE}" if has_parts else _ELSEWHERE
            raise UsageError(f"{place} holds a list in {count_of(count, 'part')}: {advice}")


def check_batch(folder: Path, place: str | None, part: "Part | None", own: Path) -> None:
    """Check that a batch can go on, or begin, in parts if *part* is given, or without parts if not.

    *folder* has the journal of this batch. The images go to *place*, None for the folder that a batch without parts
    would have; *own* is the folder in which this prompt file has its journal by default.

    Raises:
        UsageError: the list was begun the other way.
        ConfigError: another journal has the part, the list is divided into another number of parts, or the place cannot
            be read.
        JournalError: a journal cannot be read.
    """
    if part is None:
        check_undivided(place or folder, has_parts=True)
        return
    from cometflux.distributed.parts import check_part

    for each in [folder.parent] if place is None else [folder.parent, own]:
        if _has_list(each, place):
            raise UsageError(f"the list in {each} was begun without --part: leave --part out, or {_ELSEWHERE}")
    shared = find_destination("out", place or folder.parent)
    signals.run(check_part(shared, part, _name_of(folder)))


def _has_list(folder: Path, place: str | None) -> bool:
    """Whether *folder* has the journal of a list whose images go to *place*."""
    try:
        with Journal(folder / FILE_NAME) as journal:
            return journal.place == place and journal.status()["planned"] > 0
    except ConfigError:
        return False


def _name_of(folder: Path) -> str | None:
    try:
        with Journal(folder / FILE_NAME) as journal:
            return journal.name
    except ConfigError:
        return None
