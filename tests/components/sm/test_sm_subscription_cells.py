"""Every cell of RFC 6121's appendix A, as it is carried out: what is routed, shown, pushed, answered and remembered."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.subscriptions import GRANTED, STATES, TABLE, TYPES, shown, state_of, with_state
from jabberd_tx.link.frames import CLIENT, Route
from jabberd_tx.storage import rosters
from jabberd_tx.storage.rosters import Item
from jabberd_tx.testing.network import Recorder
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Client, Site, parse_stanza
from tests.components.sm.test_sm_subscriptions import interested, item_of, seen

ROMEO, BEN = f'romeo@{DOMAIN}', 'ben@other.example'
REQUEST = parse_stanza('<presence/>').with_attrs(from_=BEN, to=ROMEO, type='subscribe')


def item_in(state: str, **values: object) -> Item | None:
    """Ben in Romeo's roster, in that state."""
    return with_state(Item(BEN, request=REQUEST.pack())._replace(**values), state)  # type: ignore[arg-type]


class Scene:
    """Romeo here, Ben at another domain; what is said between the servers is in `wire`, as 'TYPE FROM'."""

    def __init__(self, item: Item | None) -> None:
        self.site = Site()
        self.other = Recorder(self.site.network.links('other-1'))
        self.other.links.bind('other.example')
        if item is not None:
            self.site.storage.run(rosters.put, ROMEO, item)
        self.before = item
        c2s = self.site.c2s()
        self.romeo: Client = interested(c2s.client('romeo', 'r'))
        self.site.settle()
        self.romeo.take()
        self.other.frames.clear()

    def wire(self) -> list[str]:
        self.site.quiet()
        found = [f'{stanza.attrs.get("type", "available")} {stanza.attrs["from"]}' for stanza in self.other.stanzas]
        assert all(stanza.attrs['to'] == BEN for stanza in self.other.stanzas)
        self.other.frames.clear()
        return found

    def push(self) -> list[str]:
        """What Romeo's client must have been pushed, as test_sm_subscriptions.seen tells it."""
        old, new = shown(self.before), shown(item_of(self.site, ROMEO, BEN))
        if old == new:
            return []
        assert new is not None, 'no subscription stanza removes an item'
        words = ['push', BEN, new.subscription, *(['ask'] if new.ask else []), *(['approved'] if new.approved else [])]
        return [':'.join(words)]

    def sends(self, kind: str) -> None:
        self.romeo.send(f"<presence to='{BEN}/x' type='{kind}'/>")
        self.site.settle()

    def gets(self, kind: str) -> None:
        self.other.send(DOMAIN, ROMEO, Stanza('presence', {'from': BEN, 'to': ROMEO, 'type': kind}))
        self.site.settle()


@pytest.mark.parametrize('kind', TYPES)
@pytest.mark.parametrize('state', STATES)
def test_what_a_user_sends_is_routed_and_changes_the_roster_as_the_table_says(kind: str, state: str) -> None:
    """§A.2: the stanza goes out from the bare JID or not at all; presence goes with a grant and before its end; the
    roster changes, and the change is pushed."""
    cell = TABLE[kind][state]
    scene = Scene(item_in(state))
    scene.sends(kind)
    expected = [f'{kind} {ROMEO}'] if cell.route else []
    if kind == 'subscribed' and cell.route:
        expected.append(f'available {ROMEO}/r')
    elif kind == 'unsubscribed' and state in ('from', 'from+out', 'both'):
        expected.insert(0, f'unavailable {ROMEO}/r')
    assert scene.wire() == expected
    assert state_of(item_of(scene.site, ROMEO, BEN)) == cell.sent
    approved = kind == 'subscribed' and state in GRANTED
    item = item_of(scene.site, ROMEO, BEN)
    assert item is not None and item.approved == approved
    assert seen(scene.romeo) == scene.push()


@pytest.mark.parametrize('kind', TYPES)
@pytest.mark.parametrize('state', STATES)
def test_what_comes_is_shown_answered_and_changes_the_roster_as_the_table_says(kind: str, state: str) -> None:
    """§A.3: the user sees the stanza before the push or not at all; the server answers for the user or does not; who
    has unsubscribed sees the user go."""
    cell = TABLE[kind][state]
    scene = Scene(item_in(state))
    scene.gets(kind)
    expected = [f'{cell.answer} {ROMEO}'] if cell.answer else []
    if kind == 'subscribe' and cell.answer:
        expected.append(f'available {ROMEO}/r')
    elif kind == 'unsubscribe' and state in ('from', 'from+out', 'both'):
        expected.append(f'unavailable {ROMEO}/r')
    assert scene.wire() == expected
    item = item_of(scene.site, ROMEO, BEN)
    assert state_of(item) == cell.come
    assert item is not None and bool(item.request) == ('in' in cell.come.split('+'))
    assert seen(scene.romeo) == [f'presence:{kind}:{BEN}'] * cell.deliver + scene.push()


@pytest.mark.parametrize('kind', TYPES)
def test_of_a_contact_that_is_not_in_the_roster_only_what_counts_is_remembered(kind: str) -> None:
    """The cells of 'none' where there is no item at all: a request out and a pre-approval make one that is seen, a
    request in makes one that is not, the rest makes none."""
    out, into = Scene(None), Scene(None)
    out.sends(kind)
    into.gets(kind)
    assert out.wire() == ([f'{kind} {ROMEO}'] if TABLE[kind]['none'].route else [])
    assert into.wire() == []
    made, heard = item_of(out.site, ROMEO, BEN), item_of(into.site, ROMEO, BEN)
    assert made == {
        'subscribe': Item(BEN, ask=True), 'subscribed': Item(BEN, approved=True),
    }.get(kind)  # fmt: skip
    assert seen(out.romeo) == out.push()
    assert (heard is not None and heard.subscription == '' and heard.pending_in) == (kind == 'subscribe')
    assert seen(into.romeo) == ([f'presence:subscribe:{BEN}'] if kind == 'subscribe' else [])


@pytest.mark.parametrize('kind', TYPES)
def test_of_a_stranger_that_waits_for_an_answer_nothing_is_pushed_until_it_is_granted(kind: str) -> None:
    """The cells of 'none + pending in' where the contact is not in the roster (§3.1.3, §3.3.3)."""
    stranger = item_in('none+in', subscription='')
    assert stranger is not None and stranger.subscription == ''
    scene = Scene(stranger)
    scene.gets(kind)
    assert seen(scene.romeo) == ([f'presence:unsubscribe:{BEN}'] if kind == 'unsubscribe' else [])
    left = item_of(scene.site, ROMEO, BEN)
    assert left == (None if kind == 'unsubscribe' else stranger)
    scene = Scene(stranger)
    scene.sends(kind)
    assert state_of(item_of(scene.site, ROMEO, BEN)) == TABLE[kind]['none+in'].sent
    assert seen(scene.romeo) == scene.push()


@pytest.mark.parametrize('state', GRANTED)
def test_a_pre_approved_contact_is_granted_its_request_without_the_user(state: str) -> None:
    """§3.4.2: the request is not shown, 'subscribed' and presence go back, the push lacks the approval it used up."""
    scene = Scene(item_in(state, approved=True))
    scene.gets('subscribe')
    assert scene.wire() == [f'subscribed {ROMEO}', f'available {ROMEO}/r']
    assert state_of(item_of(scene.site, ROMEO, BEN)) == GRANTED[state]
    assert seen(scene.romeo) == scene.push() != []


@pytest.mark.parametrize('state', GRANTED)
def test_unsubscribed_takes_a_pre_approval_back_and_goes_nowhere(state: str) -> None:
    """§3.4.2, the last note; the state stays."""
    scene = Scene(item_in(state, approved=True))
    scene.sends('unsubscribed')
    assert scene.wire() == []
    assert state_of(item_of(scene.site, ROMEO, BEN)) == state
    assert seen(scene.romeo) == scene.push() != []


def test_what_changes_another_users_roster_goes_to_the_sm_that_serves_that_user() -> None:
    """Beside another sm: each change that is due in Juliet's roster arrives there, under her bare JID, and is not
    made here."""
    site = Site()
    peer = Recorder(site.network.links('sm-2'))
    peer.links.bind(DOMAIN, 'to')
    site.settle()
    c2s = site.c2s()
    clients = [c2s.start(f'user{number}', 'r') for number in range(20)]
    client = next(client for client in clients if client.pin == 'sm-1')
    romeo, juliet = client.owner, next(client.owner for client in clients if not client.pin)
    peer.frames.clear()
    for kind in (*TYPES, 'subscribe'):
        client.send(f"<presence to='{juliet}' type='{kind}'/>")
    item = f"<item jid='{juliet}' subscription='remove'/>"
    client.send(f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
    site.settle()
    frames = [frame for frame in peer.frames if isinstance(frame, Route)]
    assert [stanza.attrs['type'] for stanza in peer.stanzas] == ['subscribe', 'unsubscribe'] * 2
    assert {(frame.dest, frame.key, frame.flags & CLIENT) for frame in frames} == {(DOMAIN, juliet, 0)}
    assert {stanza.attrs['from'] for stanza in peer.stanzas} == {romeo}
    assert site.storage.run(rosters.get, juliet).result == []
