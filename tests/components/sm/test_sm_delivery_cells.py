"""Presence and IQs go where RFC 6121 §8.5.1 to §8.5.3 say, whoever sends them: every cell.

Messages have theirs in test_sm_messages.py; what is told to probes stands in test_sm_probes.py, what subscriptions do
once they are taken in test_sm_subscription_cells.py, what servers answer for accounts in test_sm_iq.py.
"""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.subscriptions import (
    FROM,
    NONE,
    NONE_IN,
    NONE_OUT,
    SUBSCRIBE,
    SUBSCRIBED,
    TO,
    UNSUBSCRIBE,
    UNSUBSCRIBED,
    state_of,
    with_state,
)
from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml
from tests.components.sm.sm_support import DOMAIN, Client, Site, parse_stanza
from tests.components.sm.test_sm_subscriptions import interested, item_of

JULIET = f'juliet@{DOMAIN}'
BEN = 'ben@other.example'

# D: the one client that the address names; A: all available clients; S: nobody, in silence; E: an error.
PRESENCE = {
    'no account, bare': 'S',
    'no account, full': 'S',
    'nobody online, bare': 'S',
    'nobody online, full': 'S',
    'connected, bare': 'S',
    'connected, full match': 'D',
    'connected, full no match': 'S',
    'available, bare': 'A',
    'available, full match': 'D',
    'available, full no match': 'S',
}
QUESTIONS = {row: 'D' if row.endswith('full match') else 'E' for row in PRESENCE}
ANSWERS = {row: 'D' if row.endswith('full match') else 'S' for row in PRESENCE}


class Scene:
    """Juliet, as a row says, and somebody who sends her something: a user of ours, or of another server."""

    def __init__(self, row: str, sender: str) -> None:
        self.site = Site()
        state, address = row.split(', ')
        self.c2s = self.site.c2s()
        self.clients: list[Client] = []
        if state in ('connected', 'available'):
            self.clients.append(self.c2s.client('juliet', 'balcony', come=state == 'available'))
        if state == 'available':
            self.clients.append(self.c2s.client('juliet', 'chamber', priority=-5))
            self.clients.append(self.c2s.client('juliet', 'cellar', come=False))
        self.other = Recorder(self.site.network.links('other-1'))
        self.other.links.bind('other.example')
        self.romeo = self.c2s.client('romeo', 'orchard')
        self.site.settle()
        for client in self.clients:
            client.take()
        self.other.frames.clear()
        user = f'nobody@{DOMAIN}' if state == 'no account' else JULIET
        self.to = user + {'bare': '', 'full match': '/balcony'}.get(address, '/elsewhere')
        self.here = sender == 'here'

    def sends(self, xml: str) -> tuple[list[str], list[str]]:
        """(the resources that get it, as it was sent; the conditions of errors that come back)."""
        sender = self.romeo.jid if self.here else f'{BEN}/x'
        stanza = parse_stanza(xml).with_attrs(from_=sender, to=self.to)
        if self.here:
            number = self.romeo.say(stanza)
            self.site.quiet()
            assert number in self.romeo.confirmed
            back = self.romeo.take()
        else:
            uid = self.other.send(DOMAIN, parse(self.to).bare, stanza)
            self.site.quiet()
            assert set(self.other.confirmed) == {uid}
            back = self.other.stanzas
        got = []
        for client in self.clients:
            assert client.stanzas in ([], [stanza])
            got += [client.resource] * len(client.stanzas)
        return got, [to_xml(one).decode() for one in back]


def check(row: str, sender: str, xml: str, expected: str) -> None:
    got, back = Scene(row, sender).sends(xml)
    assert got == {'D': ['balcony'], 'A': ['balcony', 'chamber']}.get(expected, [])
    if expected == 'E':
        (error,) = back
        assert "type='error'" in error and "<error type='cancel'><service-unavailable" in error
    else:
        assert back == []


SENDERS = pytest.mark.parametrize('sender', ['here', 'elsewhere'])


# ---- presence


@SENDERS
@pytest.mark.parametrize('kind', ['', " type='unavailable'"], ids=['available', 'unavailable'])
@pytest.mark.parametrize('row', PRESENCE)
def test_presence_goes_to_the_client_named_or_to_all_that_are_available_or_nowhere(
    row: str, kind: str, sender: str
) -> None:
    """§8.5.1, §8.5.2.1.2, §8.5.2.2.2, §8.5.3.1, §8.5.3.2.2; the address stays as it was written."""
    check(row, sender, f"<presence{kind} id='p'><status>hi</status></presence>", PRESENCE[row])


@SENDERS
@pytest.mark.parametrize('row', PRESENCE)
def test_a_probe_is_never_delivered(row: str, sender: str) -> None:
    """It is answered here: with 'unsubscribed', to a server that believes in a subscription, where there is none."""
    scene = Scene(row, sender)
    got, back = scene.sends("<presence type='probe' id='p'/>")
    assert got == []
    answer = f"<presence from='{parse(scene.to).bare}' to='{BEN}' type='unsubscribed' id='p'/>"
    assert back == ([] if sender == 'here' else [answer])


# What each type does to a contact in the state before.
SUBSCRIPTIONS = {
    SUBSCRIBE: (NONE, NONE_IN),
    SUBSCRIBED: (NONE_OUT, TO),
    UNSUBSCRIBE: (FROM, NONE),
    UNSUBSCRIBED: (TO, NONE),
}


@pytest.mark.parametrize('address', ['', '/balcony', '/elsewhere'])
@pytest.mark.parametrize('kind', SUBSCRIPTIONS)
def test_subscriptions_are_the_accounts_and_only_requests_may_be_for_a_client_that_is_not_there(
    kind: str, address: str
) -> None:
    """§8.5.2, §8.5.3: to a full JID that nobody has, all but 'subscribe' is ignored."""
    before, after = SUBSCRIPTIONS[kind]
    site = Site()
    item = with_state(Item(BEN), before)
    if item is not None:
        site.storage.run(rosters.put, JULIET, item)
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    juliet = interested(site.c2s().client('juliet', 'balcony'))
    uid = other.send(DOMAIN, JULIET, Stanza('presence', {'from': BEN, 'to': JULIET + address, 'type': kind}))
    site.quiet()
    taken = address != '/elsewhere' or kind == SUBSCRIBE
    assert uid in other.confirmed
    assert state_of(item_of(site, JULIET, BEN)) == (after if taken else before)
    assert [one.attrs['type'] for one in juliet.stanzas if one.name == 'presence'] == ([kind] if taken else [])


@pytest.mark.parametrize('address', ['', '/elsewhere'])
@pytest.mark.parametrize('kind', SUBSCRIPTIONS)
def test_subscriptions_of_an_account_that_does_not_exist_are_passed_over(kind: str, address: str) -> None:
    """§8.5.1."""
    site = Site()
    ghost = f'ghost@{DOMAIN}'
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    site.settle()
    uid = other.send(DOMAIN, ghost, Stanza('presence', {'from': BEN, 'to': ghost + address, 'type': kind}))
    site.quiet()
    assert (other.stanzas, other.confirmed) == ([], [uid])
    assert item_of(site, ghost, BEN) is None


# ---- IQs


@SENDERS
@pytest.mark.parametrize('kind', ['get', 'set'])
@pytest.mark.parametrize('row', QUESTIONS)
def test_a_question_goes_to_the_client_named_or_is_answered_with_service_unavailable(
    row: str, kind: str, sender: str
) -> None:
    """§8.5.1, §8.5.2.1.3, §8.5.2.2.3, §8.5.3.1, §8.5.3.2.3, for a payload that servers have no answer to.

    One to a full JID that somebody has is delivered to whoever knows it, also without a subscription."""
    check(row, sender, f"<iq type='{kind}' id='q'><query xmlns='unknown'/></iq>", QUESTIONS[row])


@SENDERS
@pytest.mark.parametrize('kind', ['result', 'error'])
@pytest.mark.parametrize('row', ANSWERS)
def test_an_answer_goes_to_the_client_named_or_nowhere(row: str, kind: str, sender: str) -> None:
    """§8.5.3.1; an error is never answered with another one (RFC 6120 §8.3.1)."""
    check(row, sender, f"<iq type='{kind}' id='q'/>", ANSWERS[row])


@SENDERS
@pytest.mark.parametrize('row', [row for row in PRESENCE if row.endswith('bare')])
def test_a_question_that_servers_answer_is_answered_for_the_account_and_never_delivered(row: str, sender: str) -> None:
    """§8.5.2.1.3, §8.5.2.2.3: to those who may see the user, whether a client is there or not; §8.5.1."""
    scene = Scene(row, sender)
    asker = scene.romeo.owner if sender == 'here' else BEN
    scene.site.storage.run(rosters.put, JULIET, Item(asker, subscription='from'))
    scene.site.sm.rosters.forget_all()
    got, (answer,) = scene.sends("<iq type='get' id='q'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
    assert got == []
    if row.startswith('no account'):
        assert "type='error'" in answer and 'service-unavailable' in answer
    else:
        assert "type='result'" in answer and "<identity category='account' type='registered'/>" in answer
