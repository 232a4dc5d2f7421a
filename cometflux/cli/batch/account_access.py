"""What a command needs to read the account of a folder's predictions: the address, the key and the access token."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import attrs

from cometflux.account.lists import AccountLists, root_of
from cometflux.cli.batch.open_journal import account_of, own_base_url
from cometflux.cli.options.shared import RunOptions
from cometflux.errors import ConfigError, JournalError
from cometflux.journal.header import LOCAL
from cometflux.journal.place import FILE_NAME
from cometflux.journal.reader import Journal
from cometflux.journal.writer import JournalWriter
from cometflux.session.settings import read_access_token, read_base_url, read_key, read_proxy
from cometflux.transport.aiohttp import AiohttpTransport


def read_own_key() -> str:
    """Find the key for a command without ``--local``, which the usual hint names.

    Raises:
        ConfigError: there is no key, or it cannot be sent.
    """
    try:
        return read_key()
    except ConfigError as error:
        raise ConfigError(error.problem, hint="set COMETAPI_KEY" if error.setting else None) from error


@attrs.frozen(kw_only=True)
class AccountAccess:
    """The way to the account of a folder's predictions."""

    folder: Path
    base_url: str
    key: str = attrs.field(repr=False)
    token: str = attrs.field(repr=False)
    settings: RunOptions

    @classmethod
    def of(cls, folder: Path, settings: RunOptions) -> Self:
        """Read the environment and the journal of *folder*.

        Raises:
            ConfigError: the key or the access token is missing or unusable, or *folder* has no journal.
            JournalError: the journal cannot be read, or its service was on this machine and has ended.
        """
        with Journal(folder) as journal:
            if journal.base_url == LOCAL:
                raise JournalError(f"the folder {str(folder)!r} was made with --local, and its service has ended")
        base_url = read_base_url(settings.base_url or own_base_url(folder, settings, new_key=False))
        read_proxy(settings.proxy)
        key = read_own_key()
        token = read_access_token(None, key)
        if token is None:
            hint = "set COMETAPI_ACCESS_TOKEN; the token is in the personal settings of the console"
            raise ConfigError("there is no access token", hint=hint)
        root_of(base_url)
        return cls(folder=folder, base_url=base_url, key=key, token=token, settings=settings)

    @contextmanager
    def open_journal(self) -> Iterator[tuple[JournalWriter, Journal]]:
        """Open the folder's journal to write to it and to read it, if it belongs to this address and key.

        Raises:
            JournalError: the journal cannot be used, belongs to another address or key, or a batch is using it.
        """
        account = account_of(self.base_url, self.key, self.settings, may_change_key=False)
        writer = JournalWriter(self.folder / FILE_NAME, account)
        writer.open()
        try:
            with Journal(self.folder) as journal:
                yield writer, journal
        finally:
            writer.close()

    def lists(self) -> AccountLists:
        """Make the account's lists. The caller closes them."""
        return AccountLists(AiohttpTransport(self.token, root_of(self.base_url), proxy=self.settings.proxy))

    def transport(self) -> AiohttpTransport:
        """Make a transport for predictions. The caller closes it."""
        return AiohttpTransport(self.key, self.base_url, proxy=self.settings.proxy)
