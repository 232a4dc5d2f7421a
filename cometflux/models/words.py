"""Phrases for error messages: lists of words, and suggestions for misspelt words."""

from collections.abc import Callable, Iterable


def listed(words: Iterable[str], conjunction: str) -> str:
    """Join words to a phrase: ``a, b and c``."""
    *front, last = words
    return f"{', '.join(front)} {conjunction} {last}" if front else last


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word closest to a misspelt one; None if no word is close."""
    import difflib  # here, because it is needed only for a misspelt word

    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def question(name: str | None, show: Callable[[str], str] = repr) -> str | None:
    """Ask whether the name is meant, as a hint; None if there is no name."""
    return None if name is None else f"did you mean {show(name)}?"
