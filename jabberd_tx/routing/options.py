"""The configuration of a router."""

from __future__ import annotations

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import Option, Section
from jabberd_tx.routing.asked import KEYS, MOST_SLOTS
from jabberd_tx.routing.policies import POLICIES, known

# Policies that go by a key, and so may have a fixed number of slots.
KEYED = ('to', 'from')
# What becomes of frames whose slot is absent.
WAIT, BOUNCE, SPILL = 'wait', 'bounce', 'spill'

_NAMES = ', '.join(POLICIES)


def _policy_is_known(values_of: ValuesOf) -> None:
    """The default is one of those that there are, plugins included."""
    try:
        known(values_of(OPTIONS).policy)
    except ValueError as error:
        raise ValueError(f'router.policy: {error}') from None


def _routes_agree(values_of: ValuesOf) -> None:
    """Each name once, by a policy that there is."""
    names: set[str] = set()
    for index, route in enumerate(values_of(ROUTES)):
        if route.name in names:
            raise ValueError(f'route.{index}.name: expected each name once, not {route.name!r} twice')
        names.add(route.name)
        try:
            if route.policy:
                known(route.policy)
        except ValueError as error:
            raise ValueError(f'route.{index}.policy: {error}') from None
        if route.slots and route.policy not in ('', *KEYED):
            raise ValueError(f"route.{index}.slots: expected policy 'to' or 'from' with it, not {route.policy!r}")


OPTIONS = Section(
    'router',
    'The router: takes in links and hands frames on.',
    Option('listen', str, '127.0.0.1:5347', 'Where links come in, host:port.', low=1),
    Option('policy', str, 'to', f'For names whose instances ask for none: {_NAMES}, or that of a plugin.', low=1),
    Option('default', str, '', 'The name whose instances get what is for names that nobody serves. Empty: that of '
           'those who ask for it when they bind a name.', high=1023, reload=True),
    Option('names_limit', int, 1000, 'Names that one node may bind.', low=1, high=1_000_000),
    Option(
        'credit_limit', int, 67108864, 'What one node may let come to it before it has taken anything in.',
        unit='bytes', low=65536,
    ),
    rule=_policy_is_known,
)  # fmt: skip

ROUTES = Section(
    'route',
    'How a name is shared out among the nodes that serve it, whatever they ask for.',
    Option('name', str, '', 'The name, such as a domain.', low=1, high=1023),
    Option('policy', str, '', f'{_NAMES}, or that of a plugin. Empty: as the instances ask.'),
    Option('key', str, '', 'Hash the bare or the full JID. Empty: as the instances ask.', choices=('', *KEYS)),
    Option('order', list, [], 'Nodes. For failover: the preferred one first; with slots: that of slot 0 first.'),
    Option(
        'slots', int, 0, 'Hash over so many, whether or not they are all there. 0: as the instances ask, or over '
        'those that are there.', low=0, high=MOST_SLOTS,
    ),
    Option(
        'absent', str, WAIT, 'What is for a slot that is not there: wait for it, bounce, or spill over to the others.',
        choices=(WAIT, BOUNCE, SPILL),
    ),
    Option('grace', float, 30.0, 'How long a slot may be away before what waits for it is bounced.', unit='s', low=0),
    Option('hold', int, 1000, 'What waits for one slot. More is refused as busy.', unit='packets', low=1, high=100_000),
    many=True,
    rule=_routes_agree,
)  # fmt: skip
