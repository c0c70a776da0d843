"""What is stored is given once, and before anything newer, also where several sms share a store."""

from __future__ import annotations

from jabberd_tx.components.sm.service import OPTIONS, SessionManager
from jabberd_tx.link.frames import OLDER, REPEAT, Route
from jabberd_tx.storage.sessions.interface import Session
from tests.components.sm.sm_support import DOMAIN, Client, ScriptedC2s, SeveralLinks, Site

JULIET = f'juliet@{DOMAIN}'


def add_sm(site: Site, node: str = 'sm-2') -> SeveralLinks:
    """One more, over the same stores; its links."""
    links = SeveralLinks(node, site.routers, site.network)
    sm = SessionManager(
        links, site.storage, site.sessions, [DOMAIN], OPTIONS.defaults(), site.clock, site.network.turn,
        site.network.metrics, {},
    )  # fmt: skip
    links.start()
    sm.start()
    site.settle()
    return links


def pinned(client: Client, node: str) -> Client:
    client.pin = node
    return client


def juliet_comes(site: Site, node: str, there: ScriptedC2s) -> Client:
    """With initial presence that goes to that sm."""
    juliet = pinned(there.start('juliet', 'r'), node)
    juliet.come()
    site.settle()
    return juliet


def session_of(site: Site) -> Session:
    (session,) = site.sessions.peek(JULIET)
    return session


def test_a_message_at_another_sm_waits_until_what_is_stored_is_through() -> None:
    site = Site()
    add_sm(site)
    romeo = pinned(site.c2s().client('romeo'), 'sm-2')
    romeo.chat(JULIET, 'old')
    site.settle()
    there = site.c2s('c2s-2')
    juliet = pinned(there.start('juliet', 'r'), 'sm-1')
    there.holding = True
    juliet.come()
    site.settle()
    assert session_of(site).behind
    romeo.chat(JULIET, 'new')
    romeo.chat(juliet.jid, 'newer')
    site.settle()
    assert [frame.source for frame in there.frames if frame.uid[:16] == romeo.stream] == ['sm-1'], 'the stored one'
    there.release()
    site.advance(5)
    assert juliet.bodies() == ['old', 'new', 'newer']
    assert not session_of(site).behind
    romeo.chat(JULIET, 'newest')
    site.quiet()
    assert juliet.bodies()[-1] == 'newest'


def test_the_claim_of_an_sm_that_is_gone_is_taken_over_at_once() -> None:
    site = Site()
    site.c2s().client('romeo').chat(JULIET, 'old')
    site.settle()
    site.sessions.claim(JULIET, 'offline', 'sm-9 00', 60)
    juliet = juliet_comes(site, 'sm-1', site.c2s('c2s-2'))
    assert juliet.bodies() == ['old']
    site.quiet()


def test_the_claim_of_an_sm_that_lives_is_waited_for() -> None:
    site = Site()
    other = add_sm(site)
    site.c2s().client('romeo').chat(JULIET, 'old')
    site.settle()
    holder = f'sm-2 {other.incarnation.hex()}'
    site.sessions.claim(JULIET, 'offline', holder, 60)
    juliet = juliet_comes(site, 'sm-1', site.c2s('c2s-2'))
    site.advance(30)
    assert juliet.bodies() == []
    site.sessions.release(JULIET, 'offline', holder)
    site.advance(2)
    assert juliet.bodies() == ['old']
    site.quiet()


def test_who_waits_for_a_claim_gives_up_when_its_client_has_gone() -> None:
    site = Site()
    other = add_sm(site)
    romeo = pinned(site.c2s().client('romeo'), 'sm-1')
    site.sessions.claim(JULIET, 'offline', f'sm-2 {other.incarnation.hex()}', 60)
    juliet = juliet_comes(site, 'sm-1', site.c2s('c2s-2'))
    romeo.chat(JULIET, 'hi')
    site.settle()
    juliet.leave()
    site.advance(3)
    assert romeo.confirmed[-1] == romeo.number, 'it is stored'
    site.quiet()


def test_with_a_client_that_is_busy_for_too_long_newer_messages_go_their_way_and_what_is_stored_stays() -> None:
    site = Site(busy_seconds=5)
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'old')
    site.settle()
    there = site.c2s('c2s-2')
    juliet = there.start('juliet', 'r')
    there.bouncing = 'busy'
    juliet.come()
    site.advance(20)
    there.bouncing = ''
    romeo.chat(JULIET, 'new')
    site.advance(20)
    assert juliet.bodies() == ['new']
    assert not session_of(site).behind
    site.quiet()


def test_a_late_confirmation_of_what_was_given_back_says_nothing_of_the_copy_that_goes_to_another_client() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    there = site.c2s('c2s-2')
    first, second = there.client('juliet', 'one', priority=5), there.client('juliet', 'two', priority=1)
    there.holding = True
    number = romeo.chat(first.jid, 'hi')
    site.settle()
    copy, link = there.held.popleft()
    assert isinstance(copy, Route) and copy.key == first.stream
    # The client gets it, and its session ends, before c2s has said that it was passed on.
    first.stanzas, first.uids = [copy.payload], [copy.uid]  # type: ignore[list-item]
    first.give_back(0)
    first.leave()
    site.settle()
    there.links.confirm(copy.source, copy.uid, link)
    site.settle()
    assert number not in romeo.confirmed
    frames = [frame for frame, _ in there.held if isinstance(frame, Route) and frame.uid == copy.uid]
    sent = [(frame.key, frame.flags) for frame in frames]
    assert sent == [(second.stream, REPEAT | OLDER)] * 2, 'for it may have got there already'
    there.release()
    site.quiet()
    assert second.bodies() == ['hi']
    assert number in romeo.confirmed


def test_what_is_stored_waits_for_what_the_client_before_did_not_ack_and_newer_messages_wait_for_both() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    there = site.c2s('c2s-2')
    first = there.client('juliet', 'r')
    romeo.chat(JULIET, 'unacked')
    site.settle()
    first.leave(returns=True)
    site.settle()
    romeo.chat(JULIET, 'stored')
    site.settle()
    juliet = juliet_comes(site, 'sm-1', there)
    romeo.chat(JULIET, 'new')
    site.advance(3)
    assert juliet.bodies() == []
    first.give_back(0)
    site.settle()
    assert juliet.bodies() == ['unacked'], 'it waits for nothing'
    first.have_returned()
    site.advance(3)
    assert juliet.bodies() == ['unacked', 'stored', 'new']
    site.quiet()


def test_nobody_waits_longer_than_so_long_for_what_does_not_come_back() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    there = site.c2s('c2s-2')
    there.client('juliet', 'r').leave(returns=True)
    romeo.chat(JULIET, 'stored')
    site.settle()
    juliet = juliet_comes(site, 'sm-1', there)
    site.advance(10)
    assert juliet.bodies() == []
    site.advance(10)
    assert juliet.bodies() == ['stored']
    site.quiet()


def test_a_session_that_is_replaced_is_waited_for_until_its_c2s_has_ended_it() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    there, elsewhere = site.c2s('c2s-2'), site.c2s('c2s-3')
    first = there.client('juliet', 'r')
    there.holding = True
    juliet = juliet_comes(site, 'sm-1', elsewhere)
    romeo.chat(JULIET, 'new')
    site.advance(5)
    assert juliet.bodies() == []
    there.release()
    site.advance(3)
    assert first.closed is not None and juliet.bodies() == ['new']
    site.quiet()


def test_a_session_that_is_replaced_and_that_its_c2s_does_not_know_gives_nothing_back() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    there = site.c2s('c2s-2')
    there.client('juliet', 'r').live = False
    juliet = juliet_comes(site, 'sm-1', there)
    romeo.chat(JULIET, 'new')
    site.advance(1)
    assert juliet.bodies() == ['new']
    site.quiet()


def test_what_comes_back_while_it_is_being_given_from_storage_stays_stored() -> None:
    """The client that was given it did not ack it: its c2s has confirmed it, which says nothing any more."""
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'stored')
    site.settle()
    there = site.c2s('c2s-2')
    first = there.start('juliet', 'r')
    there.holding = True
    first.come()
    site.settle()
    copy, link = next((frame, link) for frame, link in there.held if frame.uid[:16] == romeo.stream)
    assert isinstance(copy, Route)
    first.stanzas, first.uids = [copy.payload], [copy.uid]  # type: ignore[list-item]
    first.leave(returns=True)
    first.give_back(0)
    site.settle()
    there.links.confirm(copy.source, copy.uid, link)
    first.have_returned()
    there.held.clear()
    there.holding = False
    site.advance(1)
    juliet = juliet_comes(site, 'sm-1', there)
    site.advance(3)
    assert juliet.bodies() == ['stored']
