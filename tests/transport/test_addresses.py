import ipaddress
from ipaddress import IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cometflux.transport.addresses import escape_url, is_address, is_loopback, is_public, may_be_public, origin_of


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
        ("2002:808:808::", False),
        ("2001:0:808:808::f7f7:f7f7", False),
        ("2001:db8::1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b:1::7f00:1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("not an address", False),
    ],
)
def test_public_addresses_are_recognized(address, expected):
    assert expected is is_public(address)


@given(st.ip_addresses())
def test_every_address_is_public_or_not(address):
    assert is_public(str(address)) in (True, False)
    assert is_public(str(address)) is may_be_public(str(address))


# Drawn from the nets themselves, which hardly any address drawn at large is in.
PRIVATE = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *("::/127", "::ffff:a00:0/104", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "fc00::/7", "fe80::/10", "ff00::/8"),
]
private = st.sampled_from(PRIVATE).flatmap(lambda net: st.ip_addresses(network=net))
private_v4 = st.sampled_from([net for net in PRIVATE if ":" not in net]).flatmap(
    lambda net: st.ip_addresses(network=net)
)


@given(private)
def test_no_address_of_a_private_net_is_public(address):
    assert not is_public(str(address))
    assert not may_be_public(str(address))


@given(st.ip_addresses() | private)
def test_an_address_that_is_not_global_is_not_public(address):
    inner = getattr(address, "ipv4_mapped", None) or address
    assert inner.is_global or not is_public(str(address))


EMBEDDINGS = {
    "mapped": lambda v4: IPv6Address((0xFFFF << 32) | int(v4)),
    "compatible": lambda v4: IPv6Address(int(v4)),
    "NAT64": lambda v4: IPv6Address(int(IPv6Address("64:ff9b::")) | int(v4)),
    "local NAT64": lambda v4: IPv6Address(int(IPv6Address("64:ff9b:1::")) | int(v4)),
    "6to4": lambda v4: IPv6Address((0x2002 << 112) | (int(v4) << 80) | 1),
    "Teredo, the client": lambda v4: IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (int(v4) ^ 0xFFFFFFFF)),
    "Teredo, the server": lambda v4: IPv6Address((0x20010000 << 96) | (int(v4) << 64) | (0x08080808 ^ 0xFFFFFFFF)),
}


@pytest.mark.slow
@pytest.mark.parametrize("embed", EMBEDDINGS.values(), ids=EMBEDDINGS)
@given(inner=private_v4, zone=st.sampled_from(["", "%eth0", "%1"]), is_long=st.booleans())
def test_no_address_that_carries_a_private_one_is_public(embed, inner, zone, is_long):
    address = embed(inner)
    host = (address.exploded.upper() if is_long else str(address)) + zone
    assert not is_public(host)
    assert not may_be_public(host)


numbers = st.sampled_from([str, hex, "0{:o}".format, "{:03d}".format, "0x{:08X}".format, "0X{:x}".format])


@st.composite
def odd_spellings(draw):
    """Spell an IPv4 address as the C library's resolver reads one: in one to four numbers, each in any base."""
    address = int(draw(st.ip_addresses(v=4)))
    bits = draw(st.sampled_from([[32], [8, 24], [8, 8, 16], [8, 8, 8, 8]]))
    parts, left = [], 32
    for width in bits:
        left -= width
        parts.append(draw(numbers)(address >> left & (1 << width) - 1))
    return ".".join(parts) + draw(st.sampled_from(["", "."]))


@given(odd_spellings())
@example("2130706433")
@example("0177.0.0.1")
@example("127.1")
def test_an_address_in_an_odd_spelling_is_not_a_public_host(host):
    assert is_address(host) or not may_be_public(host)
    assert not may_be_public(host) or ipaddress.ip_address(host).is_global


@given(private_v4, st.sampled_from([".", "%00", "%2e", " ", "\t", "/", "\\", "@", "#", "\u3002", "\u200b"]))
def test_no_suffix_makes_a_private_address_a_public_host(address, more):
    assert not may_be_public(f"{address}{more}")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("replicate.delivery", True),
        ("Replicate.Delivery.", True),
        ("a-b.c_d.example", True),
        ("xn--bcher-kva.example", True),
        ("1.example", True),
        ("127.0.0.1.example", True),
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("b\u00fccher.example", False),
        ("example.com\n", False),
        ("example..com", False),
        (".example.com", False),
        ("example.com..", False),
        ("a." + "x" * 64, False),
        ("localhost", False),
        ("localhost.", False),
        ("a.localhost", False),
        ("host.docker.internal", False),
        ("nas.local", False),
        ("nas.home.arpa", False),
        ("intranet", False),
        ("example.0x7f", False),
        ("example.1", False),
        ("0x", False),
        ("", False),
        (".", False),
    ],
    ids=ascii,
)
def test_a_public_host_is_a_public_address_or_a_plain_name(host, expected):
    assert expected is may_be_public(host)


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
def test_this_machine_is_recognized(host, expected):
    assert expected is is_loopback(host)


@given(st.text())
def test_any_text_is_an_address_or_not(text):
    assert is_address(text) in (True, False)
    assert is_loopback(text) in (True, False)
    assert is_public(text) in (True, False)
    assert may_be_public(text) in (True, False)


HOST = "https://example.com"
ESCAPED = [
    ("/a b.webp", "/a%20b.webp"),
    ("/a%20b.webp", "/a%20b.webp"),
    ("/a b%2Fc%7e.webp?sig=a%2Fb+c d", "/a%20b%2Fc%7e.webp?sig=a%2Fb+c%20d"),
    ("/100%.webp", "/100%25.webp"),
    ("/100%zz%4", "/100%25zz%254"),
    ("/b\u00fccher/\u732b.webp", "/b%C3%BCcher/%E7%8C%AB.webp"),
    ('/"<>\\^`{|}', "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
    ("/a\r\nX-Evil: 1", "/a%0D%0AX-Evil:%201"),
    ("/a\0\t\x7f", "/a%00%09%7F"),
    ("/a/b;c=1,2@~_-.!$&'()*+?x=[1]#top", "/a/b;c=1,2@~_-.!$&'()*+?x=[1]#top"),
    ("?q=a b", "?q=a%20b"),
    ("/half\ud800", "/half%3F"),
    ("", ""),
]


@pytest.mark.parametrize(("given_", "expected"), ESCAPED, ids=ascii)
def test_what_must_be_escaped_is_escaped_and_what_is_escaped_stays(given_, expected):
    assert HOST + expected == escape_url(HOST + given_)


@pytest.mark.parametrize(
    "host", ["https://a b/", "https://b\u00fccher.example/", "https://a\\@b/", "https://a\0b/", "x y"]
)
def test_a_host_is_not_escaped(host):
    """It is checked as it is."""
    assert host == escape_url(host)


@given(st.text(), st.text())
def test_an_escaped_url_has_nothing_left_to_escape(start, end):
    escaped = escape_url(f"{HOST}/{start}%41{end}")
    assert escaped.isascii()
    assert escaped.isprintable()
    assert " " not in escaped
    assert escaped == escape_url(escaped)
    assert "%41" in escaped


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("https://example.com", "https://example.com/a/b.webp"),
        ("https://example.com:8443", "https://Example.COM:8443/a?b=/c"),
        ("http://a", "http://a/b"),
        ("http://[::1]:80", "http://[::1]:80/x"),
        ("data:image", "data:image/png;base64,AAAA"),
        ("", ""),
    ],
)
def test_the_origin_of_a_url_is_what_comes_before_its_path(origin, url):
    assert origin == origin_of(url)
