"""Presence of and for users of other domains, and from a store that has to be asked first (RFC 6121 §4)."""

from __future__ import annotations

import pytest

from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.storage.sessions.memory import MemorySessions
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml
from tests.components.sm import sm_support
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_presence import got, know

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'


def test_contacts_at_a_domain_that_somebody_serves_are_told_and_probed() -> None:
    site = Site()
    site.storage.run(rosters.put, ROMEO, Item('ben@other.example', subscription='both'))
    site.storage.run(rosters.put, ROMEO, Item('tim@nowhere.example', subscription='both'))
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    site.settle()
    romeo = site.c2s().client('romeo', 'r')
    site.settle()
    assert sorted(to_xml(stanza).decode() for stanza in other.stanzas) == [
        f"<presence from='{ROMEO}' to='ben@other.example' type='probe'/>",
        f"<presence from='{ROMEO}/r' to='ben@other.example'/>",
    ]
    romeo.take()
    answer = Stanza('presence', {'from': 'ben@other.example/x', 'to': ROMEO})
    other.send(DOMAIN, ROMEO, answer)
    assert got(romeo) == ['ben@other.example/x available']
    other.frames.clear()
    romeo.leave()
    site.settle()
    assert [stanza.attrs.get('type') for stanza in other.stanzas] == ['unavailable']


def test_what_comes_from_another_domain_is_for_all_clients_that_are_available() -> None:
    """RFC 6121 §4.4.3, §4.5.3."""
    site = Site()
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    site.settle()
    c2s = site.c2s()
    one, two, shy = c2s.client('romeo', 'one'), c2s.client('romeo', 'two', -1), c2s.client('romeo', 'shy', come=False)
    for client in (one, two):
        got(client)
    for attrs in ({}, {'type': 'unavailable'}):
        other.send(DOMAIN, ROMEO, Stanza('presence', {'from': 'ben@other.example/x', 'to': ROMEO, **attrs}))
    for client in (one, two):
        assert got(client) == ['ben@other.example/x available', 'ben@other.example/x unavailable']
    assert got(shy) == []


def test_an_update_goes_to_other_domains_without_another_probe() -> None:
    site = Site()
    site.storage.run(rosters.put, ROMEO, Item('ben@other.example', subscription='both'))
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    romeo = site.c2s().client('romeo', 'r')
    other.frames.clear()
    romeo.send('<presence><show>away</show></presence>')
    site.settle()
    assert [to_xml(stanza).decode() for stanza in other.stanzas] == [
        f"<presence from='{ROMEO}/r' to='ben@other.example'><show>away</show></presence>"
    ]


def test_presence_of_no_such_type_from_another_domain_is_a_bad_request() -> None:
    """RFC 6121 §4.7.1."""
    site = Site()
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    romeo = site.c2s().client('romeo', 'r')
    uid = other.send(
        DOMAIN, ROMEO, Stanza('presence', {'from': 'ben@other.example', 'to': ROMEO, 'type': 'invisible', 'id': 'x'})
    )
    site.quiet()
    (answer,) = other.stanzas
    assert (answer.attrs['type'], answer.attrs['id'], answer.attrs['to']) == ('error', 'x', 'ben@other.example')
    assert b'bad-request' in answer.inner
    assert other.confirmed == [uid]
    assert romeo.stanzas == []


class Forgetful(MemorySessions):
    """Knows nothing at once, as a store whose cache is empty."""

    __slots__ = ()

    def peek(self, bare: str) -> None:
        return None


def test_a_store_that_has_to_be_asked_first_changes_nothing_of_who_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sm_support, 'MemorySessions', Forgetful)
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    site.storage.run(rosters.put, ROMEO, Item('ben@other.example', subscription='both'))
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    juliet = site.c2s().client('juliet', 'j')
    romeo = site.c2s('c2s-2').start('romeo', 'r').come()
    assert got(romeo) == [f'{ROMEO}/r available', f'{JULIET}/j available']
    romeo.leave()
    assert got(juliet) == [f'{ROMEO}/r available', f'{ROMEO}/r unavailable']
    assert sorted(stanza.attrs.get('type', 'available') for stanza in other.stanzas) == [
        'available', 'probe', 'unavailable',
    ]  # fmt: skip
    site.quiet()
