"""Hide the key in any text, in every spelling that a server might echo."""

import base64
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

_SHORTEST_SECRET = 8
# The same as html.escape, whose module would also load the table of all character names.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def spellings(key: str, proxy: str | None) -> Iterator[str]:
    """Yield every spelling of the key and of the proxy's password that a server might echo."""
    secrets = [key]
    user, _, word = (urlsplit(proxy).netloc.rpartition("@")[0] if proxy else "").partition(":")
    if word:
        pair = f"{unquote(user)}:{unquote(word)}"
        secrets += [unquote(word), base64.b64encode(pair.encode("latin-1", "replace")).decode()]
    for secret in secrets:
        # A shorter one is not a secret, and may be part of any word.
        if len(secret) >= _SHORTEST_SECRET:
            yield from {secret, secret.translate(_ESCAPES), quote(secret, safe=""), secret.replace("/", r"\/")}


def hide_end(body: bytes, secret: bytes) -> bytes:
    """Hide the start of a secret at the end of a body, if the body was cut within the secret."""
    if secret[:_SHORTEST_SECRET] not in body[-len(secret) :]:
        return body
    for length in range(len(secret) - 1, _SHORTEST_SECRET - 1, -1):
        if body.endswith(secret[:length]):
            return body[:-length] + b"***"
    return body
