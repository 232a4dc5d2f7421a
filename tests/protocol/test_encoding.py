"""Objects are written as json writes them, only quicker."""

import hashlib
import json

import hypothesis
import hypothesis.strategies as st
import pytest

from cometflux.journal import codec
from cometflux.protocol import encoding

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda parts: st.lists(parts) | st.dictionaries(TEXTS, parts), max_leaves=12)
OBJECTS = st.dictionaries(TEXTS, VALUES)
COMPACT = {"ensure_ascii": False, "separators": (",", ":")}


class Number(int):
    def __str__(self):
        return "a number"


@pytest.mark.slow
@hypothesis.given(OBJECTS)
def test_an_object_is_written_as_json_writes_it(values):
    assert json.dumps(values, **COMPACT) == encoding.write_object(values, json.JSONEncoder(**COMPACT).encode)


@pytest.mark.slow
@hypothesis.given(TEXTS, OBJECTS)
def test_a_digest_is_that_of_the_canonical_json(model, values):
    values = {name: int(part) if type(part) is float and part.is_integer() else part for name, part in values.items()}
    text = json.dumps({"model": model, "input": encoding._by_value(values)}, **COMPACT, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == encoding.digest(model, values)


@pytest.mark.parametrize("value", [{"a": Number(3)}, {"a": True}, {"a": {"b": [1, {"c": "é\u2028"}]}}, {"a": 1.5e300}])
def test_what_is_no_plain_number_or_text_is_written_by_json(value):
    assert json.dumps(value, **COMPACT) == codec._dump_compact(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1: 2}, '{"1":2}'),
        ({"a": {1: {None: "b"}}}, '{"a":{"1":{"null":"b"}}}'),
        ({"a": float("inf")}, '{"a":"Infinity"}'),
        ({"a": "\udcff"}, '{"a":"\\udcff"}'),
    ],
    ids=["a number as a name", "such a name further inside", "no number of JSON", "half of a pair of surrogates"],
)
def test_the_journal_takes_what_json_takes_in_its_own_way(value, text):
    assert text == codec._dump_compact(value)
