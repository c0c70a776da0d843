"""How a component gets its name (XEP-0114 §3), and what it is told when it does not."""

from __future__ import annotations

import pytest

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.components.gateway.external import digest, proves, read_externals
from jabberd_tx.components.gateway.options import OPTIONS
from jabberd_tx.link import options as link
from jabberd_tx.testing.network import Recorder
from tests.components.gateway.gateway_support import DOMAIN, NAME, SECRET, World, header, table


def test_the_digest_is_that_of_the_specification():
    """SHA-1 of id and secret, in lower-case hexadecimal."""
    assert digest('abc', '') == 'a9993e364706816aba3e25717850c26c9cd0d89d', "FIPS 180's vector for 'abc'"
    assert proves('\n a9993e364706816aba3e25717850c26c9cd0d89d ', 'ab', 'c')
    assert not proves('A9993E364706816ABA3E25717850C26C9CD0D89D', 'ab', 'c')
    assert not proves('ü', 'ab', 'c')


def test_header_handshake_and_name():
    """The header names the component and has an id; the handshake is answered; the name is bound."""
    world = World()
    peer = world.connect(header())
    assert b"from='irc.example.net'" in peer.seen and b"xmlns='jabber:component:accept'" in peer.seen
    assert len(peer.stream) >= 32
    assert world.nodes() == []
    world.say(peer, f'<handshake>{digest(peer.stream, SECRET)}</handshake>')
    assert peer.seen.endswith(b'<handshake/>')
    assert world.nodes() == [f'gateway-{NAME}-0']
    assert world.metric('jabberd_gateway_connections', NAME) == 1


def test_two_streams_have_different_ids():
    """Else a handshake that was overheard would do again."""
    world = World()
    assert world.connect(header()).stream != world.connect(header()).stream


@pytest.mark.parametrize(
    ('said', 'condition'),
    [
        (header('other.example.net'), 'host-unknown'),
        (header(DOMAIN), 'host-unknown'),
        (header('a@@b'), 'host-unknown'),
        (header(None), 'improper-addressing'),
        (header(content='jabber:client'), 'invalid-namespace'),
        (header(content='jabber:component:connect'), 'invalid-namespace'),
        (header(content='urn:nobody:knows'), 'invalid-namespace'),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'>", 'invalid-namespace'),
        (b'GET / HTTP/1.1\r\n\r\n', 'not-well-formed'),
        (b'<!DOCTYPE x><x>', 'restricted-xml'),
        (b'<stream:stream ' + b"a='b' " * 2000, 'policy-violation'),
        (header() + b'<handshake>' + b'0' * 40 + b'</handshake>', 'not-authorized'),
        (header() + b'<handshake/>', 'not-authorized'),
        (header() + b'<handshake>' + b'0' * 10_000, 'policy-violation'),
        (header() + b"<message from='a@irc.example.net' to='b@example.net'/>", 'not-authorized'),
        (header() + b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>", 'not-authorized'),
        (header() + header(), 'bad-format'),
        (header() + b'<handshake><a></handshake>', 'not-well-formed'),
        (header() + b'text', 'bad-format'),
    ],
    ids=lambda value: value[:70] if isinstance(value, bytes) else value,
)
def test_what_is_wrong_before_it_has_its_name(said, condition):
    """A header of ours, a stream error, the end of the stream; and the connection is closed."""
    world = World()
    peer = world.connect(said)
    assert peer.seen.startswith(b"<?xml version='1.0'?><stream:stream ")
    assert peer.error == condition
    assert peer.seen.endswith(b'</stream:stream>')
    world.after(5)
    assert peer.closed and not world.gateway.connections
    assert world.nodes() == []
    known = condition if condition != 'improper-addressing' else 'other'
    assert world.metric('jabberd_gateway_refused', known) == 1


def test_no_handshake_in_time():
    """connection-timeout, for who says nothing and for who says a header only."""
    world = World(handshake_timeout=10.0)
    silent, slow = world.connect(), world.connect(header())
    world.after(11)
    assert (silent.error, slow.error) == ('connection-timeout', 'connection-timeout')
    world.after(5)
    assert not world.gateway.connections


def test_too_many_without_a_name():
    """Further ones are cut, of one address sooner than all, and there is room again when one is gone."""
    world = World(most_handshakes=4)
    first, _, third = world.connect(), world.connect(), world.connect()
    assert third.closed and not first.closed
    elsewhere = [world.connect(host=f'192.0.2.{n}') for n in range(3)]
    assert [peer.closed for peer in elsewhere] == [False, False, True]
    first.transport.loseConnection()
    world.settle()
    assert world.component()


def test_a_second_connection_is_a_conflict():
    """It is told so; the first one keeps the name, and when it leaves the name is to be had again."""
    world = World()
    first = world.component()
    second = world.connect(header())
    assert second.error == 'conflict'
    first.transport.loseConnection()
    world.settle()
    assert world.nodes() == []
    world.component()
    assert world.nodes() == [f'gateway-{NAME}-0']


def test_several_connections_have_slots_and_keep_them():
    """As many as the configuration allows; who comes back gets the slot that was left."""
    world = World(table(connections=3))
    peers = [world.component() for _ in range(3)]
    nodes = [f'gateway-{NAME}-{slot}' for slot in range(3)]
    assert world.nodes() == nodes
    assert world.connect(header()).error == 'conflict'
    peers[1].transport.loseConnection()
    world.settle()
    assert world.nodes() == [nodes[0], nodes[2]]
    world.component()
    assert world.nodes() == nodes


def test_each_table_has_its_secret_and_its_slots():
    """Two tables of one name: the secret tells which of the slots a component gets."""
    world = World(table(first_slot=0), table(first_slot=5, secret='another'))
    world.component(secret='another')
    assert world.nodes() == [f'gateway-{NAME}-5']


def test_without_a_router_in_sight_nobody_is_told_that_it_has_its_name():
    """It would lose what it sends: remote-connection-failed, after the time that a handshake has."""
    world = World()
    world.gateway._seats[NAME, 0].links.stop()
    world.settle()
    peer = world.connect(header())
    world.say(peer, f'<handshake>{digest(peer.stream, SECRET)}</handshake>')
    assert b'<handshake/>' not in peer.seen
    world.after(11)
    assert peer.error == 'remote-connection-failed'


def test_what_is_sent_right_after_the_handshake_is_taken():
    """Without waiting for the answer to it."""
    world = World()
    peer = world.connect(header())
    world.say(
        peer,
        f'<handshake>{digest(peer.stream, SECRET)}</handshake>'
        f"<presence from='{NAME}' to='juliet@example.net' type='subscribe'/>",
    )
    assert [stanza.attrs['type'] for stanza in world.sm.stanzas] == ['subscribe']


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ({'name': DOMAIN}, 'external_component.0.name: example.net is a domain of [server]'),
        ({'name': 'a b'}, 'external_component.0.name: expected a domain name'),
        ({'name': 'room@irc.example.net'}, 'external_component.0.name: expected a domain name'),
        ({'secret': ''}, 'external_component.0.secret: expected a secret'),
        ({'slots': 2, 'connections': 3}, 'external_component.0.slots: expected 3 or more'),
        ({'connect': ['nowhere']}, 'external_component.0.connect: expected host:port'),
        ({'senders': ['*.a b']}, 'external_component.0.senders: expected a domain name'),
    ],
)
def test_a_wrong_table_is_refused_with_one_line(values, text):
    with pytest.raises(ConfigError) as caught:
        read_externals([table(**values)], [DOMAIN])
    assert str(caught.value).startswith(text)


def test_two_tables_of_a_name_can_not_have_the_same_slots():
    with pytest.raises(ConfigError, match='another table of irc.example.net has a slot of these'):
        read_externals([table(connections=2), table(first_slot=1)], [])


def test_a_change_of_the_configuration_ends_what_it_no_longer_allows():
    """With a reset; a component with the new secret comes in."""
    world = World(table(), table(name='other.example.net'))
    peer, other = world.component(), world.component('other.example.net')
    world.tables[0] = table(secret='a new secret')
    world.gateway.tables_changed()
    world.after(5)
    assert (peer.error, peer.closed, other.closed) == ('reset', True, False)
    world.component(secret='a new secret')


def test_a_router_that_does_not_let_it_serve_the_name():
    """Somebody else has the slot: the component is told, and may come again when it is free."""
    world = World(table(connections=2, slots=4))
    elsewhere = Recorder(world.network.links('gateway-elsewhere'))
    elsewhere.links.bind(NAME, 'from', slots=4, slot=0)
    world.settle()
    peer = world.component()
    assert peer.error == 'conflict'
    elsewhere.links.stop()
    world.settle()
    peer.transport.loseConnection()
    world.settle()
    assert world.component().error is None
    assert world.nodes() == [f'gateway-{NAME}-0']


def test_the_slots_of_a_route_are_said_by_number():
    """With `slots` in the [[route]] of the name, each connection says which one it has."""
    (external,) = read_externals([table(connections=2, first_slot=2)], [], {NAME: 4})
    assert external.bind_options(3) == {'slots': 4, 'slot': 3}
    (second,) = read_externals([table(connections=2)], [], {NAME: 4}, process=1)
    assert (second.first, second.most) == (2, 2)
    with pytest.raises(ConfigError, match='expected 6 or more'):
        read_externals([table(connections=2, first_slot=4)], [], {NAME: 4})


def test_the_first_table_may_come_later():
    """Until then there is nothing to listen for."""
    world = World(table(), port=0)
    world.tables.clear()
    world.gateway.tables_changed()
    assert world.connect(header()).error == 'host-unknown'
    world.tables.append(table(name='late.example.net'))
    world.gateway.tables_changed()
    world.settle()
    world.component('late.example.net')
    assert world.nodes('late.example.net') == ['gateway-late.example.net-0']


@pytest.mark.parametrize(
    ('text', 'wrong'),
    [
        ('interface = "0.0.0.0"', 'gateway.interface: expected a loopback address'),
        ('max_stanza_bytes = 1000000', 'link.frame_limit: expected 3073728 bytes or more'),
        ('interface = "0.0.0.0"\ninsecure = true', None),
        ('interface = "0.0.0.0"\nport = 0\ntls_port = 5276', None),
    ],
)
def test_what_must_hold_between_options(tmp_path, text, wrong):
    """No port without TLS beyond this machine; no stanza that no frame can hold."""
    file = tmp_path / 'site.toml'
    file.write_text(f'[gateway]\n{text}\n')
    if wrong is None:
        load(file, [OPTIONS, link.OPTIONS])
        return
    with pytest.raises(ConfigError) as caught:
        load(file, [OPTIONS, link.OPTIONS])
    assert wrong in str(caught.value)
