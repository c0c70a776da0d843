"""Clients' addresses: which of them count as one, and which are not limited."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


@lru_cache(4096)
def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """An IP address without its zone, an IPv4 one in IPv6 as IPv4; None for what is none."""
    try:
        address = ip_address(host.partition('%')[0])
    except ValueError:
        return None
    return getattr(address, 'ipv4_mapped', None) or address


def is_loopback(host: str) -> bool:
    """Whether an IP address is this machine's own."""
    address = parse_address(host)
    return address is not None and address.is_loopback


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks such as '192.0.2.0/24'; ValueError names what is neither."""
    return tuple(ip_network(text) for text in texts)


def counted_as(host: str, unlimited: Sequence[Network]) -> str:
    """What stands for an address in tables: itself, or of IPv6 its /64, which is what one customer has.

    '' for one that is in `unlimited`, or no IP address.
    """
    address = parse_address(host)
    if address is None or any(address in network for network in unlimited):
        return ''
    if isinstance(address, IPv4Address):
        return str(address)
    return f'{IPv6Address(int(address) >> 64 << 64)}/64'
