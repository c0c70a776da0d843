"""IDs that accounts give to messages (XEP-0359)."""

from __future__ import annotations

from typing import Any

import pytest

from jabberd_tx.components.sm.finding import found
from jabberd_tx.components.sm.modules.stanza_ids import ALL, identifier
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Site

JULIET, ROMEO = f'juliet@{DOMAIN}', f'romeo@{DOMAIN}'
ORIGIN = "<origin-id xmlns='urn:xmpp:sid:0' id='o'/>"


def options(**changes: object) -> dict[str, Any]:
    values = found()['stanza_ids'].section().defaults()
    for name, value in changes.items():
        setattr(values, name, value)
    return {'modules.stanza_ids': values}


def ids(stanza: Stanza) -> list[tuple[str, str]]:
    """(by, id) of each stanza-id."""
    return [(one.getAttribute('by'), one.getAttribute('id')) for one in stanza.element.elements(ns.SID, 'stanza-id')]


def messages(stanzas: list[Stanza]) -> list[Stanza]:
    return [stanza for stanza in stanzas if stanza.name == 'message']


def forged(by: str, number: int = 0) -> str:
    return f"<stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='forged{number}'/>"


@pytest.mark.parametrize(
    ('by', 'stays'),
    [
        (JULIET, False),
        ('JULIET@Example.NET', False),
        (ROMEO, False),
        (DOMAIN, False),
        ('room@muc.example.org', True),
        (f'{JULIET}/r', True),
        ('@', True),
    ],
)
@pytest.mark.parametrize('assign', ['stored', 'all'])
def test_ids_in_the_name_of_the_accounts_and_the_server_are_dropped_and_others_stay(
    by: str, stays: bool, assign: str
) -> None:
    site = Site(modules=options(assign=assign))
    romeo, juliet = site.c2s().client('romeo'), site.c2s('c2s-2').client('juliet')
    romeo.send(f"<message to='{JULIET}' type='chat' id='m'>{forged(by)}<body>b</body>{ORIGIN}{forged(by, 1)}</message>")
    site.quiet()
    (message,) = messages(juliet.stanzas)
    assert [one for one in ids(message) if one[1].startswith('forged')] == (
        [(by, 'forged0'), (by, 'forged1')] if stays else []
    )
    assert message.child(ns.SID, 'origin-id') is not None
    assert message.child(ns.CLIENT, 'body') is not None


def test_an_element_of_that_name_in_another_namespace_or_deeper_is_nobodys_business() -> None:
    site = Site()
    romeo, juliet = site.c2s().client('romeo'), site.c2s('c2s-2').client('juliet')
    inner = f"<stanza-id xmlns='u:other' by='{JULIET}'/><x xmlns='u:x'>{forged(JULIET)}</x>"
    romeo.send(f"<message to='{JULIET}' type='chat' id='m'>{inner}</message>")
    site.quiet()
    (message,) = messages(juliet.stanzas)
    assert message.inner.decode() == inner


def test_what_is_stored_gets_one_and_what_is_delivered_none_by_default() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    number = romeo.chat(JULIET, 'stored')
    site.quiet()
    juliet = site.c2s('c2s-2').start('juliet', 'r').come()
    site.quiet()
    romeo.chat(JULIET, 'live')
    site.quiet()
    stored, live = messages(juliet.stanzas)
    assert ids(stored) == [(JULIET, identifier(romeo.stream + number.to_bytes(8, 'big')))]
    assert ids(live) == []


def test_all_that_is_delivered_may_get_one_the_same_for_all_clients_and_also_when_it_comes_back() -> None:
    site = Site(modules=options(assign=ALL))
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    other = site.c2s('c2s-2').client('juliet', 'other')
    juliet.take()
    romeo.chat(JULIET, 'm')
    site.quiet()
    (first,), (second,) = messages(juliet.stanzas), messages(other.stanzas)
    assert len(ids(first)) == 1
    assert ids(first) == ids(second)
    romeo.chat(juliet.jid, 'n')
    site.quiet()
    (_, before) = messages(juliet.stanzas)
    juliet.give_back(len(juliet.stanzas) - 1)
    juliet.leave()
    site.quiet()
    after = messages(other.stanzas)[-1]
    assert after.attrs['id'] == 'n'
    assert ids(after) == ids(before)
    assert len({one for message in (first, before) for one in ids(message)}) == 2


def test_a_message_that_comes_back_and_is_stored_has_one() -> None:
    site = Site()
    romeo, juliet = site.c2s().client('romeo'), site.c2s('c2s-2').client('juliet')
    romeo.chat(JULIET, 'm')
    site.quiet()
    juliet.give_back(0)
    juliet.leave()
    site.quiet()
    again = site.c2s('c2s-3').start('juliet', 'r').come()
    site.quiet()
    (message,) = messages(again.stanzas)
    assert [by for by, _ in ids(message)] == [JULIET]


def test_errors_and_headlines_get_none() -> None:
    site = Site(modules=options(assign=ALL))
    romeo, juliet = site.c2s().client('romeo'), site.c2s('c2s-2').client('juliet')
    for kind in ('error', 'headline'):
        romeo.chat(juliet.jid, kind, kind)
    site.quiet()
    assert [ids(message) for message in messages(juliet.stanzas)] == [[], []]


def test_a_copy_of_what_was_sent_has_no_id_of_the_recipients() -> None:
    site = Site(modules=options(assign=ALL))
    c2s = site.c2s()
    romeo, walk, juliet = c2s.client('romeo'), c2s.client('romeo', 'walk'), c2s.client('juliet')
    walk.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    site.quiet()
    walk.take()
    romeo.chat(juliet.jid, 'm')
    site.quiet()
    (copy,) = messages(walk.stanzas)
    assert b'stanza-id' not in copy.inner
    assert b'stanza-id' in messages(juliet.stanzas)[0].inner


def test_ids_are_advertised_while_they_are_guarded() -> None:
    for enabled in (True, False):
        site = Site(modules=options(enabled=enabled))
        client = site.c2s().client('romeo')
        for to in (DOMAIN, ROMEO):
            client.send(f"<iq type='get' id='d' to='{to}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
        site.quiet()
        assert [ns.SID in answer for answer in client.xml()] == [enabled] * 2
        client.take()
        client.send(f"<message to='{ROMEO}' type='chat' id='m'>{forged(ROMEO)}</message>")
        site.quiet()
        assert (b'forged' in client.stanzas[0].inner) is not enabled
