"""An sm that is not authoritative sends what is for users that it does not know to the default route, once."""

from __future__ import annotations

from typing import Any

import pytest

from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.link.frames import DEFAULT_ROUTE, Route
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.testing.memory_server import MemoryServer
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza

STRANGER = 'stranger@example.net'
QUERY = "<query xmlns='jabber:iq:version'/>"


class Cluster(StanzaComponent):
    """The default route; keeps what comes, and can speak for users who are elsewhere."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.came: list[Stanza] = []
        self.frames: list[Route] = []
        self.errors: list[Stanza] = []

    def message(self, stanza: Stanza) -> None:
        self.came.append(stanza)

    presence = message

    def iq(self, stanza: Stanza) -> Stanza:
        self.came.append(stanza)
        return self.answer(stanza)

    def answered(self, stanza: Stanza) -> None:
        self.errors.append(stanza)

    def on_route(self, frame: Route, link: Any) -> None:
        self.frames.append(frame)
        super().on_route(frame, link)

    def speak(self, stanza: Stanza) -> None:
        """As somebody who is elsewhere."""
        self._kept.send('example.net', stanza.attrs['to'].partition('/')[0], stanza)

    def _reply(self, stanza: Stanza, answer: Stanza | None) -> None:
        if answer is not None:
            self.speak(answer)


class Site(MemoryServer):
    def __init__(self, *overrides: str) -> None:
        super().__init__(overrides=['sm.authoritative=false', 'sm.cluster=["cluster-*"]', *overrides])
        links = self.network.links('cluster-1')
        self.cluster = Cluster(links, 'cluster.example.net', self.clock)
        links.bind('cluster.example.net', default=True)
        links.start()
        self.settle()
        self.juliet = self.client('juliet', 'a')

    def say(self, xml: str) -> None:
        self.juliet.send(xml)
        self.settle()


@pytest.fixture
def site() -> Site:
    return Site()


def kinds(client: XmppClient) -> list[tuple[str, str | None, str | None]]:
    return [(stanza.name, stanza.attrs.get('type'), stanza.attrs.get('from')) for stanza in client.inbox]


@pytest.mark.parametrize('type', ['', "type='chat'", "type='headline'", "type='groupchat'", "type='error'"])
def test_a_message_of_any_type_for_somebody_unknown_goes_to_the_default_route(site: Site, type: str) -> None:
    site.say(f"<message to='{STRANGER}/x' id='1' {type}><body>hi</body></message>")
    [frame] = site.cluster.frames
    assert (frame.dest, frame.hops) == (DEFAULT_ROUTE, 7)
    assert [stanza.attrs['to'] for stanza in site.cluster.came] in ([f'{STRANGER}/x'], [])
    assert site.sm.pending() == 0 and not site.juliet.inbox


def test_iqs_and_presence_go_there_too_and_answers_come_back(site: Site) -> None:
    site.say(f"<iq type='get' to='{STRANGER}/x' id='1'>{QUERY}</iq>")
    site.say(f"<iq type='get' to='{STRANGER}' id='2'>{QUERY}</iq>")
    site.say(f"<presence to='{STRANGER}/x'/>")
    site.say(f"<presence type='probe' to='{STRANGER}'/>")
    site.say(f"<presence type='subscribe' to='{STRANGER}'/>")
    assert [(stanza.name, stanza.attrs.get('type')) for stanza in site.cluster.came] == [
        ('iq', 'get'), ('iq', 'get'), ('presence', None), ('presence', 'probe'), ('presence', 'subscribe'),
    ]  # fmt: skip
    assert [one for one in kinds(site.juliet) if one[1] == 'result'] == [
        ('iq', 'result', f'{STRANGER}/x'), ('iq', 'result', STRANGER),
    ]  # fmt: skip
    assert site.sm.pending() == 0


def test_who_is_known_here_is_treated_as_ever(site: Site) -> None:
    romeo = site.client('romeo', 'a')
    for to in ('romeo@example.net', 'romeo@example.net/a', 'romeo@example.net/away'):
        site.say(f"<message to='{to}' type='chat'><body>hi</body></message>")
    romeo.send('</stream:stream>')
    site.settle()
    site.say("<message to='romeo@example.net' type='chat'><body>later</body></message>")
    site.say(f"<iq type='get' to='romeo@example.net/a' id='1'>{QUERY}</iq>")
    assert not site.cluster.came
    assert len([stanza for stanza in romeo.inbox if isinstance(stanza, Stanza)]) == 3
    assert kinds(site.juliet) == [('iq', 'error', 'romeo@example.net/a')]


def test_messages_to_one_stranger_stay_in_order(site: Site) -> None:
    for number in range(20):
        site.juliet.send(f"<message to='{STRANGER}' type='chat' id='{number}'><body>hi</body></message>")
    site.settle()
    assert [stanza.attrs['id'] for stanza in site.cluster.came] == [str(number) for number in range(20)]


def test_what_comes_from_the_cluster_for_somebody_unknown_does_not_go_back(site: Site) -> None:
    site.cluster.speak(Stanza('message', {'from': f'{STRANGER}/x', 'to': 'nobody@example.net'}))
    site.cluster.speak(Stanza.build(
        'iq', {'from': f'{STRANGER}/x', 'to': 'nobody@example.net', 'type': 'get', 'id': '1'},
        ('jabber:iq:version', 'query', QUERY.encode()),
    ))  # fmt: skip
    site.advance(1)
    assert not site.cluster.came
    assert [(one.name, one.attrs['type'], one.attrs['to']) for one in site.cluster.errors] == [
        ('message', 'error', f'{STRANGER}/x'), ('iq', 'error', f'{STRANGER}/x'),
    ]  # fmt: skip


def test_somebody_elsewhere_speaks_to_users_here_through_the_cluster_alone(site: Site) -> None:
    site.cluster.speak(Stanza('message', {'from': f'{STRANGER}/x', 'to': 'juliet@example.net', 'type': 'chat'}))
    site.settle()
    assert kinds(site.juliet) == [('message', 'chat', f'{STRANGER}/x')]
    links = site.network.links('liar-1')
    liar = Cluster(links, 'liar.example.net', site.clock)
    links.start()
    for sender in (f'{STRANGER}/x', 'cluster.example.net'):
        liar.speak(Stanza('message', {'from': sender, 'to': 'juliet@example.net', 'type': 'chat'}))
    site.settle()
    assert len(site.juliet.inbox) == 1, 'nobody else speaks for a domain that somebody serves'


def test_without_a_default_route_or_when_authoritative_there_is_no_such_user() -> None:
    for overrides, default in (([], False), (['sm.authoritative=true'], True)):
        site = Site(*overrides)
        if not default:
            site.cluster.links.stop()  # type: ignore[attr-defined]
        site.say(f"<message to='{STRANGER}' type='chat'><body>hi</body></message>")
        site.say(f"<iq type='get' to='{STRANGER}' id='1'>{QUERY}</iq>")
        assert kinds(site.juliet) == [('message', 'error', STRANGER), ('iq', 'error', STRANGER)]


def test_when_the_default_route_does_not_take_it_the_sender_is_told(site: Site) -> None:
    site.network.router._nodes['cluster-1'].credit = 0
    site.say(f"<message to='{STRANGER}' type='chat'><body>hi</body></message>")
    site.say(f"<iq type='get' to='{STRANGER}/x' id='1'>{QUERY}</iq>")
    site.advance(60)
    assert {*kinds(site.juliet)} == {('message', 'error', STRANGER), ('iq', 'error', f'{STRANGER}/x')}


def test_a_frame_without_hops_goes_no_further(site: Site) -> None:
    gateway = Recorder(site.network.links('gate-1'))
    gateway.links.bind('gate.example.org')
    site.settle()
    for hops in (1, 2):
        stanza = Stanza('message', {'from': 'a@gate.example.org', 'to': STRANGER, 'type': 'chat'})
        gateway.send('example.net', STRANGER, stanza, hops=hops)
    site.settle()
    assert [frame.hops for frame in site.cluster.frames] == [1]


def test_an_sm_serves_its_other_name_as_well() -> None:
    site = Site('sm.name=sms.here')
    assert site.cluster.links.instances('sms.here').keys() == {'sm'}
    site.cluster._kept.send(
        'sms.here', 'juliet@example.net', Stanza('message', {'from': f'{STRANGER}/x', 'to': 'juliet@example.net'})
    )
    site.settle()
    assert kinds(site.juliet) == [('message', None, f'{STRANGER}/x')]
