"""The configuration of a router."""

from __future__ import annotations

from jabberd_tx.base.options import Option, Section
from jabberd_tx.routing.asked import KEYS
from jabberd_tx.routing.policies import POLICIES

OPTIONS = Section(
    'router',
    'The router: takes in links and hands frames on.',
    Option('listen', str, '127.0.0.1:5347', 'Where links come in, host:port.', low=1),
    Option('policy', str, 'to', 'For names whose instances ask for none.', choices=tuple(POLICIES)),
    Option('names_limit', int, 1000, 'Names that one node may bind.', low=1, high=1_000_000),
    Option(
        'credit_limit', int, 67108864, 'What one node may let come to it before it has taken anything in.',
        unit='bytes', low=65536,
    ),
)  # fmt: skip

ROUTES = Section(
    'route',
    'How a name is shared out among the nodes that serve it, whatever they ask for.',
    Option('name', str, '', 'The name, such as a domain.', low=1, high=1023),
    Option('policy', str, '', 'Empty: as the instances ask.', choices=('', *POLICIES)),
    Option('key', str, '', 'Hash the bare or the full JID. Empty: as the instances ask.', choices=('', *KEYS)),
    Option('order', list, [], 'For failover: nodes, the preferred one first.'),
    many=True,
)
