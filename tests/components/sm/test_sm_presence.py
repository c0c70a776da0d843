"""Presence: who is told of whom (RFC 6121 §4)."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.presence_stanzas import priority_of
from jabberd_tx.link.frames import Fanout
from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.xmpp.errors import StanzaError
from tests.components.sm.sm_support import DOMAIN, Client, Site, parse_stanza

ROMEO, JULIET, NURSE = [f'{name}@{DOMAIN}' for name in ('romeo', 'juliet', 'nurse')]


def know(site: Site, owner: str, contact: str, subscription: str) -> None:
    """Both rosters have the subscription."""
    mirror = {'to': 'from', 'from': 'to'}.get(subscription, subscription)
    site.storage.run(rosters.put, owner, Item(contact, subscription=subscription))
    site.storage.run(rosters.put, contact, Item(owner, subscription=mirror))


def got(client: Client) -> list[str]:
    """Presence since the last time, as 'FROM TYPE' or 'FROM STATUS'."""
    client.node.site.settle()
    found = []
    for stanza in client.take():
        if stanza.name == 'presence':
            status = stanza.child('jabber:client', 'status')
            word = stanza.attrs.get('type') or (stanza.xml_of(status).decode() if status else 'available')
            found.append(f'{stanza.attrs["from"]} {word}')
    return found


# ---- broadcast


def test_who_comes_is_seen_by_those_who_may_and_sees_those_whom_it_may() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    know(site, ROMEO, NURSE, 'from')
    c2s = site.c2s()
    juliet, nurse, tybalt = c2s.client('juliet', 'j'), c2s.client('nurse', 'n'), c2s.client('tybalt', 't')
    romeo = c2s.start('romeo', 'r')
    romeo.send('<presence><status>here</status></presence>')
    assert got(romeo) == [f'{ROMEO}/r <status>here</status>', f'{JULIET}/j available']
    assert got(juliet) == got(nurse) == [f'{ROMEO}/r <status>here</status>']
    assert got(tybalt) == []
    site.quiet()


def test_presence_is_addressed_to_each_who_gets_it() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    one, two = c2s.client('juliet', 'one'), c2s.client('juliet', 'two')
    one.take()
    c2s.client('romeo', 'r')
    assert one.xml() == [f"<presence from='{ROMEO}/r' to='{one.jid}'/>"]
    assert two.xml() == [f"<presence from='{ROMEO}/r' to='{two.jid}'/>"]


def test_a_broadcast_is_one_frame_for_each_node_with_the_bytes_once() -> None:
    site = Site()
    for user in ('juliet', 'nurse', 'mercutio', 'tybalt'):
        know(site, ROMEO, f'{user}@{DOMAIN}', 'from')
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    for node, users in ((here, ('juliet', 'nurse')), (there, ('mercutio', 'tybalt'))):
        for user in users:
            node.client(user)
    romeo = here.client('romeo')
    here.frames.clear(), there.frames.clear()
    stanza = parse_stanza('<presence><show>away</show></presence>').with_attrs(from_=romeo.jid)
    romeo.say(stanza)
    site.quiet()
    for node, count in ((here, 3), (there, 2)):
        (frame,) = node.frames
        assert isinstance(frame, Fanout)
        assert frame.payload is stanza
        assert len(frame.targets) == count


def test_an_update_is_not_followed_by_everybodys_presence_again() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    juliet = c2s.client('juliet', 'j')
    romeo = c2s.client('romeo', 'r')
    juliet.take()
    romeo.send('<presence><show>dnd</show></presence>')
    assert got(juliet) == [f'{ROMEO}/r available']
    assert got(romeo) == [f'{ROMEO}/r available']


def test_ones_own_clients_see_each_other() -> None:
    site = Site()
    c2s = site.c2s()
    one = c2s.client('romeo', 'one')
    two = c2s.start('romeo', 'two').come()
    assert got(two) == [f'{ROMEO}/two available', f'{ROMEO}/one available']
    assert got(one) == [f'{ROMEO}/two available']
    two.send("<presence type='unavailable'/>")
    assert got(one) == got(two) == [f'{ROMEO}/two unavailable']


def test_contacts_that_may_not_see_are_told_of_no_change() -> None:
    """RFC 6121 §4.4.2, §4.5.2: only those with 'from' or 'both'."""
    site = Site()
    know(site, ROMEO, JULIET, 'to')
    know(site, ROMEO, NURSE, 'none')
    c2s = site.c2s()
    juliet, nurse, romeo = c2s.client('juliet', 'j'), c2s.client('nurse', 'n'), c2s.client('romeo', 'r')
    for xml in ('<presence><show>away</show></presence>', "<presence type='unavailable'/>", '<presence/>'):
        romeo.send(xml)
    romeo.leave()
    assert got(juliet) == got(nurse) == []


def test_who_says_it_goes_hears_it_with_all_of_ones_own_clients_that_are_available() -> None:
    """RFC 6121 §4.5.2: the whole stanza, addressed to each."""
    site = Site()
    know(site, ROMEO, JULIET, 'from')
    c2s = site.c2s()
    one, two, juliet = c2s.client('romeo', 'one'), c2s.client('romeo', 'two'), c2s.client('juliet', 'j')
    shy = c2s.client('romeo', 'shy', come=False)
    clients = (one, two, juliet, shy)
    for client in clients:
        got(client)
    one.send("<presence type='unavailable' id='bye'><status>to Mantua</status><x xmlns='y'/></presence>")
    site.settle()
    for client in (one, two, juliet):
        assert client.xml() == [
            f"<presence type='unavailable' id='bye' from='{one.jid}' to='{client.jid}'>"
            "<status>to Mantua</status><x xmlns='y'/></presence>"
        ]
    assert shy.stanzas == []


def test_who_was_not_there_says_it_goes_to_nobody() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    own, juliet = c2s.client('romeo', 'own'), c2s.client('juliet', 'j')
    romeo = c2s.client('romeo', 'r', come=False)
    got(own)
    romeo.send("<presence type='unavailable'/>")
    assert got(romeo) == got(own) == got(juliet) == []


def test_presence_after_one_has_gone_is_as_the_first() -> None:
    """RFC 6121 §4.5.2: contacts are told, and everybody's presence comes again."""
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    own, juliet, romeo = c2s.client('romeo', 'own'), c2s.client('juliet', 'j'), c2s.client('romeo', 'r')
    romeo.send("<presence type='unavailable'/>")
    for client in (own, juliet, romeo):
        got(client)
    romeo.send('<presence/>')
    assert got(juliet) == got(own) == [f'{ROMEO}/r available']
    assert got(romeo) == [f'{ROMEO}/r available', f'{ROMEO}/own available', f'{JULIET}/j available']


def test_who_has_sent_no_presence_gets_none_of_others_and_is_seen_by_nobody() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    romeo = c2s.client('romeo', 'r', come=False)
    juliet = c2s.client('juliet', 'j')
    assert got(romeo) == []
    romeo.leave()
    assert got(juliet) == []


@pytest.mark.parametrize('how', ['says so', 'ends its stream', 'is gone with its node'])
def test_who_goes_is_seen_to_go_once(how: str) -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = there.client('romeo', 'r'), here.client('juliet', 'j')
    got(juliet)
    if how == 'says so':
        romeo.send("<presence type='unavailable'><status>bye</status></presence>")
        site.settle()
        assert 'bye' in juliet.xml()[-1]
        romeo.leave()
    elif how == 'ends its stream':
        romeo.leave()
    else:
        there.links.lose(0)
    assert got(juliet) == [f'{ROMEO}/r unavailable']
    site.quiet()


def test_the_sessions_of_a_lost_node_end_a_few_a_turn_but_all() -> None:
    site = Site(users=[f'u{n}' for n in range(50)])
    there = site.c2s('c2s-2')
    for n in range(50):
        there.client(f'u{n}')
    there.links.lose(0)
    site.settle()
    site.advance(1)
    assert site.sessions.count() == 0
    site.quiet()


def test_without_storage_one_is_at_least_seen_by_ones_own_clients() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    one = c2s.client('romeo', 'one')
    site.sm.rosters.forget_all()
    site.storage.broken = 'out of order'
    two = c2s.start('romeo', 'two').come()
    assert f'{ROMEO}/two available' in got(one)
    site.storage.broken = ''
    assert two.stanzas == [] or got(two)
    site.quiet()


# ---- priority


@pytest.mark.parametrize(
    'inner,priority',
    [
        ('', 0),
        ('<show>away</show>', 0),
        ('<priority>5</priority>', 5),
        ('<priority> -128 </priority>', -128),
        ('<priority>+127</priority>', 127),
        ('<priority>&#49;</priority>', 1),
        ("<priority xmlns='jabber:client'>7</priority>", 7),
        ("<priority xmlns='other'>x</priority>", 0),
        ('<priority>128</priority>', None),
        ('<priority>-129</priority>', None),
        ('<priority>high</priority>', None),
        ('<priority/>', None),
        ('<priority>1.5</priority>', None),
        ('<priority>1</priority><priority>2</priority>', None),
    ],
)
def test_priorities_are_whole_numbers_of_one_byte(inner: str, priority: int | None) -> None:
    stanza = parse_stanza(f'<presence>{inner}</presence>')
    if priority is None:
        with pytest.raises(StanzaError, match='bad-request'):
            priority_of(stanza)
    else:
        assert priority_of(stanza) == priority


def test_presence_with_a_bad_priority_is_refused_and_changes_nothing() -> None:
    site = Site()
    romeo = site.c2s().client('romeo', come=False)
    number = romeo.send('<presence><priority>999</priority></presence>')
    site.quiet()
    assert 'bad-request' in romeo.xml()[-1]
    assert number in romeo.confirmed
    assert site.sessions.peek(ROMEO)[0].presence is None


@pytest.mark.parametrize(
    'xml', ["<presence type='subscribe'/>", "<presence type='invisible' to='juliet@example.net'/>"]
)
def test_presence_of_no_such_type_or_for_nobody_is_a_bad_request(xml: str) -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.send(xml)
    site.quiet()
    assert 'bad-request' in romeo.xml()[-1]


# ---- what is on the way


def test_presence_goes_again_over_another_link_when_one_is_lost() -> None:
    site = Site(routers=2)
    know(site, ROMEO, JULIET, 'both')
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    juliet = there.client('juliet', 'j')
    romeo = here.client('romeo', 'r')
    site.quiet()
    got(juliet)
    there.holding = True
    romeo.send('<presence><status>1</status></presence>')
    romeo.send('<presence><status>2</status></presence>')
    site.settle()
    index = [links._link for links in site.sm_links.all].index(site.sm_links.pick(ROMEO))
    site.sm_links.lose(index)
    site.settle()
    there.release()
    assert got(juliet) == [f'{ROMEO}/r <status>1</status>', f'{ROMEO}/r <status>2</status>']
    site.quiet()


def test_presence_for_sessions_that_are_gone_is_dropped() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    juliet, romeo = there.client('juliet', 'j'), here.client('romeo', 'r')
    juliet.live = False
    romeo.send('<presence><status>1</status></presence>')
    site.quiet()
    assert juliet.bodies() == []
