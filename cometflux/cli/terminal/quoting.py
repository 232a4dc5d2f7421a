"""Commands as they can be pasted into a shell."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from cometflux.cli.terminal.screen import plain

_ESCAPED = {ord("'"): "\\'", ord("\\"): "\\\\"}


def join(words: Iterable[str]) -> str:
    """Write a command. What could not be shown as it is stands in quotes that bash and zsh understand."""
    return " ".join(shlex.quote(word) if plain(word) == word else f"$'{_escape(word)}'" for word in words)


def argument(folder: Path) -> str:
    """Write a folder so that it is not taken for an option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def _escape(word: str) -> str:
    # Octal, because three digits are all that is read: what follows may be a digit itself.
    return "".join(
        _ESCAPED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}") for byte in os.fsencode(word)
    )
