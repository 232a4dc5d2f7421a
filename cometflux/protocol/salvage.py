"""Finds the prediction's id in a response that broke off."""

import re
from collections.abc import Iterator

from cometflux.protocol.decoding import load_created


def load_torn(body: bytes) -> str | None:
    """Salvage a prediction's id from the answer to a submission that broke off or is otherwise no JSON.

    None unless the id is there, whole.

    What stands in the echoed input is never taken for it.
    """
    for text in _closed(body.decode("utf-8", "replace").removeprefix("\ufeff")):
        prediction = load_created(text.encode())
        if prediction is not None:
            return prediction.id
    return None


def _closed(text: str) -> Iterator[str]:
    """Close what is open in a JSON text that was cut: at its end, else behind its last whole part.

    Where even that is no JSON, as with a comma too many, it may be up to the last part of the outermost object.
    """
    closers: list[str] = []
    whole = 0, ""
    outermost = 0
    for number, (place, mark) in enumerate(_marks(text)):
        if number == _MOST_MARKS:
            break
        if mark in "{[":
            closers.insert(0, "}" if mark == "{" else "]")
        elif mark in "}]" and closers:
            closers.pop(0)
        if len(closers) > _DEEPEST_TORN:
            break
        if mark == "," and len(closers) == 1:
            outermost = place
        whole = (place if mark == "," else place + 1), "".join(closers)
        # What stands behind the end is no part of it.
        if not closers:
            break
    else:
        yield text + "".join(closers)
    yield text[: whole[0]] + whole[1]
    if outermost:
        yield text[:outermost] + text.lstrip()[:1].replace("{", "}").replace("[", "]")


_DEEPEST_TORN = 32
_MOST_MARKS = 100_000


def _marks(text: str) -> Iterator[tuple[int, str]]:
    """Find the brackets and commas that stand in no string."""
    # A string may be cut anywhere, also within an escape; then the rest of the text is in it.
    for found in re.finditer(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\],]', text, re.DOTALL):
        if not found[0].startswith('"'):
            yield found.start(), found[0]
