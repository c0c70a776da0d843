"""The subscription handshake between two users, as their clients see it (RFC 6121 §3)."""

from __future__ import annotations

import re

from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.xmpp.writer import to_xml
from tests.components.sm.sm_support import DOMAIN, Client, Site

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'


def interested(client: Client) -> Client:
    """It has asked for the roster."""
    client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    client.node.site.settle()
    client.take()
    return client


def seen(client: Client) -> list[str]:
    """What the client got since the last time, in few words: 'presence:TYPE:FROM' and 'push:JID:SUBSCRIPTION:ASK'."""
    client.node.site.settle()
    found = []
    for stanza in client.take():
        if stanza.name == 'presence':
            found.append(f'presence:{stanza.attrs.get("type", "available")}:{stanza.attrs["from"]}')
        elif stanza.name == 'iq' and stanza.attrs['type'] == 'set':
            item = re.search(rb'<item ([^>]*)', stanza.inner)
            attrs = dict(re.findall(r"([\w:]+)='([^']*)'", item[1].decode())) if item else {}
            words = [attrs['jid'], attrs['subscription'], *(['ask'] if 'ask' in attrs else [])]
            found.append('push:' + ':'.join(words + (['approved'] if 'approved' in attrs else [])))
        else:
            found.append(to_xml(stanza).decode())
    return found


def item_of(site: Site, owner: str, contact: str) -> Item | None:
    """As storage has it."""
    items = {item.jid: item for item in site.storage.run(rosters.get, owner).result}
    return items.get(contact)


def two(site: Site) -> tuple[Client, Client]:
    c2s = site.c2s()
    return interested(c2s.client('romeo', 'orchard')), interested(c2s.client('juliet', 'balcony'))


def befriend(site: Site, one: Client, other: Client) -> None:
    """Both see each other."""
    for asker, asked in ((one, other), (other, one)):
        asker.send(f"<presence to='{asked.owner}' type='subscribe'/>")
        site.settle()
        asked.send(f"<presence to='{asker.owner}' type='subscribed'/>")
        site.settle()
    one.take()
    other.take()


def test_asking_and_granting_is_seen_by_both_and_the_contacts_presence_follows() -> None:
    site = Site()
    romeo, juliet = two(site)
    romeo.send(f"<presence to='{JULIET}/balcony' type='subscribe'><nick xmlns='n'>R</nick></presence>")
    assert seen(romeo) == [f'push:{JULIET}:none:ask']
    site.settle()
    (request,) = juliet.take()
    assert to_xml(request).decode() == (
        f"<presence type='subscribe' from='{ROMEO}' to='{JULIET}'><nick xmlns='n'>R</nick></presence>"
    )
    juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    assert seen(juliet) == [f'push:{ROMEO}:from']
    assert seen(romeo) == [
        f'presence:subscribed:{JULIET}', f'push:{JULIET}:to', f'presence:available:{JULIET}/balcony',
    ]  # fmt: skip
    site.quiet()
    assert item_of(site, ROMEO, JULIET) == Item(JULIET, subscription='to')
    assert item_of(site, JULIET, ROMEO) == Item(ROMEO, subscription='from')


def test_a_request_is_shown_to_all_who_are_available_and_its_answer_to_all_who_have_the_roster() -> None:
    """RFC 6121 §3.1.3, §3.1.6."""
    site = Site()
    c2s = site.c2s()
    clients = {}
    for user in ('romeo', 'juliet'):
        clients[user] = {
            'both': interested(c2s.client(user, 'both')),
            'roster': interested(c2s.client(user, 'roster', come=False)),
            'there': c2s.client(user, 'there'),
            'neither': c2s.client(user, 'neither', come=False),
        }
    for client in (*clients['romeo'].values(), *clients['juliet'].values()):
        client.take()
    romeo, juliet = clients['romeo'], clients['juliet']
    romeo['neither'].send(f"<presence to='{JULIET}' type='subscribe'/>")
    assert {name: seen(client) for name, client in juliet.items()} == {
        'both': [f'presence:subscribe:{ROMEO}'], 'roster': [], 'there': [f'presence:subscribe:{ROMEO}'], 'neither': [],
    }  # fmt: skip
    for client in romeo.values():
        seen(client)
    juliet['neither'].send(f"<presence to='{ROMEO}' type='subscribed'/>")
    site.settle()
    granted = [f'presence:subscribed:{JULIET}', f'push:{JULIET}:to']
    assert {name: seen(client)[:2] for name, client in romeo.items() if name in ('both', 'roster')} == {
        'both': granted, 'roster': granted,
    }  # fmt: skip
    for name in ('there', 'neither'):
        assert not [what for what in seen(romeo[name]) if 'subscribed' in what or 'push' in what]


def test_refusing_a_request_leaves_no_trace_of_a_stranger() -> None:
    site = Site()
    romeo, juliet = two(site)
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    seen(romeo), seen(juliet)
    juliet.send(f"<presence to='{ROMEO}' type='unsubscribed'/>")
    assert seen(juliet) == []
    assert seen(romeo) == [f'presence:unsubscribed:{JULIET}', f'push:{JULIET}:none']
    assert item_of(site, JULIET, ROMEO) is None


def test_taking_a_grant_back_hides_first_and_then_says_so() -> None:
    """RFC 6121 §3.2.2."""
    site = Site()
    romeo, juliet = two(site)
    befriend(site, romeo, juliet)
    juliet.send(f"<presence to='{ROMEO}' type='unsubscribed'/>")
    assert seen(juliet) == [f'push:{ROMEO}:to']
    assert seen(romeo) == [
        f'presence:unavailable:{JULIET}/balcony', f'presence:unsubscribed:{JULIET}', f'push:{JULIET}:from',
    ]  # fmt: skip


def test_unsubscribing_ends_it_and_the_contact_goes_from_sight() -> None:
    """RFC 6121 §3.3.3."""
    site = Site()
    romeo, juliet = two(site)
    befriend(site, romeo, juliet)
    romeo.send(f"<presence to='{JULIET}' type='unsubscribe'/>")
    assert seen(romeo) == [f'push:{JULIET}:from', f'presence:unavailable:{JULIET}/balcony']
    assert seen(juliet) == [f'presence:unsubscribe:{ROMEO}', f'push:{ROMEO}:to']


def test_a_request_waits_for_whom_nobody_is_online_and_is_shown_at_each_login_until_it_is_answered() -> None:
    site = Site()
    c2s = site.c2s()
    romeo = interested(c2s.client('romeo', 'orchard'))
    romeo.send(f"<presence to='{JULIET}' type='subscribe' id='q'/>")
    site.settle()
    for resource in ('one', 'two'):
        juliet = c2s.start('juliet', resource).come()
        assert f'presence:subscribe:{ROMEO}' in seen(juliet)
        juliet.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        assert seen(juliet)[0].endswith("<query xmlns='jabber:iq:roster' ver='0'></query></iq>")
    juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    site.settle()
    later = c2s.start('juliet', 'three').come()
    assert f'presence:subscribe:{ROMEO}' not in seen(later)
    site.quiet()


def test_a_request_that_waits_is_kept_whole_and_shown_once_however_often_it_came() -> None:
    """RFC 6121 §3.1.3: with what else was in it; the first one stays."""
    site = Site()
    c2s = site.c2s()
    romeo = interested(c2s.client('romeo', 'orchard'))
    for nick in ('R', 'M', 'B'):
        romeo.send(f"<presence to='{JULIET}' type='subscribe' id='q'><nick xmlns='n'>{nick}</nick></presence>")
        site.settle()
    juliet = c2s.start('juliet', 'balcony').come()
    site.settle()
    requests = [xml for xml in juliet.xml() if "type='subscribe'" in xml]
    assert requests == [
        f"<presence to='{JULIET}' type='subscribe' id='q' from='{ROMEO}'><nick xmlns='n'>R</nick></presence>"
    ]


def test_a_request_that_is_repeated_is_shown_once() -> None:
    site = Site()
    romeo, juliet = two(site)
    for _ in range(3):
        romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    assert seen(juliet) == [f'presence:subscribe:{ROMEO}']
    assert seen(romeo) == [f'push:{JULIET}:none:ask']


def test_a_request_of_who_is_subscribed_already_is_granted_by_the_server() -> None:
    site = Site()
    romeo, juliet = two(site)
    befriend(site, romeo, juliet)
    # Romeo's server has lost what it knew.
    site.storage.run(rosters.remove, ROMEO, JULIET)
    site.sm.rosters.forget(ROMEO)
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    assert seen(romeo) == [
        f'push:{JULIET}:none:ask', f'presence:subscribed:{JULIET}', f'push:{JULIET}:to',
        f'presence:available:{JULIET}/balcony',
    ]  # fmt: skip
    assert seen(juliet) == []


def test_who_is_approved_ahead_gets_the_grant_without_the_user() -> None:
    """RFC 6121 §3.4."""
    site = Site()
    romeo, juliet = two(site)
    juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    assert seen(juliet) == [f'push:{ROMEO}:none:approved']
    assert seen(romeo) == []
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    assert seen(juliet) == [f'push:{ROMEO}:from']
    assert seen(romeo)[1:] == [
        f'presence:subscribed:{JULIET}', f'push:{JULIET}:to', f'presence:available:{JULIET}/balcony',
    ]  # fmt: skip


def test_an_approval_ahead_can_be_taken_back() -> None:
    site = Site()
    romeo, juliet = two(site)
    juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    juliet.send(f"<presence to='{ROMEO}' type='unsubscribed'/>")
    assert seen(juliet) == [f'push:{ROMEO}:none:approved', f'push:{ROMEO}:none']
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    assert seen(juliet) == [f'presence:subscribe:{ROMEO}']


def test_a_request_to_who_does_not_exist_says_nothing() -> None:
    """RFC 6121 §8.5.1."""
    site = Site()
    romeo, _ = two(site)
    romeo.send(f"<presence to='ghost@{DOMAIN}' type='subscribe'/>")
    assert seen(romeo) == [f'push:ghost@{DOMAIN}:none:ask']
    site.quiet()
    assert site.storage.run(rosters.get, f'ghost@{DOMAIN}').result == []


def test_a_request_to_a_domain_that_nobody_serves_is_refused_and_changes_nothing() -> None:
    site = Site()
    romeo, _ = two(site)
    romeo.send("<presence to='juliet@capulet.example' type='subscribe'/>")
    (error,) = seen(romeo)
    assert error == 'presence:error:juliet@capulet.example'
    assert item_of(site, ROMEO, 'juliet@capulet.example') is None


def test_more_requests_than_may_wait_are_not_kept() -> None:
    site = Site(roster_requests=2)
    c2s = site.c2s()
    for user in ('nurse', 'mercutio', 'tybalt'):
        c2s.client(user).send(f"<presence to='{JULIET}' type='subscribe'/>")
        site.settle()
    waiting = [item for item in site.storage.run(rosters.get, JULIET).result if item.pending_in]
    assert len(waiting) == 2
    assert site.network.metrics.value('jabberd_sm_limited', 'requests') == 1


def test_what_a_contact_says_waits_until_storage_works_again() -> None:
    site = Site()
    romeo, juliet = two(site)
    site.sm.rosters.forget(JULIET)
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    # The change of Romeo's roster is done, then storage fails before Juliet's.
    run, calls = site.storage.run, []

    def fail_for_juliet(operation: object, owner: str, *arguments: object) -> object:
        calls.append(owner)
        site.storage.broken = 'down' if owner == JULIET and len(calls) < 5 else ''
        return run(operation, owner, *arguments)

    site.storage.run = fail_for_juliet
    assert seen(juliet) == []
    assert site.sm.pending()
    site.advance(30)
    assert seen(juliet) == [f'presence:subscribe:{ROMEO}']
    site.quiet()


def test_subscribing_to_oneself_does_nothing() -> None:
    site = Site()
    romeo, _ = two(site)
    number = romeo.send(f"<presence to='{ROMEO}' type='subscribe'/>")
    assert seen(romeo) == []
    assert number in romeo.confirmed
