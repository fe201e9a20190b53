"""Whose address a request comes from: the peer's, or what a trusted proxy says; an IPv6 network counts as one."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import HTTPConnection

_NETWORK_BITS = 64


def client_address(connection: HTTPConnection, trusted_proxies: int) -> str:
    """The caller's address; with n trusted proxies the n-th entry of X-Forwarded-For from its end.

    What stands farther left was written by the caller himself and is not believed."""
    peer = connection.client.host if connection.client else ""
    if trusted_proxies == 0:
        return network_of(peer)
    hops = [hop.strip() for line in connection.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    return network_of(hops[-trusted_proxies] if len(hops) >= trusted_proxies else peer)


def network_of(text: str) -> str:
    """An IPv4 address as it is, an IPv6 address as its /64 (one household or school has them all)."""
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _NETWORK_BITS), strict=False))
