"""Quote commands so that they can be pasted into a shell: that of POSIX, and on Windows PowerShell."""

import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from cometflux.basics.plain_text import plain

_ESCAPED = {ord("'"): "\\'", ord("\\"): "\\\\"}


if sys.platform == "win32":

    def join(words: Iterable[str]) -> str:
        """Return a command line. The older shell reads it, too, unless a word has a quote."""
        return " ".join(word if _BARE.fullmatch(word) else _quoted(word) for word in words)

    _BARE = re.compile(r"[\w+./:=\\-]+")

    def _quoted(word: str) -> str:
        escaped = re.sub('[`$"]', r"`\g<0>", word)
        return f'"{escaped}"'

    def assign(name: str, value: str) -> str:
        """Return the line that sets a variable for the commands that follow."""
        return f"$env:{name} = {_quoted(value)}"

else:

    def join(words: Iterable[str]) -> str:
        """Return a command line. Words with unprintable characters are quoted as ``$'…'``, as bash and zsh do."""
        return " ".join(shlex.quote(word) if plain(word) == word else f"$'{_escape(word)}'" for word in words)

    def assign(name: str, value: str) -> str:
        """Return the line that sets a variable for the commands that follow."""
        return f"export {name}={join([value])}"


def argument(folder: Path | str) -> str:
    """Return a folder or file in a form that cannot be mistaken for an option."""
    return f"./{folder}" if str(folder).startswith("-") else str(folder)


def _escape(word: str) -> str:
    # Octal, because the shell reads at most three digits, so a digit that follows is safe.
    return "".join(
        _ESCAPED.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}") for byte in os.fsencode(word)
    )
