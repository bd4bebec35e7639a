"""Which machine a request comes from."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from starlette.types import Scope


def client(scope: Scope) -> str:
    """Who a request is counted for: an IPv4 address, or an IPv6 /64, all of which one customer has."""
    address = scope.get("client")
    return _counted(address[0]) if address else "unknown"


@lru_cache(maxsize=4096)
def _counted(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:  # as a proxy may write it
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def unmapped(host: str) -> str:
    """An IPv4 address as that, also where a socket of IPv6 names it; any other as it is (RFC 4291, section 2.5.5.2)."""
    bare = host.removeprefix("::ffff:")
    return bare if "." in bare else host


def is_loopback(host: str) -> bool:
    """No other machine reaches a service that listens on this address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
