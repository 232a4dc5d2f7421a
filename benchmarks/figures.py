"""Draw docs/polling.svg and docs/performance.svg: ``python -m benchmarks.figures``.

The figure of polling shows a schedule that the library learns in virtual time. The delay of each schedule is computed
from the true distribution. The figure of performance is drawn from the table in docs/performance.md. So the figures
are the same on each run.
"""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import attrs

from benchmarks.optimum import Optimum, lognormal, mixture
from benchmarks.schedules import learn
from cometflux.polling.hazard import Hazard
from cometflux.polling.policy import PollPolicy
from cometflux.polling.timetable import Timetable

FIGURE = Path(__file__).parents[1] / "docs" / "polling.svg"
COSTS = FIGURE.with_name("performance.svg")
ENDS = 200
LONGEST = 16
"""The end of the axis, in seconds."""
Next = Callable[[float], float]
"""A function from the age at one poll to the age at the next."""

_OVER = mixture(0.1, lognormal(2, 0.3), lognormal(10, 0.3))
_MEAN = (0.9 * 2 + 0.1 * 10) * math.exp(0.3**2 / 2)

# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# The figure has its own background, so it is legible on a page of any colour.
_STYLE = """
svg { --ground: #ffffff; --ink: #1f2328; --dim: #59636e; --faint: #d1d9e0; --ours: #0969da; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #0d1117; --ink: #f0f6fc; --dim: #9198a1; --faint: #3d444d; --ours: #4493f8; }
}
text { font: 14px system-ui, sans-serif; fill: var(--ink); }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.dim { fill: var(--dim); }
.bold { font-weight: 600; }
.ours { fill: var(--ours); }
.ground { fill: var(--ground); }
.area { fill: var(--faint); }
.bar { fill: var(--dim); }
.axis { stroke: var(--dim); }
.grid { stroke: var(--faint); }
.tick { stroke: var(--dim); stroke-width: 2; }
.tick.ours { stroke: var(--ours); stroke-width: 2.5; }
.drop { stroke: var(--ours); stroke-opacity: 0.25; }
.curve { fill: none; stroke: var(--ours); stroke-width: 2.5; }
.true { fill: none; stroke: var(--dim); stroke-width: 1.5; stroke-dasharray: 5 4; }
"""


def svg(width: float, height: float, title: str, shapes: Sequence[str]) -> str:
    """Join shapes into a drawing that is legible on light and on dark pages."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" width="{width:g}" height="{height:g}" rx="8"/>',
            *shapes,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def path(points: Sequence[tuple[float, float]], style: str) -> str:
    return f'<path d="M{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{style}"/>'


def bars(title: str, rows: Sequence[tuple[str, float]], unit: str, *, ours: str = "") -> str:
    """Draw a bar for each label and value, and highlight the label *ours*."""
    if not rows or any(not 0 <= value < math.inf for _, value in rows):
        raise ValueError("bars need finite values from 0")
    # A letter of 14 px is about 7.5 px wide.
    left = 7.5 * max(len(label) for label, _ in rows) + 24
    room = 860 - left - 110
    scale = room / (max(value for _, value in rows) or 1.0)
    shapes = [text(16, 32, title, "bold")]
    for number, (label, value) in enumerate(rows):
        y = 52 + 30 * number
        style = "ours" if label == ours else "bar"
        figure = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        shapes += [
            text(left - 8, y + 15, label, "end bold" if label == ours else "end"),
            f'<rect x="{left:g}" y="{y}" width="{max(value * scale, 1):.1f}" height="20" class="{style}"/>',
            text(round(left + value * scale + 8, 1), y + 15, f"{figure} {unit}"),
        ]
    return svg(860, 52 + 30 * len(rows) + 8, title, shapes)


# ── the delay of schedules ───────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Way:
    """A schedule of polls, with its mean polls per prediction and its mean delay in seconds."""

    title: str
    ages: Sequence[float]
    polls: float
    delay: float

    @classmethod
    def of(cls, title: str, following: Next) -> "Way":
        """Follow the schedule to the end of the axis."""
        ages, age = [], following(0.0)
        while age < LONGEST:
            ages.append(age)
            age = following(age)
        return cls(title, ages, *judge(following))


def judge(following: Next) -> tuple[float, float]:
    """Return the mean number of polls and the mean delay, in seconds, under the true distribution."""
    age = polls = noticed = 0.0
    while (running := 1 - _OVER(age)) > 1e-9:
        later = following(age)
        polls += running
        noticed += later * (_OVER(later) - _OVER(age))
        age = later
    return polls, noticed - _MEAN


def fit(make: Callable[[float], Next], polls: float) -> float:
    """Find the length of the first interval, in seconds, at which a prediction takes *polls* polls on average."""
    low, high = 1e-3, 100.0
    while high > low * 1.000_001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if judge(make(middle))[0] > polls else (low, middle)
    return high


def draw_length(chance: random.Random) -> float:
    return (10 if chance.random() < 0.1 else 2) * math.exp(0.3 * chance.gauss(0, 1))


def fixed(seconds: float) -> Next:
    return lambda age: age + seconds


def doubling(seconds: float) -> Next:
    return lambda age: 2 * age + seconds


def compare(learned: Timetable) -> list[Way]:
    """Compare the learned schedule with the usual ones, two of them with as many polls, and with the optimum."""
    ours = Way.of("learned", learned.next)
    interval, first = fit(fixed, ours.polls), fit(doubling, ours.polls)
    return [
        ours,
        Way.of("every 0.5 s", fixed(0.5)),
        Way.of(f"every {interval:.2f} s", fixed(interval)),
        Way.of(f"doubling from {first:.2f} s", doubling(first)),
        Way("the best possible", (), ours.polls, Optimum(_OVER, 40).delay(ours.polls)),
    ]


# ── the figure ───────────────────────────────────────────────────────────────────────────────────────────────────────

LEFT, RIGHT, WIDTH = 180, 680, 860


def _x(age: float) -> float:
    return LEFT + age / LONGEST * (RIGHT - LEFT)


def _ages() -> list[float]:
    return [0.05 * step for step in range(1, 20 * LONGEST + 1)]


def _hazard(surviving: Next, age: float) -> float:
    """Return the hazard over a tenth of the age, the resolution at which it is learned."""
    early, late = surviving(age / 1.05), surviving(age * 1.05)
    return math.log(early / late) / (age * 1.05 - age / 1.05)


def _density(top: float, bottom: float) -> list[str]:
    half = bottom - (bottom - top) * 0.5 / 0.65
    points = [
        (_x(age), bottom - (bottom - top) / 0.65 * (_OVER(age + 0.025) - _OVER(age - 0.025)) / 0.05) for age in _ages()
    ]
    return [
        line(LEFT, half, RIGHT, half, "grid"),
        text(LEFT - 8, half + 5, "0.5", "end dim"),
        path([(LEFT, bottom), *points, (RIGHT, bottom)], "area"),
        line(LEFT, bottom, RIGHT, bottom, "axis"),
        text(16, top + 22, "density of ends", "bold"),
        text(16, top + 42, "per second", "dim"),
        text(_x(3.4), half + 26, "nine in ten take about 2 s", "dim"),
        text(_x(10), bottom - 12, "one in ten is a cold start, about 10 s", "dim middle"),
    ]


def _risk(hazard: Hazard, top: float, bottom: float) -> list[str]:
    scale = (bottom - top) / 1.6

    def curve(surviving: Next) -> list[tuple[float, float]]:
        return [(_x(age), bottom - scale * _hazard(surviving, age)) for age in _ages()]

    return [
        line(LEFT, bottom - scale, RIGHT, bottom - scale, "grid"),
        text(LEFT - 8, bottom - scale + 5, "1", "end dim"),
        path(curve(lambda age: 1 - _OVER(age)), "true"),
        path(curve(hazard.surviving), "curve"),
        line(LEFT, bottom, RIGHT, bottom, "axis"),
        text(16, top + 22, "hazard", "bold"),
        text(16, top + 42, "per second, of those", "dim"),
        text(16, top + 60, "that still run", "dim"),
        text(_x(4.6), top + 16, f"learned from {ENDS} ends", "ours"),
        text(_x(10.2), top + 16, "true (dashed)", "dim"),
    ]


def _row(way: Way, y: float, style: str = "") -> list[str]:
    tick = "tick ours" if style == "bold" else "tick"
    return [
        text(16, y + 5, way.title, style),
        *(line(_x(age), y - 9, _x(age), y + 9, tick) for age in way.ages),
        text(760, y + 5, f"{way.polls:.1f}", f"end {style}"),
        text(844, y + 5, f"{way.delay:.2f} s", f"end {style}"),
    ]


def draw(hazard: Hazard, ways: Sequence[Way]) -> str:
    """Draw the density of ends, the learned hazard, and the polls of each schedule, the learned one first."""
    rows, shapes = 300, [*_density(16, 116), *_risk(hazard, 132, 252)]
    shapes += [line(_x(age), 252, _x(age), rows - 9, "drop") for age in ways[0].ages]
    shapes += [text(760, rows - 24, "polls", "end dim"), text(844, rows - 24, "late by", "end dim")]
    for number, way in enumerate(ways):
        shapes += _row(way, rows + 34 * number, "" if number else "bold")
        if not way.ages:
            shapes.append(text(LEFT, rows + 34 * number + 5, "if the true hazard is known", "dim"))
    axis = rows + 34 * len(ways)
    shapes.append(line(LEFT, axis - 10, RIGHT, axis - 10, "axis"))
    for age in range(0, LONGEST + 1, 2):
        shapes += [
            line(_x(age), axis - 10, _x(age), axis - 5, "axis"),
            text(_x(age), axis + 11, f"{age}", "middle dim"),
        ]
    shapes.append(text((LEFT + RIGHT) / 2, axis + 32, "seconds since acceptance", "middle dim"))
    return svg(WIDTH, axis + 46, "When predictions end, the hazard learned from that, and when they are polled", shapes)


def polling() -> tuple[str, list[Way]]:
    """Return the figure of polling, and its schedules."""
    hazard = learn(draw_length, random.Random(1), ENDS).estimate()
    policy = PollPolicy()
    ways = compare(Timetable.of(hazard, policy, policy.polls))
    return draw(hazard, ways), ways


def costs() -> str:
    """Return the figure of the CPU that a prediction costs each client with 100 pending."""
    page = COSTS.with_suffix(".md").read_text(encoding="utf-8")
    table = page.partition("| CPU for each prediction |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    rows = [(title, float(cost.removesuffix(" ms"))) for title, cost, _ in cells]
    return bars("CPU for each prediction, 100 pending", rows, "ms", ours=rows[0][0])


def main() -> None:
    COSTS.write_text(costs(), encoding="utf-8")
    figure, ways = polling()
    FIGURE.write_text(figure, encoding="utf-8")
    print("Lognormal(2 s, 0.3) with 10 % cold starts of about 10 s: python -m benchmarks.figures")
    for way in ways:
        print(f"  {way.title}: {way.polls:.1f} polls, {way.delay:.2f} s late")


if __name__ == "__main__":
    main()
