"""The public URL of a place in an object store, under which a browser finds its pictures."""

import re
from urllib.parse import quote, urlsplit

import attrs

from cometflux.errors import ConfigError

_URL = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?(/[^\x00-\x20\x7f?#\\\"'<>;,]*)?")


@attrs.frozen
class PublicUrl:
    """The URL of the folder's pictures."""

    text: str
    """Without a slash at its end."""

    @classmethod
    def of(cls, text: str) -> "PublicUrl":
        """Check a URL such as ``https://images.example.org/boats``.

        Raises:
            ConfigError: it is not an https URL, or it has a user, a query or a fragment.
        """
        if not isinstance(text, str) or not _URL.fullmatch(text):
            allowed = "must be an https URL without user, query and fragment, such as https://images.example.org/boats"
            raise ConfigError(setting="public_url", given=text, allowed=allowed)
        return cls(text.rstrip("/"))

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.text)
        return f"{parts.scheme}://{parts.netloc}"

    def address(self, name: str) -> str:
        """Return the URL of the picture with this name."""
        return f"{self.text}/{quote(name, safe='/', errors='replace')}"
