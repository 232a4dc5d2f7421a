"""One list of jobs, divided among machines that share nothing: the part of a job, and the claim of a part.

A job's part follows from its identity alone, so that every machine, on every run, divides the list in the same way.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from typing import Any, Self

import attrs

from cometflux.basics.plain_text import count_of
from cometflux.errors import AnswerError, ConfigError
from cometflux.protocol import decoding, encoding
from cometflux.storage.backend import RefusedError
from cometflux.storage.destination import Destination
from cometflux.storage.paths import CLAIMS

MOST_PARTS = 10_000
_SPELLING = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")


@attrs.frozen
class Part:
    """Part *number* of *count*, from 1."""

    number: int
    count: int

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.count <= MOST_PARTS or not 1 <= self.number <= self.count:
            raise ConfigError(setting="part", given=str(self), allowed=_ALLOWED)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a part such as ``3/8``.

        Raises:
            ConfigError: *text* is not a part.
        """
        spelt = _SPELLING.fullmatch(text.strip())
        if spelt is None:
            raise ConfigError(setting="part", given=text, allowed=_ALLOWED)
        return cls(int(spelt[1]), int(spelt[2]))

    def has(self, identity: str) -> bool:
        """Whether the job of that identity is in this part. Every job is in exactly one of the *count* parts."""
        digest = hashlib.sha256(identity.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    @property
    def folder(self) -> str:
        """The name of the folder with the part's journal."""
        return f"part-{self.number}-of-{self.count}"

    @property
    def claim(self) -> str:
        """The name of the file in the place that says whose part this is."""
        return f".cometflux-part-{self.number}-of-{self.count}.json"


_ALLOWED = f"must be K/N, with K from 1 to N, and N at most {MOST_PARTS}, as in 3/8"


def count_parts(claims: bytes, place: object) -> int:
    """Return into how many parts the list in *place* is divided, from the text of the file `CLAIMS` there.

    Raises:
        ConfigError: the text does not say it.
    """
    return _count_in(_load(claims), place)


async def check_part(place: Destination, part: Part, journal_id: str | None) -> None:
    """Check that the journal *journal_id*, or a new one, can claim *part* in *place*. Writes nothing.

    Raises:
        ConfigError: as `claim_part`.
    """
    with _explained(part, place):
        for name, check in ((CLAIMS, _check_count), (part.claim, _check_owner)):
            found = await _read(place, name)
            if found is not None:
                check(found, place, part, journal_id)


async def claim_part(place: Destination, part: Part, journal_id: str) -> None:
    """Claim *part* of the list for the journal *journal_id*, in the *place* that all parts share.

    To claim a part again for the same journal does nothing.

    Raises:
        ConfigError: another journal has the part, the list is divided into another number of parts, or the place cannot
            be read and written.
    """
    with _explained(part, place):
        _check_count(await _have(place, CLAIMS, {"parts": part.count}), place, part, journal_id)
        claim = {"part": str(part), "journal": journal_id}
        _check_owner(await _have(place, part.claim, claim), place, part, journal_id)


def _check_count(found: dict[str, Any], place: Destination, part: Part, _: str | None) -> None:
    count = _count_in(found, place)
    if count != part.count:
        message = f"{place} holds a list in {count_of(count, 'part')}, so {part} is not a part of it"
        raise ConfigError(f"{message}; keep the number of parts until the list is done")


def _check_owner(found: dict[str, Any], place: Destination, part: Part, journal_id: str | None) -> None:
    if journal_id is None or found.get("journal") != journal_id:
        message = f"part {part} of {place} belongs to another journal; run it where that journal is"
        raise ConfigError(f"{message}, or remove {part.claim} to pay for the whole part again")


def _count_in(found: dict[str, Any], place: object) -> int:
    count = found.get("parts")
    if type(count) is not int or count < 1:
        message = f"{CLAIMS} in {place} does not say into how many parts the list is divided"
        raise ConfigError(f'{message}; write their number into it, as {{"parts": 8}}')
    return count


@contextlib.contextmanager
def _explained(part: Part, place: Destination) -> Iterator[None]:
    try:
        yield
    except RefusedError as refusal:
        raise ConfigError(f"part {part} cannot be claimed in {place}: {refusal}") from refusal


async def _have(place: Destination, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write a claim if the name is free; return the claim that is there."""
    if await place.put_note(name, f"{encoding.dump_line(wanted)}\n".encode()):
        return wanted
    return await _read(place, name) or {}


async def _read(place: Destination, name: str) -> dict[str, Any] | None:
    """Return a claim; None if there is none, and empty if it cannot be read."""
    text = await place.read_note(name)
    return None if text is None else _load(text)


def _load(text: bytes) -> dict[str, Any]:
    try:
        found = decoding.load_json(text)
    except AnswerError:
        found = None
    return found if isinstance(found, dict) else {}
