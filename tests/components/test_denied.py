"""What a filter rule denies is answered with its error, whoever sent it; what nobody serves has a default route."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.routing.filters import FILTERS, FilterRules
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.testing.memory_server import MemoryServer
from jabberd_tx.xmpp.stanza import Stanza

JULIET, ROMEO = 'juliet@example.net', 'romeo@example.net'


def rule(**options: Any) -> SimpleNamespace:
    values = FILTERS.defaults()
    for name, value in options.items():
        setattr(values, name.rstrip('_'), value)
    return values


class Notes(StanzaComponent):
    """Keeps what comes to it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.came: list[Stanza] = []
        self.answers: list[Stanza] = []

    def message(self, stanza: Stanza) -> None:
        self.came.append(stanza)

    def presence(self, stanza: Stanza) -> None:
        self.came.append(stanza)

    def iq(self, stanza: Stanza) -> None:
        self.came.append(stanza)

    def answered(self, stanza: Stanza) -> None:
        self.answers.append(stanza)


class Site(MemoryServer):
    """juliet and romeo, and a component notes.example.net."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.juliet, self.romeo = self.client('juliet', 'a'), self.client('romeo', 'a', acks=True)
        links = self.network.links('notes-1')
        self.notes = Notes(links, 'notes.example.net', self.clock)
        self.notes.links.bind('notes.example.net', **options)  # type: ignore[arg-type]
        links.start()
        self.settle()
        self.juliet.inbox.clear()
        self.romeo.inbox.clear()

    def rules(self, *rules: SimpleNamespace) -> None:
        self.network.router.filter_by(FilterRules(rules))


@pytest.fixture
def site() -> Site:
    return Site()


def errors(client: XmppClient) -> list[tuple[str, str, str]]:
    """(kind, from, condition) of the errors that came, and nothing else."""
    found = []
    for stanza in client.inbox:
        assert stanza.attrs['type'] == 'error', stanza
        condition = stanza.xml_of(stanza.children[-1]).partition(b'<error')[2].partition(b'><')[2].partition(b' ')[0]
        found.append((stanza.name, stanza.attrs['from'], condition.decode()))
    return found


def test_a_clients_message_is_answered_by_its_c2s_and_the_next_one_passes(site: Site) -> None:
    site.rules(rule(to=[JULIET], type=['normal'], condition='forbidden'))
    site.romeo.send(f"<message to='{JULIET}' id='1'><body>psst</body></message>")
    site.romeo.send(f"<message to='{JULIET}' type='chat' id='2'><body>hi</body></message>")
    site.settle()
    assert errors(site.romeo) == [('message', JULIET, 'forbidden')]
    assert [stanza.attrs['id'] for stanza in site.juliet.inbox] == ['2']
    assert sum(len(one.unconfirmed) for one in site.c2s.sessions.values()) == 0 and site.sm.pending() == 0


def test_an_iq_and_directed_presence_are_answered_too_and_a_result_is_not(site: Site) -> None:
    site.rules(rule(to=[f'{JULIET}/a']))
    site.romeo.send(f"<iq type='get' to='{JULIET}/a' id='1'><query xmlns='jabber:iq:version'/></iq>")
    site.romeo.send(f"<presence to='{JULIET}/a'/>")
    site.romeo.send(f"<iq type='result' to='{JULIET}/a' id='x'/>")
    site.settle()
    assert errors(site.romeo) == [('iq', f'{JULIET}/a', 'not-allowed'), ('presence', f'{JULIET}/a', 'not-allowed')]
    assert not site.juliet.inbox and sum(len(one.unconfirmed) for one in site.c2s.sessions.values()) == 0


def test_presence_is_not_shown_to_whom_it_is_denied(site: Site) -> None:
    """The broadcast reaches the user's own other clients all the same."""
    other = site.client('romeo', 'b')
    site.romeo.inbox.clear()
    site.rules(rule(to=[f'{ROMEO}/b'], kind=['presence']))
    site.romeo.send('<presence><show>away</show></presence>')
    site.settle()
    assert len(site.romeo.inbox) == 1 and not other.inbox


def test_what_the_session_manager_may_not_pass_on_is_answered_to_the_sender(site: Site) -> None:
    """A rule that came after the message had passed the router for the first time: as if on another router."""
    sm_route = site.network.router.route

    def first_hop_only(port: Any, frame: Any, raw: Any, size: int) -> None:
        site.rules(*([] if port.node == 'c2s' else [rule(from_=[ROMEO])]))
        sm_route(port, frame, raw, size)

    site.sm.links._last_link._route = first_hop_only  # type: ignore[attr-defined]
    for kind in ('chat', 'normal'):
        site.romeo.send(f"<message to='{JULIET}' type='{kind}'><body>hi</body></message>")
    site.romeo.send(f"<iq type='get' to='{JULIET}/a' id='1'><query xmlns='jabber:iq:version'/></iq>")
    site.romeo.send("<message to='notes.example.net'><body>hi</body></message>")
    site.romeo.send("<iq type='get' to='notes.example.net' id='2'><query xmlns='jabber:iq:version'/></iq>")
    site.settle()
    assert sorted(errors(site.romeo)) == [
        ('iq', f'{JULIET}/a', 'not-allowed'), ('iq', 'notes.example.net', 'not-allowed'),
        ('message', JULIET, 'not-allowed'), ('message', JULIET, 'not-allowed'),
        ('message', 'notes.example.net', 'not-allowed'),
    ]  # fmt: skip
    assert not site.juliet.inbox and not site.notes.came and site.sm.pending() == 0


def test_a_message_to_several_clients_is_refused_only_when_none_of_them_gets_it(site: Site) -> None:
    other = site.client('juliet', 'b')
    site.juliet.inbox.clear()
    site.romeo.send(f"<message to='{JULIET}' type='chat' id='1'><body>hi</body></message>")
    site.settle()
    assert (len(site.juliet.inbox), len(other.inbox)) == (1, 1) and not site.romeo.inbox


def test_a_component_hears_of_it_as_of_any_error(site: Site) -> None:
    site.rules(rule(from_=['notes.example.net'], condition='policy-violation'))
    for to in (JULIET, ROMEO):
        site.notes.send(Stanza('message', {'to': to, 'id': to}))
    site.notes.send(Stanza('message', {'to': JULIET, 'type': 'error'}))
    site.advance(5)
    assert [(stanza.attrs['from'], stanza.attrs['type']) for stanza in site.notes.answers] == [
        (JULIET, 'error'), (ROMEO, 'error'),
    ]  # fmt: skip
    assert b'<policy-violation' in site.notes.answers[0].inner and len(site.notes._kept) == 0


# ---- the default route


def test_what_is_for_other_domains_goes_to_the_default_route() -> None:
    site = Site(default=True)
    site.romeo.send("<message to='tybalt@example.org'><body>hi</body></message>")
    site.romeo.send("<presence to='tybalt@example.org/x'/>")
    site.romeo.send("<iq type='get' to='example.org' id='1'><query xmlns='jabber:iq:version'/></iq>")
    site.romeo.send("<presence type='subscribe' to='tybalt@example.org'/>")
    site.advance(1)
    assert sorted(stanza.attrs['to'] for stanza in site.notes.came) == [
        'example.org', 'tybalt@example.org', 'tybalt@example.org', 'tybalt@example.org/x',
    ]  # fmt: skip
    assert site.sm.pending() == 0


def test_without_one_there_is_no_such_server(site: Site) -> None:
    site.romeo.send("<message to='tybalt@example.org'><body>hi</body></message>")
    site.settle()
    assert errors(site.romeo) == [('message', 'tybalt@example.org', 'remote-server-not-found')]


def test_when_an_instance_of_the_default_route_goes_what_it_had_goes_to_the_next() -> None:
    site = Site(default=True)
    links = site.network.links('notes-2')
    other = Notes(links, 'notes.example.net', site.clock)
    site.notes.on_route = lambda frame, link: None  # type: ignore[method-assign]
    site.romeo.send("<message to='tybalt@example.org'><body>hi</body></message>")
    site.settle()
    links.bind('notes.example.net', default=True)
    links.start()
    site.settle()
    assert site.sm.pending() == 1
    site.notes.links.stop()  # type: ignore[attr-defined]
    site.advance(5)
    assert [stanza.attrs['to'] for stanza in other.came] == ['tybalt@example.org'] and site.sm.pending() == 0
