"""Values are written as json writes them, only quicker."""

import hashlib
import json

import hypothesis
import hypothesis.strategies as st
import pytest

from cometflux.journal import codec
from cometflux.models.output_of import map_parts
from cometflux.protocol import encoding

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda parts: st.lists(parts) | st.dictionaries(TEXTS, parts), max_leaves=12)
OBJECTS = st.dictionaries(TEXTS, VALUES)
COMPACT = {"ensure_ascii": False, "separators": (",", ":")}


class Number(int):
    def __str__(self):
        return "a number"


STYLES = ({}, {"separators": (",", ":")}, {"sort_keys": True}, {"indent": 2}, {"default": str})


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("has_encoder_in_c", [True, False])
@hypothesis.given(VALUES)
def test_values_are_written_as_json_writes_them(style, has_encoder_in_c, value):
    with pytest.MonkeyPatch.context() as patch:
        if not has_encoder_in_c:
            patch.setattr(json.encoder, "c_make_encoder", None)
        encode = encoding.make_encoder(**style)
        assert json.dumps(value, ensure_ascii=False, **style) == encode(value)


@pytest.mark.parametrize("has_encoder_in_c", [True, False])
def test_what_json_does_not_have_is_refused_as_json_refuses_it(has_encoder_in_c, monkeypatch):
    if not has_encoder_in_c:
        monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    encode = encoding.make_encoder()
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"a": [float("nan")]})
    with pytest.raises(TypeError, match="bytes is not JSON serializable"):
        encode({"a": b""})


@pytest.mark.slow
@hypothesis.given(TEXTS, OBJECTS)
def test_a_digest_is_that_of_the_canonical_json(model, values):
    values = {name: int(part) if type(part) is float and part.is_integer() else part for name, part in values.items()}
    text = json.dumps({"model": model, "input": map_parts(values, encoding._by_value)}, **COMPACT, sort_keys=True)
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
