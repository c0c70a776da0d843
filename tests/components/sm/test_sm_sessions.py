"""Sessions: how they start, move, conflict and end (link/session.py)."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import CLIENT, REPEAT
from jabberd_tx.storage import accounts
from jabberd_tx.storage.sessions.interface import Session
from tests.components.sm.sm_support import DOMAIN, Site, parse_stanza
from tests.components.sm.test_sm_presence import got, know

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'


def test_a_session_starts_with_the_resource_that_the_client_wants() -> None:
    site = Site()
    romeo = site.c2s().start('romeo', 'Orchard ü')
    assert romeo.jid == f'{ROMEO}/Orchard ü'
    assert romeo.pin == 'sm-1'
    assert 0 in romeo.confirmed
    (session,) = site.sessions.peek(ROMEO)
    assert (session.jid, session.node, session.stream) == (romeo.jid, 'c2s-1', romeo.stream)
    assert session.incarnation == romeo.node.links.incarnation
    assert session.presence is None
    site.quiet()


def test_without_a_wish_it_gets_one_that_nobody_guesses() -> None:
    site = Site()
    c2s = site.c2s()
    resources = {c2s.start('romeo', '').jid for _ in range(5)}
    assert len(resources) == 5
    assert all(len(jid) > len(ROMEO) + 10 for jid in resources)


def test_a_resource_that_is_none_is_a_bad_request() -> None:
    site = Site()
    romeo = site.c2s().start('romeo', 'x' * 1024)
    assert romeo.answer is not None and romeo.answer.attrs['condition'] == 'bad-request'
    assert site.sessions.count() == 0


def test_asking_again_gives_the_same_answer() -> None:
    site = Site()
    romeo = site.c2s().start('romeo', '')
    jid, romeo.answer = romeo.jid, None
    romeo.epoch += 1
    romeo.say(vocabulary.start(''), number=0, flags=CLIENT | REPEAT, dest=DOMAIN)
    site.quiet()
    assert romeo.answer is not None and romeo.answer.attrs['jid'] == jid
    assert site.sessions.count() == 1
    assert site.sessions.peek(ROMEO)[0].epoch == 1


def test_conflict_replace_ends_the_older_stream_and_its_presence() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    juliet, old = c2s.client('juliet'), c2s.client('romeo', 'r')
    got(juliet)
    new = c2s.start('romeo', 'r')
    assert new.jid == old.jid
    assert old.closed is not None and old.closed.attrs['condition'] == 'conflict'
    assert got(juliet) == [f'{old.jid} unavailable']
    old.leave()
    site.quiet()
    assert [session.stream for session in site.sessions.peek(ROMEO)] == [new.stream]


def test_conflict_refuse_refuses_the_newer_one() -> None:
    site = Site(conflict='refuse')
    c2s = site.c2s()
    old = c2s.start('romeo', 'r')
    new = c2s.start('romeo', 'r')
    assert new.answer is not None and new.answer.attrs['condition'] == 'conflict'
    assert old.closed is None
    assert site.sessions.count() == 1


def test_conflict_rename_gives_the_newer_one_another_resource() -> None:
    site = Site(conflict='rename')
    c2s = site.c2s()
    old, new = c2s.start('romeo', 'r'), c2s.start('romeo', 'r')
    assert new.jid != old.jid
    assert new.jid.startswith(f'{ROMEO}/r.')
    assert old.closed is None


def test_a_user_has_so_many_sessions_and_no_more_but_may_replace_one() -> None:
    site = Site(max_resources=2)
    c2s = site.c2s()
    c2s.start('romeo', 'a'), c2s.start('romeo', 'b')
    third = c2s.start('romeo', 'c')
    assert third.answer is not None and third.answer.attrs['condition'] == 'resource-constraint'
    assert c2s.start('romeo', 'b').jid == f'{ROMEO}/b'
    assert site.network.metrics.value('jabberd_sm_limited', 'resources') == 1


def test_what_a_client_sends_while_its_session_starts_waits_for_it() -> None:
    """A store that takes its time: what comes after the start is handled after it."""
    site = Site()
    fetched: Deferred[list[Session]] = Deferred()
    fetch = site.sessions.fetch
    site.sm.sessions = site.sm.lifecycle._sessions = _Slow(site.sessions, fetched)
    c2s = site.c2s()
    romeo = c2s.start('romeo', 'r')
    assert romeo.answer is None
    romeo.jid = f'{ROMEO}/r'
    number = romeo.send("<iq type='get' id='q'><ping xmlns='urn:xmpp:ping'/></iq>")
    site.settle()
    assert romeo.stanzas == []
    assert number in romeo.confirmed  # taken
    fetch(ROMEO).chainDeferred(fetched)
    site.quiet()
    assert romeo.answer is not None
    assert [stanza.attrs['type'] for stanza in romeo.stanzas] == ['result']


class _Slow:
    """A session store whose first answer comes when it is told to."""

    def __init__(self, store: object, first: Deferred[list[Session]]) -> None:
        self._store, self._first = store, [first]

    def fetch(self, bare: str) -> object:
        return self._first.pop() if self._first else self._store.fetch(bare)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_an_ended_session_is_gone_and_its_end_confirmed_when_that_is_done() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.leave()
    site.quiet()
    assert romeo.confirmed[-1] == romeo.number
    assert site.sessions.count() == 0


def test_a_client_that_is_gone_before_its_session_has_started_leaves_none() -> None:
    site = Site()
    c2s = site.c2s()
    c2s.holding = True
    romeo = c2s.start('romeo', 'r')
    romeo.live = False  # and it never says so
    c2s.release()
    site.quiet()
    assert site.sessions.count() == 0


# ---- attach


def test_a_session_that_comes_from_another_sm_is_known_again_without_a_broadcast() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet', 'j'), c2s.client('romeo', 'r')
    got(juliet), got(romeo)
    # An sm that has died has taken its session store along.
    for client in (juliet, romeo):
        site.sessions.close(client.stream, client.owner, 0)
    juliet_again = '<presence><priority>3</priority></presence>'
    c2s.attach_again(juliet, juliet_again)
    c2s.attach_again(romeo, None)
    site.quiet()
    assert (got(juliet), got(romeo)) == ([], [])
    (session,) = site.sessions.peek(JULIET)
    assert (session.priority, session.epoch, session.interested) == (3, 1, True)
    assert site.sessions.peek(ROMEO)[0].presence is None
    romeo.chat(JULIET, 'hi')
    site.quiet()
    assert juliet.bodies() == ['hi']


def test_what_was_stored_while_nobody_knew_of_a_session_is_given_to_it_when_it_attaches() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    site.sessions.close(juliet.stream, JULIET, 0)
    romeo.chat(JULIET, 'meanwhile')
    site.quiet()
    c2s.attach_again(juliet, '<presence/>')
    site.quiet()
    assert juliet.bodies() == ['meanwhile']


def test_what_the_store_knows_of_an_attached_session_stays() -> None:
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo')
    site.sessions.update(romeo.stream, ROMEO, 0, carbons=True)
    c2s.attach_again(romeo, '<presence/>')
    site.quiet()
    assert site.sessions.peek(ROMEO)[0].carbons


def test_an_attach_of_an_earlier_epoch_changes_nothing() -> None:
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo')
    site.sessions.update(romeo.stream, ROMEO, 5)
    c2s.attach_again(romeo, '<presence/>')
    site.quiet()
    assert romeo.closed is None
    assert site.sessions.peek(ROMEO)[0].epoch == 5


def test_a_session_whose_resource_somebody_else_has_taken_meanwhile_is_closed() -> None:
    site = Site()
    c2s = site.c2s()
    romeo = c2s.client('romeo', 'r')
    site.sessions.close(romeo.stream, ROMEO, 0)
    other = c2s.client('romeo', 'r')
    c2s.attach_again(romeo, '<presence/>')
    site.quiet()
    assert romeo.closed is not None and romeo.closed.attrs['condition'] == 'conflict'
    assert [session.stream for session in site.sessions.peek(ROMEO)] == [other.stream]


@pytest.mark.parametrize('jid', [f'{JULIET}/r', ROMEO, '@'])
def test_a_session_can_not_be_attached_as_somebody_elses(jid: str) -> None:
    site = Site()
    romeo = site.c2s().client('romeo', 'r')
    romeo.epoch += 1
    romeo.say(vocabulary.attach(jid, b''), number=0, dest=DOMAIN)
    site.quiet()
    assert romeo.closed is not None and romeo.closed.attrs['condition'] == 'internal-server-error'


def test_a_node_that_was_only_out_of_sight_attaches_its_sessions_and_who_saw_them_go_sees_them_come() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = there.client('romeo', 'r'), here.client('juliet')
    site.sessions.update(romeo.stream, ROMEO, 0, carbons=True)
    got(juliet)
    there.links.lose(0)
    assert got(juliet) == [f'{romeo.jid} unavailable']
    there.links.regain(0)
    site.settle()
    assert romeo.closed is None
    assert romeo.answer is not None and romeo.answer.attrs['type'] == 'lost'
    there.attach_again(romeo, '<presence/>')
    assert got(juliet) == [f'{romeo.jid} available']
    (session,) = site.sessions.peek(ROMEO)
    assert session.carbons and not session.interested
    site.quiet()


# ---- kick, stop, status


def test_a_kicked_user_is_gone_and_unknown() -> None:
    site = Site()
    know(site, ROMEO, JULIET, 'both')
    c2s = site.c2s()
    one, two, juliet = c2s.client('romeo', 'one'), c2s.client('romeo', 'two'), c2s.client('juliet')
    juliet.chat(f'{ROMEO}/one', 'known')
    got(juliet)
    site.storage.run(accounts.remove, ROMEO)
    kicked = Deferred.fromCoroutine(site.sm.kick(ROMEO, 'not-authorized', 'the account is gone'))
    assert kicked.result == 2
    assert sorted(got(juliet)) == [f'{one.jid} unavailable', f'{two.jid} unavailable']
    assert one.closed is not None and one.closed.attrs['text'] == 'the account is gone'
    juliet.chat(ROMEO, 'anybody there')
    site.quiet()
    assert juliet.bodies() == ['error:anybody there']


def test_a_stop_lets_what_is_in_flight_finish() -> None:
    site = Site()
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, juliet = here.client('romeo'), there.client('juliet')
    there.holding = True
    number = romeo.chat(JULIET, 'hi')
    site.settle()
    romeo.leave()
    juliet_leaves = juliet
    stopped = Deferred.fromCoroutine(site.sm.stop())
    site.advance(1)
    assert not stopped.called
    assert site.sm.status()['draining']
    there.release()
    juliet_leaves.leave()
    site.advance(1)
    assert stopped.called
    assert number in romeo.confirmed
    assert site.sm.pending() == 0
    assert juliet.bodies() == ['hi']


def test_a_stop_does_not_wait_for_ever() -> None:
    site = Site(stop_timeout=2.0)
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, _ = here.client('romeo'), there.client('juliet')
    there.holding = True
    romeo.chat(JULIET, 'hi')
    site.settle()
    stopped = Deferred.fromCoroutine(site.sm.stop())
    site.advance(10)
    assert stopped.called
    assert not [call for call in site.clock.calls if call.getTime() > site.clock.seconds()]


def test_a_manager_with_too_much_to_do_is_congested() -> None:
    site = Site(most_pending=3)
    here, there = site.c2s('c2s-1'), site.c2s('c2s-2')
    romeo, _ = here.client('romeo'), there.client('juliet')
    assert not site.sm.congested()
    there.holding = True
    for n in range(4):
        romeo.chat(JULIET, str(n))
    site.settle()
    assert site.sm.congested()


def test_the_status_tells_what_is_going_on() -> None:
    site = Site()
    site.c2s().client('romeo')
    status = site.sm.status()
    assert status['sessions'] == 1
    assert status['domains'] == [DOMAIN]
    assert {'disco', 'offline', 'ping'} <= set(status['modules'])


def test_counters_tell_what_became_of_messages() -> None:
    site = Site()
    c2s = site.c2s()
    romeo, _ = c2s.client('romeo'), c2s.client('juliet')
    for to in (JULIET, f'nurse@{DOMAIN}', f'ghost@{DOMAIN}'):
        romeo.chat(to, 'x')
    romeo.chat(f'nurse@{DOMAIN}', 'x', 'headline')
    site.quiet()
    assert site.sm.measures.messages.read() == {'delivered': 1, 'stored': 1, 'refused': 1, 'dropped': 1}
    assert site.sm.measures.stanzas.message == 4
    for _ in range(64):
        romeo.chat(JULIET, 'x')
    site.quiet()
    assert sum(site.sm.measures.handling.counts) in (1, 2), 'one in 64, wherever a stream begins'


# ---- hooks


def test_modules_hear_of_sessions() -> None:
    site = Site()
    notes: list[str] = []
    for point in ('session_started', 'session_ready', 'session_ended'):
        site.sm.hooks.add(point, lambda session, point=point: notes.append(f'{point} {session.jid}'))  # type: ignore[misc]
    romeo = site.c2s().client('romeo', 'r', priority=-1)
    romeo.come(1)
    romeo.come(2)
    romeo.leave()
    site.quiet()
    assert notes == [f'{point} {romeo.jid}' for point in ('session_started', 'session_ready', 'session_ended')]


def test_frames_that_are_no_stanzas_harm_nobody() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    odd = parse_stanza('<presence/>')
    number = romeo.say(type(odd)('nonsense', {}))
    romeo.say(type(odd)('session', {'type': 'nonsense'}))
    site.quiet()
    assert romeo.confirmed[-2:] == [number, number + 1]
