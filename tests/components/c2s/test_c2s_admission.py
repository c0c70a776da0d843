"""Which connections c2s takes."""

from __future__ import annotations

import resource

import pytest

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.components.c2s.addresses import counted_as, parse_networks
from jabberd_tx.components.c2s.admission import descriptors_for_clients
from jabberd_tx.components.c2s.service import OPTIONS, ClientFactory
from jabberd_tx.testing import memory_transport
from jabberd_tx.testing.client import XmppClient
from tests.components.c2s.c2s_support import Site


def came_in(site: Site, *hosts: str) -> list[XmppClient]:
    clients = [site.connect(host=host) for host in hosts]
    site.settle()
    return clients


@pytest.mark.parametrize(
    ('host', 'group'),
    [
        ('192.0.2.7', '192.0.2.7'),
        ('::ffff:192.0.2.7', '192.0.2.7'),
        ('2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'),
        ('2001:db8:1:2::1', '2001:db8:1:2::/64'),
        ('2001:db8:1:3::1', '2001:db8:1:3::/64'),
        ('fe80::1%eth0', 'fe80::/64'),
        ('10.1.2.3', ''),
        ('::ffff:10.1.2.3', ''),
        ('2001:db8:ffff::1', ''),
        ('unknown', ''),
    ],
)
def test_addresses_that_count_as_one(host: str, group: str) -> None:
    """IPv4 one by one, IPv6 by /64; those that are not limited as none."""
    assert counted_as(host, parse_networks(['10.0.0.0/8', '2001:db8:ffff::/48'])) == group


def test_one_address_gets_so_many_connections_and_others_go_on() -> None:
    """Told why; and there is room again once one is gone."""
    site = Site(address_connections=2, require_tls=False)
    first, _, third, other = came_in(site, *['192.0.2.1'] * 3, '192.0.2.2')
    assert third.closed and third.error == 'policy-violation' and third.header is not None
    assert not other.closed and site.c2s.limited.counts.address_connections == 1
    first.drop()
    site.settle()
    (again,) = came_in(site, '192.0.2.1')
    assert not again.closed and site.run(other.login('r'))


def test_ipv6_addresses_of_one_customer_count_as_one() -> None:
    """Whatever they make of the lower half."""
    site = Site(address_connections=2)
    clients = came_in(site, '2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1')
    assert [client.closed for client in clients] == [False, False, True, False]


def test_addresses_that_are_excepted_are_not_limited_after_a_reload_neither() -> None:
    """What was counted before stays right when they change."""
    site = Site(address_connections=1, unlimited_addresses=['192.0.2.0/24'])
    clients = came_in(site, *['192.0.2.1'] * 3)
    assert not any(client.closed for client in clients)
    site.c2s.options.unlimited_addresses = []
    site.c2s.options_changed()
    for client in clients:
        client.drop()
    site.settle()
    assert site.c2s.admission.connections == 0
    assert [client.closed for client in came_in(site, *['192.0.2.1'] * 2)] == [False, True]


def test_so_many_connections_in_all() -> None:
    """From wherever; a new limit holds at once."""
    site = Site(most_connections=2)
    hosts = [f'192.0.2.{n}' for n in range(3)]
    clients = came_in(site, *hosts)
    assert [client.error for client in clients] == ['', '', 'resource-constraint']
    site.c2s.options.most_connections = 3
    assert [client.closed for client in came_in(site, '192.0.2.9', '192.0.2.9')] == [False, True]
    assert site.c2s.limited.counts.connections == 2
    for client in clients[:2]:
        client.close()
    site.settle()
    assert site.c2s.admission.connections == 1


def test_connections_leave_file_descriptors_for_everything_else() -> None:
    """However many are allowed."""
    room = descriptors_for_clients()
    assert room is None or 0 < room < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    site = Site(most_connections=0)
    site.c2s.admission._room = 2
    clients = came_in(site, *[f'192.0.2.{n}' for n in range(3)])
    assert [client.error for client in clients] == ['', '', 'resource-constraint']
    assert site.c2s.limited.counts.descriptors == 1


def test_not_everybody_is_told() -> None:
    """Beyond so many at once, those who are turned away are cut off."""
    site = Site(most_connections=1, close_timeout=60)
    clients = came_in(site, *[f'192.0.2.{n}' for n in range(70)])
    assert [client.error for client in clients] == ['', *['resource-constraint'] * 50, *[''] * 19]
    assert len([client for client in clients if client.closed]) == 69


def test_those_who_are_turned_away_may_stay_no_longer_than_others() -> None:
    """They are aborted when they do not close."""
    site = Site(most_connections=1)
    came_in(site, '192.0.2.1')
    (client,) = came_in(site, '192.0.2.2')
    assert client.error == 'resource-constraint'
    site.advance(5)
    assert not site.c2s.closing and client.closed and site.c2s.admission.connections == 1


def test_on_direct_tls_there_is_nothing_to_say_it_on() -> None:
    """The connection is aborted."""
    site = Site(address_connections=1)
    came_in(site, '192.0.2.1')
    client, server = XmppClient('romeo@example.net'), ClientFactory(site.c2s, True).buildProtocol(None)  # type: ignore[arg-type]
    memory_transport.connect(site.clock, client, server, '192.0.2.1')
    site.settle()
    assert client.closed and not client.inbox and not site.c2s.closing


def test_networks_that_are_none_are_refused() -> None:
    """In the file, with the option's name; and a c2s keeps those that there were."""
    with pytest.raises(ConfigError, match='c2s.unlimited_addresses: expected addresses and networks: .*example.org'):
        load(None, [OPTIONS], ['c2s.unlimited_addresses=["::1", "example.org"]'])
    site = Site(unlimited_addresses=['192.0.2.0/24'])
    site.c2s.options.unlimited_addresses = ['192.0.2.1/24']
    with pytest.raises(ValueError, match='has host bits set'):
        site.c2s.options_changed()
    assert counted_as('192.0.2.9', site.c2s.admission.unlimited) == ''


def test_a_limit_that_many_meet_is_one_line_in_the_log_a_minute() -> None:
    """With how many they were, and the last of them."""
    site = Site(address_connections=1)
    told: list[dict[str, object]] = []
    site.c2s.limited.log = type(site.c2s.limited.log)(observer=told.append)
    came_in(site, *['192.0.2.1'] * 6)
    site.advance(121)
    (line,) = told
    assert line['count'] == 5 and line['who'] == '192.0.2.1'
