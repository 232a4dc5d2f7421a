"""Prices: exact sums, a basis for each, and one error for whatever is no price."""

import math
from decimal import Decimal

import pytest

from cometflux.account.prices import (
    Basis,
    Price,
    Prices,
    check_budget,
    images_of,
    read_dollars,
    read_prices,
    show_dollars,
)
from cometflux.errors import ConfigError

DEV = "black-forest-labs/flux-dev"
PRO = "black-forest-labs/flux-1.1-pro"


@pytest.mark.parametrize(
    ("dollars", "micros"),
    [(0.04, 40_000), (0.1, 100_000), (3, 3_000_000), (Decimal("0.000001"), 1), (0, 0), (1e-6, 1), (0.192, 192_000)],
)
def test_dollars_are_taken_as_they_are_written(dollars, micros):
    assert micros == read_dollars(dollars)


@pytest.mark.parametrize(
    "value",
    [-0.01, math.nan, math.inf, Decimal("NaN"), "0.04", "$0.04", "4 EUR", "€4", True, None, [], 1e-7, 10**400, 1e300],
)
def test_a_price_that_is_none_is_one_error_that_names_its_place(value):
    with pytest.raises(ConfigError, match="prices"):
        read_prices("prices", {"flux-dev": value})


@pytest.mark.parametrize("value", [0, 0.0, -1, math.nan, "5", True, None])
def test_a_budget_is_above_nothing(value):
    with pytest.raises(ConfigError, match="max_cost"):
        check_budget("max_cost", value)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param([("flux-dev", 1)], id="a list"),
        pytest.param({"flux-dev": 1, DEV: 2}, id="a model by two names"),
        pytest.param({"flux-deev": 1}, id="a name that no model has"),
        pytest.param({1: 1}, id="a number as name"),
        pytest.param({"flux-dev": {}}, id="no unit"),
        pytest.param({"flux-dev": {"per_second": 1}}, id="another unit"),
        pytest.param({"flux-dev": {"per_image": 1, "per_request": 1}}, id="two units"),
        pytest.param({"flux-dev": {"per_image": -1}}, id="a negative price an image"),
    ],
)
def test_a_table_that_is_none_is_one_error(table):
    with pytest.raises(ConfigError, match="prices"):
        read_prices("prices", table)


def test_a_table_names_models_as_the_command_does_and_others_by_owner_and_name():
    table = read_prices("prices", {"dev": 0.025, "someone/else": {"per_image": 0.01}})
    assert {DEV: Price(micros=25_000, basis=Basis.GIVEN)} == {DEV: table[DEV]}
    assert "$0.01 an image (given)" == str(table["someone/else"])


def test_an_earlier_table_wins():
    prices = Prices({DEV: Price(micros=1)}, {DEV: Price(micros=2), PRO: Price(micros=3)})
    assert {DEV: 1, PRO: 3} == {model: prices[model].micros for model in prices}


@pytest.mark.parametrize(
    ("given", "micros"), [({}, 5), ({"num_outputs": 4}, 20), ({"num_outputs": "x"}, 5), ({"num_outputs": 0}, 5)]
)
def test_a_price_an_image_counts_the_images_of_the_input(given, micros):
    prices = Prices({DEV: Price(micros=5, is_per_image=True)})
    assert (micros, None) == (prices.cost(DEV, given), prices.cost(PRO, given))


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.00"),
        (40_000, "$0.04"),
        (3_500, "$0.0035"),
        (192_000, "$0.192"),
        (12_000_000, "$12.00"),
        (-5, "-$0.000005"),
    ],
)
def test_dollars_are_shown_exactly(micros, text):
    assert text == show_dollars(micros)


@pytest.mark.parametrize(
    ("given", "count"), [(4, 4), ("4", 4), (" 2 ", 2), (5000, 5000), (True, 1), ("many", 1), (0, 1)]
)
def test_a_price_per_image_counts_the_images_that_are_requested_however_they_are_written(given, count):
    assert count == images_of({"prompt": "a boat", "num_outputs": given})
