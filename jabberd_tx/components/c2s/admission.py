"""Which connections are taken: so many in all, so many from one address, so many that have not logged in."""

from __future__ import annotations

import resource
from types import SimpleNamespace

from jabberd_tx.components.c2s.addresses import Network, counted_as, parse_networks
from jabberd_tx.components.c2s.limited import Limited

# What a client that is turned away is told, by limit.
REFUSALS = {
    'connections': ('resource-constraint', 'too many connections'),
    'descriptors': ('resource-constraint', 'too many connections'),
    'address-connections': ('policy-violation', 'too many connections from this address'),
    'logins': ('resource-constraint', 'too many connections without a login'),
}

# File descriptors that are not for clients: links, storage, logs, the reactor; and those that are told to go.
RESERVED = 100


def descriptors_for_clients() -> int | None:
    """How many connections this process can hold; None where the system sets no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(soft - RESERVED, soft // 2)


class AdmissionGate:
    """Counts connections from the moment they are taken until they are gone.

    connections  in all
    unlimited    networks that are not limited by address
    """

    def __init__(self, options: SimpleNamespace, limited: Limited, room: int | None = None) -> None:
        """room: what there are file descriptors for.  ValueError for networks that are none."""
        self._options, self._limited, self._room = options, limited, room
        self.connections = 0
        self.unlimited: tuple[Network, ...] = ()
        self._by_address: dict[str, int] = {}
        self.options_changed()

    def options_changed(self) -> None:
        """Take what is read ahead from the options.  ValueError: and keep what there was."""
        self.unlimited = parse_networks(self._options.unlimited_addresses)

    def enter(self, host: str, logins: int) -> tuple[str, str]:
        """A connection from there, while so many have not logged in: what it counts as ('' for nothing), and ''; or
        the limit that it would break.  Who is let in leaves again by `leave`."""
        address, limit = counted_as(host, self.unlimited), ''
        options = self._options
        there = self._by_address.get(address, 0)
        if options.most_connections and self.connections >= options.most_connections:
            limit = 'connections'
        elif self._room is not None and self.connections >= self._room:
            limit = 'descriptors'
        elif address and options.address_connections and there >= options.address_connections:
            limit = 'address-connections'
        elif logins >= options.most_logins:
            limit = 'logins'
        if limit:
            self._limited.note(limit, host)
            return '', limit
        self.connections += 1
        if address:
            self._by_address[address] = there + 1
        return address, ''

    def leave(self, address: str) -> None:
        """A connection that counted as this is gone."""
        self.connections -= 1
        if address:
            left = self._by_address.get(address, 0) - 1
            if left > 0:
                self._by_address[address] = left
            else:
                self._by_address.pop(address, None)
