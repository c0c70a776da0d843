"""wokkel's handlers on links: shown what comes, sending what they like, and harmed by nobody else's mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.words.protocols.jabber.error import StanzaError as ElementError
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import toResponse
from twisted.words.xish.domish import Element

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from wokkel.disco import DiscoClientProtocol, DiscoHandler
from wokkel.generic import FallbackHandler, VersionHandler
from wokkel.ping import PingClientProtocol, PingHandler
from wokkel.subprotocols import XMPPHandler

from jabberd_tx.components.plugins import handlers_component
from jabberd_tx.components.plugins.handlers_component import HandlersComponent
from jabberd_tx.routing.filters import FILTERS, FilterRules
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza

# wokkel uses names that Twisted has marked as old.
pytestmark = pytest.mark.filterwarnings('ignore:twisted.python.compat:DeprecationWarning')

NAME = 'echo.example.net'
JULIET = 'juliet@example.net/balcony'
PING = f"<ping xmlns='{ns.PING}'/>".encode()


Act = Callable[['Listener', Element], Any]


class Listener(XMPPHandler):
    """Notes what it sees, and does what `act` says with it."""

    def __init__(self, query: str = '/message', act: Act = lambda self, element: None) -> None:
        super().__init__()
        self.query, self.act = query, act
        self.seen: list[str] = []
        self.news: list[str] = []

    def connectionMade(self) -> None:
        self.news.append('made')

    def connectionInitialized(self) -> None:
        self.news.append('initialized')
        self.xmlstream.addObserver(self.query, self.on_stanza)

    def connectionLost(self, reason: object) -> None:
        super().connectionLost(reason)
        self.news.append('lost')

    def on_stanza(self, element: Element) -> Any:
        self.seen.append(element['id'])
        return self.act(self, element)


class World:
    """A router, the sm of example.net that is a recorder, and a component of handlers."""

    def __init__(self, *handlers: Any, network: Network | None = None) -> None:
        self.network = network or Network()
        self.sm = Recorder(self.network.links('sm-1'))
        self.sm.links.bind('example.net')
        self.links = self.network.links('echo-1')
        self.component = HandlersComponent(self.links, NAME, self.network.clock, None, handlers)
        self.links.start()
        self.component.start()
        self.network.settle()

    def say(self, *stanzas: Stanza) -> list[bytes]:
        uids = [self.sm.send(NAME, None, one) for one in stanzas]
        self.network.settle()
        return uids

    def take(self) -> list[Stanza]:
        self.network.settle()
        found = self.sm.stanzas
        self.sm.frames.clear()
        return found


def message(id: str, sender: str = JULIET, kind: str = 'chat') -> Stanza:
    attrs = {'from': sender, 'to': NAME, 'id': id, 'type': kind}
    return Stanza.build('message', attrs, (ns.CLIENT, 'body', b'<body>hi</body>'))


def iq(id: str, kind: str, space: str, name: str, xml: bytes, to: str = NAME) -> Stanza:
    return Stanza.build('iq', {'from': JULIET, 'to': to, 'id': id, 'type': kind}, (space, name, xml))


def ping(id: str = 'p') -> Stanza:
    return iq(id, 'get', ns.PING, 'ping', PING)


def condition_of(stanza: Stanza) -> str:
    assert stanza.attrs['type'] == 'error'
    return [child.name for child in next(stanza.element.elements(ns.CLIENT, 'error')).elements()][0]


# ---- wokkel's own


def test_ping_version_and_disco_attach_unchanged() -> None:
    """DiscoHandler asks the others what they are."""
    world = World(PingHandler(), VersionHandler('echo', '1'), DiscoHandler())
    query = f"<query xmlns='{ns.DISCO_INFO}'/>".encode()
    asked = [
        ping('1'),
        iq('2', 'get', ns.VERSION, 'query', f"<query xmlns='{ns.VERSION}'/>".encode()),
        iq('3', 'get', ns.DISCO_INFO, 'query', query),
    ]
    uids = world.say(*asked)
    pong, version, info = world.sm.stanzas
    assert world.sm.confirmed == uids
    assert (pong.attrs, pong.inner) == ({'type': 'result', 'from': NAME, 'to': JULIET, 'id': '1'}, b'')
    assert version.inner == b"<query xmlns='jabber:iq:version'><name>echo</name><version>1</version></query>"
    assert {feature['var'] for feature in next(info.element.elements()).elements()} >= {ns.PING, ns.VERSION}


def test_clients_of_wokkel_get_the_answers_they_asked_for() -> None:
    """By twisted's IQ and by wokkel's Request; an error fails."""
    pinger, discoverer = PingClientProtocol(), DiscoClientProtocol()
    world = World(pinger, discoverer)
    answers: list[Any] = []
    pinger.ping(JID('example.net')).addBoth(answers.append)
    discoverer.requestInfo(JID('example.net')).addCallback(lambda info: answers.append(sorted(info.features)))
    discoverer.requestItems(JID('example.net')).addErrback(lambda failure: answers.append(failure.value.condition))
    one, two, three = world.take()
    back = {'from': 'example.net', 'to': NAME, 'type': 'result'}
    feature = f"<query xmlns='{ns.DISCO_INFO}'><feature var='x'/></query>".encode()
    world.say(
        Stanza('iq', {**back, 'id': one.attrs['id']}),
        Stanza.build('iq', {**back, 'id': two.attrs['id']}, (ns.DISCO_INFO, 'query', feature)),
        StanzaError('item-not-found').reply(three),
    )
    assert answers == [None, ['x'], 'item-not-found']


def test_an_answer_from_somebody_else_is_none() -> None:
    """Twisted's ids can be guessed: who answers must be who was asked, whatever the spelling."""
    pinger = PingClientProtocol()
    world = World(pinger)
    answers: list[Any] = []
    pinger.ping(JID('Example.net')).addBoth(answers.append)
    (asked,) = world.take()
    back = {'to': NAME, 'type': 'result', 'id': asked.attrs['id']}
    world.say(Stanza('iq', {**back, 'from': 'mallory@example.net/x'}))
    assert answers == []
    world.say(Stanza('iq', {**back, 'from': 'example.net'}), Stanza('iq', {**back, 'from': 'example.net'}))
    assert answers == [None]


def test_an_iq_that_nobody_handles_is_refused_once() -> None:
    """With FallbackHandler and without."""
    for handlers in ((), (FallbackHandler(),), (Listener('/iq'),), (FallbackHandler(), Listener('/iq'))):
        world = World(*handlers)
        world.say(ping())
        (refused,) = world.take()
        assert condition_of(refused) == 'service-unavailable'


# ---- order, confirmation, mistakes


def test_a_message_is_seen_by_all_that_observe_such_in_order() -> None:
    """And confirmed; it is refused when nobody does."""
    everybody, headlines = Listener(), Listener("/message[@type='headline']")
    world = World(headlines, everybody)
    uids = world.say(message('1'), message('2', kind='headline'))
    assert (everybody.seen, headlines.seen) == (['1', '2'], ['2'])
    assert world.sm.confirmed == uids and world.sm.stanzas == []
    world = World(headlines)
    world.say(message('3'))
    assert condition_of(world.take()[0]) == 'service-unavailable'


def fail(self: Listener, element: Element) -> None:
    if element['id'] == 'bad':
        raise KeyError('oops')
    if element['id'] == 'refused':
        raise ElementError('not-acceptable', text='no')
    if element['id'] == 'ours':
        raise StanzaError('gone')


def test_a_handler_that_fails_harms_its_stanza_alone() -> None:
    """Others see it, the sender is told, and it goes on; StanzaErrors are told as they are."""
    failing, other = Listener(act=fail), Listener()
    world = World(failing, other)
    uids = world.say(*map(message, ('1', 'bad', 'refused', 'ours', '2')))
    assert failing.seen == other.seen == ['1', 'bad', 'refused', 'ours', '2']
    assert [condition_of(one) for one in world.sm.stanzas] == ['internal-server-error', 'not-acceptable', 'gone']
    assert b'>no<' in world.sm.stanzas[1].inner
    assert world.sm.confirmed == uids
    assert (world.component.stanzas, world.component.faults) == (5, 1)


def test_a_failing_iq_observer_does_not_answer_twice() -> None:
    """Where another has answered, or promised to."""

    def bad(self: Listener, element: Element) -> None:
        raise KeyError('oops')

    world = World(PingHandler(), Listener('/iq', bad))
    world.say(ping())
    (pong,) = world.take()
    assert pong.attrs['type'] == 'result' and world.component.faults == 1
    world = World(Listener('/iq', bad))
    world.say(ping())
    assert condition_of(world.take()[0]) == 'internal-server-error'


def test_an_observer_may_be_a_coroutine_or_give_a_deferred() -> None:
    """The message is confirmed when it is done.  Its sender's next one waits, but no IQ, and nobody else."""
    gate: Deferred[None] = Deferred()

    async def wait(self: Listener, element: Element) -> None:
        if element['id'] == 'slow':
            await gate
            raise ElementError('not-allowed')

    slow = Listener(act=wait)
    world = World(slow, PingHandler(), Listener(act=lambda self, element: gate if element['id'] == 'slow' else None))
    first, second, asked, other = world.say(message('slow'), message('2'), ping(), message('3', 'romeo@example.net'))
    assert slow.seen == ['slow', '3'] and world.sm.confirmed == [asked, other]
    gate.callback(None)
    world.network.settle()
    assert slow.seen == ['slow', '3', '2'] and world.sm.confirmed == [asked, other, first, second]
    pong, refused = world.sm.stanzas
    assert (pong.attrs['type'], condition_of(refused)) == ('result', 'not-allowed')


def test_an_iq_is_confirmed_when_it_is_answered() -> None:
    """A handler that has set `handled` may take its time, ask the same user meanwhile, and send before it answers."""
    kept: list[Element] = []

    def keep(self: Listener, element: Element) -> None:
        element.handled = True
        kept.append(element)

    asking = PingClientProtocol()
    world = World(Listener("/iq[@type='get']", keep), asking)
    pongs: list[Any] = []
    asking.ping(JID(JULIET)).addBoth(pongs.append)
    (asked,) = world.take()
    (uid,) = world.say(ping())
    world.say(Stanza('iq', {'from': JULIET, 'to': NAME, 'type': 'result', 'id': asked.attrs['id']}))
    assert pongs == [None] and uid not in world.sm.confirmed
    world.component.send_xml(f"<message to='{JULIET}' id='before'/>")
    world.component.send_xml(toResponse(kept[0], 'result'))
    world.component.send_xml(f"<message to='{JULIET}' id='after'/>")
    world.network.settle()
    assert [one.attrs['id'] for one in world.sm.stanzas] == ['before', 'p', 'after']
    assert uid in world.sm.confirmed and world.component._unanswered == {}


def test_a_promise_is_not_waited_for_for_ever() -> None:
    def promise(self: Listener, element: Element) -> None:
        element.handled = True

    world = World(Listener('/iq', promise))
    (uid,) = world.say(ping())
    world.network.advance(handlers_component.ANSWER_S + 1)
    assert condition_of(world.sm.stanzas[0]) == 'remote-server-timeout'
    assert world.sm.confirmed == [uid] and world.component._unanswered == {}


def test_nothing_is_awaited_for_ever() -> None:
    """It is cancelled, and the sender told."""
    ends: list[str] = []

    async def wait(self: Listener, element: Element) -> None:
        try:
            await Deferred()
        finally:
            ends.append(element['id'])

    world = World(Listener(act=wait))
    (uid,) = world.say(message('1'))
    world.network.advance(handlers_component.ANSWER_S + 1)
    assert condition_of(world.sm.stanzas[0]) == 'remote-server-timeout'
    assert world.sm.confirmed == [uid] and ends == ['1'] and world.network.clock.getDelayedCalls() == []


def test_a_child_named_handled_is_no_promise() -> None:
    world = World(Listener('/iq'))
    world.say(iq('1', 'get', ns.CLIENT, 'handled', b'<handled/>'))
    assert condition_of(world.take()[0]) == 'service-unavailable'


def test_failures_at_presence_and_answers_are_logged_only() -> None:
    for query, stanza in (
        ('/presence', Stanza('presence', {'from': JULIET, 'to': NAME, 'id': 'bad'})),
        ("/message[@type='error']", message('bad', kind='error')),
    ):
        listener = Listener(query, fail)
        world = World(listener)
        (uid,) = world.say(stanza)
        assert (listener.seen, world.component.faults) == (['bad'], 1)
        assert world.sm.stanzas == [] and world.sm.confirmed == [uid]


# ---- sending


def test_what_may_not_be_sent_is_told_to_the_handler() -> None:
    """And the stanza that it was doing is answered with an error."""
    world = World(Listener(act=lambda self, element: self.send("<message to='x@y' from='romeo@example.net'/>")))
    world.say(message('1'))
    assert condition_of(world.take()[0]) == 'internal-server-error'
    for bad in ('<message/>', '<handshake/>', '<message', "<message to='a@b'/><message to='a@b'/>", 'text', 7, None):
        with pytest.raises(ValueError):
            world.component.send_xml(bad)


def test_elements_leave_as_they_would_on_a_stream() -> None:
    """Namespaces are inherited as domish does; XML inside is XML; `from` is filled in."""
    world = World()
    root = Element((ns.COMPONENT, 'message'))
    root['to'] = JULIET
    root.addElement('body', content='a < b')
    payload = root.addElement(('urn:x', 'x'))
    payload.addElement('y').addRawXml('<z/>')
    world.component.send_xml(root)
    bare = Element((None, 'message'), attribs={'to': JULIET, 'type': 'chat'})
    bare.addElement('body', content='hi')
    world.component.send_xml(bare)
    first, second = world.take()
    assert first.attrs == {'from': NAME, 'to': JULIET}
    assert first.inner == b"<body>a &lt; b</body><x xmlns='urn:x'><y><z/></y></x>"
    assert (second.inner, [child[:2] for child in second.children]) == (b'<body>hi</body>', [(ns.CLIENT, 'body')])


def test_what_nobody_takes_comes_back_as_an_error() -> None:
    """As from a server that does not find the domain."""
    asking, errors = PingClientProtocol(), Listener("/message[@type='error']")
    world = World(asking, errors)
    answers: list[Any] = []
    asking.ping(JID('nobody.example')).addErrback(lambda failure: answers.append(failure.value.condition))
    world.component.send_xml("<message to='nobody.example' id='m'/>")
    world.network.advance(70)
    assert answers == ['remote-server-not-found'] and errors.seen == ['m']


def test_what_a_rule_denies_comes_back_with_its_error() -> None:
    asking, errors = PingClientProtocol(), Listener("/message[@type='error']")
    network = Network()
    rule = FILTERS.defaults()
    rule.to, rule.condition = ['example.net'], 'forbidden'
    network.router.filter_by(FilterRules([rule]))
    world = World(asking, errors, network=network)
    answers: list[Any] = []
    asking.ping(JID('example.net')).addErrback(lambda failure: answers.append(failure.value.condition))
    world.component.send_xml("<message to='example.net' id='m'/>")
    world.network.settle()
    assert answers == ['forbidden'] and errors.seen == ['m'] and world.sm.stanzas == []


# ---- the stream's life


def test_handlers_have_a_stream_while_there_is_a_link() -> None:
    """With the last link it ends, requests fail, and what is sent is kept; with the next it is there again."""
    listener, asking = Listener(), PingClientProtocol()
    world = World(listener, asking)
    failures: list[Any] = []
    asking.ping(JID('example.net')).addErrback(lambda failure: failures.append(type(failure.value).__name__))
    world.links.stop()
    world.network.settle()
    assert listener.news == ['made', 'initialized', 'lost'] and failures == ['ConnectionLost']
    listener.send(f"<message to='{JULIET}' id='kept'/>")
    world.take()
    world.links.start()
    world.component.start()
    assert 'kept' in [one.attrs['id'] for one in world.take()]
    assert listener.news == ['made', 'initialized', 'lost', 'made', 'initialized']
    world.say(message('1'))
    assert listener.seen == ['1']


def test_a_handler_that_fails_at_the_start_stops_no_other() -> None:
    class Bad(Listener):
        def connectionInitialized(self) -> None:
            raise KeyError('oops')

        def connectionLost(self, reason: object) -> None:
            raise KeyError('oops')

    listener = Listener()
    world = World(Bad(), listener)
    world.links.stop()
    world.network.settle()
    assert listener.news == ['made', 'initialized', 'lost']


def test_observers_come_and_go_while_a_stanza_is_shown() -> None:
    """One-time ones as well."""
    first = Listener(act=lambda self, element: self.xmlstream.removeObserver('/message', self.on_stanza))
    world = World(first)
    once: list[str] = []
    assert world.component._stream is not None
    world.component._stream.addOnetimeObserver('/message', lambda element: once.append(element['id']))
    world.say(message('1'), message('2'))
    assert (first.seen, once) == (['1'], ['1'])


def test_a_stop_ends_the_stream_and_what_is_promised() -> None:
    def promise(self: Listener, element: Element) -> None:
        element.handled = True

    listener = Listener('/iq', promise)
    world = World(listener)
    world.say(ping())
    stopped = Deferred.fromCoroutine(world.component.stop())
    world.network.advance(10)
    assert stopped.called and listener.news[-1] == 'lost'
    world.links.stop()
    world.network.settle()
    assert world.network.clock.getDelayedCalls() == []
