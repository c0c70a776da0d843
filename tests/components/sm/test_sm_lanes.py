"""What bounces, lost links and lost nodes do to messages: nothing is lost, doubled or overtaken."""

from __future__ import annotations

import pytest

from jabberd_tx.components.sm.modules.offline import in_order
from jabberd_tx.link.frames import BUSY, CLIENT, MOVED, NO_SESSION, REPEAT, Route, make_uid
from jabberd_tx.storage import offline
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Site, parse_stanza

JULIET = f'juliet@{DOMAIN}'


def stored(site: Site, owner: str = JULIET) -> list[str]:
    """The ids of what lies in offline storage, in the order in which it is given."""
    rows = site.storage.run(offline.page, owner, 0, 1000).result
    return [Stanza.unpack(row.stanza).attrs['id'] for row in in_order([row for _, row in rows])]


def test_a_message_is_confirmed_when_its_c2s_has_confirmed_it_and_not_before() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    number = romeo.chat(JULIET, 'one')
    site.settle()
    assert number not in romeo.confirmed
    there.release()
    site.quiet()
    assert romeo.confirmed[-1] == number
    assert juliet.bodies() == ['one']


def test_the_stanza_is_passed_on_as_it_is() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    stanza = parse_stanza(f"<message to='{JULIET}'><body>x</body></message>").with_attrs(from_=romeo.jid)
    romeo.say(stanza)
    site.quiet()
    assert juliet.stanzas[-1] is stanza


def test_messages_to_the_bare_and_to_the_full_address_keep_one_order() -> None:
    """RFC 6120 §10.1."""
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    for n in range(20):
        romeo.chat(juliet.jid if n % 3 else JULIET, f'm{n}')
    site.settle()
    there.release()
    site.quiet()
    assert juliet.bodies() == [f'm{n}' for n in range(20)]


def test_messages_to_a_session_that_is_gone_go_to_the_next_in_order_and_nothing_overtakes_them() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo = here.client('romeo')
    gone, other = there.client('juliet', 'gone', priority=5), here.client('juliet', 'other', priority=0)
    there.holding = True
    for n in range(5):
        romeo.chat(gone.jid, f'm{n}')
    site.settle()
    # The session ends while they are on their way; what is sent from now on would go straight to the other one.
    gone.leave()
    site.settle()
    for n in range(5, 8):
        romeo.chat(gone.jid, f'm{n}')
    site.settle()
    assert other.bodies() == []
    there.release(2)
    site.settle()
    there.release()
    site.quiet()
    assert other.bodies() == [f'm{n}' for n in range(8)]
    assert gone.bodies() == []


def test_one_lane_that_is_held_holds_up_no_other() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet, nurse = here.client('romeo'), there.client('juliet'), here.client('nurse')
    there.holding = True
    romeo.chat(JULIET, 'waits')
    juliet.leave()
    site.settle()
    romeo.chat(JULIET, 'waits too')
    number = romeo.chat(f'nurse@{DOMAIN}', 'goes')
    site.settle()
    assert nurse.bodies() == ['goes']
    assert romeo.confirmed[-1] == number
    there.release()
    site.quiet()
    assert stored(site) == ['waits', 'waits too']


def test_the_last_session_gone_means_storage_in_order() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    for n in range(3):
        romeo.chat(JULIET, f'm{n}')
    juliet.leave()
    site.settle()
    romeo.chat(JULIET, 'm3')
    there.release()
    site.quiet()
    assert stored(site) == ['m0', 'm1', 'm2', 'm3']
    assert romeo.confirmed[-4:] == [romeo.number - 3 + n for n in range(4)]


def test_a_c2s_that_does_not_know_a_session_ends_it() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    juliet.live = False  # and never says so
    romeo.chat(JULIET, 'hi')
    site.quiet()
    assert stored(site) == ['hi']
    assert site.sessions.peek(JULIET) == ()


def test_a_message_to_several_sessions_is_settled_when_one_has_it() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo = here.client('romeo')
    one, two, three = here.client('juliet', 'one'), here.client('juliet', 'two'), there.client('juliet', 'three')
    there.holding = True
    number = romeo.chat(JULIET, 'hi')
    site.settle()
    assert number not in romeo.confirmed
    three.live = False
    there.release()
    site.quiet()
    assert number in romeo.confirmed
    assert (one.bodies(), two.bodies(), three.bodies()) == (['hi'], ['hi'], [])
    assert stored(site) == []


def test_several_sessions_that_are_all_gone_mean_storage() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo = here.client('romeo')
    gone = [there.client('juliet', name) for name in ('one', 'two')] + [here.client('juliet', 'three')]
    for client in gone:
        client.live = False
    romeo.chat(JULIET, 'hi')
    site.quiet()
    assert stored(site) == ['hi']


def test_a_busy_node_is_tried_again_and_order_is_kept() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.bouncing = BUSY
    for n in range(4):
        romeo.chat(JULIET, f'm{n}')
    site.settle()
    site.advance(1)
    there.bouncing = ''
    romeo.chat(JULIET, 'm4')
    site.settle()
    assert juliet.bodies() == []
    site.advance(3)
    site.quiet()
    assert juliet.bodies() == ['m0', 'm1', 'm2', 'm3', 'm4']


def test_a_node_that_stays_busy_means_an_error_in_the_end() -> None:
    site = Site(busy_seconds=5.0)
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.bouncing = BUSY
    number = romeo.chat(JULIET, 'hi')
    site.advance(4)
    assert romeo.stanzas == []
    site.advance(6)
    site.quiet()
    assert "<error type='wait'><resource-constraint" in romeo.xml()[-1]
    assert number in romeo.confirmed
    assert juliet.stanzas == []


def test_a_session_that_has_moved_is_looked_up_anew() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), here.client('juliet')
    here.holding = True
    romeo.chat(JULIET, 'hi')
    site.settle()
    # It is resumed at the other node; the first one says so.
    moved = juliet.node.clients.pop(juliet.stream)
    there.clients[juliet.stream] = moved
    incarnation = there.links.incarnation
    site.sessions.update(juliet.stream, JULIET, 0, node='c2s-2', incarnation=incarnation)
    here.holding, here.bouncing = False, MOVED
    here.release()
    site.settle()
    here.bouncing = ''
    site.quiet()
    assert juliet.bodies() == ['hi']


def test_what_a_lost_node_had_goes_elsewhere_and_its_sessions_are_gone() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo = here.client('romeo')
    lost = there.client('juliet', 'lost', priority=9)
    there.holding = True
    other = here.client('juliet', 'other', priority=0)
    romeo.chat(lost.jid, 'm1')
    romeo.chat(lost.jid, 'm2')
    site.settle()
    there.links.lose(0)
    site.settle()
    romeo.chat(lost.jid, 'm3')
    site.quiet()
    assert other.bodies() == ['m1', 'm2', 'm3']
    assert [stanza.attrs['from'] for stanza in other.stanzas if stanza.attrs.get('type') == 'unavailable'] == [lost.jid]
    assert [session.jid for session in site.sessions.peek(JULIET)] == [other.jid]


def test_a_node_that_starts_anew_has_lost_the_sessions_of_its_last_start() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    site.sm.on_up('c2s-2', 'c2s-2', b'another start...')
    site.settle()
    romeo.chat(JULIET, 'hi')
    site.quiet()
    assert juliet.bodies() == []
    assert stored(site) == ['hi']


def test_what_went_over_a_lost_link_goes_again_over_another_and_arrives_once_and_in_order() -> None:
    site = Site(routers=2)
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    for n in range(4):
        romeo.chat(JULIET, f'm{n}')
    site.settle()
    there.release(2)  # delivered, but the sm has not heard of it yet
    there.holding = True
    before = site.sm_links.pick('romeo@example.net')
    index = [links._link for links in site.sm_links.all].index(before)
    site.sm_links.lose(index)
    site.settle()
    romeo.chat(JULIET, 'm4')
    there.release()
    site.quiet()
    assert juliet.bodies() == [f'm{n}' for n in range(5)]
    repeats = [frame for frame in there.frames if isinstance(frame, Route) and frame.flags & REPEAT]
    assert repeats


def test_without_any_link_messages_are_their_senders_to_repeat() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    numbers = [romeo.chat(JULIET, f'm{n}') for n in range(3)]
    site.settle()
    site.sm_links.lose(0)
    site.settle()
    assert not site.sm.pending()
    site.sm_links.regain(0)
    site.settle()
    there.release()
    site.quiet()
    assert juliet.bodies() == ['m0', 'm1', 'm2']
    assert romeo.confirmed[-3:] == numbers


def test_what_was_lost_with_the_only_link_goes_again_when_there_is_one() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    for n in range(3):
        romeo.chat(JULIET, f'm{n}')
    site.settle()
    site.sm_links.lose(0)
    there.held.clear()  # they never got there
    there.holding = False
    site.settle()
    site.sm_links.regain(0)
    site.quiet()
    assert juliet.bodies() == ['m0', 'm1', 'm2']


def test_a_message_to_the_bare_jid_waits_for_those_on_their_way_to_a_session_that_has_gone() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, old = here.client('romeo'), there.client('juliet', 'old')
    there.holding = True
    romeo.chat(JULIET, 'm0')
    old.leave()
    site.settle()
    new = here.client('juliet', 'new')
    romeo.chat(JULIET, 'm1')
    site.settle()
    assert new.bodies() == []
    there.release()
    site.quiet()
    assert new.bodies() == ['m0', 'm1']


def test_a_confirmation_takes_the_way_that_the_repeat_came_by() -> None:
    site = Site(routers=2)
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    number = romeo.chat(JULIET, 'hi')
    site.settle()
    here.links.lose(0)  # the one that it came by; the c2s repeats it over the other
    site.settle()
    there.release()
    site.quiet()
    assert number in romeo.confirmed
    assert juliet.bodies() == ['hi']


def test_what_all_of_several_sessions_gave_back_before_it_was_confirmed_is_not_settled() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo = here.client('romeo')
    clients = [there.client('juliet', name) for name in ('one', 'two')]
    confirm, there.links.failed = there.links.failed, lambda *arguments: late.append(arguments)  # type: ignore[method-assign]
    late: list[tuple[object, ...]] = []
    romeo.chat(JULIET, 'hi')
    site.settle()
    for client in clients:
        assert client.bodies() == ['hi']
        client.leave()
        client.give_back([stanza.name for stanza in client.stanzas].index('message'))
    site.settle()
    there.links.failed = confirm  # type: ignore[method-assign]
    for arguments in late:
        confirm(*arguments)  # type: ignore[arg-type]
    site.quiet()
    assert stored(site) == ['hi']
    assert not there.giving_back


def test_a_repeat_of_what_is_settled_is_confirmed_and_not_passed_on() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    number = romeo.chat(JULIET, 'hi')
    frame = romeo.sent[number]
    site.quiet()
    romeo.sent[number] = frame
    romeo.again(number)
    site.quiet()
    assert romeo.confirmed.count(number) == 2
    assert juliet.bodies() == ['hi']


def test_a_repeat_of_what_is_in_progress_is_passed_over_and_confirmed_once() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    number = romeo.chat(JULIET, 'hi')
    site.settle()
    romeo.again(number)
    site.settle()
    there.release()
    site.quiet()
    assert romeo.confirmed.count(number) == 1
    assert juliet.bodies() == ['hi']


def test_a_repeat_that_is_new_here_is_marked_as_one_further_on() -> None:
    """Another sm may have passed it on: the recipient's c2s can tell."""
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    uid = make_uid(romeo.stream, 40)
    juliet.window.mark(uid)
    stanza = parse_stanza(f"<message to='{JULIET}' id='x'><body>x</body></message>").with_attrs(from_=romeo.jid)
    romeo.say(stanza, number=40, flags=CLIENT | REPEAT)
    site.quiet()
    assert juliet.bodies() == []
    assert 40 in romeo.confirmed


def test_working_is_said_of_what_takes_longer_than_a_second() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    number = romeo.chat(JULIET, 'slow')
    site.advance(0.5)
    assert here.working == []
    site.advance(2)
    assert make_uid(romeo.stream, number) in here.working
    there.release()
    site.quiet()
    here.working.clear()
    site.advance(3)
    assert here.working == []
    assert juliet.bodies() == ['slow']


def test_idle_lanes_are_forgotten() -> None:
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo')
    c2s.client('juliet')
    romeo.chat(JULIET, 'hi')
    site.quiet()
    assert site.sm.status()['lanes'] == 1
    site.advance(2)
    assert site.sm.status()['lanes'] == 0


# ---- given back


def test_what_a_client_never_acked_goes_to_another_resource() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, phone = c2s.client('romeo'), c2s.client('juliet', 'phone')
    romeo.chat(phone.jid, 'm1')
    romeo.chat(phone.jid, 'm2')
    site.quiet()
    laptop = c2s.client('juliet', 'laptop')
    phone.leave()
    phone.give_back(0)
    phone.give_back(1)
    site.quiet()
    assert laptop.bodies() == ['m1', 'm2']
    assert len(c2s.returned) == 2 and not c2s.giving_back
    assert romeo.stanzas == [] or all(stanza.name == 'presence' for stanza in romeo.stanzas)


def test_what_was_given_back_and_nobody_takes_is_stored_once_before_what_came_later() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, phone = here.client('romeo'), there.client('juliet', 'phone')
    romeo.chat(phone.jid, 'm1')
    romeo.chat(phone.jid, 'm2')
    site.quiet()
    there.holding = True
    romeo.chat(phone.jid, 'm3')  # on its way when the stream ends
    site.settle()
    phone.leave()
    phone.give_back(0)
    phone.give_back(1)
    phone.give_back(0)
    site.settle()
    there.release()
    site.quiet()
    assert stored(site) == ['m1', 'm2', 'm3']


def test_a_rooms_message_that_was_given_back_is_dropped_and_nobody_gets_an_error() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, phone = c2s.client('romeo'), c2s.client('juliet', 'phone')
    romeo.chat(phone.jid, 'm1', 'groupchat')
    site.quiet()
    phone.leave()
    phone.give_back(0)
    site.quiet()
    assert romeo.bodies() == []
    assert stored(site) == []


@pytest.mark.parametrize('reason', [NO_SESSION, BUSY, MOVED])
def test_a_bounce_of_what_is_unknown_or_went_elsewhere_changes_nothing(reason: str) -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    number = romeo.chat(JULIET, 'hi')
    site.settle()
    uid = make_uid(romeo.stream, number)
    stray = Route('c2s-2', b'another stream..', 'sm-1', 0, uid, 0, 0, juliet.stanzas[0] if juliet.stanzas else b'')
    there.links.bounce(stray, reason)
    there.links.bounce(stray._replace(uid=make_uid(romeo.stream, 99)), reason)
    site.settle()
    there.release()
    site.quiet()
    assert juliet.bodies() == ['hi']
