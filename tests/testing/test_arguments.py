"""The local service's arguments: a wrong one is a ValueError that names it, and changes nothing."""

import pytest

from cometflux import flux
from cometflux.testing import LocalService


@pytest.mark.parametrize(
    "wrong",
    [
        *({"latency": -1}, {"latency": float("nan")}, {"pixels": 1}, {"key": ""}, {"key": 5}),
        *({"lifetime": -1}, {"lifetime": "1 h"}, {"lifetime": None}, {"pixels": "1"}, {"key": None}),
        *({"host": ""}, {"host": None}, {"host": b"::1"}),
        *({"port": "80"}, {"port": 65536}, {"port": -1}, {"port": None}),
        *({"seed": "1"}, {"seed": None}, {"seed": [1]}, {"ssl": True}, {"ssl": "cert.pem"}, {"latency": "1"}),
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError):
        LocalService(**wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("latency", None), ("latency", -1), ("credit", "1"), ("credit", None), ("access_token", None)),
        *(("access_token", ""), ("wrapped", "no"), ("refunds", None)),
    ],
    ids=str,
)
def test_a_setting_of_the_wrong_type_is_refused_and_changes_nothing(name, value):
    service = LocalService()
    before = getattr(service, name)
    with pytest.raises(ValueError, match=name):
        setattr(service, name, value)
    assert before == getattr(service, name)


@pytest.mark.parametrize("value", [None, "sdxl.json", {"model": "a/b"}, flux.Schnell], ids=str)
def test_only_a_schema_is_offered(value):
    with pytest.raises(ValueError, match="must be a ModelSchema"):
        LocalService().offer(value)


@pytest.mark.parametrize("value", [None, "1", -1, True, float("nan"), float("inf"), [1]], ids=str)
def test_the_clock_is_advanced_by_seconds_only(value):
    with pytest.raises(ValueError, match="must be a number of seconds"):
        LocalService().advance(value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"fault": None}, "no fault 'None'"),
        ({"fault": ["drop"]}, "there is no fault"),
        ({"times": "2"}, "times='2': must be a whole number"),
        ({"times": 1.5}, "times=1.5: must be"),
        ({"times": None}, "times=None: must be"),
        ({"rate": "0.1"}, "rate='0.1': must be a number from 0 to 1"),
        ({"rate": True}, "rate=True: must be"),
        ({"on": ["create"]}, "cannot happen on"),
        ({"on": 1}, "cannot happen on 1"),
        ({"prompt": b"a fox"}, "prompt=b'a fox': must be a text"),
        ({"prompt": ""}, "prompt='': must be a text"),
    ],
    ids=str,
)
def test_a_fault_with_an_argument_of_the_wrong_type_is_refused_and_does_not_happen(wrong, words):
    service = LocalService()
    with pytest.raises(ValueError, match=words):
        service.fail(**{"fault": "drop", **wrong})
    assert service._state.faults.take("create", "a fox") is None
