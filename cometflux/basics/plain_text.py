"""Text that is fit for a terminal or a log line, whatever it was made of. The package's log uses it too."""

import logging
import re
import traceback
from pathlib import Path
from typing import Any

import attrs

# C0 and C1 controls, line separators, marks that change the writing direction, lone surrogates.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Escape the characters that a terminal would obey instead of showing, line ends among them."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain_lines(text: str) -> str:
    """Escape the same characters, except for line ends."""
    return "\n".join(map(plain, text.split("\n")))


def escape_json(line: str) -> str:
    """Escape the same characters in a line of JSON, with JSON's own escapes."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def count_of(number: int, thing: str) -> str:
    """Return a number with its noun, such as ``1 picture`` or ``2 pictures``."""
    return f"{number} {by_number(number, thing, f'{thing}s')}"


def by_number(number: int, one: str, many: str) -> str:
    """Return *one* for 1 and *many* for any other number."""
    return one if number == 1 else many


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can encode a text: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shorten(value: object, most: int = 80) -> str:
    """Return a value as Python writes it, in at most *most* characters; of bytes only their number."""
    if isinstance(value, bytes):
        return f"a value of {count_of(len(value), 'byte')}"
    if value is attrs.NOTHING:
        return "nothing"
    if isinstance(value, Path):
        # The end of a path tells most.
        text = repr(str(value))
        return text if len(text) <= most else f"'…{text[2 - most :]}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an integer may be too long to print, and the caller's own object may raise anything
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _make_plain(record: logging.LogRecord) -> bool:
    """Make the values and the traceback of a log record plain. The message itself is ours."""
    if isinstance(record.args, tuple):
        record.args = tuple(_plain_value(each) for each in record.args)
    if record.exc_info and record.exc_info[1]:
        # Indented, because the text of an exception may have lines that look like a log's.
        lines = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
        record.exc_text = plain_lines(f"  {lines}".replace("\n", "\n  "))
    return True


def _plain_value(value: Any) -> Any:
    return value if isinstance(value, int | float) else plain(str(value))


log = logging.getLogger("cometflux")
"""The package's log."""
log.addFilter(_make_plain)
