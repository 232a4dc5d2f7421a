"""What a value means, however it is spelled. Every source of prompts reads texts and numbers by these functions.

Two spellings of one value make one job: the fingerprint of a job compares values as they are written here.
"""

import re
import struct
import unicodedata
from typing import Any

_LINE_END = re.compile(r"\r\n?")
# White space, controls, and the characters that Unicode says to show as nothing; the Braille blank looks so too.
_VISIBLE = re.compile(
    "[^\\s\0-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_EMPTY_CELL = frozenset({"nan", "<na>", "nat", "none", "null"})
_SPREADSHEET_ERROR = re.compile(r"#(?:[A-Z]+(?:/0|_[A-Z]+)?[!?]|N/A|GETTING_DATA)|Err:[0-9]{3}")
_DIGITS = {2: 11, 4: 24, 8: 53}
_CODES = {2: "<e", 4: "<f"}


def tidy(text: str) -> str:
    """Return a prompt in its one spelling: lines end in LF, Unicode form NFC, no whitespace around it."""
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_blank(text: str) -> bool:
    """Whether a text has no visible character."""
    # Most texts begin with a letter or a digit.
    return not "!" <= text[:1] <= "~" and _VISIBLE.search(text) is None


def is_empty_word(text: str) -> bool:
    """Whether a text is how programs write an empty cell, as in ``nan``."""
    return len(text) < 8 and text.strip().casefold() in _EMPTY_CELL


def is_spreadsheet_error(text: str) -> bool:
    """Whether a whole cell is a spreadsheet's error, as in ``#REF!``."""
    return text[:1] in "# E" and _SPREADSHEET_ERROR.fullmatch(text.strip()) is not None


def shortest(number: float, size: int = 8) -> float:
    """Return the float with the fewest decimal digits that is the same number in *size* bytes, its own type.

    3.1 in four bytes is 3.0999999046325684 in eight, and was meant as 3.1.
    """
    code = _CODES.get(size)
    if code is None:
        return number
    for digits in range(1, 10):
        short = float(f"{number:.{digits}g}")
        if _fits(code, short) and struct.unpack(code, struct.pack(code, short))[0] == number:
            return short
    return number


def _fits(code: str, number: float) -> bool:
    try:
        struct.pack(code, number)
    except OverflowError:
        return False
    return True


def of_any_size(number: float) -> float:
    """Return a number of eight bytes as `shortest` returns it if it also is a number of four bytes."""
    if not _fits("<f", number) or struct.unpack("<f", struct.pack("<f", number))[0] != number:
        return number
    return shortest(number, 4)


def may_have_lost_digits(number: float, size: int = 8) -> bool:
    """Whether a whole number is too large for each digit to be kept in a float of *size* bytes."""
    return abs(number) >= 2.0 ** _DIGITS.get(size, 53)


LOST_DIGITS = "it was stored as a float, which loses digits of so large a number; store it as an integer or as text"


def whole(value: Any) -> Any:
    """Return 7 for 7.0, unless the number is so large that it may have lost digits; else *value* itself."""
    if isinstance(value, float) and value.is_integer() and not may_have_lost_digits(value):
        return int(value)
    return value


def plain(value: Any) -> Any:
    """Return a number of numpy as Python's own number, in the shortest decimal of its type; else *value* itself."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or getattr(value, "shape", None) != () or not hasattr(value, "item"):
        return value
    kind = getattr(dtype, "kind", "")
    if kind == "f":
        return shortest(float(value), dtype.itemsize)
    return value.item() if kind in ("i", "u", "b") else value


PLAIN_TYPES = frozenset({str, int, float, bool, tuple, list, dict, bytes, type(None)})
"""Types of Python itself: `plain` has nothing to do for their values."""
