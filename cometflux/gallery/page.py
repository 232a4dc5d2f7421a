"""Render the page: one HTML file with its own style and script. Its security policy allows no others.

Prompts, service texts and file names cannot inject markup: jinja2 escapes them in the HTML, and the JSON for the script
has ``<``, ``>`` and ``&`` escaped.
"""

import base64
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import attrs

from cometflux.errors import needs_extra
from cometflux.gallery.cards import Card, Picture
from cometflux.gallery.flaws import FLAW_LABELS
from cometflux.gallery.job_states import STATE_LABELS

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = "cometflux gallery"
"""The ``generator`` of our pages; a page without it is not overwritten."""
_NARROWEST, _WIDEST = 66, 240
"""Limits of a tile's width, in hundredths of its height."""
_MOST_SHOWN = 4
_MOST_TOLD = 8
"""How many parameters stand on a card at most."""
_LONGEST_VALUE = 60
_SCRIPT = (
    *("data", "list", "search", "dialog", "picks", "serve", "choose", "zoom", "compare", "keys"),
    *("parameters", "grid", "link", "reload", "start"),
)
"""The files of the script, in the order in which they run."""
_compact = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
_ESCAPES = {ord(each): f"\\u{ord(each):04x}" for each in "<>&"}


@attrs.frozen(kw_only=True)
class Entry:
    """A job's part of the page."""

    html: str
    data: str
    """The job's data for the script, as JSON."""
    status: str
    model: str | None
    tile: int
    """The tile's width in hundredths of its height."""
    pictures: int
    """How many pictures can be shown or are kept elsewhere."""
    flaws: tuple[str, ...]
    """The flaws of its pictures."""
    names: tuple[str, ...]
    """The names of its pictures in the folder, and in ``picks.jsonl``; even those of pictures that are not there."""


@attrs.frozen(kw_only=True)
class Place:
    """The place of a page among the pages of a folder."""

    number: int
    """Its number, from 1."""
    start: int
    """How many jobs are on the pages before it."""
    stop: int
    """How many jobs are on it and on the pages before it."""
    total: int
    """How many jobs the folder has."""
    most: int
    """How many jobs a page has at most."""

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return -(-self.total // self.most)


@attrs.frozen(kw_only=True)
class Facts:
    """The facts that the page shows about the whole folder."""

    title: str
    command_folder: str
    """The folder, quoted for a shell command."""
    is_local: bool
    """Whether the pictures are of the local service, so that a command that makes some needs ``--local``."""
    written: str
    """When the page was written, in ISO 8601."""
    is_running: bool
    refresh: float
    """How many seconds a browser waits before it reloads the page of a running batch."""
    place: Place
    differing: tuple[str, ...] = ()
    """The names of the parameters that differ among the folder's jobs."""
    has_unknown: bool = False
    """Whether the folder has a job that may be billed, without a proof."""
    costs: tuple[tuple[str, str], ...] = ()
    """What all jobs of the folder cost, each amount under its name."""
    marks: Mapping[str, str] = attrs.field(factory=dict)
    """The marks of all the folder's pictures by their names: what is downloaded is about all pages."""
    batch: str = ""
    """The journal's name, under which a browser keeps marks; empty if there is no journal."""
    is_served: bool = False
    """Whether a server keeps the marks, and not the browser."""
    origin: str | None = None
    """The origin that has pictures, besides the folder; None if there is none."""
    notes: Sequence[str] = ()


def make_entry(card: Card, differing: Sequence[str] = ()) -> Entry:
    """Render a job's part of the page. It shows the values of the *differing* parameters."""
    shown = card.pictures[:_MOST_SHOWN]
    tile = _tile(card)
    given = dict(card.parameters)
    values = [(name, _value(given[name])) for name in told_names(differing) if name in given]
    found = [picture.found for picture in card.pictures if picture.found]
    notes = " · ".join(dict.fromkeys(each.note for each in found))
    html = _cards().card(
        card, _short(card.model), _duration(card.seconds), tile, shown, _mark(card.identity), values=values, notes=notes
    )
    return Entry(
        html=str(html).strip(),
        data=_data(card),
        status=card.status,
        model=card.model,
        tile=tile,
        flaws=tuple(each.flaw for each in found),
        pictures=sum(picture.fault is None for picture in card.pictures),
        names=tuple(picture.file or picture.name for picture in card.pictures),
    )


def told_names(differing: Sequence[str]) -> list[str]:
    """Return the parameters whose values stand on each card; prompt and seed have places of their own."""
    return [name for name in differing if name not in ("prompt", "seed")][:_MOST_TOLD]


def make_page(entries: Sequence[Entry], facts: Facts) -> bytes:
    """Render the page.

    Raises:
        ConfigError: the extra ``gallery`` is not installed.
    """
    from markupsafe import Markup

    style = _part("style.css") + _part("choose.css") + _ratios(entries)
    flaws = Counter(flaw for entry in entries for flaw in entry.flaws)
    style += f":root{{--told:{len(told_names(facts.differing)) + bool(flaws)}}}\n"
    script = _script()
    statuses = Counter(entry.status for entry in entries)
    models = Counter(entry.model for entry in entries if entry.model)
    text = _environment().get_template("page.html").render(
        facts=facts,
        generator=GENERATOR,
        policy=_policy(style, script, facts),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        cards=Markup("".join(entry.html for entry in entries)),  # noqa: S704 - escaped by make_entry
        data=Markup(",\n".join(entry.data for entry in entries)),  # noqa: S704 - escaped by _json
        marks=Markup(_json(dict(facts.marks))),  # noqa: S704 - escaped by _json
        states=Markup(_json(_words(statuses, is_local=facts.is_local))),  # noqa: S704 - escaped by _json
        statuses=[(each, statuses[each.name]) for each in STATE_LABELS.values() if statuses[each.name]],
        models=[(model, _short(model), count) for model, count in models.most_common()],
        flaws=[(flaw, words, flaws[flaw]) for flaw, words in FLAW_LABELS.items() if flaws[flaw]],
        total=len(entries),
        differing=Markup(_json(facts.differing)),  # noqa: S704 - escaped by _json
        pictures=sum(entry.pictures for entry in entries),
    )  # fmt: skip
    # A file name that is not valid UTF-8 holds lone surrogates, which cannot be encoded.
    return text.encode("utf-8", "replace")


@functools.cache
def _environment() -> "Environment":
    with needs_extra("the gallery", "gallery", "jinja2", "markupsafe"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    return Environment(
        loader=PackageLoader("cometflux.gallery", "parts"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def check_extra() -> None:
    """Check that jinja2 is installed.

    Raises:
        ConfigError: the extra ``gallery`` is not installed.
    """
    _environment()


@functools.cache
def _cards() -> Any:
    return _environment().get_template("card.html").make_module({"states": STATE_LABELS})


@functools.cache
def _part(name: str) -> str:
    return (files("cometflux.gallery") / "parts" / name).read_text(encoding="utf-8")


@functools.cache
def _script() -> str:
    """Return the files of the script as one, in a scope of their own."""
    text = "\n".join(_part(f"script/{name}.js") for name in _SCRIPT)
    return f'"use strict";\n(() => {{\n{text}}})();\n'


# ── the security policy ──────────────────────────────────────────────────────────────────────────────────────────────


def _policy(style: str, script: str, facts: Facts) -> str:
    """Return a Content-Security-Policy that allows only this style, this script and the folder's pictures.

    A page that is served may also send marks to its server.
    """
    rules = {
        "default-src": "'none'",
        "img-src": " ".join(filter(None, ["'self' data: file:", facts.origin])),
        "style-src": _digest(style),
        "script-src": _digest(script),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        **({"connect-src": "'self'"} if facts.is_served else {}),
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# ── the cards ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _short(model: str | None) -> str:
    return (model or "").removeprefix("black-forest-labs/")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _value(text: str) -> str:
    """Return a parameter's value for a card, from its JSON."""
    shown = json.loads(text) if text.startswith('"') else text
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"


def _tile(card: Card) -> int:
    """Return the tile's width in hundredths of its height; the class ``r<width>`` gives the tile this shape."""
    sizes = [picture.size for picture in card.pictures if picture.size]
    width, height = sizes[0] if sizes else (1, 1)
    across = 2 if len(card.pictures) == 2 else 1
    return min(max(round(100 * across * width / height), _NARROWEST), _WIDEST)


def _ratios(entries: Iterable[Entry]) -> str:
    """Return a CSS class for each shape in use, because the page's policy forbids inline styles."""
    shapes = sorted({entry.tile for entry in entries})
    return "".join(f".r{each}{{--r:{each / 100:g}}}\n" for each in shapes)


def _mark(identity: str) -> str:
    """Return an id that a card keeps in the page's next version."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:12]


# ── the script's data ────────────────────────────────────────────────────────────────────────────────────────────────


def _json(value: Any) -> str:
    """Return ASCII JSON that is safe inside HTML: ``<``, ``>`` and ``&`` are escaped."""
    return _compact(value).translate(_ESCAPES)


def _data(card: Card) -> str:
    told = {
        "key": card.key,
        "index": card.index,
        "model": card.model,
        "status": card.status,
        "money": card.money if card.money != STATE_LABELS[card.status].money else None,
        "error": card.error,
        "id": card.prediction_id,
        "seconds": card.seconds,
        "times": card.times,
        "when": card.when,
        "attempts": card.attempts if card.attempts > 1 else None,
        "costs": card.costs,
        "input": card.parameters,
        "tags": card.tags,
        "pictures": [_told(picture) for picture in card.pictures],
    }
    return _json({name: value for name, value in told.items() if value not in (None, "", ())})


def _told(picture: Picture) -> dict[str, Any]:
    told = {
        "name": picture.name,
        "file": picture.file,
        "address": picture.address,
        "size": picture.size,
        "here": picture.is_here or None,
        "fault": picture.fault,
        "flaw": picture.found and picture.found.flaw,
        "note": picture.found and picture.found.note,
    }
    return {name: value for name, value in told.items() if value is not None}


def _words(statuses: Iterable[str], *, is_local: bool) -> dict[str, Any]:
    words = {name: attrs.asdict(STATE_LABELS[name]) for name in STATE_LABELS if name in set(statuses)}
    for label in words.values():
        if is_local and label["command"] == "resume":
            label["command"] = "resume --local"
    return words
