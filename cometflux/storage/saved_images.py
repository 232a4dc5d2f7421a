"""Saves images in a place and finds them again: one algorithm for a folder and for an object store.

The rules:

* An image is written first, then its record next to it, and then both names are made durable. A record alone therefore
  means that its image was removed, or that the power failed in between; the image is written again.
* Nothing that is there is ever replaced. A name that is taken gets ``+1``, ``+2`` and so on.
* A free first name costs no look at it. After an image was refused once, each further name is looked at first.
* An image is ours if its record names the prediction, or, after a run that was killed before it wrote the record, if
  its bytes are those of this output, with or without its record embedded and a signature added.
* A signed image that was removed is signed again, under another name: its record describes a file that cannot be made
  again, and is not replaced.
* A saved image is known again by its record: the prediction's id, the size and the digest.

The algorithm is written once, as coroutines over the verbs of a `Backend`. Those of an object store wait for the
network. Those of a folder block and never wait, so `blocking` runs a whole coroutine in a single step, and `Folder`
does that in a thread: one hop for a picture, however many verbs it takes.
"""

import contextlib
import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

import attrs

from cometflux.errors import OutputError
from cometflux.images.formats import Data
from cometflux.protocol import encoding
from cometflux.provenance.sidecar import LARGEST_RECORD, Submission, load_record, prediction_id_in, submission_in
from cometflux.provenance.signing import Signer
from cometflux.storage import file_names, image_data
from cometflux.storage.backend import Backend, Jobs, Kept, Puts, RefusedError
from cometflux.storage.image_data import MOST_EMBEDDED, Version

P = ParamSpec("P")
T = TypeVar("T")


@attrs.frozen
class _Output:
    """An output that is being saved."""

    data: Data
    new: Version
    record: Mapping[str, Any]
    owner: str | None
    """The prediction's id; None if the record has none."""
    puts: Puts = attrs.field(factory=Puts)
    record_puts: Puts = attrs.field(factory=Puts)


class SavedImages(Generic[Kept]):
    """The images in one place: saves new images, and finds images that earlier runs saved."""

    def __init__(self, backend: Backend[Kept]) -> None:
        self._backend = backend

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def write(
        self,
        stem: str,
        data: Data,
        record: Mapping[str, Any],
        *,
        is_named: bool = False,
        embeds: bool = False,
        signer: Signer | None = None,
    ) -> Kept:
        """Save an output, and next to it a JSON record of how it was made.

        If an earlier run saved this output, its image is taken and not saved again, even if that run embedded the
        record and this one does not.

        Args:
            stem: the files' name without its ending.
            data: the image.
            record: how it was made; ``record_of`` makes it.
            is_named: the caller chose the stem. A name in another spelling, as in capitals, then counts as taken in a
                folder. Call one at a time.
            embeds: whether to embed the record in the image as well. If that is impossible, the record says why.
            signer: signs the image, with the record in it; None not to sign. If that is impossible, the record says
                why.

        Raises:
            OutputError: the output is not a whole image, or the place refused; ``path`` is set if only the record is
                missing.
        """
        extension = image_data.check_image(data)
        if signer is not None:
            new = await self._backend.compute(partial(Version.signed, embeds=embeds), data[:], record, signer)
        else:
            new = await self._backend.compute(Version.holding, data, record) if embeds else Version.of(data)
        output = _Output(data, new, record, prediction_id_in(record))
        try:
            others = await self._backend.find_spellings(stem) if is_named else ()
            for name in file_names.numbered(stem):
                if not _is_spelt_otherwise((f"{name}.{extension}", f"{name}.json"), others):
                    image = await self._save(f"{name}.{extension}", output)
                    if image is not None:
                        return image
        except RefusedError as refusal:
            raise OutputError(
                f"the image could not be written to {self._backend}: {refusal}", is_disk=True
            ) from refusal
        names = f"all {file_names.MOST_NAMES} names from {stem} to {stem}+{file_names.MOST_NAMES - 1}"
        raise OutputError(f"the image could not be written to {self._backend}: {names} are taken", is_disk=True)

    async def _save(self, name: str, output: _Output) -> Kept | None:
        """Have the image and its record under *name*; None if the name belongs to something else."""
        placed = await self._place_image(name, output)
        if placed is None:
            return None
        image = attrs.evolve(self._backend.at(name, placed.size, placed.digest), mark=placed.mark)
        try:
            return image if await self._place_record(image, placed, output) else None
        finally:
            # Before anyone is told of the image, even if only its record could not be written.
            await self._backend.make_durable(name)

    async def _place_image(self, name: str, output: _Output) -> Version | None:
        new = output.new
        record = await self._load(_record_name(name))
        if record is None and await self._put(name, new, output.puts):
            return new
        if record is not None and not _is_of(record, output.owner):
            return None
        is_there = await self._find_file(name, new.size, new.digest) is not None
        return new if is_there else await self._place_left(name, output, record)

    async def _put(self, name: str, version: Version, puts: Puts) -> bool:
        # A look costs a request, and nearly every first name is free. But an image may be large.
        if puts.count and await self._backend.size_of(name) is not None:
            return False
        return await self._backend.put_new(name, version.data, puts, version.digest)

    async def _place_left(self, name: str, output: _Output, record: Mapping[str, Any] | None) -> Version | None:
        """Take the image that an earlier run left of *output*, or write the image again that its *record* describes.

        That run may have been killed before it wrote the record; and a user may have removed either file since.
        """
        owner = output.owner
        if owner is None:
            return None
        data = image_data.original(output.data)
        found = await self._backend.read(name, len(data) + MOST_EMBEDDED)
        if found is not None:
            return await self._backend.compute(image_data.recognise, found, name, output.new, data, owner, record)
        if record is None:
            return None
        version = await self._backend.compute(image_data.remake, name, data, record)
        if version is None or await self._put(name, version, output.puts):
            return version
        return version if await self._find_file(name, version.size, version.digest) else None

    async def _place_record(self, image: Kept, placed: Version, output: _Output) -> bool:
        """Have a record next to the image; False if another one has been put there meanwhile."""
        name = _record_name(image.name)
        try:
            text = f"{encoding.dump_readable(placed.to_record(image.name, output.record))}\n"
            # The name of a reference image may be in any encoding, and JSON can escape half a character.
            data = text.encode("utf-8", "backslashreplace")
            is_new = await self._backend.put_new(name, data, output.record_puts)
            return is_new or _is_of(await self._load(name), output.owner)
        except RefusedError as error:
            message = f"{image.name} is saved, but not the record next to it: {error}"
            raise OutputError(message, path=image.path, is_disk=True) from error

    def at(self, name: str, size: int, digest: str) -> Kept:
        """Make the description of an image that was saved here, without a look at it."""
        return self._backend.at(name, size, digest)

    async def size_of(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if there is none.

        Raises:
            RefusedError: nobody can say what is there.
        """
        return await self._backend.size_of(name)

    async def describe(self, path: Any) -> Kept | None:
        """Describe an image that has been written here; None if it cannot be looked at."""
        with contextlib.suppress(RefusedError):
            name = self._backend.name_of(path)
            size = await self._backend.size_of(name)
            return None if size is None else await self._backend.describe(name, size)
        return None

    # ── finding again ────────────────────────────────────────────────────────────────────────────────────────────────

    async def find_each(self, stem: str, prediction_id: str, count: int) -> list[Kept | None]:
        """Find each of the *count* images that were saved for a prediction; None for a missing image.

        Looks at the names that `write` would choose, up to the first free one.

        Raises:
            OutputError: the place cannot be looked at, so nobody knows.
        """
        try:
            return [await self._find_image(name, prediction_id) for name in file_names.output_stems(stem, count)]
        except RefusedError as refusal:
            raise self._unasked(refusal) from refusal

    async def _find_image(self, stem: str, prediction_id: str) -> Kept | None:
        for name in file_names.numbered(stem):
            record = await self._load(f"{name}.json")
            if record is None and not await self._backend.is_taken(name):
                return None
            if _is_of(record, prediction_id) and (image := await self._recorded(name, record)) is not None:
                with contextlib.suppress(RefusedError):
                    await self._backend.make_durable(image.name)
                return image
        return None

    async def find_id(self, stem: str, submission: Submission) -> str | None:
        """Find the prediction that a *submission* became, in the record of an image that was saved for it.

        Only a record that names this submission proves it: another command may have made the same image under the
        same name. Looks at the names that `write` would choose, up to the first free one.

        Raises:
            OutputError: the place cannot be read, so it is not known.
        """
        try:
            for first in (stem, *file_names.output_stems(stem, 2)):
                for name in file_names.numbered(first):
                    record = await self._load(f"{name}.json")
                    if record is None and not await self._backend.is_taken(name):
                        break
                    if submission_in(record) == submission:
                        return prediction_id_in(record)
        except RefusedError as refusal:
            raise self._unasked(refusal) from refusal
        return None

    async def check_each(self, jobs: Jobs) -> list[tuple[Kept, ...] | None]:
        """Check the images of many jobs, those of each as `check_files` does.

        Raises:
            OutputError: as for `check_files`.
        """
        return [await self.check_files(files) for files in jobs]

    async def check_files(self, files: Sequence[tuple[str, int, str]]) -> tuple[Kept, ...] | None:
        """Check the images that an earlier run saved, each given as its name, size and digest.

        None unless every one is there, in this place, unchanged.

        Raises:
            OutputError: the place cannot be looked at, so nobody knows.
        """
        if not all(file_names.is_inside(name) for name, _, _ in files):
            return None
        found = []
        try:
            for file in files:
                if (image := await self._find_file(*file)) is None:
                    return None
                found.append(image)
        except RefusedError as refusal:
            raise self._unasked(refusal) from refusal
        return tuple(found)

    async def read_image(self, name: str, size: int, digest: str) -> bytes | None:
        """Read an image that an earlier run, or this one, saved; None if it is missing or has changed.

        Raises:
            OutputError: the place cannot be looked at, so nobody knows.
        """
        if not file_names.is_inside(name):
            return None
        try:
            data = await self._backend.read(name, size)
            is_same = data is not None and await self._backend.compute(_digest, data) == digest
        except RefusedError as refusal:
            raise self._unasked(refusal) from refusal
        return data if is_same else None

    def _unasked(self, refusal: RefusedError) -> OutputError:
        return OutputError(f"what is in {self._backend} could not be read: {refusal}", is_disk=True)

    async def _find_file(self, name: str, size: int, digest: str) -> Kept | None:
        """Find the file that has just these bytes."""
        found = await self._backend.describe(name, size)
        return found if found is not None and found.digest == digest else None

    async def _recorded(self, name: str, record: Any) -> Kept | None:
        """Find the image under *name* that *record* describes."""
        match record:
            case {"file": str(file), "bytes": int(size), "sha256": str(digest)}:
                # The record names the file beside it.
                there = f"{name.rpartition('/')[0]}/{file}" if "/" in name else file
                found = await self._find_file(there, size, digest) if there.rpartition(".")[0] == name else None
                mark = record.get("mark")
                return attrs.evolve(found, mark=mark) if found is not None and isinstance(mark, str) else found
            case _:
                return None

    async def _load(self, name: str) -> Any:
        """Read a record; None if there is none, ``{}`` if the file of that name is not a record."""
        text = await self._backend.read(name, LARGEST_RECORD)
        if text is None:
            return None
        try:
            record = load_record(text)
        except ValueError:
            return {}
        return record if isinstance(record, dict) else {}


def blocking(function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a coroutine function whose verbs never wait, as those of a folder. It blocks."""
    work = function(*args, **kwargs)
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise AssertionError("a verb waited")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _record_name(name: str) -> str:
    return f"{name.rpartition('.')[0]}.json"


def _is_of(record: Any, owner: str | None) -> bool:
    return owner is not None and prediction_id_in(record) == owner


def _is_spelt_otherwise(mine: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a name is there already in another spelling."""
    if not others:
        return False
    known = {file_names.fold(name): name for name in mine}
    return any(known.get(file_names.fold(other), other) != other for other in others)
