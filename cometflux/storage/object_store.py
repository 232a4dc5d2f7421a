"""Images in an object store: create-only, each there whole or not at all, and found again by the next run.

A put is atomic and refuses a name that is taken, so nothing that is there is ever replaced, and one whose answer was
lost is simply made again: where it is refused, what is there is looked at. An image carries its SHA-256 and the time
at which it was put as metadata, which are written together with it; so it is known again by asking for its head, and
thousands are checked without reading one of them.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from cometflux.errors import AnswerError, ConfigError, OutputError, needs_extra
from cometflux.images import summaries
from cometflux.jobs import Job
from cometflux.locations import Location, StoredFile, StoredImage
from cometflux.protocol import decoding, encoding
from cometflux.provenance import embed
from cometflux.storage import file_names, image_data
from cometflux.storage.image_data import Version
from cometflux.storage.object_store_errors import is_passing, words_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MOST_REQUESTS = 16
"""Requests under way with one store at the same time at most."""
_TIMES = {"connect_timeout": "5 s", "timeout": "60 s"}
_RETRIES = {
    # Answers 5xx, and connections that break: of a put too, which is create-only.
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2},
}
_TRIES = 2
"""How often a put is made that ran out of time: obstore repeats only questions then."""
_PROOF = 15.0
"""How long it may take to prove that a place can be written to, in seconds."""
_FAREWELL = 5.0
"""How long it may take to remove what was put for that, in seconds."""
_LARGEST_RECORD = 16 * 1024 * 1024
_MOST_EMBEDDED = 2 * 1024 * 1024
"""By how much an image can be larger for its record, and more than that."""
_DIGEST = "sha256"
_MOMENT = "saved"
_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}


def open_store(url: str, **options: Any) -> "Store":
    """Open a place in an object store, into which a session saves: ``s3://bucket/prefix``, ``gs://`` or ``az://``.

    Credentials, region and endpoint come from the environment (``AWS_…``, ``GOOGLE_…``, ``AZURE_…``), and from
    *options* where given. Nothing is sent yet.

    Args:
        url: the bucket, which exists, and what the names of the objects begin with. With ``az://`` the bucket is the
            container; the account comes from the environment.
        options: for the class of obstore that stands for such a place: ``region="eu-north-1"``, ``endpoint=…``,
            ``access_key_id=…``, ``timeout="5 min"``, ``retry_config={…}`` and so on.

    Raises:
        ConfigError: it is no such URL, the extra ``store`` is not installed, or a setting is unusable.
    """
    try:
        location = Location.of(url)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    with needs_extra(f"saving to {location.scheme}://", "store", "obstore"):
        from obstore import store
    make: dict[str, Callable[..., ObjectStore]] = {
        "s3": store.S3Store,
        "gs": store.GCSStore,
        "az": store.AzureStore,
    }
    # As options, not as `client_options`: those would take the place of what the environment says of the client.
    given = {**_TIMES, "retry_config": _RETRIES, **options}
    try:
        return Store(location, make[location.scheme](location.bucket, prefix=location.prefix or None, **given))
    except Exception as error:  # noqa: BLE001 - obstore has several, and a wrong option is a TypeError
        words = words_of(error, location.scheme)
    # Outside, so that what obstore said, which may hold a credential, is not shown with it.
    raise ConfigError(f"{location} cannot be opened: {words}")


class _Answer(Enum):
    ABSENT = "absent"
    """There is no such object."""
    TAKEN = "taken"
    """There is one already."""


class _RefusedError(Exception):
    """The store refused, or could not be asked; the text says why, in words of ours."""

    def __init__(self, words: str, *, is_passing: bool = False) -> None:
        super().__init__(words)
        self.is_passing = is_passing


class Store:
    """A place in an object store; made by `open_store`."""

    def __init__(self, location: Location, objects: "ObjectStore") -> None:
        self.location = location
        self._objects = objects
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    def __str__(self) -> str:
        return str(self.location)

    def __repr__(self) -> str:
        # That of obstore's object may come to show more.
        return f"Store({str(self.location)!r})"

    # ── before anything is bought ────────────────────────────────────────────────────────────────────────────────────

    async def prepare(self) -> None:
        """Prove that images can be put here, are not replaced, and are found again; what is put for that is removed.

        Raises:
            ConfigError: one of that does not hold.
        """
        try:
            async with asyncio.timeout(_PROOF):
                await self._prove()
            return
        except TimeoutError:
            words = f"the store did not answer within {_PROOF:g} s"
        except _RefusedError as refusal:
            words = str(refusal)
        raise ConfigError(f"{self} cannot be written to: {words}")

    async def _prove(self) -> None:
        name, data, mark = f".cometflux-{os.urandom(8).hex()}", b"cometflux", "0" * 64
        # Where its answer was lost, it is refused when it is made again; what counts is what is there.
        await self._put(name, data, {_DIGEST: mark})
        try:
            if await self._put(name, b"another", {}):
                raise _RefusedError("it replaces what is there, though it is told not to (If-None-Match)")
            head = await self._head(name)
            if head is None or (head.meta["size"], head.attributes.get(_DIGEST)) != (len(data), mark):
                raise _RefusedError("it does not give the size and the metadata back that were put with an object")
            if await self._head(f"{name}-none") is not None:
                raise _RefusedError("it knows an object that nobody has put")
        finally:
            await self._remove(name)

    async def _remove(self, name: str) -> None:
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._ask("delete", name)
        except (_RefusedError, TimeoutError):
            # Whoever may put need not have the right to remove; the object has nine bytes.
            return

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def write(
        self, stem: str, data: bytes, record: Mapping[str, Any], *, is_named: bool = False, embeds: bool = False
    ) -> StoredImage:
        """Put an output, and beside it a JSON record of how it was made, as ``storage.write_output`` does on the disk.

        Names that differ in their capitals are different here, so *is_named* makes no difference. What a run with
        another setting for *embeds* has put for this output is taken for it.

        Raises:
            OutputError: the output is no whole image, or the store refused; ``path`` is set where only the record is
                missing.
        """
        extension = image_data.check_image(data)
        version = await asyncio.to_thread(Version.holding, data, record) if embeds else Version.of(data)
        try:
            for name in file_names.numbered(stem):
                placed = await self._place_image(f"{name}.{extension}", version, data, record)
                if placed is None:
                    continue
                image = self._at(f"{name}.{extension}", placed)
                if await self._place_record(image, {**record, **placed.note}):
                    return image
        except _RefusedError as refusal:
            raise OutputError(f"the image could not be written to {self}: {refusal}", is_disk=True) from refusal
        raise AssertionError("the names ended")

    async def _place_image(self, name: str, version: Version, data: bytes, record: Mapping[str, Any]) -> Version | None:
        """Have *version* under *name*, or what earlier runs made of *data*; None where something else has it."""
        told = await self._load(_beside(name))
        if told is None and await self._put_image(name, version):
            return version
        if told is not None and _id_in(told) != _id_in(record):
            return None
        for each in await asyncio.to_thread(_versions, version, data, told or record):
            if told is not None and not _heading(self._at(name, each)).items() <= told.items():
                continue
            # A record may have outlived its image, and is right again with just this one.
            if (told is not None and await self._put_image(name, each)) or await self._holds(self._at(name, each)):
                return each
        return await self._left(name, data, _id_in(record)) if told is None else None

    async def _left(self, name: str, data: bytes, owner: str | None) -> Version | None:
        """Take an image whose record was never put, and which holds one of its own for *owner*; else None.

        The service may tell of a prediction otherwise by now, and then what is embedded differs.
        """
        found = await self._read(name, len(data) + _MOST_EMBEDDED) or b""
        is_ours = _id_in(embed.extract(found)) == owner and embed.is_same_picture(found, data)
        return Version.of(found, {"embedded": True}) if is_ours else None

    async def _put_image(self, name: str, version: Version) -> bool:
        attributes = {
            "Content-Type": _TYPES[name.rpartition(".")[2]],
            _DIGEST: version.digest,
            # By the clock by which the journal notes when a submission left.
            _MOMENT: f"{time.time():.3f}",
        }
        return await self._put(name, version.data, attributes)

    async def describe(self, path: StoredFile) -> StoredImage | None:
        """Describe an image that was put here with its digest; None where it cannot be looked at."""
        try:
            head = await self._head(path.name)
        except _RefusedError:
            return None
        known = head and head.attributes.get(_DIGEST)
        return self._image(path.name, head.meta["size"], known) if known else None

    async def _place_record(self, image: StoredImage, record: Mapping[str, Any]) -> bool:
        """Have a record beside the image; False where another has been put there meanwhile."""
        name = _beside(image.path.name)
        text = f"{encoding.dump_readable({**_heading(image), **record})}\n"
        try:
            if await self._put(name, text.encode(), {"Content-Type": "application/json"}):
                return True
            return _id_in(await self._load(name)) == _id_in(record)
        except _RefusedError as refusal:
            message = f"{image.path.name} is saved, but not the record beside it: {refusal}"
            raise OutputError(message, path=image.path, is_disk=True) from refusal

    # ── finding again ────────────────────────────────────────────────────────────────────────────────────────────────

    async def find_each(self, stem: str, prediction_id: str, count: int) -> list[StoredImage | None]:
        """Find each of the *count* images that were put for a prediction; None in the place of one that is not there.

        Looked at are the names that `write` would choose, up to the first that has no record.

        Raises:
            OutputError: the store cannot be asked, so nobody knows.
        """
        try:
            return [await self._find_image(name, prediction_id) for name in file_names.output_stems(stem, count)]
        except _RefusedError as refusal:
            raise self._unasked(refusal) from refusal

    async def find_id(self, stem: str, job: Job, since: float) -> str | None:
        """Find the prediction of which an image was put for *job*, not before *since*, in seconds since 1970.

        Raises:
            OutputError: the store cannot be asked, so nobody knows.
        """
        asked = encoding.dump_line([job.model, summaries.describe_input(job.input)])
        try:
            for name in (stem, *file_names.output_stems(stem, 2)):
                match record := await self._load(f"{name}.json"):
                    case {"model": str(model), "input": dict(values)} if encoding.dump_line([model, values]) == asked:
                        image = self._recorded(name, record)
                        if image is not None and await self._holds(image, since):
                            return _id_in(record)
        except _RefusedError as refusal:
            raise self._unasked(refusal) from refusal
        return None

    async def check_files(self, files: Sequence[tuple[str, int, str]]) -> tuple[StoredImage, ...] | None:
        """Check the images that a run before this one put, each given as its name, size and digest.

        None unless every one is there, unchanged.

        Raises:
            OutputError: the store cannot be asked, so nobody knows.
        """
        if any("/" in name for name, _, _ in files):
            return None
        found = tuple(self._image(*file) for file in files)
        try:
            for image in found:
                if not await self._holds(image):
                    return None
        except _RefusedError as refusal:
            raise self._unasked(refusal) from refusal
        return found

    async def _find_image(self, stem: str, prediction_id: str) -> StoredImage | None:
        for name in file_names.numbered(stem):
            record = await self._load(f"{name}.json")
            if record is None:
                return None
            image = self._recorded(name, record) if _id_in(record) == prediction_id else None
            if image is not None and await self._holds(image):
                return image
        raise AssertionError("the names ended")

    def _recorded(self, name: str, record: Any) -> StoredImage | None:
        match record:
            case {"file": str(file), "bytes": int(size), "sha256": str(digest)} if file.rpartition(".")[0] == name:
                return self._image(file, size, digest)
            case _:
                return None

    async def _holds(self, image: StoredImage, since: float = 0.0) -> bool:
        """Whether the object is there, with just these bytes, put not before *since*."""
        head = await self._head(image.path.name)
        if head is None or head.meta["size"] != image.size:
            return False
        if since and not _moment(head.attributes) >= since:
            return False
        known = head.attributes.get(_DIGEST)
        if known is None:
            # Whoever copied it here left the metadata out; nothing but its bytes can tell.
            known = hashlib.sha256(await self._read(image.path.name, image.size) or b"").hexdigest()
        return bool(known == image.digest)

    async def _load(self, name: str) -> Any:
        """Read a record; None where there is none, ``{}`` where what is there is not to be understood."""
        text = await self._read(name, _LARGEST_RECORD)
        if text is None:
            return None
        try:
            return decoding.load_json(text)
        except AnswerError:
            return {}

    def _at(self, name: str, version: Version) -> StoredImage:
        return self._image(name, version.size, version.digest)

    def _image(self, name: str, size: int, digest: str) -> StoredImage:
        return StoredImage(path=StoredFile(location=self.location, name=name), size=size, digest=digest)

    def _unasked(self, refusal: _RefusedError) -> OutputError:
        return OutputError(f"what is in {self} could not be looked at: {refusal}", is_disk=True)

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _put(self, name: str, data: bytes, attributes: Mapping[str, str], tries: int = _TRIES) -> bool:
        """Put an object where there is none; False where there is one, also where an answer before was lost."""
        try:
            answer = await self._ask("put", name, data, mode="create", attributes=dict(attributes))
        except _RefusedError as refusal:
            if not refusal.is_passing or tries == 1:
                raise
            return await self._put(name, data, attributes, tries - 1)
        return answer is not _Answer.TAKEN

    async def _head(self, name: str) -> Any:
        answer = await self._ask("get", name, options={"head": True})
        return None if answer is _Answer.ABSENT else answer

    async def _read(self, name: str, most: int) -> bytes | None:
        """Read an object; None where there is none, nothing of one that is larger than *most*."""
        answer = await self._ask("get", name)
        if answer is _Answer.ABSENT:
            return None
        if answer.meta["size"] > most:
            return b""
        return bytes(await self._told(answer.bytes_async()))

    async def _ask(self, verb: str, name: str, *arguments: Any, **options: Any) -> Any:
        import obstore

        call = getattr(obstore, f"{verb}_async")
        async with self._turn():
            return await self._told(call(self._objects, name, *arguments, **options), is_put=verb == "put")

    async def _told(self, asked: Awaitable[Any], *, is_put: bool = False) -> Any:
        from obstore.exceptions import AlreadyExistsError

        try:
            return await asked
        except AlreadyExistsError:
            return _Answer.TAKEN
        except FileNotFoundError as error:
            if not is_put:
                return _Answer.ABSENT
            words, may_pass = words_of(error, self.location.scheme), False
        except Exception as error:  # noqa: BLE001 - obstore has many, and a panic of its inside is one of them
            words, may_pass = words_of(error, self.location.scheme), is_passing(error)
        # Outside, so that what obstore said, which may hold a credential, is not shown with it.
        raise _RefusedError(words, is_passing=may_pass)

    def _turn(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        # One that was waited for belongs to its loop, and the caller's store may outlive that.
        if self._turns is None or self._turns[0] is not loop:
            self._turns = loop, asyncio.Semaphore(MOST_REQUESTS)
        return self._turns[1]


def _versions(version: Version, data: bytes, record: Mapping[str, Any]) -> list[Version]:
    """Return the output as it is to be put, and as earlier runs put it, which may have embedded *record*."""
    if not version.note:
        return [version, Version.holding(data, record)]
    plain = Version.of(data, {"embedded": False, "not_embedded": "a run that did not embed had saved it"})
    return [version, plain, Version.holding(data, record)]


def _beside(name: str) -> str:
    """Name the record of an image: it goes by the same name."""
    return f"{name.rpartition('.')[0]}.json"


def _heading(image: StoredImage) -> dict[str, Any]:
    return {"file": image.path.name, "bytes": image.size, "sha256": image.digest}


def _id_in(record: Any) -> str | None:
    match record:
        case {"prediction": {"id": str(prediction_id)}}:
            return prediction_id
        case _:
            return None


def _moment(attributes: Mapping[str, str]) -> float:
    try:
        return float(attributes.get(_MOMENT, ""))
    except ValueError:
        return 0.0
