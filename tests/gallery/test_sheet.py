"""The layout of a contact sheet, without drawing: pages, places and captions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.gallery.cards import Card, Picture
from cometflux.gallery.sheet import ELSEWHERE, MOST_PICTURES, Cell, Layout, cells_of, wrap

SHAPES = {"square": (1024, 1024), "wide": (1344, 768), "tall": (768, 1344), "a line": (4000, 10), "unknown": None}


def boxes_of(layout, count):
    width, height = layout.box
    return [(x, y, x + width, y + height) for x, y in map(layout.place, range(count))]


@pytest.mark.parametrize("size", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 10, 30, 42, 43, MOST_PICTURES])
def test_pictures_stand_apart_and_within_a_page_that_can_be_printed(count, size):
    layout = Layout.of([size] * count)
    on_page = min(count, layout.most)
    width, height = layout.page_size(on_page)
    assert (True, True) == (width <= 2400, height <= 3400)
    boxes = boxes_of(layout, on_page)
    assert all(0 < left < right < width and 0 < top < bottom < height for left, top, right, bottom in boxes)
    for one, other in pairwise(boxes):
        # To the right, or in the next row with room for the caption.
        assert one[2] < other[0] or one[3] + 34 * layout.lines < other[1]
    assert layout.box[0] >= 330


def test_few_pictures_are_large_and_many_need_few_pages():
    squares = {count: Layout.of([(1024, 1024)] * count) for count in (1, 2, 4, 9, 10, 1000)}
    assert {1: 1, 2: 2, 4: 2, 9: 3, 10: 4, 1000: 6} == {count: each.columns for count, each in squares.items()}
    assert -(-1000 // squares[1000].most) <= 34


def test_the_boxes_have_the_shape_of_most_pictures():
    assert (1.5, 1024) == (Layout.of([(1200, 800)]).ratio, Layout.of([(1200, 800)]).box[0])
    assert 1.0 == Layout.of([(1, 1), (1, 1), (9, 1), None]).ratio


# ── the captions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def card(*pictures, prompt="a fox", **given):
    parameters = (("prompt", '"a fox"'), ("guidance", "3.5"), ("raw", "true"), ("aspect_ratio", '"3:2"'))
    return Card(
        identity="key:fox",
        key="fox",
        model="owner/flux-dev",
        prompt=prompt,
        parameters=parameters,
        pictures=pictures,
        **given,
    )


def here(file_name="a.png", **changes):
    return Picture(**{"name": file_name, "address": "./a.png", "size": (48, 32), "is_here": True, **changes})


def test_a_caption_has_the_key_the_prompt_and_the_parameters_that_differ():
    (cell,) = cells_of(card(here()), ("prompt", "guidance", "aspect_ratio", "steps"))
    expected = Cell(
        name="a.png",
        title="fox",
        prompt="a fox",
        model="flux-dev",
        values=("guidance 3.5", "aspect_ratio 3:2"),
        size=(48, 32),
    )
    assert expected == cell


def test_the_pictures_of_one_job_are_numbered():
    cells = cells_of(card(here("a"), here("b")), ("guidance",))
    assert [("1 of 2", "guidance 3.5"), ("2 of 2", "guidance 3.5")] == [cell.values for cell in cells]
    assert [] == list(cells_of(card(), ()))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"is_here": False, "fault": "its file is missing"}, "its file is missing"),
        ({"is_here": False, "name": "s3://b/a.png", "file": "a.png"}, ELSEWHERE),
    ],
    ids=["here", "missing", "in a bucket"],
)
def test_a_picture_that_is_not_here_says_why(changes, fault):
    (cell,) = cells_of(card(here(**changes)), ())
    assert ("a.png", fault) == (cell.name, cell.fault)


def fits(text):
    return len(text) <= 10


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a fox", ["a fox"]),
        ("a fox in the rain", ["a fox in", "the rain"]),
        ("a fox\n\tin   rain", ["a fox in", "rain"]),
        ("abcdefghijklmnop", ["abcdefghij", "klmnop"]),
        ("a fox in the rain at night", ["a fox in", "the rain…"]),
        ("abcdefghij klmnopqrstuvwxyz", ["abcdefghij", "klmnopqrs…"]),
        ("a\u202eb\x00", ["a\\u202eb\\x", "00"]),
    ],
)
def test_a_text_is_broken_into_lines_and_cut(text, lines):
    assert lines == wrap(text, 2, fits)


@given(st.text(max_size=900), st.integers(1, 4), st.integers(0, 30))
def test_lines_are_never_too_many_or_too_long(text, most, width):
    lines = wrap(text, most, lambda part: len(part) <= width)
    assert len(lines) <= most
    # One letter stands in a line even if it does not fit.
    assert all(0 < len(line) <= max(width, 2) for line in lines)
