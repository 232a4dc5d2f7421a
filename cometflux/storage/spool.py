"""The bytes of an output on their way into a folder: a small one waits in memory, a large one in a temporary file.

So there is a bound to the memory that waits for a disk, however slow it is.
"""

import asyncio
import contextlib
import hashlib
import mmap
import threading
from collections.abc import Callable, Iterator
from io import BufferedRandom
from pathlib import Path

from cometflux.errors import OutputError
from cometflux.images.formats import Data
from cometflux.provenance.embed import Embedder
from cometflux.storage import atomic
from cometflux.transport.deadlines import finish

_MOST_HELD = 1024 * 1024
"""Bytes of one output that are held in memory before they are written."""
_OVERHEAD = 64
"""Bytes that a chunk takes in memory besides its own."""
SMALL = 256 * 1024
"""Up to so many bytes an output has no temporary file before it is checked."""


class Spooled(mmap.mmap):
    """A whole output in a temporary file, which is read like bytes."""

    file: BufferedRandom
    path: Path
    digest: str
    """The SHA-256 of its bytes, in hexadecimal."""
    embedder: Embedder | None = None
    """What has embedded a record in it; None if it is as it came."""
    _is_synced = False

    @property
    def received(self) -> int:
        """How many bytes came."""
        return len(self) - (0 if self.embedder is None else self.embedder.growth)

    def original(self) -> bytes:
        """Return the bytes as they came, in memory."""
        return self[:] if self.embedder is None else self.embedder.undo(self)

    def give_name(self, path: Path) -> bool:
        """Bring the file to the disk and give it its final name; False if the name is taken. Blocks.

        Raises:
            OSError: the disk refuses.
        """
        if not self._is_synced:
            atomic.sync_file(self.file)
            self._is_synced = True
        try:
            is_free = atomic.link(self.path, path)
        except FileNotFoundError:
            # A run that starts beside this one may have swept the name away, but not the bytes.
            return atomic.write_new(path, self, self.path.parent)
        if is_free:
            # A linked file has two names.
            atomic.remove(self.path)
        return is_free


class Spool:
    """Takes the chunks of one output. Close it in the end, even if the output was saved.

    Args:
        folder: where the temporary file is made. If the folder is missing, it is made, too.
        refuse: makes the error to raise of an error of the disk.
        embedder: embeds a record in an output that is not small; None to leave it as it comes.
    """

    def __init__(
        self,
        folder: Path,
        refuse: Callable[[OSError | ValueError], OutputError],
        embedder: Embedder | None = None,
    ) -> None:
        self._folder = folder
        self._refuse = refuse
        self._embedder = embedder
        self._chunks: list[bytes] = []
        self._held = 0
        self._file: BufferedRandom | None = None
        self._path = folder
        self._hash = hashlib.sha256()
        # The thread of a cancelled call may be at work still.
        self._turn = threading.Lock()

    def add(self, chunk: bytes) -> bool:
        """Take the next bytes. If this returns True, call `put_away` before more of them come."""
        self._chunks.append(chunk)
        self._held += len(chunk) + _OVERHEAD
        return self._held >= _MOST_HELD

    async def put_away(self) -> None:
        """Write the bytes that are held to the temporary file.

        Raises:
            OutputError: the disk refuses.
        """
        await finish(asyncio.get_running_loop().run_in_executor(None, self._write))

    def _write(self) -> None:
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._path = atomic.temporary_name(self._folder)
                # Not tempfile: that makes files which only their owner can read.
                self._file = self._path.open("x+b")
            for chunk in self._chunks if self._embedder is None else self._embedder.change(self._chunks):
                self._hash.update(chunk)
                self._file.write(chunk)
            self._file.flush()
        except (OSError, ValueError) as error:
            raise self._refuse(error) from error
        self._chunks, self._held = [], 0

    @contextlib.contextmanager
    def whole(self) -> Iterator[Data]:
        """Read the output: as bytes, or as `Spooled`. The temporary file is removed at the end. Blocks.

        Raises:
            OutputError: the disk refuses.
        """
        with self._turn:
            try:
                if self._file is None and self._held <= SMALL:
                    yield b"".join(self._chunks)
                else:
                    self._write()
                    yield from self._map()
            finally:
                self._close()

    def _map(self) -> Iterator[Data]:
        file = self._file
        assert file is not None
        try:
            spooled = Spooled(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError:
            # Not every file system maps files.
            file.seek(0)
            data = file.read()
            yield data if self._embedder is None else self._embedder.undo(data)
            return
        spooled.file, spooled.path, spooled.digest = file, self._path, self._hash.hexdigest()
        with spooled:
            if self._embedder is not None and self._embedder.is_changed:
                if not self._embedder.is_done(spooled):
                    yield self._embedder.undo(spooled)
                    return
                spooled.embedder = self._embedder
            yield spooled

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            atomic.remove(self._path)
            self._file = None

    async def aclose(self) -> None:
        """Remove the temporary file, if there is one."""
        if self._file is not None:
            await finish(asyncio.get_running_loop().run_in_executor(None, self._close_in_turn))

    def _close_in_turn(self) -> None:
        with self._turn:
            self._close()
