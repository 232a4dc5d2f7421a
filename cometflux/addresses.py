"""Which addresses belong to the public internet, and which to this machine: from their text alone."""

import ipaddress


def is_public(address: str) -> bool:
    """Whether an IP address, as text, belongs to the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        # Addresses that carry an IPv4 address inside lead to that one.
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else _nat64(ip))
        if inner is not None:
            return is_public(str(inner))
        # All that is handed out for the public internet so far.
        return ip in _UNICAST and ip.is_global
    return ip.is_global and not ip.is_multicast


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(ip.packed[12:]) if ip in _NAT64 else None


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")


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
