"""The figures of the docs are the ones that the benchmarks draw."""

import math
import random
import re
import statistics
from xml.etree import ElementTree

import pytest

from benchmarks import figures, schedules

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing):
    return [each.text for each in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def widths(drawing):
    return [float(each.get("width")) for each in ElementTree.fromstring(drawing).iter(f"{SVG}rect")][1:]


@pytest.mark.slow
def test_the_figure_of_polling_is_up_to_date():
    drawn, _ = figures.polling()
    assert figures.FIGURE.read_text(encoding="utf-8") == drawn, "draw it anew: python -m benchmarks.figures"


def test_the_figure_of_costs_is_up_to_date():
    assert figures.COSTS.read_text(encoding="utf-8") == figures.costs(), "draw it anew: python -m benchmarks.figures"


@pytest.mark.hard
def test_the_table_of_polling_is_the_output_of_the_benchmark(capsys):
    schedules.main()
    rows = []
    for row in re.split(r"\n  (?=\S)", capsys.readouterr().out)[1:]:
        title, *cells = [row.partition(":")[0], *re.findall(r"(?:0\.5 s|ends) (.*?) with (.*? polls)", row)]
        rows.append(" | ".join(["| " + title, *(", ".join(cell) for cell in cells)]) + " |")
    page = figures.FIGURE.with_suffix(".md").read_text(encoding="utf-8")
    titles = tuple(f"| {shape.title} " for shape in schedules.shapes())
    assert rows == [line for line in page.splitlines() if line.startswith(titles)]


@pytest.mark.slow
def test_the_learned_schedule_is_between_the_usual_ones_and_the_optimum():
    _, (learned, _, fixed, doubling, best) = figures.polling()
    for way in (fixed, doubling, best):
        assert learned.polls == pytest.approx(way.polls, rel=1e-4)
    assert best.delay < learned.delay < fixed.delay < doubling.delay


@pytest.mark.parametrize("following", [figures.fixed(0.5), figures.doubling(0.3)], ids=["fixed", "doubling"])
def test_the_computed_delay_of_a_schedule_is_the_simulated_one(following):
    chance, counts, delays = random.Random(7), [], []
    for _ in range(20_000):
        length, age, count = figures.draw_length(chance), following(0.0), 1
        while age < length:
            age, count = following(age), count + 1
        counts.append(count)
        delays.append(age - length)
    assert (statistics.mean(counts), statistics.mean(delays)) == pytest.approx(figures.judge(following), rel=0.03)


def test_bars_are_as_long_as_their_figures():
    drawing = figures.bars("CPU", [("<ours> & co", 0.2), ("theirs", 0.8), ("nothing", 0.0)], "ms", ours="<ours> & co")
    ours, theirs, nothing = widths(drawing)
    assert 4 == pytest.approx(theirs / ours, rel=0.01)
    assert 1 == nothing
    assert ["CPU", "<ours> & co", "0.2 ms", "theirs", "0.8 ms", "nothing", "0 ms"] == texts(drawing)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0451, "0.0451 s"), (4.3049, "4.3 s"), (64, "64 s"), (999.6, "1,000 s"), (1.2e6, "1,200,000 s")],
)
def test_a_figure_is_rounded_for_readers(value, words):
    assert words == texts(figures.bars("CPU", [("a", value)], "s"))[-1]


def test_bars_of_zero_are_drawn():
    assert [1, 1] == widths(figures.bars("CPU", [("a", 0), ("b", 0)], "ms"))


@pytest.mark.parametrize("value", [-1, math.nan, math.inf], ids=repr)
def test_a_value_that_is_not_a_figure_is_refused(value):
    with pytest.raises(ValueError, match="finite values from 0"):
        figures.bars("CPU", [("a", 1.0), ("b", value)], "ms")


@pytest.mark.slow
def test_a_drawing_stays_within_its_frame():
    """No coordinate is outside the view box."""
    for drawing in (figures.polling()[0], figures.bars("CPU", [("a rather long name of a client", 1234.5)], "µs")):
        root = ElementTree.fromstring(drawing)
        _, _, width, height = map(float, root.get("viewBox").split())
        for each in root.iter():
            for name, most in {"x": width, "x1": width, "x2": width, "y": height, "y1": height, "y2": height}.items():
                assert 0 <= float(each.get(name, 0)) <= most, ElementTree.tostring(each)
