"""Sessions and the sms that they are pinned to: what happens when an sm dies, drains or is busy."""

from __future__ import annotations

from typing import Any

import pytest

from jabberd_tx.components.c2s.pins import SLICE
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import CLIENT, MOVED, NO_SESSION, NOT_MINE, REPEAT, Route
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.jid import parse
from tests.components.c2s.c2s_support import ScriptedSm, Site, chat, message, other, pinned


def frames_of(frames: list[Route], client_session: bytes) -> list[Route]:
    return [frame for frame in frames if frame.uid[:16] == client_session]


# ---- the pinned node goes


def test_when_its_sm_dies_a_session_is_attached_elsewhere_and_repeats_what_was_unconfirmed_in_order() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    first.confirms = False
    client.send('<presence><show>away</show></presence>' + chat(2) + chat(3) + chat(4))
    site.settle()
    first.confirm(first.withheld[0], first.withheld[2])
    site.settle()
    first.links.stop()
    site.settle()
    second = other(site, first)
    (attach,) = second.said
    assert attach.dest == 'example.net' and attach.key == 'romeo@example.net' and attach.epoch > 0
    assert attach.payload.attrs == {'type': 'attach', 'jid': 'romeo@example.net/r'}  # type: ignore[union-attr]
    presence, kept = vocabulary.attach_of(attach.payload)  # type: ignore[arg-type]
    assert kept == b'' and presence is not None
    assert presence.inner == b'<show>away</show>' and presence.attrs['from'] == 'romeo@example.net/r'
    assert second.numbers == [2, 4]
    assert all(
        frame.flags == CLIENT | REPEAT and frame.dest == 'sm-2' or frame.dest == 'sm-1' for frame in second.frames
    )
    assert {frame.epoch for frame in second.frames} == {attach.epoch}
    client.send(chat(5))
    site.settle()
    assert second.numbers == [2, 4, 5] and second.frames[-1].flags == CLIENT
    assert not site.session(client).unconfirmed


def test_an_unavailable_session_is_attached_without_presence() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    client.send("<presence/><presence to='juliet@example.net'/><presence type='unavailable'/>")
    site.settle()
    first.links.stop()
    site.settle()
    (attach,) = other(site, first).said
    assert vocabulary.attach_of(attach.payload) == (None, b'')  # type: ignore[arg-type]


def test_directed_presence_is_not_what_is_remembered() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    client.send(
        "<presence><status>all</status></presence><presence to='juliet@example.net'><status>you</status></presence>"
    )
    site.settle()
    first.links.stop()
    site.settle()
    (attach,) = other(site, first).said
    presence, _ = vocabulary.attach_of(attach.payload)  # type: ignore[arg-type]
    assert presence is not None and presence.inner == b'<status>all</status>'


def test_stanzas_sent_while_nobody_is_attached_go_with_the_others_in_order() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    second = other(site, first)
    second.starts = False
    first.links.stop()
    site.settle()
    client.send(chat(1) + chat(2))
    site.settle()
    assert not second.frames
    second.take(second.said[0])
    site.settle()
    client.send(chat(3))
    site.settle()
    assert second.numbers == [1, 2, 3]


def test_without_any_sm_clients_are_held_by_the_window_and_go_on_when_one_comes() -> None:
    site = Site()
    client = site.login(acks=True)
    site.sm.links.stop()
    site.settle()
    for n in range(1, 101):
        client.send(chat(n))
    client.ask()
    site.advance(30)
    assert len(site.session(client).unconfirmed) == 62 and not client.error
    new = site.add_sm('sm-7')
    site.settle()
    assert new.kinds() == ['attach'] and new.numbers == list(range(1, 101))
    assert client.acked == 100


def test_an_sm_that_starts_anew_under_its_old_name_gets_its_sessions_again() -> None:
    site = Site()
    client = site.login()
    site.sm.confirms = False
    client.send(chat(1))
    site.settle()
    again = site.add_sm('sm-1')
    site.settle()
    assert again.kinds() == ['attach'] and again.numbers == [1]


@pytest.mark.parametrize('reason', [NO_SESSION, MOVED, NOT_MINE])
def test_an_sm_that_sends_a_frame_back_loses_the_session(reason: str) -> None:
    site = Site()
    client = site.login()
    site.sm.confirms = False
    client.send(chat(1) + chat(2))
    site.settle()
    frames = list(site.sm.frames)
    site.sm.confirms = True
    for frame in frames:
        site.sm.links.bounce(frame, reason)
    site.settle()
    assert site.sm.kinds() == ['start', 'attach']
    assert site.sm.numbers == [1, 2, 1, 2] and not site.session(client).unconfirmed


def test_a_bounce_from_an_earlier_pin_is_old_news() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    first.confirms = False
    client.send(chat(1))
    site.settle()
    (frame,) = first.frames
    first.links.bounce(frame, NO_SESSION)
    first.links.bounce(frame, NO_SESSION)
    site.settle()
    kinds = [kind for sm in site.sms for kind in sm.kinds()]
    assert kinds.count('attach') == 1


def test_an_answer_to_an_earlier_question_is_not_taken() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    second = other(site, first)
    second.starts = False
    first.links.stop()
    site.settle()
    session = site.session(client)
    second.send('c2s-1', session.stream, vocabulary.attached(client.jid), epoch=session.epoch - 1)
    site.settle()
    assert session.link is None
    second.take(second.said[0])
    site.settle()
    assert session.link is not None and session.pin.node == second.links.node


def test_an_attach_that_may_have_been_lost_with_an_sm_is_sent_again() -> None:
    site = Site(sms=3)
    client = site.login()
    site.session(client)
    first = pinned(site, client)
    rest = [sm for sm in site.sms if sm is not first]
    for sm in rest:
        sm.starts = False
    first.links.stop()
    site.settle()
    asked = next(sm for sm in rest if sm.said)
    last = next(sm for sm in rest if sm is not asked)
    last.starts = True
    asked.links.stop()
    site.settle()
    assert last.kinds() == ['attach'] and site.session(client).link is not None


def test_a_start_that_may_have_been_lost_with_an_sm_is_sent_again_for_the_same_resource() -> None:
    site = Site(sms=2)
    for sm in site.sms:
        sm.starts = False
    client = site.connect()
    site.run(client.open())
    site.run(client.authenticate())
    site.run(client.open())
    client.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
    site.settle()
    asked = next(sm for sm in site.sms if sm.said)
    last = other(site, asked)
    last.starts = True
    asked.links.stop()
    site.settle()
    assert asked.said[0].payload == last.said[0].payload
    assert last.said[0].flags & REPEAT and last.said[0].epoch > asked.said[0].epoch
    assert site.run(client.stanza('iq')).attrs['type'] == 'result'


def test_an_attach_that_nobody_answers_is_sent_again_after_a_while() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    second = other(site, first)
    second.starts = False
    first.links.stop()
    site.advance(60)
    assert 2 <= len(second.said) <= 3
    epochs = [frame.epoch for frame in second.said]
    assert epochs == sorted(set(epochs))


def test_a_session_that_is_refused_by_who_should_take_it_over_ends_its_stream_and_settles_with_them() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    first.confirms = False
    client.send(chat(1))
    site.settle()
    second = other(site, first)
    second.starts = False
    first.links.stop()
    site.settle()
    session = site.session(client)
    second.send('c2s-1', session.stream, vocabulary.close('conflict'), epoch=session.epoch)
    site.settle()
    assert client.error == 'conflict'
    assert second.numbers == [1] and second.kinds() == ['attach', 'end'] and not site.c2s.sessions


def test_a_close_by_an_sm_that_the_session_has_left_is_old_news() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    first.confirms = False
    client.send(chat(1))
    site.settle()
    first.links.bounce(first.frames[0], NO_SESSION)
    site.settle()
    site.deliver(client, vocabulary.close('conflict'), first, epoch=0)
    assert not client.error
    # What it delivers counts all the same.
    site.deliver(client, message(1), first, epoch=0)
    assert len(client.take_stanzas('message')) == 1


# ---- drain


def test_a_session_leaves_a_draining_sm_once_nothing_is_unconfirmed() -> None:
    site = Site(sms=2)
    busy, idle = site.login('romeo'), site.login('romeo', 'idle')
    first = pinned(site, busy)
    assert pinned(site, idle) is first
    first.confirms = False
    busy.send(chat(1))
    site.settle()
    first.links.drain()
    site.settle()
    second = other(site, first)
    assert second.kinds() == ['attach'] and pinned(site, idle) is second
    assert pinned(site, busy) is first
    busy.send(chat(2))
    site.settle()
    first.confirm()
    site.settle()
    assert pinned(site, busy) is second and second.kinds() == ['attach', 'attach']
    assert second.numbers == [], 'nothing is repeated'
    busy.send(chat(3))
    site.settle()
    assert first.numbers == [1, 2] and second.numbers == [3]


def test_the_only_sm_keeps_its_sessions_though_it_drains() -> None:
    site = Site()
    client = site.login()
    site.sm.links.drain()
    site.settle()
    for n in range(5):
        client.send(chat(n))
        site.settle()
    assert site.sm.numbers == [1, 2, 3, 4, 5] and site.sm.kinds().count('attach') == 1


# ---- busy


def test_a_busy_sm_gets_everything_later_and_in_order_and_its_clients_wait() -> None:
    site = Site(sms=0)
    sm = ScriptedSm(site.network.links('sm-1', window=8000))
    site.sms.append(sm)
    sm.congested = lambda: True  # type: ignore[method-assign]
    site.settle()
    client = site.login()
    for n in range(1, 31):
        client.send(chat(n))
        site.settle()
    assert 0 < len(sm.numbers) < 30
    sm.congested = lambda: False  # type: ignore[method-assign]
    site.advance(30)
    first_times = list(dict.fromkeys(sm.numbers))
    assert first_times == list(range(1, 31)), 'in order, whatever was repeated'
    assert not site.session(client).unconfirmed


# ---- many


def test_many_sessions_move_a_slice_at_a_time() -> None:
    site = Site(sms=2)
    clients = [site.login('romeo', f'r{n}') for n in range(30)]
    session = site.session(clients[0])
    for _ in range(3 * SLICE):
        # More sessions than there are clients: the same ones would do as well, were they others.
        copy = type(session)(site.c2s, session.conn, parse('romeo@example.net'), 'x', None)
        copy.phase, copy.pin, copy.jid, copy.link = session.phase, session.pin, 'romeo@example.net/x', session.link
        site.c2s.sessions[copy.stream] = copy
    first = pinned(site, clients[0])
    second = other(site, first)
    first.links.stop()
    turns, seen = 0, 0
    while site.network.turn_once():
        turns += 1
        assert len(second.said) - seen <= SLICE
        seen = len(second.said)
    assert seen == 30 + 3 * SLICE and turns > 3


def test_a_session_whose_frames_no_link_takes_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not now, and not later."""
    site = Site()
    romeo, juliet = site.login('romeo'), site.login('juliet')
    site.sm.confirms = False
    for client in (romeo, juliet):
        client.send(chat(1))
    site.settle()
    streams = [site.session(client).stream for client in (romeo, juliet)]
    link: Any = site.links.pick('')
    passed_on = link._route

    def too_long(port: Any, frame: Route, *others: Any) -> None:
        if frame.uid[:16] == streams[0]:
            raise ValueError('a ROUTE that is too long')
        passed_on(port, frame, *others)

    with monkeypatch.context() as patch:
        patch.setattr(link, '_route', too_long)
        site.c2s.pins.link_lost(link)
        site.settle()
    assert [len(frames_of(site.sm.frames, stream)) for stream in streams] == [1, 2]
    site.c2s.pins.link_lost(link)
    site.settle()
    assert [len(frames_of(site.sm.frames, stream)) for stream in streams] == [2, 3]
