import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.addresses import is_address, is_loopback, is_public


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b:1::7f00:1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("not an address", False),
    ],
)
def test_public_addresses_are_told_from_others(address, expected):
    assert expected is is_public(address)


@given(st.ip_addresses())
def test_every_address_is_public_or_not(address):
    assert is_public(str(address)) in (True, False)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_this_machine_is_told_from_others(host, expected):
    assert expected is is_loopback(host)


@given(st.text())
def test_any_text_is_an_address_or_not(text):
    assert is_address(text) in (True, False)
    assert is_loopback(text) in (True, False)
    assert is_public(text) in (True, False)
