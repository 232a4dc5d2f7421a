"""The public catalogue: any bytes become prices and doubts, or one fault."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.account.catalogue_reader import read_page, read_rows
from cometflux.account.prices import Basis, Catalogue, Price

FLEX = "black-forest-labs/flux-2-flex"


def row(model=FLEX, **pricing):
    return {"id": model, "code": model.replace(".", "-"), "model_type": "image", "pricing": pricing}


def body(*rows):
    return json.dumps({"success": True, "page": 1, "page_size": 20, "total": len(rows), "data": list(rows)}).encode()


def test_a_price_is_read_with_its_basis_and_models_without_an_owner_are_left_out():
    page = read_page(body(row(currency="USD", per_request=0.24, ratio=0.8), row("gpt-5", input=1), row("a/b", input=2)))
    assert (3, None) == (page.total, page.fault)
    assert Catalogue(prices={FLEX: Price(micros=240_000, basis=Basis.CATALOGUE)}) == read_rows(page.rows)


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
    assert Catalogue(prices={FLEX: Price(micros=micros, basis=basis)}) == read_rows([row(**pricing)])


@pytest.mark.parametrize("list_of", [lambda r: r, lambda r: {"data": {"items": r}}, lambda r: {"models": r}])
def test_the_list_of_models_is_found_in_other_shapes(list_of):
    assert {FLEX} == {*read_rows(read_page(json.dumps(list_of([row(per_request=1)])).encode()).rows).prices}


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
        ({"per_request": 1e-12}, "it is not a likely number of dollars"),
    ],
)
def test_a_doubtful_price_is_left_out_with_its_reason(pricing, why):
    found = read_rows([row("a/b", per_request=1), row(**pricing)])
    assert {"a/b"} == {*found.prices}
    assert why in found.doubts[FLEX]


@pytest.mark.parametrize("pricing", [{}, {"per_request": None}, {"per_request": 0}, {"input": 2, "per_second": 1}])
def test_a_model_that_is_not_priced_by_request_has_no_price_and_no_doubt(pricing):
    assert Catalogue() == read_rows([row(**pricing)])


def test_of_a_model_that_is_there_twice_the_higher_price_counts():
    found = read_rows([row(per_request=1), row(per_request=3), row(per_request=2)])
    assert 3_000_000 == found.prices[FLEX].micros
    assert "twice" in found.doubts[FLEX]
    assert {} == read_rows([row(per_request=1), row(per_request=1)]).doubts


@pytest.mark.parametrize("beside", [{"items": 3}, {"items": None}, {"data": ""}, {"list": "x"}], ids=repr)
def test_a_catalogue_is_found_beside_a_field_that_is_no_list(beside):
    page = read_page(json.dumps({**beside, "models": [row(per_request=1)]}).encode())
    assert (1, None) == (len(page.rows), page.fault)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"<html>busy</html>", "not JSON", id="a page"),
        pytest.param(body(row(per_request=1))[:-9], "not JSON", id="cut"),
        pytest.param(b"[" * 100_000, "not JSON", id="nested"),
        pytest.param(b'{"data": 3}', "no list", id="another shape"),
        pytest.param(b'{"success": false, "message": "no"}', "no list", id="a refusal"),
        pytest.param(b"null", "no list", id="null"),
    ],
)
def test_a_body_that_is_not_a_catalogue_is_one_fault(raw, fault):
    page = read_page(raw)
    assert () == page.rows
    assert fault in page.fault
    assert page.fault.isprintable()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"data": []}',
        b'[1, null, {"id": "a/b"}, {"id": 3, "pricing": {}}]',
        b'[{"id":"a/b","pricing":{"per_request":NaN}}]',
    ],
)
def test_rows_of_other_shapes_have_no_prices(raw):
    assert Catalogue() == read_rows(read_page(raw).rows)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["data", "id", "pricing", "per_request", "ratio", "currency"]), inner)
    ),
)


@pytest.mark.slow
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_reading_is_total(raw):
    page = read_page(raw)
    found = read_rows(page.rows)
    assert all(price.micros > 0 for price in found.prices.values())
    assert page.fault is None or not page.rows
