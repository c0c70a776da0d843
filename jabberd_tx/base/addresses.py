"""IP addresses of hosts, and which hosts are this machine."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


@lru_cache(4096)
def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """An IP address without its zone, an IPv4 one in IPv6 as IPv4; None for what is none."""
    try:
        address = ip_address(host.partition('%')[0])
    except ValueError:
        return None
    return getattr(address, 'ipv4_mapped', None) or address


def is_loopback(host: str) -> bool:
    """Whether what goes there, or comes from there, stays on this machine: a loopback address, or the name localhost.

    Not for '', which listens on all addresses.
    """
    if host == 'localhost':
        return True
    address = ip_of(host)
    return address is not None and address.is_loopback
