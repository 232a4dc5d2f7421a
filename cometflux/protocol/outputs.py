"""Read the URLs in an output. Nine of the models return a string, two a list; gateways return other shapes, too."""

import re
from typing import Any

_URL = re.compile(r"(?i)https?://|data:")


def read_output(output: Any, *, is_final: bool) -> tuple[str, ...]:
    """Return the URLs in an output of any shape, in their order.

    *is_final* says that the prediction succeeded. Then a text that is not a URL counts too, so that fetching it says
    what is wrong with it. Otherwise the text may be a word about the progress.
    """
    if output is None:
        return ()
    texts = output if type(output) is list else [output]
    if is_final and all(type(text) is str for text in texts):
        return tuple([url for text in texts if (url := text.strip())])
    return find_urls(output)


def find_urls(value: Any) -> tuple[str, ...]:
    """Return the URLs in a value of any shape. In an object with a ``url``, only that counts."""
    found: list[str] = []
    left = [value]
    while left:
        match left.pop():
            case str() as text if _URL.match(text := text.strip()):
                found.append(text)
            case list() as values:
                left += reversed(values)
            case {"url": str() as url}:
                left.append(url)
            case dict() as fields:
                left += reversed(fields.values())
    return tuple(found)
