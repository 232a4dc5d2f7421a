"""The header of a journal: its name, its serial number, and to whom its predictions belong."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple, Self

import attrs

from cometflux.errors import JournalError, JournalMismatchError

LOCAL = "local"
"""A journal that the command made with ``--local`` has this in place of the service's address and of the key.

The address and the key of the local service are new in each run.
"""


@attrs.frozen(kw_only=True)
class Account:
    """The service and the API key that a journal's predictions belong to."""

    base_url: str
    key: str = attrs.field(repr=False)
    """The API key; the journal keeps a salted digest of it only."""
    may_change_key: bool = False
    """Whether this key may replace another one of the journal."""
    may_follow: bool = False
    """Whether this service and key may replace others if the journal has no prediction of theirs left to finish."""


class JournalHeader(NamedTuple):
    """The facts that a journal keeps once, besides its jobs."""

    journal: str
    """A name that no other journal has."""
    base_url: str | None = None
    """The service that its predictions are at; None until it is known."""
    key_salt: str | None = None
    key_sum: str | None = None
    """The salted digest of the API key; None until there was one."""
    place: str | None = None
    """The place in an object store that its images go to, as a URL; None if they go to its own folder."""
    serial: int = 0
    """The number of changes that were written; the lock file has the same number."""

    def is_of(self, base_url: str, key: str) -> bool:
        """Whether the predictions belong to this service, and to this API key."""
        return self.base_url == base_url and self.key_sum == _digest(self.key_salt, key)

    def signed(self, account: Account, path: Path, *, bought: int, is_owed: bool) -> Self:
        """Return the header with *account* in it, or itself if that is in it already.

        *bought* is the number of the journal's predictions. *is_owed* says whether one of them is, or may be, paid for
        and is not saved.

        Raises:
            JournalMismatchError: the journal at *path* belongs to another service or key.
            JournalError: the header names a service and proves no key.
        """
        has_key = self.key_sum == _digest(self.key_salt, account.key)
        may_follow = account.may_follow and not is_owed
        # If nothing was ever bought, there is nothing that another service could not know.
        if self.base_url not in (None, account.base_url) and bought and not may_follow:
            raise JournalMismatchError(
                f"the journal {str(path)!r} belongs to {self.base_url}, not to {account.base_url}",
                path=path,
                setting="base_url",
            )
        if has_key and self.base_url == account.base_url:
            return self
        if self.base_url is not None and self.key_sum is None:
            # Else whoever wrote the address would be sent a key that nothing here proves to belong to it.
            raise JournalError(f"the journal {str(path)!r} is damaged: it does not say whose it is", path=path)
        if self.key_sum is not None and not (has_key or account.may_change_key or may_follow):
            raise JournalMismatchError(
                f"the journal {str(path)!r} was begun with another API key, which may belong to another account",
                path=path,
                setting="new_key",
                hint="to use the new key, pass new_key=True, or --new-key to the command",
            )
        salt = os.urandom(16).hex()
        digest = _digest(salt, account.key)
        return self._replace(base_url=account.base_url, key_salt=salt, key_sum=digest, serial=self.serial + 1)


def _digest(salt: str | None, key: str) -> str:
    """Digest an API key, so that it is recognised and cannot be read."""
    return hashlib.sha256(f"{salt or ''}{key}".encode()).hexdigest()
