"""Probes: what who asks gets to know of a user and of single clients (RFC 6121 §4.3.2, §4.6.6)."""

from __future__ import annotations

import re

import pytest

from jabberd_tx.components.sm.hooks import STOP
from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.jid import parse
from jabberd_tx.xmpp.stanza import Stanza
from jabberd_tx.xmpp.writer import to_xml
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_presence import know
from tests.components.sm.test_sm_subscriptions import interested, item_of, seen

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'
BEN = 'ben@other.example'


class Asker:
    """Ben, whose server asks for Juliet's presence."""

    def __init__(self, site: Site, subscription: str | None = 'from', **values: bool) -> None:
        """subscription: Ben's, in Juliet's roster; None: he is not there."""
        self.site = site
        if subscription is not None:
            site.storage.run(rosters.put, JULIET, Item(BEN, subscription=subscription)._replace(**values))
        self.server = Recorder(site.network.links('other-1'))
        self.server.links.bind('other.example')
        site.settle()

    def asks(self, to: str = JULIET, asker: str = BEN, id: str = 'p1') -> list[str]:
        """The answers as XML."""
        self.site.settle()
        self.server.frames.clear()
        probe = Stanza('presence', {'from': asker, 'to': to, 'type': 'probe', 'id': id})
        uid = self.server.send(DOMAIN, parse(to).bare, probe)
        self.site.quiet()
        assert self.server.confirmed == [uid]
        return [to_xml(stanza).decode() for stanza in self.server.stanzas]


UNSUBSCRIBED = [f"<presence from='{JULIET}' to='{BEN}' type='unsubscribed' id='p1'/>"]


# ---- rule 1: who may not see


@pytest.mark.parametrize('to', [JULIET, f'{JULIET}/balcony', f'{JULIET}/nowhere'])
@pytest.mark.parametrize('subscription,pending', [(None, False), ('none', False), ('to', False), ('', True)])
def test_who_has_no_subscription_is_told_so_by_the_bare_jid_and_the_probes_id(
    subscription: str | None, pending: bool, to: str
) -> None:
    site = Site()
    ben = Asker(site, subscription, pending_in=pending)
    juliet = site.c2s().client('juliet', 'balcony')
    assert ben.asks(to) == UNSUBSCRIBED
    assert juliet.stanzas == []


def test_an_account_that_does_not_exist_answers_as_one_that_shows_nothing() -> None:
    ghost = f'ghost@{DOMAIN}'
    assert Asker(Site(), None).asks(ghost) == [answer.replace(JULIET, ghost) for answer in UNSUBSCRIBED]


def test_a_pre_approval_outlives_the_answer_that_there_is_no_subscription() -> None:
    site = Site()
    ben = Asker(site, 'none', approved=True)
    assert ben.asks() == UNSUBSCRIBED
    assert item_of(site, JULIET, BEN) == Item(BEN, subscription='none', approved=True)


# ---- rules 3 and 4: who may


@pytest.mark.parametrize('subscription,ask', [('from', False), ('from', True), ('both', False)])
def test_who_may_see_gets_the_last_presence_of_each_available_client_whole(subscription: str, ask: bool) -> None:
    """With the ids that the clients have given them (§4.3.2.1); never what went to somebody in particular."""
    site = Site()
    ben = Asker(site, subscription, ask=ask)
    c2s = site.c2s()
    one, two = c2s.client('juliet', 'balcony'), c2s.client('juliet', 'chamber')
    c2s.client('juliet', 'cellar', come=False)
    one.send("<presence id='pres1'><show>dnd</show></presence>")
    two.send('<presence><status>1</status></presence>')
    two.send("<presence id='pres2'><priority>-3</priority><x xmlns='y'/></presence>")
    two.send(f"<presence to='{ROMEO}' id='other'><show>xa</show></presence>")
    assert ben.asks() == [
        f"<presence id='pres1' from='{one.jid}' to='{BEN}'><show>dnd</show></presence>",
        f"<presence id='pres2' from='{two.jid}' to='{BEN}'><priority>-3</priority><x xmlns='y'/></presence>",
    ]


def test_a_probe_from_a_full_jid_is_answered_there() -> None:
    """As servers by RFC 3921 ask."""
    site = Site()
    ben = Asker(site)
    juliet = site.c2s().client('juliet', 'balcony')
    assert ben.asks(asker=f'{BEN}/home') == [f"<presence from='{juliet.jid}' to='{BEN}/home'/>"]


def test_a_user_who_was_never_there_is_unavailable_with_the_probes_id() -> None:
    site = Site()
    ben = Asker(site)
    site.c2s().client('juliet', 'cellar', come=False)
    assert ben.asks() == [f"<presence from='{JULIET}' to='{BEN}' type='unavailable' id='p1'/>"]


def test_a_user_who_is_gone_is_unavailable_since_then() -> None:
    site = Site()
    ben = Asker(site)
    juliet = site.c2s().client('juliet', 'balcony')
    site.clock.advance(86_400)
    juliet.send("<presence type='unavailable' id='bye'><status>to Mantua</status></presence>")
    site.settle()
    site.clock.advance(60)
    (answer,) = ben.asks()
    assert answer == (
        f"<presence from='{JULIET}' to='{BEN}' type='unavailable' id='p1'>"
        f"<delay xmlns='urn:xmpp:delay' from='{JULIET}' stamp='1970-01-02T00:00:00.000Z'/></presence>"
    )


def test_when_a_user_left_is_not_told_where_last_activity_is_off() -> None:
    site = Site(modules={'modules.last': type('Values', (), {'enabled': False})()})
    ben = Asker(site)
    site.c2s().client('juliet', 'balcony').leave()
    assert ben.asks() == [f"<presence from='{JULIET}' to='{BEN}' type='unavailable' id='p1'/>"]


# ---- one client


def test_of_a_single_client_only_its_being_there_is_told() -> None:
    site = Site()
    ben = Asker(site)
    c2s = site.c2s()
    juliet = c2s.client('juliet', 'balcony')
    c2s.client('juliet', 'chamber')
    juliet.send("<presence id='pres1'><show>dnd</show><status>busy</status><priority>1</priority></presence>")
    assert ben.asks(juliet.jid) == [f"<presence from='{juliet.jid}' to='{BEN}' id='pres1'/>"]


@pytest.mark.parametrize('resource', ['nowhere', 'cellar'])
def test_a_single_client_that_is_not_available_is_unavailable_itself(resource: str) -> None:
    """Not there at all, or without presence: the answer is from the full JID, for the others may be available."""
    site = Site()
    ben = Asker(site)
    c2s = site.c2s()
    c2s.client('juliet', 'balcony')
    c2s.client('juliet', 'cellar', come=False)
    to = f'{JULIET}/{resource}'
    assert ben.asks(to) == [f"<presence from='{to}' to='{BEN}' type='unavailable' id='p1'/>"]


# ---- who got directed presence


@pytest.mark.parametrize('come', [True, False])
@pytest.mark.parametrize(
    'went_to,asker,told',
    [
        ('/nick', '/nick', True),
        ('', '', True),
        ('', '/nick', True),
        ('/nick', '', False),
        ('/nick', '/other', False),
    ],
)
def test_who_got_directed_presence_of_a_client_is_told_that_it_is_there(
    went_to: str, asker: str, told: bool, come: bool
) -> None:
    """No more than that, and of no other client, whether it asks for the client or for the user."""
    site = Site()
    ben = Asker(site, None)
    c2s = site.c2s()
    juliet = c2s.client('juliet', 'balcony', come=come)
    c2s.client('juliet', 'chamber')
    juliet.send(f"<presence to='{BEN}{went_to}' id='d'><show>away</show></presence>")
    there = [f"<presence from='{juliet.jid}' to='{BEN}{asker}'/>"]
    for to, answer in ((juliet.jid, there), (JULIET, there), (f'{JULIET}/chamber', UNSUBSCRIBED)):
        assert ben.asks(to, BEN + asker) == (answer if told else UNSUBSCRIBED)


@pytest.mark.parametrize('how', ['by directed presence', 'by broadcast', 'by leaving'])
def test_who_got_directed_presence_is_told_nothing_once_it_is_taken_back(how: str) -> None:
    site = Site()
    ben = Asker(site, None)
    juliet = site.c2s().client('juliet', 'balcony')
    juliet.send(f"<presence to='{BEN}'/>")
    assert ben.asks(juliet.jid) == [f"<presence from='{juliet.jid}' to='{BEN}'/>"]
    if how == 'by leaving':
        juliet.leave()
    else:
        juliet.send("<presence type='unavailable'" + (f" to='{BEN}'/>" if how == 'by directed presence' else '/>'))
    assert ben.asks(juliet.jid) == UNSUBSCRIBED


def test_a_subscription_goes_before_directed_presence() -> None:
    site = Site()
    ben = Asker(site, 'both')
    c2s = site.c2s()
    shy, juliet = c2s.client('juliet', 'cellar', come=False), c2s.client('juliet', 'balcony')
    for client in (shy, juliet):
        client.send(f"<presence to='{BEN}'/>")
    juliet.send('<presence><show>chat</show></presence>')
    assert sorted(ben.asks()) == [
        f"<presence from='{juliet.jid}' to='{BEN}'><show>chat</show></presence>",
        f"<presence from='{shy.jid}' to='{BEN}'/>",
    ]


# ---- clients of ours that ask


def test_a_client_of_ours_is_answered_here() -> None:
    """§4.3: it should not ask, and is answered all the same."""
    site = Site()
    know(site, ROMEO, JULIET, 'to')
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet', 'balcony'), c2s.client('romeo', 'r')
    juliet.send('<presence><show>away</show></presence>')
    site.settle()
    romeo.take(), juliet.take()
    for to in (JULIET, juliet.jid, f'{JULIET}/nowhere', ROMEO):
        romeo.send(f"<presence to='{to}' type='probe' id='p1'/>")
    site.quiet()
    assert romeo.xml() == [
        f"<presence from='{juliet.jid}' to='{romeo.jid}'><show>away</show></presence>",
        f"<presence from='{juliet.jid}' to='{romeo.jid}'/>",
        f"<presence from='{JULIET}/nowhere' to='{romeo.jid}' type='unavailable' id='p1'/>",
        f"<presence from='{romeo.jid}' to='{romeo.jid}'/>",
    ]
    assert juliet.stanzas == []


def test_a_client_of_ours_that_may_not_see_learns_that_there_is_no_subscription() -> None:
    """Rule 1: what Romeo's roster says of it ends, as by §3.2.3."""
    site = Site()
    site.storage.run(rosters.put, ROMEO, Item(JULIET, subscription='to'))
    c2s = site.c2s()
    c2s.client('juliet', 'balcony')
    romeo = interested(c2s.client('romeo', 'r'))
    romeo.send(f"<presence to='{JULIET}' type='probe' id='p1'/>")
    site.quiet()
    assert re.search("type='unsubscribed'[^>]* id='p1'", ''.join(romeo.xml()))
    assert seen(romeo) == [f'presence:unsubscribed:{JULIET}', f'push:{JULIET}:none']
    assert item_of(site, ROMEO, JULIET) == Item(JULIET, subscription='none')


@pytest.mark.parametrize('to', [JULIET, f'{JULIET}/balcony', f'ghost@{DOMAIN}', DOMAIN])
def test_a_client_that_believes_in_no_subscription_gets_neither_presence_nor_an_error(to: str) -> None:
    site = Site()
    c2s = site.c2s()
    c2s.client('juliet', 'balcony')
    romeo = interested(c2s.client('romeo', 'r'))
    romeo.send(f"<presence to='{to}' type='probe' id='p1'/>")
    site.quiet()
    assert romeo.stanzas == []


# ---- no answer


def test_without_storage_nobody_is_refused_or_told_anything() -> None:
    site = Site()
    ben = Asker(site)
    romeo = site.c2s().client('romeo', 'r')
    site.sm.rosters.forget_all()
    site.storage.broken = 'out of order'
    romeo.send(f"<presence to='{JULIET}' type='probe'/>")
    assert ben.asks() == []
    assert romeo.stanzas == []
    site.storage.broken = ''
    assert ben.asks() == [f"<presence from='{JULIET}' to='{BEN}' type='unavailable' id='p1'/>"]


def test_modules_may_keep_a_probe_from_being_answered() -> None:
    site = Site()
    ben = Asker(site)
    site.sm.hooks.add('presence_to', lambda stanza, sender, to: STOP if sender.bare == BEN else None)
    assert ben.asks() == []
