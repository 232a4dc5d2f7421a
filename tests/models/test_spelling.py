"""What a value means is the same in every spelling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux import Job, flux
from cometflux.errors import InputError
from cometflux.models import spelling
from cometflux.protocol import encoding


@pytest.mark.parametrize(
    "text", ["a fox\r\nin rain", "a fox\rin rain", " a fox\nin rain \n", "\ta fox\nin rain\u3000"], ids=repr
)
def test_line_ends_and_blanks_around_a_prompt_do_not_matter(text):
    assert "a fox\nin rain" == spelling.tidy(text)


def test_a_letter_and_its_accent_are_one_letter():
    assert "caf\u00e9" == spelling.tidy("cafe\u0301")


@given(st.text())
def test_what_is_tidy_stays_as_it_is(text):
    assert spelling.tidy(spelling.tidy(text)) == spelling.tidy(text)


@pytest.mark.parametrize(
    "text", ["", " \t\n", "\u200b", "\u200f\ufeff", "\xad", "\u3164", "\u2800", "\0\x1b", "\ufe0f"], ids=ascii
)
def test_a_text_without_a_visible_character_is_blank(text):
    assert spelling.is_blank(text)
    with pytest.raises(InputError, match="a text that is not blank"):
        flux.Schnell(prompt=text)


@pytest.mark.parametrize(
    "text", ["a\xadb", "\u202e\u062b\u0639\u0644\u0628\u202c", "\U0001f98a", "\u2764\ufe0f", "."], ids=ascii
)
def test_a_text_with_a_visible_character_is_not_blank(text):
    assert not spelling.is_blank(text)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
@given(data=st.data())
def test_a_number_keeps_the_shortest_decimal_of_its_own_type(size, data):
    number = data.draw(st.floats(width=8 * size, allow_nan=False, allow_infinity=False))
    short = spelling.shortest(number, size)
    kind = np.dtype(f"f{size}").type
    assert kind(short) == kind(number)
    assert len(repr(short)) <= len(repr(float(number)))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64], ids=lambda kind: kind.__name__)
def test_numbers_of_numpy_are_numbers(kind):
    made = flux.Dev(prompt="a fox", guidance=kind(3.1), seed=np.int32(7), go_fast=np.bool_(1))
    job = Job(
        model=flux.Dev.model, input={"prompt": "a fox", "guidance": kind(3.1), "seed": np.uint64(7), "go_fast": True}
    )
    for values in (made.to_input(), job.input):
        assert {"prompt": "a fox", "guidance": 3.1, "seed": 7, "go_fast": True} == values
        assert [float, int, bool] == [type(values[name]) for name in ("guidance", "seed", "go_fast")]


def test_an_array_of_numpy_is_not_a_number():
    with pytest.raises(InputError, match="a number from 0 to 10"):
        flux.Dev(prompt="a fox", guidance=np.array([3.1, 3.2]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prompt": "a fox\r\nin rain "}, {"prompt": "a fox\nin rain"}),
        ({"prompt": "cafe\u0301"}, {"prompt": "caf\u00e9"}),
        ({"guidance": 3.0999999046325684}, {"guidance": 3.1}),
        ({"guidance": 3.0}, {"guidance": 3}),
    ],
    ids=["line ends", "Unicode forms", "four bytes", "a whole number"],
)
def test_spellings_of_one_input_have_one_fingerprint(one, other):
    assert encoding.fingerprint("m", one) == encoding.fingerprint("m", other)


def test_what_differs_in_more_than_the_spelling_has_its_own_fingerprint():
    inputs = [{"prompt": "a fox"}, {"prompt": "a  fox"}, {"prompt": "A fox"}, {"prompt": "a fox", "guidance": 3.1}]
    inputs += [
        {"prompt": "a fox", "guidance": 3.1000001},
        {"prompt": "a fox", "note": "b "},
        {"prompt": "a fox", "note": "b"},
    ]
    assert len(inputs) == len({encoding.fingerprint("m", each) for each in inputs})
