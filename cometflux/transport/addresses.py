"""Which addresses belong to the public internet, and which to this machine: from their text alone."""

import ipaddress
import re


def is_public(address: str) -> bool:
    """Whether an IP address, as text, belongs to the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast
    # Addresses that carry an IPv4 address inside lead to that one.
    inner = ip.ipv4_mapped or _nat64(ip)
    if inner is not None:
        return is_public(str(inner))
    # All that is handed out for the public internet so far; tunnels lead anywhere, and no service is behind one.
    return ip in _UNICAST and ip.is_global and not (ip.sixtofour or ip.teredo)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(ip.packed[12:]) if ip in _NAT64 else None


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")


def may_be_public(host: str) -> bool:
    """Whether a URL's host, as far as its text tells, is on the public internet: an address of it, or a plain name.

    Where a proxy connects, nobody here sees the address. So a name is no more than that: what some resolver might
    take for an address in another spelling, such as ``2130706433`` or ``0x7f.1``, is none.
    """
    if is_address(host):
        return is_public(host)
    name = host.lower().removesuffix(".")
    is_number = re.fullmatch(_NUMBER, name.rpartition(".")[2])
    return bool(re.fullmatch(_NAME, name)) and not is_number and not _is_inner(name)


_NAME = r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+"
# What ends in a number is an address to every resolver, whatever stands before it.
_NUMBER = r"[0-9]+|0x[0-9a-f]*"
_INNER = (".localhost", ".localdomain", ".local", ".internal", ".home.arpa", ".lan")


def _is_inner(name: str) -> bool:
    """Whether a name is kept for this machine or the net around it."""
    return name.endswith(_INNER)


def is_address(host: str) -> bool:
    """Whether a host is given as an IP address and not by name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
