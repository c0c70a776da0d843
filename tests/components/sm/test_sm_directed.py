"""Directed presence: shown to somebody in particular, and taken back (RFC 6121 §4.6)."""

from __future__ import annotations

import pytest

from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml
from tests.components.sm.sm_support import DOMAIN, Client, Site
from tests.components.sm.test_sm_presence import got, know

ROMEO, JULIET, NURSE = [f'{name}@{DOMAIN}' for name in ('romeo', 'juliet', 'nurse')]
ROOM = 'room@other.example'


def directed(client: Client) -> set[str]:
    """Whom the client's session remembers."""
    site = client.node.site
    site.settle()
    (session,) = [one for one in site.sessions.peek(client.owner) if one.stream == client.stream]
    return set(session.directed)


def elsewhere(site: Site) -> Recorder:
    """The server of other.example."""
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    site.settle()
    return other


def said(site: Site, other: Recorder) -> list[str]:
    """What has come there since the last time, as XML."""
    site.quiet()
    found = [to_xml(stanza).decode() for stanza in other.stanzas]
    other.frames.clear()
    return found


# ---- rule 1: to a contact that sees the user anyway


@pytest.mark.parametrize('subscription', ['from', 'both'])
def test_a_contact_gets_it_whole_and_every_broadcast_after_it_and_one_goodbye(subscription: str) -> None:
    site = Site()
    know(site, ROMEO, JULIET, subscription)
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    got(juliet)
    romeo.send(f"<presence to='{JULIET}' id='d'><status>dear</status><x xmlns='y'/></presence>")
    site.settle()
    assert juliet.xml() == [
        f"<presence id='d' from='{ROMEO}/r' to='{JULIET}'><status>dear</status><x xmlns='y'/></presence>"
    ]
    assert directed(romeo) == set()
    romeo.send('<presence><status>all</status></presence>')
    romeo.leave()
    assert got(juliet) == [
        f'{ROMEO}/r <status>dear</status>', f'{ROMEO}/r <status>all</status>', f'{ROMEO}/r unavailable',
    ]  # fmt: skip


def test_a_contact_that_was_told_that_the_client_is_gone_gets_the_next_broadcast_all_the_same() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'from')
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    romeo.send(f"<presence to='{JULIET}' type='unavailable'/>")
    romeo.send('<presence><status>back</status></presence>')
    assert got(juliet) == [f'{ROMEO}/r unavailable', f'{ROMEO}/r <status>back</status>']


# ---- rule 2: to somebody else


def test_it_is_taken_back_when_the_client_goes() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    romeo.send(f"<presence to='{juliet.jid}'/>")
    romeo.send(f"<presence to='{NURSE}'/>")
    assert got(juliet) == [f'{ROMEO}/r available']
    romeo.leave()
    assert got(juliet) == [f'{ROMEO}/r unavailable']
    site.quiet()


def test_a_stranger_gets_no_broadcast_but_the_goodbye_as_the_client_says_it() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'to')
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    romeo.send(f"<presence to='{JULIET}'><status>you</status></presence>")
    romeo.send('<presence><status>all</status></presence>')
    romeo.send("<presence type='unavailable' id='bye'><status>gone</status></presence>")
    site.quiet()
    assert juliet.xml() == [
        f"<presence from='{ROMEO}/r' to='{JULIET}'><status>you</status></presence>",
        f"<presence type='unavailable' id='bye' from='{ROMEO}/r' to='{JULIET}'><status>gone</status></presence>",
    ]


def test_what_the_client_took_back_itself_is_over() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    romeo.send(f"<presence to='{JULIET}'/>")
    romeo.send(f"<presence to='{JULIET}' type='unavailable'/>")
    assert got(juliet) == [f'{ROMEO}/r available', f'{ROMEO}/r unavailable']
    romeo.send("<presence type='unavailable'/>")
    romeo.leave()
    assert got(juliet) == []


def test_the_goodbye_goes_to_the_very_address_at_another_domain() -> None:
    site = Site()
    other = elsewhere(site)
    romeo = site.c2s().client('romeo', 'r')
    romeo.send(f"<presence to='{ROOM}/nick'/>")
    assert said(site, other) == [f"<presence to='{ROOM}/nick' from='{ROMEO}/r'/>"]
    romeo.leave()
    assert said(site, other) == [f"<presence from='{ROMEO}/r' type='unavailable' to='{ROOM}/nick'/>"]


# ---- rule 3: of a client that is not available


@pytest.mark.parametrize('subscription', ['none', 'from', 'both'])
@pytest.mark.parametrize('before', ['never there', 'gone'])
@pytest.mark.parametrize('how', ['says so', 'leaves'])
def test_of_a_client_that_is_not_available_everybody_is_told_when_it_goes(
    how: str, before: str, subscription: str
) -> None:
    site = Site()
    know(site, ROMEO, JULIET, subscription)
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r', come=before == 'gone'), c2s.client('juliet', 'j')
    if before == 'gone':
        romeo.send("<presence type='unavailable'/>")
    got(juliet)
    romeo.send(f"<presence to='{JULIET}'/>")
    assert got(juliet) == [f'{ROMEO}/r available']
    if how == 'leaves':
        romeo.leave()
    else:
        romeo.send("<presence type='unavailable'/>")
        site.settle()
        romeo.leave()
    assert got(juliet) == [f'{ROMEO}/r unavailable']


def test_ones_own_other_client_is_told_as_well() -> None:
    site = Site()
    c2s = site.c2s()
    one, two = c2s.client('romeo', 'one', come=False), c2s.client('romeo', 'two')
    one.send(f"<presence to='{ROMEO}'/>")
    one.leave()
    assert got(two) == [f'{ROMEO}/one available', f'{ROMEO}/one unavailable']


def test_a_client_that_comes_after_all_says_goodbye_once_to_each() -> None:
    """To contacts and its own by the broadcast, whatever was sent to them before."""
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    juliet, nurse, own = c2s.client('juliet', 'j'), c2s.client('nurse', 'n'), c2s.client('romeo', 'own')
    romeo = c2s.client('romeo', 'r', come=False)
    for to in (JULIET, juliet.jid, NURSE, nurse.jid, ROMEO, own.jid, romeo.jid):
        romeo.send(f"<presence to='{to}'/>")
    romeo.come()
    for client in (juliet, nurse, own, romeo):
        got(client)
    romeo.send("<presence type='unavailable'/>")
    for client in (juliet, nurse, own, romeo):
        assert got(client) == [f'{ROMEO}/r unavailable']
    assert directed(romeo) == set()


def test_a_contacts_client_that_the_broadcast_does_not_reach_gets_its_own_goodbye() -> None:
    """It has not sent presence itself, and got directed presence by its full JID."""
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet', 'j', come=False), c2s.client('romeo', 'r', come=False)
    romeo.send(f"<presence to='{juliet.jid}'/>")
    romeo.come()
    romeo.leave()
    assert got(juliet) == [f'{ROMEO}/r available', f'{ROMEO}/r unavailable']


def test_without_the_roster_those_with_directed_presence_are_told_all_the_same() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet, own = c2s.client('romeo', 'r'), c2s.client('juliet', 'j'), c2s.client('romeo', 'own')
    romeo.send(f"<presence to='{JULIET}'/>")
    got(juliet), got(own)
    site.sm.rosters.forget_all()
    site.storage.broken = 'out of order'
    romeo.leave()
    assert got(juliet) == got(own) == [f'{ROMEO}/r unavailable']
    site.quiet()


# ---- §4.6.1: subscriptions go first


def test_a_stranger_that_becomes_a_contact_gets_broadcasts_and_one_goodbye() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    romeo.send(f"<presence to='{JULIET}'/>")
    juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
    site.settle()
    romeo.send(f"<presence to='{JULIET}' type='subscribed'/>")
    got(juliet)
    romeo.send('<presence><status>all</status></presence>')
    romeo.leave()
    assert got(juliet) == [f'{ROMEO}/r <status>all</status>', f'{ROMEO}/r unavailable']


def test_a_contact_whose_subscription_is_cancelled_sees_the_client_go_whatever_was_sent_to_it() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'from')
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    romeo.send(f"<presence to='{JULIET}'/>")
    got(juliet)
    romeo.send(f"<presence to='{JULIET}' type='unsubscribed'/>")
    assert f'{ROMEO}/r unavailable' in got(juliet)
    romeo.send('<presence/>')
    assert got(juliet) == []


# ---- §4.6.1: the others go


def test_who_is_unavailable_itself_is_not_told_when_the_client_goes() -> None:
    """An occupant that a room has thrown out has nothing to hear of."""
    site = Site()
    other = elsewhere(site)
    romeo = site.c2s().client('romeo', 'r')
    for to in (f'{ROOM}/nick', f'{ROOM}/two', ROOM):
        romeo.send(f"<presence to='{to}'/>")
    for gone in (f'{ROOM}/nick', f'{ROOM}/nobody'):
        other.send(DOMAIN, ROMEO, Stanza('presence', {'from': gone, 'to': romeo.jid, 'type': 'unavailable'}))
    assert directed(romeo) == {f'{ROOM}/two', ROOM}
    said(site, other)
    romeo.leave()
    assert sorted(said(site, other)) == [
        f"<presence from='{ROMEO}/r' type='unavailable' to='{to}'/>" for to in (ROOM, f'{ROOM}/two')
    ]


def test_a_bare_jid_that_is_unavailable_is_so_with_all_of_its_resources() -> None:
    """§4.5.4; for each client that it is said to."""
    site = Site()
    other = elsewhere(site)
    c2s = site.c2s()
    one, two = c2s.client('romeo', 'one'), c2s.client('romeo', 'two')
    for client in (one, two):
        for to in (f'{ROOM}/nick', ROOM, JULIET):
            client.send(f"<presence to='{to}'/>")
    other.send(DOMAIN, ROMEO, Stanza('presence', {'from': ROOM, 'to': one.jid, 'type': 'unavailable'}))
    assert (directed(one), directed(two)) == ({JULIET}, {f'{ROOM}/nick', ROOM, JULIET})
    other.send(DOMAIN, ROMEO, Stanza('presence', {'from': ROOM, 'to': ROMEO, 'type': 'unavailable'}))
    assert directed(two) == {JULIET}


def test_somebody_here_that_takes_presence_back_is_forgotten_too() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo', 'r'), c2s.client('juliet', 'j')
    romeo.send(f"<presence to='{juliet.jid}'/>")
    juliet.send(f"<presence to='{romeo.jid}'/>")
    assert (directed(romeo), directed(juliet)) == ({juliet.jid}, {romeo.jid})
    got(romeo), got(juliet)
    juliet.leave()
    assert got(romeo) == [f'{juliet.jid} unavailable']
    assert directed(romeo) == set()


# ---- limits


def test_directed_presence_to_too_many_is_refused() -> None:
    site = Site(directed=2)
    romeo = site.c2s().client('romeo', 'r')
    for n in (0, 1, 2, 0):
        romeo.send(f"<presence to='u{n}@{DOMAIN}' id='{n}'/>")
    site.quiet()
    assert [(stanza.attrs.get('id'), stanza.attrs.get('type')) for stanza in romeo.stanzas] == [('2', 'error')]
    assert 'policy-violation' in romeo.xml()[0]
    assert site.network.metrics.value('jabberd_sm_limited', 'directed') == 1


def test_clients_that_are_gone_make_room_for_others() -> None:
    site = Site(directed=2)
    c2s = site.c2s()
    romeo, juliet, nurse = c2s.client('romeo', 'r'), c2s.client('juliet', 'j'), c2s.client('nurse', 'n')
    for to in (juliet.jid, nurse.jid):
        romeo.send(f"<presence to='{to}'/>")
    juliet.leave()
    romeo.send(f"<presence to='room@{DOMAIN}'/>")
    site.quiet()
    assert romeo.stanzas == []
    assert directed(romeo) == {nurse.jid, f'room@{DOMAIN}'}


def test_presence_to_nobody_there_is_passed_over() -> None:
    site = Site()
    romeo = site.c2s().client('romeo', 'r')
    romeo.take()
    romeo.send(f"<presence to='{JULIET}/gone'/>")
    romeo.send(f"<presence to='ghost@{DOMAIN}'/>")
    site.quiet()
    assert romeo.stanzas == []
