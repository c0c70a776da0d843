"""What a component sends and gets once it has its name."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.components.gateway.external import digest
from jabberd_tx.link.frames import BUSY, REPEAT, Route, make_uid
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.gateway.gateway_support import DOMAIN, JULIET, NAME, SECRET, World, header, message, table

TO_NICK = Stanza.build(
    'message', {'from': JULIET, 'to': f'nick@{NAME}', 'id': 'm1'}, ('jabber:client', 'body', b'<body>hi</body>')
)


@pytest.fixture(params=[False, True], ids=['as they are', 'coded'])
def world(request: pytest.FixtureRequest) -> World:
    """Frames handed over as they are, and through their encoding."""
    return World(coded=request.param)


def bodies(stanzas: list[Stanza]) -> list[str]:
    return [stanza.inner.decode() for stanza in stanzas]


def test_a_stanza_for_the_component_is_written_and_confirmed(world):
    peer = world.component()
    uid = world.sm.send(NAME, None, TO_NICK)
    world.settle()
    assert [(stanza.attrs, stanza.inner) for stanza in peer.stanzas] == [(TO_NICK.attrs, TO_NICK.inner)]
    assert peer.stanzas[0].name == 'message'
    assert world.sm.confirmed == [uid]
    assert world.metric('jabberd_gateway_stanzas_sent', 'message') == 1


def test_a_stanza_of_the_component_goes_to_whoever_serves_its_recipient(world):
    """By the recipient's bare JID, from whomever of its name it says."""
    peer = world.component()
    world.say(peer, message('hello'))
    (frame,) = [frame for frame in world.sm.frames if type(frame) is Route]
    assert (frame.dest, frame.key, frame.source) == (DOMAIN, 'juliet@example.net', f'gateway-{NAME}-0')
    assert world.sm.stanzas[0].attrs == {'from': f'nick@{NAME}', 'to': JULIET}
    assert bodies(world.sm.stanzas) == ['<body>hello</body>']
    assert not world.gateway.count_unconfirmed()


def test_the_language_of_the_stream_is_that_of_its_stanzas(world):
    peer = world.connect(header().replace(b'<stream:stream', b"<stream:stream xml:lang='de'"))

    world.say(peer, f'<handshake>{digest(peer.stream, SECRET)}</handshake>' + message('hallo'))
    assert world.sm.stanzas[0].attrs['xml:lang'] == 'de'


def test_to_another_component_by_what_its_own_policy_hashes():
    """A transport has its users by their own addresses, so a frame for it has no key of the recipient's."""
    world = World(table(), table(name='mix.example.net'))
    irc, mix = world.component(), world.component('mix.example.net')
    other = Recorder(world.network.links('other'))
    other.links.bind('bot.example.net')
    world.settle()
    world.say(irc, message('one', to='room@mix.example.net') + message('two', to='bot.example.net'))
    assert bodies(mix.stanzas) == ['<body>one</body>']
    (frame,) = [frame for frame in other.frames if type(frame) is Route]
    assert frame.key is None


def test_a_repeat_of_what_was_written_is_confirmed_and_not_written_again(world):
    peer = world.component()
    link = world.sm.links.pick('')
    uid = make_uid(b's' * 16, 7)
    for flags in (0, REPEAT, REPEAT):
        link.route(Route(NAME, None, 'sm-1', 0, uid, 4, flags, TO_NICK))
        world.settle()
    assert len(peer.stanzas) == 1
    assert world.sm.confirmed == [uid] * 3


def test_nobody_serves_the_recipient(world):
    """remote-server-not-found, at once; and nothing for an error or a result."""
    peer = world.component()
    world.say(peer, message('x', to='a@nowhere.example') + f"<iq type='result' from='{NAME}' to='nowhere.example'/>")
    (answer,) = peer.stanzas
    assert answer.attrs == {'type': 'error', 'from': 'a@nowhere.example', 'to': f'nick@{NAME}'}
    assert b'<remote-server-not-found ' in answer.inner


@pytest.mark.parametrize(
    'attrs', [f"from='{NAME}'", f"from='{NAME}' to=''", f"from='{NAME}' to='a@@b'", f"from='a b@{NAME}' to='{JULIET}'"]
)
def test_an_address_that_is_none_is_answered(world, attrs):
    """jid-malformed; the stream goes on, for the users of the others."""
    peer = world.component()
    world.say(peer, f'<message {attrs}/>')
    assert b'<jid-malformed ' in peer.stanzas[0].inner
    world.say(peer, message('next'))
    assert bodies(world.sm.stanzas) == ['<body>next</body>']


def test_without_a_from_it_is_from_the_component(world):
    peer = world.component()
    world.say(peer, f"<presence to='{JULIET}'/>")
    assert world.sm.stanzas[0].attrs == {'to': JULIET, 'from': NAME}


@pytest.mark.parametrize(
    ('said', 'condition'),
    [
        (message('x', sender='romeo@example.net'), 'invalid-from'),
        (message('x', sender=f'a@below.{NAME}'), 'invalid-from'),
        (message('x', sender='example.net'), 'invalid-from'),
        ('<handshake>again</handshake>', 'unsupported-stanza-type'),
        ('<log>of jabberd 1</log>', 'unsupported-stanza-type'),
        ("<a xmlns='urn:x'/>", 'unsupported-stanza-type'),
        ("<message xmlns='jabber:client'/>", 'invalid-namespace'),
        ('<message><body>' + 'x' * 20_000, 'policy-violation'),
        ('<message ' + "a='b' " * 8000, 'policy-violation'),
        ('<message>' + '<a>' * 100, 'policy-violation'),
        ('<message><a></message>', 'not-well-formed'),
        ('<message>&unknown;</message>', 'restricted-xml'),
        ('<!-- hidden -->', 'restricted-xml'),
        ('text', 'bad-format'),
    ],
    ids=lambda value: value[:60],
)
def test_what_ends_the_stream(said, condition):
    """A stream error; the name is free again, and the other component notices nothing."""
    world = World(table(), table(name='other.example.net'), max_stanza_bytes=10_000)
    peer, other = world.component(), world.component('other.example.net')
    world.say(peer, said)
    assert peer.error == condition and peer.seen.endswith(b'</stream:stream>')
    assert world.nodes() == []
    world.after(5)
    assert peer.closed
    world.say(other, message('unharmed', sender='a@other.example.net'))
    assert bodies(world.sm.stanzas) == ['<body>unharmed</body>']


def test_more_senders_by_configuration():
    """Other domains, all below one, or any; only then."""
    for senders, good, bad in (
        (['gw.example.net'], 'a@gw.example.net', 'a@x.gw.example.net'),
        (['*.irc.example.net'], 'a@x.irc.example.net', 'a@xirc.example.net'),
        (['*'], 'a@anything.example', None),
    ):
        world = World(table(senders=senders))
        peer = world.component()
        world.say(peer, message('x', sender=good))
        assert (peer.error, len(world.sm.stanzas)) == (None, 1)
        if bad is not None:
            world.say(peer, message('x', sender=bad))
            assert (peer.error, len(world.sm.stanzas)) == ('invalid-from', 1)


def test_the_component_ends_its_stream(world):
    """Its end tag is answered with ours; what it had sent is delivered."""
    peer = world.component()
    world.say(peer, message('last words') + '</stream:stream>')
    assert peer.seen.endswith(b'</stream:stream>') and peer.error is None
    assert bodies(world.sm.stanzas) == ['<body>last words</body>']
    assert world.nodes() == []


def test_what_it_sent_is_delivered_also_when_it_is_gone():
    """It sends and closes while the session manager has no credit: nothing is lost."""
    world = World()
    peer = world.component()
    world.sm.confirms = False
    world.say(peer, message('one') + message('two'))
    peer.transport.abortConnection()
    world.settle()
    assert world.gateway.count_unconfirmed() == 2
    world.sm.confirms = True
    world.sm.links.stop()
    world.settle()
    world.sm.frames.clear()
    world.sm.links.start()
    world.sm.links.bind(DOMAIN)
    world.after(3)
    assert bodies(world.sm.stanzas) == ['<body>one</body>', '<body>two</body>']
    assert not world.gateway.count_unconfirmed()


def test_nothing_more_is_read_while_too_much_is_not_confirmed():
    """And then it goes on, in order, with nothing lost."""
    world = World(window_stanzas=16)
    peer = world.component()
    world.sm.confirms = False
    for n in range(100):
        peer.transport.write(message(f'{n}', to=f'user{n}@{DOMAIN}').encode())
        world.settle()
    assert len(world.sm.stanzas) <= 17
    for _ in range(20):
        for frame in [frame for frame in world.sm.frames if type(frame) is Route]:
            world.sm.links.confirm(frame.source, frame.uid)
        world.settle()
    assert bodies(world.sm.stanzas) == [f'<body>{n}</body>' for n in range(100)]


def test_a_component_that_floods_is_slowed_down():
    """To the rate, with nothing lost; the other one is not."""
    world = World(table(), table(name='other.example.net'), rate_stanzas=10, burst_stanzas=20)
    peer, other = world.component(), world.component('other.example.net')
    for n in range(60):
        world.say(peer, message(str(n)))
    taken = len(world.sm.stanzas)
    assert 15 <= taken <= 25
    world.say(other, message('unharmed', sender='a@other.example.net'))
    assert bodies(world.sm.stanzas)[-1] == '<body>unharmed</body>'
    world.after(10)
    assert [body for body in bodies(world.sm.stanzas) if 'unharmed' not in body] == [
        f'<body>{n}</body>' for n in range(60)
    ]
    assert world.metric('jabberd_gateway_refused', 'rate') >= 1


def test_a_component_that_reads_slowly_lets_its_stanzas_wait():
    """Bounded: beyond, senders hear busy; and when it reads again it gets all, in order, once; only then confirmed."""
    world = World(outgoing_bytes=65536)
    links = world.gateway._seats[NAME, 0].links
    links._window, links._enough = 65536, 16384
    links.stop()
    world.settle()
    links.start()
    peer = world.component()
    peer.transport.pauseProducing()
    big = Stanza.build(
        'message', {'from': JULIET, 'to': NAME}, ('jabber:client', 'body', b'<body>' + b'x' * 10_000 + b'</body>')
    )
    uids = []
    for _ in range(200):
        uids.append(world.sm.send(NAME, None, big))
        world.settle()
    bounced = [frame.uid for frame in world.sm.bounces]
    assert bounced and {frame.reason for frame in world.sm.bounces} == {BUSY}
    waiting = world.gateway.count_waiting()
    assert 65536 < waiting < 1 << 20
    assert len(world.sm.confirmed) + len(bounced) < len(uids)
    peer.transport.resumeProducing()
    world.after(1)
    assert world.gateway.count_waiting() == 0
    assert world.sm.confirmed == [uid for uid in uids if uid not in bounced]
    assert len(peer.stanzas) == len(world.sm.confirmed)


def test_a_component_that_reads_nothing_is_closed():
    """What waited goes back to its senders."""
    world = World(write_timeout=60.0)
    peer = world.component()
    peer.transport.pauseProducing()
    big = Stanza.build('message', {'from': JULIET, 'to': NAME}, ('urn:x', 'x', b'<x>' + b'x' * 40_000 + b'</x>'))
    for _ in range(5):
        world.sm.send(NAME, None, big)
        world.settle()
    confirmed = len(world.sm.confirmed)
    assert 0 < confirmed < 5
    world.after(62)
    assert peer.closed and world.nodes() == []
    assert len(world.sm.bounces) == 5 - confirmed


def test_half_a_stanza():
    """One that does not go on ends the stream with connection-timeout; a slow one does not."""
    world = World(stall_timeout=30.0)
    peer = world.component()
    for part in ("<message to='juliet@example.net' from='irc.example.net'", '><body>', 'slow</body></message>'):
        world.say(peer, part)
        world.after(20)
    assert bodies(world.sm.stanzas) == ['<body>slow</body>']
    world.after(100)
    assert peer.error is None, 'between stanzas it may be silent'
    world.say(peer, '<message><body>half')
    world.after(32)
    assert peer.error == 'connection-timeout'


def test_a_space_now_and_then():
    """So that TCP finds out whether it is there; not while there is something to say."""
    world = World(keepalive=60.0)
    peer = world.component()
    before = len(peer.seen)
    world.after(130)
    assert peer.seen[before:].strip() == b'' and 1 <= len(peer.seen) - before <= 2


def test_leaving_takes_nothing_more_and_waits_for_what_was_taken():
    """The component is told system-shutdown when what it has sent is confirmed."""
    world = World()
    peer = world.component()
    world.sm.confirms = False
    world.say(peer, message('taken'))
    stopped = []

    Deferred.fromCoroutine(world.gateway.stop()).addCallback(stopped.append)
    world.settle()
    world.say(peer, message('not taken'))
    assert peer.error is None and len(world.sm.stanzas) == 1
    world.sm.links.confirm(f'gateway-{NAME}-0', world.sm.frames[0].uid)
    for _ in range(10):
        world.clock.advance(0.05)
        world.settle()
    assert peer.error == 'system-shutdown'
    peer.transport.loseConnection()
    for _ in range(10):
        world.clock.advance(0.05)
        world.settle()
    assert stopped == [None]
    assert world.nodes() == [] and world.connect().closed
    assert not world.clock.getDelayedCalls()


def test_status_names_who_is_there():
    world = World(table(connections=2))
    world.component()
    status = world.gateway.status()
    assert status['components'][NAME]['0'] == {
        'peer': '127.0.0.1', 'node': f'gateway-{NAME}-0', 'unconfirmed': 0, 'waiting': 0,
    }  # fmt: skip


def test_what_was_written_is_not_written_to_the_next_one_in_its_slot(world):
    """A repeat of it may come when the component has left and come back."""
    peer = world.component()
    uid = world.sm.send(NAME, None, TO_NICK)
    world.settle()
    assert len(peer.stanzas) == 1
    peer.transport.loseConnection()
    world.settle()
    again = world.component()
    world.sm.links.pick('').route(Route(NAME, None, 'sm-1', 0, uid, 4, REPEAT, TO_NICK))
    world.settle()
    assert again.stanzas == [] and world.sm.confirmed == [uid, uid]
