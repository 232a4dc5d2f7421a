"""Find the images of a sweep: files by name or pattern, the images of a folder, or those of a zip."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cometflux.sources.errors import Fault
from cometflux.sources.sweeps.syntax import Cell
from cometflux.sources.sweeps.zipped_images import NO_IMAGE, is_shown, read_zip

Images = Mapping[str, Path | str]
"""Images by name: files, and those of zips as data URIs."""


def find_images(cells: Sequence[Cell], folder: Path, faults: list[Fault]) -> Images:
    """Return the images that *cells* name, each under a short name: that in its folder or zip. Blocks.

    Names are relative to *folder*. Mistakes are added to *faults*.
    """
    found: dict[str, Path | str] = {}
    for cell in cells:
        try:
            for name, image in _read(str(cell.value), folder):
                if name in found:
                    raise ValueError(f"two images have the name {name!r}")
                found[name] = image
        except (ValueError, OSError) as error:
            reason = getattr(error, "strerror", None)
            text = f"{cell.value!s}: it cannot be read ({reason})" if reason else str(error)
            faults.append(Fault(f"images: {text}", cell.line))
    return found


def _read(given: str, folder: Path) -> Iterator[tuple[str, Path | str]]:
    if "://" in given:
        raise ValueError(f"{given!r} is not a file; a column has URLs")
    path = folder / given
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir() if is_shown(each.name) and each.is_file())
        if not names:
            raise ValueError(f"{given!r} {NO_IMAGE}")
        yield from ((name, path / name) for name in names)
    elif path.is_file() and path.suffix.lower() == ".zip":
        try:
            yield from read_zip(path)
        except ValueError as error:
            raise ValueError(f"{given}: {error}") from error
    else:
        yield from _matching(given, folder)


def _matching(given: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that a pattern matches, by their names in the folder before its first star."""
    path = folder / given
    if path.is_file() and not given.endswith("/"):
        yield path.name, path
        return
    parts = Path(given).parts
    start = next((number for number, part in enumerate(parts) if set("*?[") & {*part}), None)
    if start is None or "\0" in given:
        raise ValueError(f"{given!r} finds no file")
    top = folder.joinpath(*parts[:start])
    paths = sorted(each for each in top.glob("/".join(parts[start:])) if each.is_file())
    names = {each.relative_to(top).as_posix(): each for each in paths}
    shown = {name: each for name, each in names.items() if not any(part.startswith(".") for part in Path(name).parts)}
    if not shown:
        raise ValueError(f"{given!r} finds no file")
    yield from shown.items()
