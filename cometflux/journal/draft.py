"""The planned jobs of a batch in a temporary file, before any of them is in a journal."""

import contextlib
import marshal
import tempfile
import threading
import weakref
from collections.abc import Iterator
from typing import IO, Any

from cometflux.errors import ConfigError
from cometflux.journal.plan import PlannedRow

_IN_MEMORY = 2**22
"""Up to this many bytes are kept in memory, and no file is made."""
_PAGE = 500
"""How many rows are written or read at a time."""
_LENGTH = 8
"""How many bytes before each page have its length."""


class Draft:
    """The planned jobs of a batch, in their order. Iterate over it, as often as needed, to get their rows.

    The file has no name, so it disappears with the draft, even if the process is killed.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the finalizer closes it
        self._page: list[tuple[Any, ...]] = []
        self._count = 0
        self._lock = threading.Lock()
        """Held while the file is read or written: several threads may iterate at once."""
        self.close = weakref.finalize(self, self._file.close)
        """Removes the file."""

    def __len__(self) -> int:
        return self._count

    def add(self, row: PlannedRow, line: int | None = None) -> None:
        """Add the row of a job that begins on *line* of its file.

        Raises:
            ConfigError: there is no room for temporary files.
        """
        self._page.append((*row, line))
        self._count += 1
        if len(self._page) == _PAGE:
            self._write_page()

    def _write_page(self) -> None:
        data = marshal.dumps(self._page)
        self._page = []
        with self._lock, _explained():
            self._file.seek(0, 2)
            self._file.write(len(data).to_bytes(_LENGTH))
            self._file.write(data)

    def __iter__(self) -> Iterator[PlannedRow]:
        return (PlannedRow(*row[:3]) for row in self._rows())

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        if self._page:
            self._write_page()
        at = 0
        while page := self._read_page(at):
            at += _LENGTH + len(page)
            # It was written by this process, and nobody else has the file.
            yield from marshal.loads(page)  # noqa: S302

    def _read_page(self, at: int) -> bytes:
        with self._lock, _explained():
            # Others may read, or write, between two pages.
            self._file.seek(at)
            return self._file.read(int.from_bytes(self._file.read(_LENGTH)))

    def lines(self, identities: "set[str]") -> dict[str, int | None]:
        """Return the lines of those jobs."""
        return {identity: line for identity, _, _, line in self._rows() if identity in identities}


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"the plan does not fit into the folder for temporary files ({error.strerror}); set TMPDIR to another one"
        ) from error
