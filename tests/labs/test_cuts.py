"""Cut exchanges at a random byte of the request or response: nothing is paid twice, and every paid id is known.

The client cannot know how much of a cut request the service received, so the submission is *unknown* and is not sent
again. The side, the byte and the kind of the cut, the length of the request and the framing of the response are
random. The seed, the number of cuts of each kind and the outcomes are printed.
"""

import asyncio
import random
from collections import Counter

import attrs
import pytest
from certificate_authority import Authority
from cutting_service import KEY, Cut, CuttingService

from cometflux import Job, Session
from cometflux.outcomes import OutcomeKind
from cometflux.transport.aiohttp import AiohttpTransport

CUTS = 50
"""The number of cuts in each test, all at once."""
SEEDS = range(60)
ORDINARY = 3
"""The number of seeds in every run of the tests."""
LENGTHS = (1, 20, 1_000, 30_000, 200_000, 700_000)


@attrs.define
class Case:
    """One exchange with its random cut."""

    chance: random.Random
    is_tls: bool
    side: str = ""
    how: str = ""
    length: int = 0
    at: int | None = None
    of: int = 0

    def __attrs_post_init__(self):
        self.side = self.chance.choices(["accept", "request", "answer"], [1, 5, 5])[0]
        self.how = self.chance.choice(["close", "reset", "stall", *(["fin"] if self.is_tls else [])])
        self.length = self.chance.choice(LENGTHS)

    def __str__(self):
        kind = "tls" if self.is_tls else "plain"
        return f"{self.side} of {self.of} bytes cut at {self.at} by {self.how}, {kind}, prompt of {self.length}"

    def place(self, spots):
        self.of = spots.end
        self.at = self.chance.randint(0, spots.end)
        return self.at

    def cut(self):
        framing, pause = self.chance.choice(["length", "chunked", "close"]), self.chance.choice([0.0, 0.1])
        return Cut(side=self.side, place=self.place, how=self.how, framing=framing, pause=pause)


def draw(seed, number):
    return Case(random.Random(f"{seed}/{number}"), is_tls=seed % 3 == 0)


async def run(case, server, client):
    """Run one job against a service that cuts its first submission; return the service and the outcome."""
    async with CuttingService(tls=server) as service:
        service.strike(case.cut())
        async with Session(AiohttpTransport(KEY, service.url, ssl=client)) as session:
            outcome = await anext(session.generate([Job(model="a/b", input={"prompt": "x" * case.length})]))
            assert 1 == session.accounting[outcome.kind] == session.accounting["all"]
    return service, outcome


def check(case, service, outcome):
    assert 1 == service.cuts, "nothing was cut"
    assert len(service.posts) <= 1, "it is sent again though the service had a part of it"
    assert len(service.bills) <= 1, "it is paid for twice"
    assert (outcome.kind is OutcomeKind.SUCCEEDED) is service.has_shown_id, (
        "what is paid for is not known, or is made up"
    )
    if outcome.kind is OutcomeKind.SUCCEEDED:
        assert service.bills == [outcome.prediction.id]
        return
    assert outcome.kind == outcome.error.money
    assert outcome.kind in ((OutcomeKind.UNKNOWN,) if service.posts else (OutcomeKind.UNKNOWN, OutcomeKind.NOT_SENT))


@pytest.mark.parametrize(
    "seed", [*SEEDS[:ORDINARY], *(pytest.param(s, marks=pytest.mark.hard) for s in SEEDS[ORDINARY:])]
)
async def test_an_exchange_cut_at_a_random_byte_is_not_repeated_and_not_called_unsent(seed, tmp_path):
    print(f"seed {seed}")
    cases = [draw(seed, number) for number in range(CUTS)]
    contexts = None, None
    if cases[0].is_tls:
        authority = Authority(tmp_path)
        contexts = authority.server(), authority.client()
    ends = await asyncio.gather(*(run(case, *contexts) for case in cases))
    tally = Counter((case.side, case.how, outcome.kind.value) for case, (_, outcome) in zip(cases, ends, strict=True))
    print(*(f"{count} {' '.join(words)}" for words, count in sorted(tally.items())), sep="\n")
    for case, (service, outcome) in zip(cases, ends, strict=True):
        print(case, "->", outcome.kind)
        check(case, service, outcome)
