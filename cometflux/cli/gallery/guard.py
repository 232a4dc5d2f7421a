"""Decide which requests the gallery's server takes: from this machine, with its token, and for writes from its page."""

import hmac
from collections.abc import Mapping

import attrs

WRITES = frozenset({"POST"})
READS = frozenset({"GET", "HEAD"})


@attrs.frozen(kw_only=True)
class Guard:
    """The address of a server, and its secret."""

    port: int
    token: str = attrs.field(repr=False)
    """The first part of every path. Whoever does not know it gets nothing."""

    @property
    def url(self) -> str:
        """The page's URL."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> str | None:
        """Return why a request is refused; None if it is taken.

        Args:
            method: in capitals.
            path: as it was sent, with its first slash.
            headers: the names may be in any case.
        """
        host = headers.get("Host", "")
        # A page of another site may have its name lead here (DNS rebinding); it cannot choose this header.
        if host not in self._hosts():
            return "this server is reached as 127.0.0.1 only"
        if not hmac.compare_digest(
            self.token.encode(), path.removeprefix("/").partition("/")[0].encode("utf-8", "surrogateescape")
        ):
            return "the address lacks the token that the command printed"
        if method in WRITES and headers.get("Origin") != f"http://{host}":
            return "marks are taken from this server's page only"
        if method not in WRITES | READS:
            return "only GET and POST are taken"
        return None

    def _hosts(self) -> tuple[str, ...]:
        names = ("127.0.0.1", "localhost")
        # A browser leaves the usual port out.
        return (*(f"{name}:{self.port}" for name in names), *(names if self.port == 80 else ()))
