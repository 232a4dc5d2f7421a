"""How soon do whole batches end, and how many polls does that take? Simulated in virtual time.

No clock and no network is involved, so the figures are the same on every machine. `makespan` measures some of the same
batches with a server, where the load of the processor counts, too.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence

import attrs

from benchmarks.makespan import ideal
from cometflux.polling.policy import PollPolicy
from cometflux.polling.schedule import PendingPoll, Schedule

SEEDS = 9
LARGE = {64: 1.12, 256: 1.12, 1000: 1.12}
"""The maximum ratio to the ideal of 2000 predictions of 0.4 s, by the number of slots."""
LARGE_POLLS = 5.0
SMALL, SMALL_POLLS = 1.2, 8.0
"""The maximum ratio to the ideal of 20 predictions of 15 s at once, and the most polls per prediction."""
FASTER = {1: 20, 4: 20, 16: 20}
"""The most predictions that are told late after the service has become three times faster, by the number of slots."""


@attrs.frozen
class Told:
    """A prediction whose end was noticed."""

    length: float
    late: float
    """Seconds from its end until a poll noticed it."""
    polls: int


def lengths(median: float, sigma: float, count: int, seed: int) -> list[float]:
    """Draw *count* durations, in seconds, from a lognormal distribution."""
    chance = random.Random(seed)
    return [median * math.exp(sigma * chance.gauss(0, 1)) for _ in range(count)]


def simulate(schedule: Schedule, drawn: Sequence[float], slots: int, now: float = 0.0) -> tuple[list[Told], float]:
    """Poll predictions of these lengths as *schedule* says; return them in the order of their ends, and the last time.

    The first ones begin at *now*.
    """
    told: list[Told] = []
    polls: dict[PendingPoll, int] = {}
    left: Iterator[float] = iter(drawn)

    def begin() -> None:
        for length in left:
            polls[schedule.add(length, now, model="m")] = 0
            return

    for _ in range(slots):
        begin()
    while (due := schedule.next_due) is not None:
        now = max(now, due)
        for poll in schedule.pop_due(now):
            polls[poll] += 1
            late = now - poll.began - poll.subject
            if late < 0:
                schedule.reschedule(poll, now, now)
                continue
            schedule.end(poll, now)
            told.append(Told(poll.subject, late, polls.pop(poll)))
            begin()
    return told, now


def run_batch(drawn: Sequence[float], slots: int) -> tuple[float, float]:
    """Return the ratio of a batch's duration to the ideal, and the polls per prediction. Nothing is known before."""
    told, end = simulate(Schedule(PollPolicy()), drawn, slots)
    return end / ideal(drawn, slots), statistics.mean(each.polls for each in told)


def count_late(slots: int, seed: int) -> int:
    """Return how many predictions are told later than half their usual time after they became three times faster."""
    schedule = Schedule(PollPolicy())
    _, now = simulate(schedule, lengths(6, 0.3, 600, seed), slots)
    told, _ = simulate(schedule, lengths(2, 0.3, 400, seed + SEEDS), slots, now + 1)
    return sum(each.late > 1 for each in told)


def _print_batch(
    title: str, most: float, most_polls: float, draw: Callable[[int], Sequence[float]], slots: int
) -> None:
    ratios, polls = zip(*(run_batch(draw(seed), slots) for seed in range(SEEDS)), strict=True)
    ratio, poll = statistics.median(ratios), statistics.median(polls)
    verdict = "met" if ratio <= most and poll <= most_polls else "missed"
    print(
        f"  {title}: {ratio:.2f} ({max(ratios):.2f}) with {poll:.1f} polls, "
        f"wanted {most} at most with {most_polls:g} at most: {verdict}"
    )


def main() -> None:
    print(
        "Batches in virtual time, compared with a batch in which every end is noticed at once, "
        f"median of {SEEDS} (and the worst): python -m benchmarks.batches"
    )
    for slots, most in LARGE.items():
        title = f"2000 of lognormal(0.4 s, 0.3), {slots} slots"
        _print_batch(title, most, LARGE_POLLS, lambda seed: lengths(0.4, 0.3, 2000, seed), slots)
    for sigma in (0.0, 0.1, 0.2):
        draw = lambda seed, sigma=sigma: lengths(15, sigma, 20, seed)  # noqa: E731 - it belongs to this row
        _print_batch(f"20 of lognormal(15 s, {sigma}), 20 slots", SMALL, SMALL_POLLS, draw, 20)
    print("Predictions told over 1 s late, after 600 of 6 s, when they take 2 s from then on")
    for slots, at_most in FASTER.items():
        counts = [count_late(slots, seed) for seed in range(SEEDS)]
        late = statistics.median(counts)
        verdict = "met" if late <= at_most else "missed"
        print(f"  {slots} slots: {late:g} ({max(counts)}), wanted {at_most} at most: {verdict}")


if __name__ == "__main__":
    main()
