"""Show a prediction or an outcome in a notebook: the pictures with a caption, or why there are none.

Nothing here uses the network, and all text from outside is escaped. Frontends prefer ``text/html``, so it has the
pictures with their caption. A single picture is also in the bundle under its own media type, for programs that show
only images, such as an export to PDF.
"""

import base64
import html
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from cometflux.basics.regular_files import read_regular
from cometflux.errors import CometfluxError
from cometflux.images import data_uris, formats
from cometflux.locations import StoredFile
from cometflux.outcomes import Outcome
from cometflux.predictions import Prediction

LARGEST_SHOWN = 4 * 1024 * 1024
"""Maximum bytes of pictures in one output of a cell, because a notebook stores them. Other pictures are linked."""
_LONGEST_TEXT = 300
_STYLE = "display:inline-block;max-width:min(100%,32em);max-height:32em;height:auto;margin:0 .5em .5em 0"


@attrs.frozen(kw_only=True)
class _Picture:
    """One picture to show: its bytes, or its URL, or why it cannot be shown."""

    data: bytes | None = None
    """None if the picture is not stored in the notebook."""
    url: str | None = None
    """A URL for the browser; None if there is no URL."""
    words: str = ""


def show_prediction(prediction: Prediction) -> dict[str, str]:
    """Return a notebook's view of a prediction, by media type."""
    facts = [str(prediction.status), *_known(prediction.model, prediction.id)]
    trouble = _trouble(None, prediction.error)
    return _bundle(prediction, _outputs(prediction), facts, _prompt(prediction.input), trouble)


def show_outcome(outcome: Outcome) -> dict[str, str]:
    """Return a notebook's view of an outcome, by media type. Reads its files."""
    prediction = outcome.prediction
    pictures = _files(outcome.files) if outcome.files or prediction is None else _outputs(prediction)
    facts = [str(outcome.kind), *_known(outcome.job.model, outcome.key, prediction.id if prediction else None)]
    return _bundle(outcome, pictures, facts, _prompt(outcome.job.input), _trouble(outcome.error, None))


def _known(*facts: str | None) -> list[str]:
    return [fact for fact in facts if fact]


def _prompt(values: Mapping[str, Any]) -> str:
    prompt = values.get("prompt")
    return prompt if isinstance(prompt, str) else ""


def _trouble(error: CometfluxError | None, words: str | None) -> str:
    return words or "" if error is None else f"{type(error).__name__}: {error}"


# ── the pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _outputs(prediction: Prediction) -> Iterator[_Picture]:
    room = LARGEST_SHOWN
    for url in prediction.output:
        picture = _output(url, room)
        room -= len(picture.data or b"")
        yield picture


def _output(url: str, room: int) -> _Picture:
    if url[:5].lower() != "data:":
        is_web = url[:8].lower().startswith(("https://", "http://"))
        return _Picture(url=url) if is_web else _Picture(words=url)
    # Base64 is a third longer than the bytes.
    if len(url) > 4 * room // 3 + 100:
        return _Picture(words="a picture too large to be shown here")
    try:
        return _Picture(data=data_uris.read_data_uri(url))
    except ValueError as error:
        return _Picture(words=f"an output that cannot be read: {error}")


def _files(paths: tuple[Path | StoredFile, ...]) -> Iterator[_Picture]:
    room = LARGEST_SHOWN
    for path in paths:
        # A picture in an object store would have to be downloaded.
        picture = _file(path, room) if isinstance(path, Path) else _Picture(words=str(path))
        room -= len(picture.data or b"")
        yield picture


def _file(path: Path, room: int) -> _Picture:
    try:
        if path.stat().st_size > room:
            return _Picture(url=_relative(path), words=str(path))
        return _Picture(data=read_regular(path, room, follows_links=True), words=str(path))
    except OSError as error:
        return _Picture(words=f"{path}: {error.strerror or error}")


def _relative(path: Path) -> str | None:
    """Return a link to a file for a notebook in the working folder; None if the file is elsewhere."""
    try:
        return quote(path.absolute().relative_to(Path.cwd()).as_posix())
    except (ValueError, FileNotFoundError):
        # The working folder itself may be deleted.
        return None


# ── the bundle ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _bundle(shown: object, found: Iterable[_Picture], facts: list[str], prompt: str, trouble: str) -> dict[str, str]:
    pictures = [*found]
    if any(picture.url and not picture.words for picture in pictures):
        facts = [*facts, "kept by the service for about an hour"]
    rows = ["".join(map(_image, pictures)), _text("em", prompt), _text("small", " · ".join(facts))]
    if trouble:
        rows.append(_text("strong", trouble))
    inner = "".join(f"<div>{row}</div>" for row in rows if row)
    # Without these classes a prompt with two dollar signs would be shown as a formula.
    page = f'<div class="cometflux mathjax_ignore tex2jax_ignore" style="margin-bottom:1em">{inner}</div>'
    return {"text/plain": repr(shown), "text/html": page, **_single(pictures)}


def _single(pictures: list[_Picture]) -> dict[str, str]:
    data = pictures[0].data if len(pictures) == 1 else None
    kind = data and formats.media_type(data)
    return {kind: base64.b64encode(data).decode()} if data and kind else {}


def _image(picture: _Picture) -> str:
    kind = picture.data and formats.media_type(picture.data)
    if picture.data and kind:
        source = f"data:{kind};base64,{base64.b64encode(picture.data).decode()}"
    elif picture.data is not None:
        return _text("div", f"{picture.words or 'an output'}: not a picture")
    elif picture.url is None:
        return _text("div", picture.words)
    else:
        source = html.escape(picture.url)
    image = f'<img src="{source}" alt="{html.escape(picture.words)}" style="{_STYLE}" referrerpolicy="no-referrer">'
    if picture.url is None:
        return image
    return f'<a href="{source}" target="_blank" rel="noopener noreferrer">{image}</a>{_text("div", picture.words)}'


def _text(tag: str, words: str) -> str:
    short = words if len(words) <= _LONGEST_TEXT else f"{words[: _LONGEST_TEXT - 1]}…"
    # Isolated, because a text may hold characters that change the direction of the text after it.
    return f"<{tag}><bdi>{html.escape(short)}</bdi></{tag}>" if words else ""
