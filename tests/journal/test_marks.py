"""Marks stand for texts as the keys of a dict do, and a repeated value is counted once for each repetition."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cometflux.journal.marks import Marks, Repeats, mark_of

few_texts = st.lists(st.sampled_from("abcdefgh"))


@given(few_texts)
def test_a_mark_keeps_the_number_that_it_was_given_first(texts):
    marks, expected = Marks(), {}
    for number, text in enumerate(texts):
        assert expected.setdefault(text, number) == marks.setdefault(mark_of(text), number)
    assert len(expected) == len(marks)


@given(few_texts)
def test_a_mark_is_counted_as_often_as_it_is_seen(texts):
    marks, expected = Marks(), Counter()
    for text in texts:
        expected[text] += 1
        assert expected[text] == marks.count(mark_of(text))


def test_no_mark_is_lost_while_the_table_grows():
    marks = Marks()
    for number in range(20_000):
        assert number == marks.setdefault(mark_of(str(number)), number)
    assert list(range(20_000)) == [marks.setdefault(mark_of(str(number)), 0) for number in range(20_000)]


def test_marks_whose_bits_are_alike_are_told_apart():
    alike = [bytes([0] * place + [number] + [0] * (15 - place)) for place in (0, 8, 15) for number in (1, 2, 3)]
    alike.append(bytes(16))
    marks = Marks()
    assert list(range(len(alike))) == [marks.setdefault(mark, number) for number, mark in enumerate(alike)]
    assert list(range(len(alike))) == [marks.setdefault(mark, 99) for mark in alike]


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5)))
def test_values_that_were_there_before_are_counted(values):
    repeats = Repeats()
    for value in values:
        repeats.add(value)
    assert len(values) - len(set(values)) == repeats.count()
