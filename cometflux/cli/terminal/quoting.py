"""Quote commands so that they can be pasted into a shell."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from cometflux.plain_text import plain

_ESCAPED = {ord("'"): "\\'", ord("\\"): "\\\\"}


def join(words: Iterable[str]) -> str:
    """Return a command line. Words with unprintable characters are quoted as ``$'…'``, as bash and zsh read them."""
    return " ".join(shlex.quote(word) if plain(word) == word else f"$'{_escape(word)}'" for word in words)


def argument(folder: Path) -> str:
    """Return a folder in a form that cannot be mistaken for an option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def _escape(word: str) -> str:
    # Octal, because the shell reads at most three digits, so a digit that follows is safe.
    return "".join(
        _ESCAPED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}") for byte in os.fsencode(word)
    )
