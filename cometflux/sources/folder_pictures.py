"""The saved pictures of an earlier folder, and a source of prompts that makes each row once for each of them."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import attrs

from cometflux.basics.regular_files import read_regular
from cometflux.errors import ConfigError
from cometflux.images.data_uris import LARGEST_IMAGE_INPUT
from cometflux.journal.image_sets import image_sets
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.rows import FROM_TAG, Entry, Lent, Row, Source
from cometflux.storage.file_names import is_inside
from cometflux.storage.paths import expand_home
from cometflux.storage.picks import read_picks


@attrs.frozen(kw_only=True)
class FolderPicture:
    """A saved picture, with the prompt, key and tags of its job."""

    path: Path
    """Absolute."""
    name: str
    """Its name in the folder, with ``/`` between the parts."""
    key: str
    """Its job's key; for a picture of a set with its number, as in ``fox.2``. Without a key, the name of its file.

    If the job was redone, the key is ``fox+1``, so that each picture has its own key.
    """
    prompt: str | None
    """The prompt of its job; None if the job has none."""
    tags: Mapping[str, str]
    """The tags of its job."""


def read_pictures(folder: str | Path, *, only_picks: bool = False) -> tuple[FolderPicture, ...]:
    """Read the saved pictures of a folder from its journal, in the order of the jobs. Blocks.

    For a job that was redone, these are the last pictures; picks may also choose earlier ones. Each file is read, and
    compared with its digest in the journal.

    Args:
        folder: the folder of an earlier batch.
        only_picks: whether to return only the pictures that ``picks.jsonl`` in the folder marks with a star.

    Raises:
        ConfigError: there is no journal, no saved picture or no pick, the picks name a picture that the folder has not
            saved, or the pictures are only in an object store.
        JournalError: the journal cannot be read.
        SourceError: pictures are removed or changed; the error lists all of them.
    """
    folder = expand_home("folder", folder)
    with Journal(folder) as journal:
        place = journal.place
        jobs = [image_sets(record) for record in sorted(journal.records(), key=lambda record: record.index)]
    known = {file.name for sets in jobs for each in sets for file in each.files}
    if not known:
        raise ConfigError(f"{str(folder)!r} has no saved picture")
    if place is not None and not any((folder / name).exists() for name in known):
        raise ConfigError(f"the pictures of {str(folder)!r} are at {place}; fetch them into the folder first")
    last = {file.name for sets in jobs for each in sets[-1:] for file in each.files}
    chosen = read_picks(folder, known) if only_picks else last
    faults: list[Fault] = []
    found = tuple(
        each
        for sets in jobs
        for number, record in enumerate(sets)
        for each in _pictures(record, number, folder.absolute(), chosen, faults)
    )
    if faults:
        raise SourceError(faults, str(folder))
    return found


def _pictures(
    record: JobRecord, set_number: int, folder: Path, chosen: set[str], faults: list[Fault]
) -> Iterator[FolderPicture]:
    """Return the chosen pictures of a job's set of images, counted from 0."""
    prompt = record.input.get("prompt")
    key = f"{record.key}+{set_number}" if set_number else record.key
    for number, file in enumerate(record.files, 1):
        if file.name not in chosen:
            continue
        path = folder / file.name
        # A journal may come from somebody else.
        if fault := _fault(path, file.digest) if is_inside(file.name) else "is not in the folder":
            faults.append(Fault(f"{file.name} {fault}"))
            continue
        own = key if len(record.files) == 1 else f"{key}.{number}"
        yield FolderPicture(
            path=path,
            name=file.name,
            key=own if record.identity.startswith("key:") else str(PurePosixPath(file.name).with_suffix("")),
            prompt=prompt if isinstance(prompt, str) else None,
            tags=dict(record.tags),
        )


def _fault(path: Path, digest: str) -> str | None:
    """Return what is wrong with a saved file; None if it is as it was saved."""
    try:
        data = read_regular(path, LARGEST_IMAGE_INPUT, follows_links=True)
    except FileNotFoundError:
        return "is no longer in the folder"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None if hashlib.sha256(data).hexdigest() == digest else "has changed since it was saved"


@attrs.frozen(kw_only=True)
class FromPictures:
    """Makes each row once for each picture. Rows that leave out the prompt or a tag have those of the picture."""

    pictures: tuple[FolderPicture, ...]
    folder: str
    """The name of their folder, for messages."""

    def apply(self, source: Source) -> Source:
        """Return the source with its rows made once for each picture.

        A row's key has the picture's key after it. A row without a key stays without, unless it says nothing at all.
        """
        columns = (*source.columns, "prompt") if source.columns else ()
        name, columns = source.name or self.folder, tuple(dict.fromkeys(columns))
        return attrs.evolve(source, name=name, rows=self._rows(source), columns=columns, pictures="--from")

    def _rows(self, source: Source) -> Iterator[Entry]:
        for row in source.rows:
            if not isinstance(row, Row):
                yield row
                continue
            if row.picture is not None:
                yield Fault("--from: the row has an image of images already; leave one of them out", row.line)
                return
            yield from (_made_from(each, row) for each in self.pictures)


def _made_from(picture: FolderPicture, row: Row) -> Row:
    values = dict(row.values)
    if isinstance(key := values.get("key"), str):
        values["key"] = f"{key}-{picture.key}"
    elif not values:
        values["key"] = picture.key
    if picture.prompt is not None:
        values.setdefault("prompt", Lent(picture.prompt))
    tags = {**picture.tags, FROM_TAG: picture.name, **row.tags}
    return attrs.evolve(row, values=values, tags=tags, picture=picture.path)
