"""One list of jobs, divided among machines that share nothing: the part of a job, and the claim of a part.

A job's part follows from its identity alone, so that every machine, on every run, divides the list in the same way.
"""

import hashlib
import re
from typing import Any, Self

import attrs

from cometflux.errors import AnswerError, ConfigError
from cometflux.protocol import decoding, encoding
from cometflux.storage.backend import RefusedError
from cometflux.storage.destination import Destination

MOST_PARTS = 10_000
CLAIMS = ".cometflux-parts.json"
"""The file in the place that says into how many parts the list is divided."""
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


async def claim_part(place: Destination, part: Part, journal_id: str) -> None:
    """Claim *part* of the list for the journal *journal_id*, in the *place* that all parts share.

    To claim a part again for the same journal does nothing.

    Raises:
        ConfigError: another journal has the part, the list is divided into another number of parts, or the place cannot
            be read and written.
    """
    try:
        division = await _have(place, CLAIMS, {"parts": part.count})
        if division.get("parts") != part.count:
            message = f"{place} holds a list in {division.get('parts')} parts, so {part} is not a part of it"
            raise ConfigError(f"{message}; keep the number of parts until the list is done")
        owner = await _have(place, part.claim, {"part": str(part), "journal": journal_id})
    except RefusedError as refusal:
        raise ConfigError(f"part {part} cannot be claimed in {place}: {refusal}") from refusal
    if owner.get("journal") != journal_id:
        message = f"part {part} of {place} belongs to another journal; run it where that journal is"
        raise ConfigError(f"{message}, or remove {part.claim} to pay for the whole part again")


async def _have(place: Destination, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write a claim if the name is free; return the claim that is there."""
    if await place.put_note(name, f"{encoding.dump_line(wanted)}\n".encode()):
        return wanted
    text = await place.read_note(name)
    try:
        found = decoding.load_json(text or b"")
    except AnswerError:
        found = None
    return found if isinstance(found, dict) else {}
