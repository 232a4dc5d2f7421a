"""The public catalogue: any bytes become prices, or one note."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.account.catalogue import Catalogue, read_catalogue
from cometflux.account.prices import Basis, Price

FLEX = "black-forest-labs/flux-2-flex"


def row(model=FLEX, **pricing):
    return {"id": model, "code": model.replace(".", "-"), "model_type": "image", "pricing": pricing}


def catalogue(*rows):
    return json.dumps({"success": True, "page": 1, "page_size": 20, "total": len(rows), "data": list(rows)}).encode()


def test_a_price_is_read_with_its_basis():
    body = catalogue(row(currency="USD", per_request=0.24, ratio=0.8), row("gpt-5", input=1), row("a/b", input=2))
    assert Catalogue(prices={FLEX: Price(micros=240_000, basis=Basis.CATALOGUE)}) == read_catalogue(body)


@pytest.mark.parametrize(
    ("pricing", "micros", "basis"),
    [
        pytest.param({"per_request": 0.24}, 240_000, Basis.CATALOGUE, id="without a ratio"),
        pytest.param({"per_request": 0.24, "ratio": 0.8}, 240_000, Basis.CATALOGUE, id="a discount may be in it"),
        pytest.param({"per_request": 0.24, "ratio": 1.5}, 360_000, Basis.CATALOGUE_RATIO, id="dearer by its ratio"),
        pytest.param({"per_request": 0.24, "ratio": "x"}, 240_000, Basis.CATALOGUE, id="a ratio that is none"),
        pytest.param({"per_request": 0.1 + 0.2}, 300_000, Basis.CATALOGUE, id="a sum of floats"),
        pytest.param({"per_request": 0.0000012}, 2, Basis.CATALOGUE, id="rounded up"),
        pytest.param({"per_request": 1, "currency": None}, 1_000_000, Basis.CATALOGUE, id="a whole dollar"),
    ],
)
def test_the_higher_reading_of_price_and_ratio_counts(pricing, micros, basis):
    assert Catalogue(prices={FLEX: Price(micros=micros, basis=basis)}) == read_catalogue(catalogue(row(**pricing)))


@pytest.mark.parametrize("list_of", [lambda r: r, lambda r: {"data": {"items": r}}, lambda r: {"models": r}])
def test_the_list_of_models_is_found_in_other_shapes(list_of):
    assert {FLEX} == {*read_catalogue(json.dumps(list_of([row(per_request=1)])).encode()).prices}


@pytest.mark.parametrize(
    ("pricing", "why"),
    [
        ({"per_request": -1}, "likely"),
        ({"per_request": "0.24"}, "number"),
        ({"per_request": [1]}, "number"),
        ({"per_request": True}, "number"),
        ({"per_request": 1e9}, "likely"),
        ({"per_request": 10**600}, "likely"),
        ({"per_request": 1, "currency": "CNY"}, "not in dollars"),
        ({"per_request": 1, "currency": {}}, "not in dollars"),
    ],
)
def test_a_doubtful_price_is_left_out_with_one_note(pricing, why):
    found = read_catalogue(catalogue(row("a/b", per_request=1), row(**pricing), row("a/c", **pricing)))
    assert {"a/b"} == {*found.prices}
    assert why in found.note
    assert FLEX in found.note
    assert "and 1 more" in found.note


def test_of_a_model_that_is_there_twice_the_higher_price_counts():
    found = read_catalogue(catalogue(row(per_request=1), row(per_request=3), row(per_request=2)))
    assert 3_000_000 == found.prices[FLEX].micros
    assert "twice" in found.note


@pytest.mark.parametrize(
    ("body", "note"),
    [
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b"<html>busy</html>", "cannot be read", id="a page"),
        pytest.param(catalogue(row(per_request=1))[:-9], "cannot be read", id="cut"),
        pytest.param(b"[" * 100_000, "cannot be read", id="nested"),
        pytest.param(b'{"data": 3}', "no list", id="another shape"),
        pytest.param(b'{"success": false, "message": "no"}', "no list", id="a refusal"),
        pytest.param(b"null", "no list", id="null"),
        pytest.param(b'{"data": []}', "no prices", id="no models"),
        pytest.param(b'[1, null, {"id": "a/b"}, {"id": 3, "pricing": {}}]', "no prices", id="rows of other shapes"),
        pytest.param(b'{"data": [{"id":"a/b","pricing":{"per_request":NaN}}]}', "no prices", id="not a number"),
        pytest.param(b'{"data": [{"id":"a/b","pricing":{"per_request":0}}]}', "no prices", id="not priced by request"),
        pytest.param(b" " * 50_000_000, "larger than 8 MiB", id="50 MB"),
    ],
)
def test_what_is_no_catalogue_is_one_note(body, note):
    found = read_catalogue(body)
    assert {} == found.prices
    assert note in found.note
    assert found.note.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["data", "id", "pricing", "per_request", "ratio", "currency"]), inner)
    ),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_reading_is_total(body):
    found = read_catalogue(body)
    assert all(price.micros > 0 for price in found.prices.values())
    assert found.prices or found.note
