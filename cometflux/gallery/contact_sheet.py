"""Write the contact sheet of a folder: its pictures on PNG pages, each with a caption."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from cometflux.basics.plain_text import count_of
from cometflux.basics.regular_files import open_regular, read_regular
from cometflux.errors import ConfigError
from cometflux.gallery.contents import Contents, over_contents
from cometflux.gallery.folder_scan import FolderScan
from cometflux.gallery.sheet import ELSEWHERE, MOST_PICTURES, Cell, Layout, cells_of
from cometflux.gallery.sheet_drawing import SOFTWARE, Caption, Drawn, Heading, draw_page
from cometflux.gallery.sheet_fonts import Letters
from cometflux.images.formats import LARGEST_OUTPUT
from cometflux.images.looks import check_extra
from cometflux.storage import atomic, picks
from cometflux.storage.paths import expand_home

SHEET = "contact-sheet.png"
"""The file name of the first page."""
_JOBS_AT_A_TIME = 1000
_MARK = re.compile(rb"\x89PNG\r\n\x1a\n.{25}.{4}tEXtSoftware\x00" + SOFTWARE.encode(), re.DOTALL)


class ContactSheet:
    """The contact sheet of a folder. Reads the jobs; `pages` draws. Blocks.

    Args:
        folder: the folder with the pictures.
        to: the first page's file; None for ``contact-sheet.png`` in the folder.
        only_picks: whether to show only the pictures that ``picks.jsonl`` marks with a star.

    Raises:
        ConfigError: there is nothing to show, or too much, the picks are missing or wrong, or *to* is wrong.
        JournalError: the journal cannot be read, and there is nothing else to show.
        MissingExtraError: Pillow is missing.
    """

    def __init__(self, folder: Path, to: Path | None = None, *, only_picks: bool = False) -> None:
        check_extra("a contact sheet")
        self.folder = folder
        self._to = folder / SHEET if to is None else to
        _check_place(self._to)
        self.notes: tuple[str, ...] = ()
        """One sentence for each damaged record, and for each chosen picture that is left out."""
        self.faults: dict[str, str] = {}
        """Why pictures are not shown, by their names; complete when all pages are drawn."""
        self.about = ""
        """What all pictures have in common: their model and prompt."""
        self.cells: Sequence[Cell] = ()
        over_contents(FolderScan(folder), None, lambda contents: self._read(contents, only_picks=only_picks))

    def pages(self) -> Iterator[Path]:
        """Draw and write the pages one after another, and yield the path of each. Replaces no file that is not a sheet.

        Raises:
            ConfigError: a page cannot be written.
        """
        layout, drawn, letters = self._lay_out()
        count = -(-len(drawn) // layout.most)
        for number in range(1, count + 1):
            cells = drawn[(number - 1) * layout.most : number * layout.most]
            data, faults = draw_page(layout, cells, self._heading(number, count), letters, self._read_picture)
            self.faults |= faults
            yield _write(_page(self._to, number), data)
        _remove_pages_after(self._to, count)

    def _read(self, contents: Contents, *, only_picks: bool) -> None:
        chosen = picks.read_picks(self.folder, contents.names()) if only_picks else None
        cells: list[Cell] = []
        for start in range(0, len(contents), _JOBS_AT_A_TIME):
            keys = list(contents.versions(start, start + _JOBS_AT_A_TIME))
            cards = dict(contents.cards(keys))
            found = (cell for key in keys if key in cards for cell in cells_of(cards[key], contents.differing))
            cells += [cell for cell in found if chosen is None or cell.name in chosen]
            if len(cells) > MOST_PICTURES:
                raise ConfigError(
                    f"{str(self.folder)!r} has more than {MOST_PICTURES:,} pictures, the most that a contact sheet "
                    "shows; choose some in the gallery, and take only those with --picks"
                )
        self._check(cells)
        models = {cell.model for cell in cells}
        prompts = {cell.prompt for cell in cells}
        # What they have in common is in the heading, and not in each caption.
        common = [*(models if len(models) == 1 else ()), *(prompts if len(prompts) == 1 < len(cells) else ())]
        self.about = " · ".join(filter(None, common))
        self.cells = [
            attrs.evolve(
                cell,
                prompt="" if cell.prompt in common else cell.prompt,
                values=cell.values if len(models) == 1 else (cell.model, *cell.values),
            )
            for cell in cells
        ]
        # The earlier pictures of a job that was redone are known here by their records alone.
        left = sorted((chosen or set()) - {cell.name for cell in cells})
        left_out = (f"{name} is left out: no record next to it says how it was made" for name in left)
        self.notes = (*contents.notes, *left_out)

    def _check(self, cells: Sequence[Cell]) -> None:
        if not cells:
            raise ConfigError(f"no picture of {str(self.folder)!r} is saved, so there is nothing for a contact sheet")
        if all(cell.fault == ELSEWHERE for cell in cells):
            raise ConfigError(
                f"the pictures of {str(self.folder)!r} are kept elsewhere; fetch them into the folder first"
            )

    def _lay_out(self) -> tuple[Layout, list[Drawn], Letters]:
        """Break the captions into lines, and lay out the pages by the longest one."""
        letters = Letters(text for cell in self.cells for text in (cell.title, cell.prompt, *cell.values))
        layout = Layout.of([cell.size for cell in self.cells])
        drawn = [Drawn(cell, Caption.of(cell, layout.box[0], letters)) for cell in self.cells]
        return attrs.evolve(layout, lines=max(each.caption.lines for each in drawn)), drawn, letters

    def _heading(self, number: int, count: int) -> Heading:
        place = f" · page {number} of {count}" if count > 1 else ""
        return Heading(
            title=self.folder.resolve().name or "pictures",
            corner=f"{count_of(len(self.cells), 'picture')}{place}",
            about=self.about,
        )

    def _read_picture(self, name: str) -> bytes:
        return read_regular(self.folder / name, LARGEST_OUTPUT)


def write_sheet(folder: str | Path, to: str | Path | None = None, *, only_picks: bool = False) -> list[Path]:
    """Write the contact sheet of a folder, and return the paths of its pages. Blocks.

    The pictures have the order of the gallery, each with its key, its prompt and the parameters that differ among the
    jobs. If a picture is missing or damaged, its place says so. Needs the extra ``images``.

    Args:
        folder: the folder.
        to: the file of the first page, which ends with ``.png``; None for ``contact-sheet.png`` in the folder. The
            other pages have a number: ``contact-sheet-2.png``. If another file has the name, ``.cometflux`` is put
            before ``.png``.
        only_picks: whether to show only the pictures that ``picks.jsonl`` marks with a star.

    Raises:
        ConfigError: there is nothing to show, or more than 5,000 pictures, the picks are missing or wrong, or a page
            cannot be written there.
        JournalError: the journal cannot be read, and there is nothing else to show.
        MissingExtraError: the extra ``images`` is not installed.
    """
    first = None if to is None else expand_home("to", to)
    sheet = ContactSheet(expand_home("folder", folder), first, only_picks=only_picks)
    return list(sheet.pages())


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _page(first: Path, number: int) -> Path:
    return first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")


def _check_place(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise ConfigError(f"a contact sheet is a PNG, so the name of {str(path)!r} must end with .png")
    if path.parent != path and not os.path.isdir(path.parent):  # noqa: PTH112 - Path.is_dir may raise
        raise ConfigError(f"there is no folder {str(path.parent)!r}")


def _write(path: Path, data: bytes) -> Path:
    try:
        free = atomic.free_name(path, _MARK)
        atomic.replace(free, data)
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
    return free


def _remove_pages_after(first: Path, number: int) -> None:
    """Remove the pages of an earlier sheet that had more of them."""
    while os.path.lexists(path := _page(first, number := number + 1)):
        with contextlib.suppress(OSError):
            with open_regular(path) as file:
                is_ours = _MARK.match(file.read(1024)) is not None
            if is_ours:
                path.unlink()
