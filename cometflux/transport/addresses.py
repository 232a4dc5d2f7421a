"""Decide from the text of an address whether it is on the public internet or on this machine; escape URLs."""

import ipaddress
import re
from urllib.parse import quote


def escape_url(url: str) -> str:
    """Escape the characters after the host that a URL may not have, such as a blank. Escapes stay as they are.

    Everything else is kept, because a presigned URL must not be rewritten.
    """
    start, rest = url[: (end := _HOST.match(url).end())], url[end:]  # type: ignore[union-attr]  # it matches any text
    if not _UNSAFE.search(rest):
        return url
    return start + _UNSAFE.sub(lambda found: quote(found[0], safe="", errors="replace"), rest)


def origin_of(url: str) -> str:
    """Return what a URL has before its path: the scheme, the host and the port. It is not checked."""
    # A regular expression costs ten times as much. No scheme with its host is shorter.
    return url[: url.find("/", len("https://"))].lower()


_HOST = re.compile(r"(?:[^/?#]*//)?[^/?#]*")
_UNSAFE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")


def is_public(address: str) -> bool:
    """Whether an IP address, as text, belongs to the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast
    # An IPv6 address that contains an IPv4 address leads to the IPv4 address.
    inner = ip.ipv4_mapped or _nat64(ip)
    if inner is not None:
        return is_public(str(inner))
    # The only block assigned to the public internet so far. Tunnels are refused: they lead anywhere, and no service
    # uses one.
    return ip in _UNICAST and ip.is_global and not (ip.sixtofour or ip.teredo)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(ip.packed[12:]) if ip in _NAT64 else None


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")


def may_be_public(host: str) -> bool:
    """Whether a URL's host may be on the public internet: a public address, or a plain name.

    With a proxy the resolved address is not seen here. So a text that some resolver might read as an address, such as
    ``2130706433`` or ``0x7f.1``, does not count as a name.
    """
    if is_address(host):
        return is_public(host)
    name = host.lower().removesuffix(".")
    is_number = re.fullmatch(_NUMBER, name.rpartition(".")[2])
    return bool(re.fullmatch(_NAME, name)) and not is_number and not _is_inner(name)


_NAME = r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+"
# Resolvers read any name whose last part is a number as an address.
_NUMBER = r"[0-9]+|0x[0-9a-f]*"
_INNER = (".localhost", ".localdomain", ".local", ".internal", ".home.arpa", ".lan")


def _is_inner(name: str) -> bool:
    """Whether a name is reserved for this machine or the local network."""
    return name.endswith(_INNER)


def is_address(host: str) -> bool:
    """Whether a host is an IP address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host, given as a name or an address, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
