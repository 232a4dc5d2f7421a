"""An object store as a place for images.

A put is atomic, and fails if the name is taken, so no object is ever replaced. A put whose response was lost is
repeated; if it then fails, ``SavedImages`` looks at the object under that name. An image has its SHA-256 as metadata.
So a HEAD request shows whether it is unchanged, without reading it. A listing is quicker still, but shows names and
sizes only.
"""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from cometflux.errors import ConfigError, needs_extra
from cometflux.images.formats import Data
from cometflux.locations import Location, StoredFile, StoredImage
from cometflux.storage.backend import LARGEST_NOTE, Jobs, Puts, RefusedError
from cometflux.storage.image_data import EXTENSIONS
from cometflux.storage.listing import Listing
from cometflux.storage.object_store_errors import is_passing, words_of
from cometflux.storage.saved_images import SavedImages

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
"""How often to send a put that ran out of time: obstore repeats only reads by itself."""
_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""The pauses after a put that was refused as taken though no object has the name, in seconds."""
_PROOF = 15.0
"""How long it may take to prove that a place can be written to, in seconds."""
_LISTED = 1000
"""The names in a page of a listing; S3 gives no more in one response."""
_FAREWELL = 5.0
"""How long it may take to remove what was put for that, in seconds."""
_DIGEST = "sha256"
_UNTYPED = "application/octet-stream"
_TYPES = {"json": "application/json", **{ending: kind for kind, ending in EXTENSIONS.items()}}
T = TypeVar("T")


def open_store(url: str, *, check: bool = False, **options: Any) -> "Store":
    """Open a place in an object store for images: ``s3://bucket/prefix``, ``gs://`` or ``az://``.

    Credentials, region and endpoint come from the environment (``AWS_…``, ``GOOGLE_…``, ``AZURE_…``) and from
    *options*. Nothing is sent yet.

    Args:
        url: the bucket, which must exist, and the prefix of the objects' names. With ``az://`` the bucket is the
            container; the account comes from the environment.
        check: whether to request the metadata of each image that an earlier run saved, and compare its SHA-256.
            Otherwise an image counts as unchanged if a listing of the place has it with its size.
        options: options of the store's class in obstore: ``region="eu-north-1"``, ``endpoint=…``, ``access_key_id=…``,
            ``timeout="5 min"``, ``retry_config={…}`` and so on.

    Raises:
        ConfigError: *url* is not such a URL, the extra ``store`` is not installed, or a setting is unusable.
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
        objects = make[location.scheme](location.bucket, prefix=location.prefix or None, **given)
        return Store(location, objects, options, check=check)
    except Exception as error:  # noqa: BLE001 - obstore has several, and a wrong option is a TypeError
        words = words_of(error, location.scheme)
    # Outside, so that what obstore said, which may hold a credential, is not shown with it.
    raise ConfigError(f"{location} cannot be opened: {words}")


class Store(SavedImages[StoredImage]):
    """A place in an object store; made by `open_store`."""

    def __init__(
        self,
        location: Location,
        objects: "ObjectStore",
        options: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
    ) -> None:
        self.location = location
        self._check = check
        self.options = options or {}
        """The options that `open_store` was given; another process opens the same place with them."""
        self._files = _StoreFiles(location, objects)
        super().__init__(self._files)

    def __str__(self) -> str:
        return str(self.location)

    def __repr__(self) -> str:
        # That of obstore's object may come to show more.
        return f"Store({str(self.location)!r})"

    async def prepare(self) -> None:
        """Prove that images can be put here, are kept and not replaced, and are found again; the proof is removed.

        Raises:
            ConfigError: one of these fails.
        """
        try:
            async with asyncio.timeout(_PROOF):
                await self._prove()
            return
        except TimeoutError:
            words = f"the store did not answer within {_PROOF:g} s"
        except RefusedError as refusal:
            words = str(refusal)
        raise ConfigError(f"{self} cannot be written to: {words}")

    async def make_folder(self, name: str) -> None:
        """Do nothing: an object store has no folders."""

    def spool(self, record: Mapping[str, Any] | None = None) -> None:
        """Return None: an output is put from memory."""

    async def check_each(self, jobs: Jobs) -> list[tuple[StoredImage, ...] | None]:
        """See `SavedImages.check_each`; the requests are made side by side."""
        return await asyncio.gather(*map(self.check_files, jobs))

    def checker(self) -> Callable[[Jobs], Awaitable[list[tuple[StoredImage, ...] | None]]]:
        """See `Destination.checker`; what a listing lacks is asked for by its head."""
        return self.check_each if self._check else partial(self._check_listed, Listing(self._files.list_pages()))

    async def _check_listed(self, listing: Listing, jobs: Jobs) -> list[tuple[StoredImage, ...] | None]:
        are_listed = await listing.find_each(jobs)
        others = iter(
            await self.check_each([files for files, is_listed in zip(jobs, are_listed, strict=True) if not is_listed])
        )
        return [
            tuple(self.at(*file) for file in files) if is_listed else next(others)
            for files, is_listed in zip(jobs, are_listed, strict=True)
        ]

    async def put_note(self, name: str, data: bytes) -> bool:
        """See `Destination.put_note`."""
        return await self._files.put_new(name, data, Puts())

    async def read_note(self, name: str) -> bytes | None:
        """See `Destination.read_note`."""
        return await self._files.read(name, LARGEST_NOTE)

    async def remove_note(self, name: str) -> None:
        """See `Destination.remove_note`."""
        await self._files.remove(name)

    async def _prove(self) -> None:
        name, data, mark = f".cometflux-{os.urandom(8).hex()}", b"cometflux", "0" * 64
        # If the response is lost, the put is repeated and fails; only the object itself counts.
        await self._files.put_new(name, data, Puts(), mark)
        try:
            # First, since a put of a name whose object was lost succeeds, too.
            found = await self._files.read(name, len(data))
            if found is None:
                raise RefusedError("it takes objects but does not keep them")
            if found != data:
                raise RefusedError("it does not return the bytes of an object")
            if await self._files.put_new(name, b"another", Puts()):
                raise RefusedError("it replaces existing objects, although it must not (If-None-Match)")
            if await self._files.describe(name, len(data)) != self._files.at(name, len(data), mark):
                raise RefusedError("it does not return the size and the metadata of an object")
            if await self._files.size_of(f"{name}-none") is not None:
                raise RefusedError("it reports an object that nobody has put")
        finally:
            await self._files.remove(name)


class _Answer(Enum):
    ABSENT = "absent"
    """There is no such object."""
    TAKEN = "taken"
    """There is one already."""


class _StoreFiles:
    """The objects of a place as a `Backend`, through obstore."""

    def __init__(self, location: Location, objects: "ObjectStore") -> None:
        self._location = location
        self._objects = objects
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    def __str__(self) -> str:
        return str(self._location)

    async def put_new(self, name: str, data: Data, puts: Puts, digest: str | None = None) -> bool:
        """Put an object if the name is free; False if it is taken, possibly by this put if its response was lost."""
        attributes = {"Content-Type": _TYPES.get(name.rpartition(".")[2], _UNTYPED)}
        if digest is not None:
            attributes[_DIGEST] = digest
        return await self._put(name, bytes(data), puts, attributes)

    async def _put(self, name: str, data: bytes, puts: Puts, attributes: Mapping[str, str]) -> bool:
        for pause in _PAUSES:
            answer = await self._put_once(name, data, puts, attributes)
            if answer is not _Answer.TAKEN:
                return True
            # A store may answer so because of a conflict that passes. Only an object that is there takes the name.
            if await self._head(name) is not None:
                return False
            await asyncio.sleep(pause)
        raise RefusedError(f"it reports that {name} exists, and has no object of that name")

    async def _put_once(
        self, name: str, data: bytes, puts: Puts, attributes: Mapping[str, str], tries: int = _TRIES
    ) -> Any:
        puts.add(len(data))
        try:
            return await self._ask("put", name, data, mode="create", attributes=dict(attributes))
        except RefusedError as refusal:
            if not refusal.is_passing or tries == 1:
                raise
            return await self._put_once(name, data, puts, attributes, tries - 1)

    async def size_of(self, name: str) -> int | None:
        """Request the size of an object in bytes; None if there is no such object."""
        head = await self._head(name)
        return None if head is None else int(head.meta["size"])

    async def read(self, name: str, most: int) -> bytes | None:
        """Read an object; empty if it is too large."""
        answer = await self._ask("get", name)
        if answer is _Answer.ABSENT:
            return None
        if answer.meta["size"] > most:
            return b""
        return bytes(await self._told(answer.bytes_async()))

    async def describe(self, name: str, size: int) -> StoredImage | None:
        """Describe an object by the digest that was put with it."""
        head = await self._head(name)
        if head is None or head.meta["size"] != size:
            return None
        digest = head.attributes.get(_DIGEST)
        if digest is None:
            # Somebody copied it here without its metadata, so its bytes must be read.
            digest = hashlib.sha256(await self.read(name, size) or b"").hexdigest()
        return self.at(name, size, digest)

    def list_pages(self) -> Callable[[], Awaitable[list[tuple[str, int]] | None]]:
        """Return a function that requests the next page of all names, each with its size; None after the last."""
        import obstore

        pages = obstore.list(self._objects, chunk_size=_LISTED)

        async def next_page() -> list[tuple[str, int]] | None:
            async with self._turn():
                page = await self._told(anext(pages, None))
            return None if page in (None, _Answer.ABSENT) else [(each["path"], each["size"]) for each in page]

        return next_page

    def at(self, name: str, size: int, digest: str) -> StoredImage:
        """Make the description of an image in this place."""
        return StoredImage(path=StoredFile(location=self._location, name=name), size=size, digest=digest)

    def name_of(self, path: StoredFile) -> str:
        """Return the name of an object in this place."""
        return path.name

    async def make_durable(self, name: str) -> None:
        """Do nothing: an object is durable when its put is answered."""

    async def is_taken(self, stem: str) -> bool:
        """Return False: to look for an image of each ending would take four requests for each picture."""
        return False

    async def find_spellings(self, stem: str) -> Sequence[str]:
        """Return none: names that differ in their capitals are different here."""
        return ()

    async def compute(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call the function in a thread."""
        return await asyncio.to_thread(function, *arguments)

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def remove(self, name: str) -> None:
        """Remove an object, if that takes a short time."""
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._ask("delete", name)
        except (RefusedError, TimeoutError):
            # The key may have the right to put and not to remove; the object has nine bytes.
            return

    async def _head(self, name: str) -> Any:
        answer = await self._ask("get", name, options={"head": True})
        return None if answer is _Answer.ABSENT else answer

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
            words, may_pass = words_of(error, self._location.scheme), False
        except Exception as error:  # noqa: BLE001 - obstore has many, and a panic of its inside is one of them
            words, may_pass = words_of(error, self._location.scheme), is_passing(error)
        # Outside, so that what obstore said, which may hold a credential, is not shown with it.
        raise RefusedError(words, is_passing=may_pass)

    def _turn(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        # One that was waited for belongs to its loop, and the caller's store may outlive that.
        if self._turns is None or self._turns[0] is not loop:
            self._turns = loop, asyncio.Semaphore(MOST_REQUESTS)
        return self._turns[1]
