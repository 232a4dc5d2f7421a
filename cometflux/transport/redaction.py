"""Hides the key in any text, in each spelling that a server might echo."""

import base64
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

_SHORTEST_SECRET = 8
# As html.escape writes them; its module would also bring the names of all characters along.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def spellings(key: str, proxy: str | None) -> Iterator[str]:
    """List how what must not be shown may stand in a text from outside."""
    secrets = [key]
    user, _, word = (urlsplit(proxy).netloc.rpartition("@")[0] if proxy else "").partition(":")
    if word:
        pair = f"{unquote(user)}:{unquote(word)}"
        secrets += [unquote(word), base64.b64encode(pair.encode("latin-1", "replace")).decode()]
    for secret in secrets:
        # A shorter one is no secret, and may be part of any word.
        if len(secret) >= _SHORTEST_SECRET:
            yield from {secret, secret.translate(_ESCAPES), quote(secret, safe=""), secret.replace("/", r"\/")}


def hide_end(body: bytes, secret: bytes) -> bytes:
    """Hide the beginning of a secret within which a body was cut."""
    if secret[:_SHORTEST_SECRET] not in body[-len(secret) :]:
        return body
    for length in range(len(secret) - 1, _SHORTEST_SECRET - 1, -1):
        if body.endswith(secret[:length]):
            return body[:-length] + b"***"
    return body
