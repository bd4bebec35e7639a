"""Which machine a request comes from."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send


def client(scope: Scope) -> str:
    """Who a request is counted for: an IPv4 address, or an IPv6 /64, all of which one customer has."""
    address = scope.get("client")
    return _counted(address[0]) if address else "unknown"


@lru_cache(maxsize=4096)
def _counted(host: str) -> str:
    address = _parsed(host)
    if address is None:
        return "unknown"
    return f"{IPv6Address(int(address) >> 64 << 64)}/64" if isinstance(address, IPv6Address) else str(address)


def unmapped(host: str) -> str:
    """An IPv4 address as that, also where a socket of IPv6 names it; any other as it is."""
    return str(_parsed(host) or host)


def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    """An address, of IPv4 where one of IPv6 stands for it (RFC 4291, section 2.5.5.2); None if it is none."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def is_loopback(host: str) -> bool:
    """No other machine reaches a service that listens on this address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Unmap:
    """Has proxies that listen on sockets of IPv6 tell IPv4 addresses as what they are, and so as networks have them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = [
                (name, _all_unmapped(value) if name == b"x-forwarded-for" else value)
                for name, value in scope["headers"]
            ]
        await self.app(scope, receive, send)


def _all_unmapped(value: bytes) -> bytes:
    return b", ".join(unmapped(host.strip()).encode("latin-1") for host in value.decode("latin-1").split(","))
