"""Messages go where RFC 6121 §8.5 says: every row of its table."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.messages import DELIVER, DROP, REFUSE, STORE, TABLE, choose, row_of
from jabberd_tx.storage import offline
from jabberd_tx.storage.sessions.interface import Session
from tests.components.sm.sm_support import DOMAIN, Site

TYPES = ('normal', 'chat', 'groupchat', 'headline')

# Who gets it: D delivered to the one resource, A to all that take messages, S dropped in silence, E error, O offline.
# Columns as in RFC 6121 §8.5.4, Table 1, in the order of TYPES.
ROWS = {
    'no account, bare': 'EEES',
    'no account, full': 'EEES',
    'nobody online, bare': 'OOES',
    'nobody online, full': 'OOES',
    'only negative, bare': 'OOES',
    'only negative, full match': 'DDDD',
    'only negative, full no match': 'OOES',
    'one, bare': 'DDED',
    'one, full match': 'DDDD',
    'one, full no match': 'DDED',
    'several, bare': 'AAEA',
    'several, full match': 'DDDD',
    'several, full no match': 'AAEA',
}


@pytest.mark.parametrize('row', ROWS)
@pytest.mark.parametrize('column', range(4), ids=TYPES)
def test_every_cell_of_the_table_of_delivery_rules(row: str, column: int) -> None:
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo', 'orchard')
    state, address = row.split(', ')
    online = []
    if state in ('only negative', 'one', 'several'):
        online.append(c2s.client('juliet', 'balcony', priority=-1 if state == 'only negative' else 0))
    if state == 'several':
        online.append(c2s.client('juliet', 'chamber', priority=5))
        c2s.client('juliet', 'garden', priority=-5)
        c2s.client('juliet', 'cellar', come=False)
    user = 'nobody' if state == 'no account' else 'juliet'
    resource = {'bare': '', 'full match': '/balcony'}.get(address, '/elsewhere')
    for client in online:
        client.take()
    number = romeo.chat(f'{user}@{DOMAIN}{resource}', 'hi', TYPES[column])
    site.quiet()
    expected = ROWS[row][column]
    got = [client.resource for client in c2s.clients.values() if client is not romeo and client.bodies() == ['hi']]
    stored = site.storage.run(offline.count, f'{user}@{DOMAIN}').result
    assert (stored, romeo.bodies()) == (int(expected == 'O'), ['error:hi'] if expected == 'E' else [])
    assert got == {'D': ['balcony'], 'A': ['balcony', 'chamber']}.get(expected, [])
    assert number in romeo.confirmed
    if expected == 'E':
        assert 'service-unavailable' in romeo.xml()[-1]


@pytest.mark.parametrize('address', ['', '/balcony', '/elsewhere'])
def test_an_error_reaches_the_full_jid_that_it_is_for_and_is_never_answered(address: str) -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'orchard'), c2s.client('juliet', 'balcony')
    romeo.chat(f'juliet@{DOMAIN}{address}', 'sorry', 'error')
    site.quiet()
    assert juliet.bodies() == (['error:sorry'] if address == '/balcony' else [])
    assert romeo.stanzas == []


def test_with_bare_jid_highest_only_those_of_the_highest_priority_get_it() -> None:
    site = Site(bare_jid='highest')
    c2s = site.c2s()
    romeo = c2s.client('romeo')
    low, high, also = [c2s.client('juliet', f'r{n}', priority=n % 2) for n in (0, 1, 3)]
    romeo.chat(f'juliet@{DOMAIN}', 'chat')
    romeo.chat(f'juliet@{DOMAIN}', 'news', 'headline')
    site.quiet()
    assert (low.bodies(), high.bodies(), also.bodies()) == (['news'], ['chat', 'news'], ['chat', 'news'])


@pytest.mark.parametrize('resources', [1, 2])
def test_the_address_stays_the_bare_jid_for_whomever_gets_it(resources: int) -> None:
    """RFC 6121 §8.5.2.1.1, the last rule."""
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo')
    clients = [c2s.client('juliet', f'r{n}') for n in range(resources)]
    for client in clients:
        client.take()
    romeo.chat(f'juliet@{DOMAIN}', 'hi')
    site.quiet()
    for client in clients:
        assert [stanza.attrs['to'] for stanza in client.stanzas] == [f'juliet@{DOMAIN}']


def test_a_message_without_to_is_for_the_sender_itself() -> None:
    """RFC 6120 §10.3.1: as if it were to the bare JID of the sender."""
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.send("<message id='note'><body>note</body></message>")
    site.quiet()
    assert romeo.bodies() == ['note']


def test_addresses_are_compared_as_they_are_prepared() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet', 'balcony')
    romeo.chat('JULIET@Example.NET/balcony', 'hi')
    site.quiet()
    assert juliet.bodies() == ['hi']


def test_a_message_to_no_jid_is_answered_with_jid_malformed() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    number = romeo.chat('@nowhere@', 'hi')
    site.quiet()
    assert "<error type='modify'><jid-malformed" in romeo.xml()[-1]
    assert number in romeo.confirmed


@pytest.mark.parametrize('kind,answers', [('', 1), ('chat', 1), ('headline', 0), ('error', 0)])
def test_the_server_itself_takes_no_messages(kind: str, answers: int) -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    number = romeo.chat(DOMAIN, 'hi', kind)
    site.quiet()
    assert len(romeo.stanzas) == answers
    assert number in romeo.confirmed


def test_a_message_to_a_domain_that_nobody_serves_is_answered() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.chat('juliet@capulet.example', 'hi')
    site.quiet()
    assert 'remote-server-not-found' in romeo.xml()[-1]


def test_a_chain_of_types_that_nobody_knows_is_treated_as_normal() -> None:
    """RFC 6121 §5.2.2."""
    assert row_of('whatever') is TABLE['normal']
    assert row_of(None) is TABLE['normal']


def session(resource: str, priority: int | None) -> Session:
    made = Session(f'juliet@{DOMAIN}/{resource}', 'c2s-1', b'', resource.encode())
    made.priority = priority
    return made


def test_choosing_is_a_matter_of_type_address_and_priorities() -> None:
    low, high, shy = session('low', 0), session('high', 9), session('shy', None)
    assert choose('chat', '', [low, high, shy]) == (DELIVER, [low, high])
    assert choose('chat', '', [low, high, shy], everybody=False) == (DELIVER, [high])
    assert choose('groupchat', shy.jid, [low, high, shy]) == (DELIVER, (shy,))
    assert choose('groupchat', '', [low]) == (REFUSE, ())
    assert choose(None, 'x/gone', [shy]) == (STORE, ())
    assert choose('error', '', [low]) == (DROP, ())
