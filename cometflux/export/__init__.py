"""Export the pictures of a folder: for Hugging Face datasets, for trainers, as WebDataset and as Parquet."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from cometflux.basics.regular_files import fault_words
from cometflux.errors import ConfigError
from cometflux.export.forms import FORMS, SHARD, Settings
from cometflux.export.outcome_table import OutcomeTable
from cometflux.export.pictures import Caption, read_pictures
from cometflux.number_checks import check_count
from cometflux.storage.paths import PICKS, expand_home

__all__ = ["FORMS", "PICKS", "Exported", "OutcomeTable", "export_folder"]


@attrs.frozen(kw_only=True)
class Exported:
    """The result of an export."""

    folder: Path
    count: int
    """How many pictures it has."""
    missing: tuple[str, ...] = ()
    """The names of pictures that were saved and are not in their folder any more."""
    changed: tuple[str, ...] = ()
    """The names of exported pictures whose files have different bytes from when they were saved."""


def export_folder(
    folder: str | Path,
    to: str | Path,
    *,
    form: str = "imagefolder",
    only_picks: bool = False,
    caption: Caption | None = None,
    links: bool = False,
    shard_bytes: int = SHARD,
    paths_only: bool = False,
) -> Exported:
    """Write the saved pictures of a folder, in their order, as a dataset. Blocks.

    The new folder appears under its name when it is complete. The pictures and the journal are not changed.

    Args:
        folder: the folder of a batch.
        to: the new folder. It must not exist, or be empty.
        form: ``imagefolder``, ``captions``, ``webdataset`` or ``parquet``.
        only_picks: whether to take only the pictures that ``picks.jsonl`` in *folder* marks with a star.
        caption: makes the caption of a picture from its fields; None for the prompt.
        links: whether to make hard links instead of copies, for ``imagefolder`` and ``captions``.
        shard_bytes: the maximum bytes of pictures in one shard of ``webdataset``.
        paths_only: whether ``parquet`` has the paths of the pictures instead of their bytes.

    Raises:
        ConfigError: an argument is wrong, the new folder is not empty or cannot be written, there is no journal,
            nothing is saved, the pictures are in an object store, or the picks are missing or wrong.
        JournalError: the journal cannot be read.
        MissingExtraError: ``parquet`` needs the extra of that name.
    """
    folder, to = expand_home("folder", folder), expand_home("to", to)
    if not isinstance(form, str) or form not in FORMS:
        raise ConfigError(setting="form", given=form, allowed=f"must be one of {', '.join(FORMS)}")
    check_count("shard_bytes", shard_bytes, 1)
    if caption is not None and not callable(caption):
        raise ConfigError(setting="caption", given=caption, allowed="must be a function of a picture's fields")
    with _told(to):
        _check_free(to)
    pictures, missing = read_pictures(folder, only_picks=only_picks, caption=caption)
    if not pictures:
        raise ConfigError(f"no picture of {str(folder)!r} is saved there, so there is nothing to export")
    settings = Settings(links=links, shard_bytes=shard_bytes, paths_only=paths_only)
    with _told(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        # Absolute, because "." would be its own parent, and would not be empty any more.
        with tempfile.TemporaryDirectory(prefix=".cometflux-export-", dir=to.absolute().parent) as drawn:
            whole = Path(drawn) / "whole"
            whole.mkdir()
            FORMS[form](pictures, whole, settings)
            _check_free(to)
            _give_name(whole, to)
    changed = tuple(each.name for each in pictures if each.is_changed)
    return Exported(folder=to, count=len(pictures), missing=tuple(missing), changed=changed)


def _give_name(whole: Path, to: Path) -> None:
    if not to.is_dir():
        # Fails if another export has made the folder meanwhile; shutil would put one into the other.
        whole.rename(to)
        return
    # It may be the current folder, a link or a mounted disk: it is filled and not replaced.
    for part in whole.iterdir():
        shutil.move(part, to)


@contextlib.contextmanager
def _told(to: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(to)!r} cannot be written: {fault_words(to, error)}") from error


def _check_free(to: Path) -> None:
    if to.is_dir() and not any(to.iterdir()):
        return
    if to.exists() or to.is_symlink():
        words = "is not empty" if to.is_dir() else "is not a folder"
        raise ConfigError(f"{str(to)!r} {words}; nothing is replaced, so name a new folder")
