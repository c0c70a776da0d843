"""Clients' addresses: which of them count as one, and which are not limited."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from jabberd_tx.base.addresses import ip_of

Network = IPv4Network | IPv6Network


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks such as '192.0.2.0/24'; ValueError names what is neither."""
    return tuple(ip_network(text) for text in texts)


def counted_as(host: str, unlimited: Sequence[Network]) -> str:
    """What stands for an address in tables: itself, or of IPv6 its /64, which is what one customer has.

    '' for one that is in `unlimited`, or no IP address.
    """
    address = ip_of(host)
    if address is None or any(address in network for network in unlimited):
        return ''
    if isinstance(address, IPv4Address):
        return str(address)
    return f'{IPv6Address(int(address) >> 64 << 64)}/64'
