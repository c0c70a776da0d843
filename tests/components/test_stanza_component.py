"""Components that serve a name: what comes is taken once and in order, what is sent is kept until it is confirmed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.components import stanza_component
from jabberd_tx.components.stanza_component import Answer, StanzaComponent
from jabberd_tx.link.frames import REPEAT, Fanout, Route
from jabberd_tx.testing.network import Network, Recorder
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.errors import StanzaError
from jabberd_tx.xmpp.stanza import Stanza

BOT = 'bot.example.net'
JULIET = 'juliet@example.net/balcony'


class Bot(StanzaComponent):
    """Echoes; what begins with `later` waits for its Deferred."""

    def __init__(self, network: Network, node: str = 'bot-1') -> None:
        super().__init__(network.links(node), BOT, network.clock)
        self.heard: list[str] = []
        self.lost: list[tuple[str, str]] = []
        self.later: dict[str, Deferred[Stanza | None]] = {}
        self.links.start()  # type: ignore[attr-defined]
        self.start()
        network.settle()

    def message(self, stanza: Stanza) -> Answer:
        id = stanza.attrs['id']
        self.heard.append(id)
        if id.startswith('later'):
            self.later[id] = Deferred()
            return self.later[id]
        if id == 'fault':
            raise KeyError(id)
        if id == 'refused':
            raise StanzaError('not-acceptable', 'no')
        return self.answer(stanza, (ns.CLIENT, 'body', b'<body>echo</body>'))

    def iq(self, stanza: Stanza) -> Answer:
        return None if stanza.attrs['type'] == 'set' else super().iq(stanza)

    def answered(self, stanza: Stanza) -> None:
        self.heard.append('answered ' + stanza.attrs['id'])

    def undelivered(self, stanza: Stanza, reason: str) -> None:
        super().undelivered(stanza, reason)
        self.lost.append((stanza.attrs['id'], reason))


@pytest.fixture(params=[False, True], ids=['as they are', 'encoded'])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(coded=request.param)


@pytest.fixture
def sm(network: Network) -> Recorder:
    """Whoever serves the users' domain."""
    recorder = Recorder(network.links('sm-1'))
    recorder.links.bind('example.net')
    network.settle()
    return recorder


@pytest.fixture
def bot(network: Network) -> Iterator[Bot]:
    yield Bot(network)


def stanza(id: str, name: str = 'message', kind: str = 'chat', sender: str = JULIET) -> Stanza:
    attrs = {'from': sender, 'to': BOT, 'id': id, 'type': kind}
    return Stanza.build(name, attrs, (ns.CLIENT, 'body', b'<body>hi</body>'))


def say(network: Network, sm: Recorder, *stanzas: Stanza) -> list[bytes]:
    uids = [sm.send(BOT, None, one) for one in stanzas]
    network.settle()
    return uids


def ids(sm: Recorder) -> list[str]:
    return [one.attrs['id'] for one in sm.stanzas]


# ---- taking


def test_an_answer_goes_back_and_the_stanza_is_confirmed(network: Network, sm: Recorder, bot: Bot) -> None:
    uids = say(network, sm, stanza('1'))
    (answer,) = sm.stanzas
    assert answer.attrs == {'from': BOT, 'to': JULIET, 'id': '1', 'type': 'chat'}
    assert answer.inner == b'<body>echo</body>'
    assert (sm.routes[0].dest, sm.routes[0].key) == ('example.net', 'juliet@example.net')
    assert sm.confirmed == uids
    assert bot.status() == {'taken': 0, 'sent': 0}


def test_a_repeat_is_confirmed_and_not_taken_again(network: Network, sm: Recorder, bot: Bot) -> None:
    """Whether it is done or still being done; a repeat of what never came is new."""
    done, busy = say(network, sm, stanza('1'), stanza('later', sender='romeo@example.net/orchard'))
    for uid, what in ((done, '1'), (busy, 'later')):
        sm.links.pick('').route(Route(BOT, None, 'sm-1', 0, uid, 4, REPEAT, stanza(what)))  # type: ignore[union-attr]
    network.settle()
    assert bot.heard == ['1', 'later']
    assert sm.confirmed == [done, done]
    bot.later['later'].callback(None)
    network.settle()
    assert sm.confirmed == [done, done, busy, busy]
    sm.send(BOT, None, stanza('2'), flags=REPEAT)
    network.settle()
    assert bot.heard[-1] == '2'


def test_what_takes_time_holds_up_its_sender_alone(network: Network, sm: Recorder, bot: Bot) -> None:
    """Nothing of it is confirmed before it is done; the order of a sender's stanzas stays."""
    say(network, sm, *map(stanza, ('later 1', '2', 'later 3', '4')), stanza('5', sender='x@example.net'))
    assert bot.heard == ['later 1', '5']
    assert len(sm.confirmed) == 1
    bot.later['later 1'].callback(stanza('late').with_attrs(to=JULIET, from_=None))
    network.settle()
    assert bot.heard == ['later 1', '5', '2', 'later 3']
    bot.later['later 3'].errback(StanzaError('item-not-found'))
    network.settle()
    assert bot.heard[-1] == '4'
    assert ids(sm) == ['5', 'late', '2', 'later 3', '4']
    assert sm.stanzas[3].attrs['type'] == 'error' and b'item-not-found' in sm.stanzas[3].inner
    assert len(sm.confirmed) == 5
    assert not bot._queues


def test_refusals_and_faults_are_told_to_the_sender(network: Network, sm: Recorder, bot: Bot) -> None:
    """With the condition raised, or internal-server-error; and the component goes on."""
    say(network, sm, stanza('refused'), stanza('fault'), stanza('1'))
    refused, fault, echo = sm.stanzas
    assert b'not-acceptable' in refused.inner and b'internal-server-error' in fault.inner
    assert echo.attrs['type'] == 'chat'
    assert len(sm.confirmed) == 3


def test_iqs_are_answered_whatever_happens(network: Network, sm: Recorder, bot: Bot) -> None:
    """None is an empty result; by default there is no such service."""
    say(network, sm, stanza('a', 'iq', 'set'), stanza('b', 'iq', 'get'))
    result, error = sm.stanzas
    assert (result.attrs['type'], result.inner, result.attrs['to']) == ('result', b'', JULIET)
    assert error.attrs['type'] == 'error' and b'service-unavailable' in error.inner


def test_answers_and_presence_are_not_answered(network: Network, sm: Recorder, bot: Bot) -> None:
    """Errors never, so that two bots do not talk for ever."""
    say(network, sm, stanza('a', kind='error'), stanza('b', 'iq', 'result'), stanza('c', 'presence', 'probe'))
    assert bot.heard == ['answered a', 'answered b']
    assert sm.stanzas == [] and len(sm.confirmed) == 3


def test_a_fan_out_is_given_back(network: Network, sm: Recorder, bot: Bot) -> None:
    """There are no sessions here."""
    uid, stream = bytes(24), bytes(16)
    sm.links.pick('').fanout(Fanout('bot-1', 'sm-1', uid, [(stream, JULIET)], stanza('1')))  # type: ignore[union-attr]
    network.settle()
    (confirm,) = sm.frames
    assert (confirm.uids, confirm.failed) == ([uid], [(uid, stream)])  # type: ignore[union-attr]


def test_it_is_congested_while_too_much_is_pending(
    network: Network, sm: Recorder, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stanza_component, 'MOST_PENDING', 2)
    say(network, sm, stanza('later 1'), stanza('2'))
    assert not bot.congested()
    say(network, sm, stanza('3'))
    assert bot.congested()
    bot.later['later 1'].callback(None)
    network.settle()
    assert not bot.congested()


# ---- sending


def test_who_it_is_from_must_be_its_own(network: Network, sm: Recorder, bot: Bot) -> None:
    """Its name is filled in; a local part is its own business."""
    bot.send(Stanza('message', {'to': JULIET, 'id': '1'}))
    bot.send(Stanza('message', {'to': JULIET, 'id': '2', 'from': f'me@{BOT}/x'}))
    network.settle()
    assert [one.attrs['from'] for one in sm.stanzas] == [BOT, f'me@{BOT}/x']
    with pytest.raises(ValueError, match=r'romeo@example\.net is not of bot'):
        bot.send(Stanza('message', {'to': JULIET, 'from': 'romeo@example.net'}))
    with pytest.raises(ValueError):
        bot.send(Stanza('message', {'id': '3'}))


def test_a_stop_waits_for_what_is_under_way(network: Network, sm: Recorder, bot: Bot) -> None:
    """What was taken is done and confirmed, what was sent is confirmed; then it serves its name no more."""
    sm.confirms = False
    say(network, sm, stanza('later'))
    stopped = Deferred.fromCoroutine(bot.stop())
    bot.later['later'].callback(bot.answer(stanza('later')))
    network.advance(0.1)
    assert not stopped.called
    sm.links.confirm('bot-1', sm.routes[0].uid)
    network.advance(0.1)
    assert stopped.called
    assert sm.links.instances(BOT) == {}


def test_a_stop_does_not_wait_for_ever(network: Network, sm: Recorder, bot: Bot) -> None:
    say(network, sm, stanza('later'))
    stopped = Deferred.fromCoroutine(bot.stop())
    network.advance(stanza_component.STOP_S + 0.1)
    assert stopped.called
    bot.later['later'].callback(None)


def test_what_is_sent_to_all_reaches_every_instance(network: Network, bot: Bot) -> None:
    """And is kept until one of them has confirmed it; without an instance it waits for one."""
    two = [Recorder(network.links(f'muc-{n}')) for n in range(2)]
    for one in two:
        one.links.bind('muc.example.net')
    network.settle()
    bot.send_to_all('muc.example.net', Stanza('message', {'to': 'muc.example.net', 'id': '1'}))
    network.settle()
    assert [ids(one) for one in two] == [['1'], ['1']] and bot.status()['sent'] == 0
    for one in two:
        one.links.unbind('muc.example.net')
    bot.send_to_all('muc.example.net', Stanza('message', {'to': 'muc.example.net', 'id': '2'}))
    network.settle()
    assert bot.status()['sent'] == 1
    two[0].links.bind('muc.example.net')
    network.advance(5)
    assert [ids(one) for one in two] == [['1', '2'], ['1']] and bot.status()['sent'] == 0


def test_a_component_can_ask_which_names_are_served(network: Network, sm: Recorder, bot: Bot) -> None:
    names = bot.links.names()
    assert {'example.net', 'sm-1', BOT, bot.links.node} <= set(names) and names == sorted(names)
    assert bot.links.reachable('example.net') and not bot.links.reachable('example.org')
