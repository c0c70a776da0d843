"""What blocking does to presence (XEP-0191)."""

from __future__ import annotations

import pytest

from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Client, Site
from tests.components.sm.test_sm_blocking import REFUSED, block, command
from tests.components.sm.test_sm_iq import ask
from tests.components.sm.test_sm_presence import got, know

ROMEO, JULIET, NURSE, TYBALT = (f'{name}@{DOMAIN}' for name in ('romeo', 'juliet', 'nurse', 'tybalt'))
AWAY = '<presence><status>away</status></presence>'


class Verona:
    """Juliet and Romeo see each other; the nurse sees Juliet, who does not see her; each with one client."""

    def __init__(self) -> None:
        self.site = Site()
        know(self.site, JULIET, ROMEO, 'both')
        know(self.site, JULIET, NURSE, 'from')
        c2s = self.site.c2s()
        self.juliet, self.romeo, self.nurse = (c2s.client(name, 'r') for name in ('juliet', 'romeo', 'nurse'))
        self.site.quiet()
        for client in self.all:
            client.take()

    @property
    def all(self) -> list[Client]:
        return [self.juliet, self.romeo, self.nurse]

    def command(self, name: str, *jids: str) -> list[list[str]]:
        """Juliet blocks or unblocks; the presence that the three get for it."""
        self.juliet.send(f"<iq type='set' id='b'>{command(name, *jids)}</iq>")
        self.site.quiet()
        return [got(client) for client in self.all]

    def subscription(self, owner: str, contact: str) -> str:
        _, items = self.site.storage.run(rosters.load, owner).result
        return next((item.subscription for item in items if item.jid == contact), '')


def test_who_is_blocked_sees_the_user_go_and_come_back() -> None:
    """§3.3, §3.4.  The user is shown the contact's presence again, and nobody else anything; subscriptions stay."""
    verona = Verona()
    assert verona.command('block', ROMEO) == [[], [f'{JULIET}/r unavailable'], []]
    assert verona.command('block', ROMEO) == [[], [], []]
    assert verona.command('unblock', ROMEO) == [[f'{ROMEO}/r available'], [f'{JULIET}/r available'], []]
    assert verona.command('unblock', ROMEO) == [[], [], []]
    assert verona.subscription(JULIET, ROMEO) == verona.subscription(ROMEO, JULIET) == 'both'


def test_who_only_sees_the_user_is_told_and_shows_nothing() -> None:
    verona = Verona()
    assert verona.command('block', NURSE) == [[], [], [f'{JULIET}/r unavailable']]
    assert verona.command('unblock', NURSE) == [[], [], [f'{JULIET}/r available']]


def test_who_may_not_see_the_user_learns_nothing_of_a_block() -> None:
    verona = Verona()
    tybalt = verona.juliet.node.client('tybalt')
    verona.command('block', TYBALT)
    verona.command('unblock', TYBALT)
    assert tybalt.take() == []


def test_each_client_of_either_side_is_seen_to_go_and_come() -> None:
    verona = Verona()
    phone = verona.juliet.node.client('juliet', 'phone')
    walk = verona.juliet.node.client('romeo', 'walk')
    for client in (*verona.all, phone, walk):
        got(client)
    verona.command('block', ROMEO)
    gone = [f'{JULIET}/phone unavailable', f'{JULIET}/r unavailable']
    assert sorted(got(walk)) == gone
    verona.command('unblock')
    assert sorted(got(walk)) == [f'{JULIET}/phone available', f'{JULIET}/r available']
    assert sorted(got(phone)) == [f'{ROMEO}/r available', f'{ROMEO}/walk available']


def test_a_domain_is_all_who_are_there() -> None:
    """But not the user; once, where one of them is blocked already."""
    verona = Verona()
    verona.command('block', NURSE)
    assert verona.command('block', DOMAIN) == [[], [f'{JULIET}/r unavailable'], []]
    assert verona.command('unblock', DOMAIN) == [[f'{ROMEO}/r available'], [f'{JULIET}/r available'], []]


def test_a_resource_is_that_one_alone() -> None:
    """Nor does it see the user again when the rest does."""
    verona = Verona()
    walk = verona.juliet.node.client('romeo', 'walk')
    for client in (*verona.all, walk):
        got(client)
    assert verona.command('block', f'{ROMEO}/walk') == [[], [], []]
    assert got(walk) == [f'{JULIET}/r unavailable']
    verona.juliet.send(AWAY)
    assert got(verona.romeo) == [f'{JULIET}/r <status>away</status>']
    walk.send(AWAY)
    verona.romeo.send(AWAY)
    assert got(walk) == [f'{ROMEO}/walk <status>away</status>', f'{ROMEO}/r <status>away</status>']
    assert got(verona.juliet) == [f'{JULIET}/r <status>away</status>', f'{ROMEO}/r <status>away</status>']
    got(verona.romeo)
    verona.command('block', ROMEO)
    assert got(walk) == []
    assert verona.command('unblock', ROMEO)[1] == [f'{JULIET}/r <status>away</status>']
    assert got(walk) == []


def test_no_presence_passes_a_block_in_either_direction() -> None:
    """Broadcasts, their end, and what a client gets that comes back meanwhile."""
    verona = Verona()
    verona.command('block', ROMEO)
    verona.juliet.send(AWAY)
    verona.romeo.send(AWAY)
    assert got(verona.juliet) == [f'{JULIET}/r <status>away</status>']
    assert got(verona.romeo) == [f'{ROMEO}/r <status>away</status>']
    assert got(verona.nurse) == [f'{JULIET}/r <status>away</status>']
    verona.romeo.leave()
    assert got(verona.juliet) == []
    romeo = verona.romeo.node.start('romeo', 'again')
    romeo.come()
    assert (got(romeo), got(verona.juliet)) == ([f'{ROMEO}/again available'], [])
    verona.juliet.leave()
    assert (got(romeo), got(verona.nurse)) == ([], [f'{JULIET}/r unavailable'])
    juliet = verona.juliet.node.start('juliet', 'again')
    juliet.come()
    assert (got(juliet), got(romeo)) == ([f'{JULIET}/again available'], [])
    assert got(verona.nurse) == [f'{JULIET}/again available']


def test_directed_presence_ends_with_a_block_and_starts_with_none() -> None:
    """And the end of the session tells its receiver nothing more."""
    verona = Verona()
    tybalt = verona.juliet.node.client('tybalt', 'street')
    verona.juliet.send(f"<presence to='{tybalt.jid}'/>")
    assert got(tybalt) == [f'{JULIET}/r available']
    verona.command('block', TYBALT)
    assert got(tybalt) == [f'{JULIET}/r unavailable']
    verona.juliet.send(f"<presence to='{tybalt.jid}' id='d'/>")
    tybalt.send(f"<presence to='{JULIET}'/>")
    tybalt.send(f"<presence to='{verona.juliet.jid}'/>")
    verona.site.quiet()
    (error,) = verona.juliet.xml()
    assert "type='error'" in error and "id='d'" in error and REFUSED in error
    verona.juliet.take()
    verona.command('unblock', TYBALT)
    verona.juliet.leave()
    verona.site.quiet()
    assert tybalt.take() == []


# ---- subscriptions


def test_the_request_of_somebody_blocked_is_dropped() -> None:
    """Without an answer, and for good."""
    verona = Verona()
    tybalt = verona.juliet.node.client('tybalt', 'street')
    verona.command('block', TYBALT)
    tybalt.send(f"<presence to='{JULIET}' type='subscribe'/>")
    assert got(tybalt) == []
    assert verona.command('unblock', TYBALT)[0] == []
    again = verona.juliet.node.start('juliet', 'again')
    again.come()
    assert not [one for one in got(again) if one.startswith('tybalt')]


def test_a_request_from_before_the_block_is_not_shown_at_a_login_until_it_ends() -> None:
    verona = Verona()
    tybalt = verona.juliet.node.client('tybalt', 'street')
    tybalt.send(f"<presence to='{JULIET}' type='subscribe'/>")
    assert got(verona.juliet) == [f'{TYBALT} subscribe']
    for name, shown in (('block', []), ('unblock', [f'{TYBALT} subscribe'])):
        verona.command(name, TYBALT)
        client = verona.juliet.node.start('juliet', name)
        client.come()
        assert [one for one in got(client) if one.startswith('tybalt')] == shown


@pytest.mark.parametrize('kind', ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed', 'unavailable', 'probe'])
def test_what_the_user_sends_to_somebody_blocked_is_refused(kind: str) -> None:
    """And changes nothing."""
    verona = Verona()
    verona.command('block', ROMEO)
    verona.juliet.send(f"<presence to='{ROMEO}' type='{kind}' id='s'/>")
    verona.site.quiet()
    (error,) = verona.juliet.xml()
    assert "type='error'" in error and "id='s'" in error and REFUSED in error
    assert got(verona.romeo) == []
    assert verona.subscription(JULIET, ROMEO) == verona.subscription(ROMEO, JULIET) == 'both'


@pytest.mark.parametrize(
    ('kind', 'theirs', 'mine'), [('unsubscribe', 'from', 'to'), ('unsubscribed', 'to', 'from')]
)
def test_the_end_of_a_subscription_counts_and_is_not_heard_of(kind: str, theirs: str, mine: str) -> None:
    """Both rosters stay in agreement: after a block nobody sees more than both want."""
    verona = Verona()
    verona.command('block', ROMEO)
    verona.romeo.send(f"<presence to='{JULIET}' type='{kind}'/>")
    verona.site.quiet()
    assert got(verona.juliet) == []
    assert (verona.subscription(ROMEO, JULIET), verona.subscription(JULIET, ROMEO)) == (theirs, mine)
    got(verona.romeo)
    shown = verona.command('unblock', ROMEO)
    assert shown[0] == ([f'{ROMEO}/r available'] if mine == 'to' else [])
    assert shown[1] == ([f'{JULIET}/r available'] if mine == 'from' else [])


def test_a_contact_who_is_blocked_can_be_removed() -> None:
    verona = Verona()
    verona.command('block', ROMEO)
    remove = f"<query xmlns='jabber:iq:roster'><item jid='{ROMEO}' subscription='remove'/></query>"
    assert "type='result'" in ask(verona.juliet, remove, kind='set')
    assert (verona.subscription(JULIET, ROMEO), verona.subscription(ROMEO, JULIET)) == ('', 'none')
    assert got(verona.romeo) == []


# ---- other domains


def test_presence_of_other_domains() -> None:
    """Broadcasts, probes either way, and what is told when the block begins and ends."""
    site = Site()
    for name in ('ben', 'ann'):
        site.storage.run(rosters.put, JULIET, Item(f'{name}@other.example', subscription='both'))
    other = Recorder(site.network.links('other-1'))
    other.links.bind('other.example')
    site.settle()
    juliet = site.c2s().client('juliet', 'j')
    other.frames.clear()

    def told() -> list[tuple[str, str]]:
        site.settle()
        found = sorted((stanza.attrs['to'], stanza.attrs.get('type', 'available')) for stanza in other.stanzas)
        other.frames.clear()
        return found

    ben, ann = 'ben@other.example', 'ann@other.example'
    block(juliet, ben)
    assert told() == [(ben, 'unavailable')]
    juliet.send(AWAY)
    assert told() == [(ann, 'available')]
    for asker in (ben, ann):
        other.send(DOMAIN, JULIET, Stanza('presence', {'from': asker, 'to': JULIET, 'type': 'probe'}))
        other.send(DOMAIN, JULIET, Stanza('presence', {'from': f'{asker}/x', 'to': JULIET}))
    assert told() == [(ann, 'available')]
    assert got(juliet) == [f'{JULIET}/j <status>away</status>', f'{ann}/x available']
    phone = juliet.node.client('juliet', 'phone')
    assert told() == [(ann, 'available'), (ann, 'probe')]
    phone.leave()
    assert told() == [(ann, 'unavailable')]
    juliet.send(f"<iq type='set' id='u'>{command('unblock', ben)}</iq>")
    assert told() == [(ben, 'available'), (ben, 'probe')]


# ---- when storage fails


def test_while_a_list_is_not_known_nothing_passes_and_later_it_does() -> None:
    """Presence is kept back, messages are refused for now; once storage works again everything is as always."""
    site = Site()
    know(site, JULIET, ROMEO, 'both')
    c2s = site.c2s()
    romeo = c2s.client('romeo', 'r')
    site.storage.broken = 'on fire'
    juliet = c2s.client('juliet', 'r')
    assert got(romeo) == []
    romeo.chat(juliet.jid, 'a')
    site.quiet()
    (error,) = romeo.xml()
    assert '<resource-constraint ' in error
    romeo.take()
    site.storage.broken = ''
    romeo.chat(juliet.jid, 'b')
    site.quiet()
    assert juliet.bodies() == ['b']
    juliet.come()
    assert got(romeo) == []
    juliet.come()
    assert got(romeo) == [f'{JULIET}/r available']
