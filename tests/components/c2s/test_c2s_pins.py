"""Sessions and the sms that they are pinned to: what happens when an sm, a link or a router goes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jabberd_tx.components.c2s.pins import SLICE
from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import CLIENT, MOVED, NO_SESSION, NOT_MINE, REPEAT, Route
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import ScriptedSm, Site, chat, message


def pinned(site: Site, client: XmppClient) -> ScriptedSm:
    """The sm that has a client's session."""
    return next(sm for sm in site.sms if sm.links.node == site.session(client).pin.node)


def other(site: Site, sm: ScriptedSm) -> ScriptedSm:
    return next(one for one in site.sms if one is not sm)


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
    presence = Stanza.unpack(attach.payload.inner)  # type: ignore[union-attr]
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
    assert attach.payload.inner == b''  # type: ignore[union-attr]


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
    assert Stanza.unpack(attach.payload.inner).inner == b'<status>all</status>'  # type: ignore[union-attr]


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
    assert len(site.session(client).unconfirmed) == 63 and not client.error
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


# ---- links


def test_when_its_link_is_lost_a_session_repeats_what_was_unconfirmed_over_another_to_the_same_sm() -> None:
    site = Site()
    client = site.login()
    site.sm.confirms = False
    client.send(chat(1) + chat(2))
    site.settle()
    site.links.stop()
    site.settle()
    client.send(chat(3))
    site.advance(20)
    assert site.sm.numbers == [1, 2]
    site.links.start()
    site.settle()
    assert site.sm.numbers == [1, 2, 1, 2, 3]
    assert [frame.flags & REPEAT for frame in site.sm.frames] == [0, 0, 1, 1, 1]
    assert site.sm.kinds() == ['start'], 'it stays where it is'


def test_a_client_may_log_in_while_there_is_no_link_and_wait() -> None:
    site = Site()
    site.links.stop()
    client = site.connect()
    site.run(client.open())
    site.run(client.authenticate())
    site.run(client.open())
    client.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
    site.settle()
    site.advance(2)
    site.links.start()
    site.settle()
    assert site.run(client.stanza('iq')).attrs['type'] == 'result'


def test_the_end_of_a_session_waits_for_a_link_too() -> None:
    site = Site()
    client = site.login()
    site.links.stop()
    site.settle()
    client.send(chat(1))
    site.settle()
    client.drop()
    site.advance(5)
    site.links.start()
    site.settle()
    assert site.sm.numbers == [1] and site.sm.kinds() == ['start', 'end'] and not site.c2s.sessions


def test_a_session_that_is_over_is_given_up_when_no_sm_ever_takes_it() -> None:
    site = Site(linger_timeout=60)
    client = site.login()
    site.sm.links.stop()
    site.settle()
    client.send(chat(1))
    site.settle()
    client.drop()
    site.advance(50)
    assert len(site.c2s.sessions) == 1
    site.advance(30)
    assert not site.c2s.sessions


# ---- busy


def test_a_busy_sm_gets_everything_later_and_in_order_and_its_clients_wait() -> None:
    site = Site(sms=0)
    sm = ScriptedSm(site.network.links('sm-1', window=2000))
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


# ---- IQs that wait for an answer


def test_an_unanswered_get_is_asked_again_and_an_unanswered_set_fails_when_the_sm_dies() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    query = "<query xmlns='jabber:iq:roster'/>"
    client.send(
        f"<iq type='get' id='g'>{query}</iq><iq type='set' id='s' to='romeo@example.net'>{query}</iq>"
        f"<iq type='get' id='done' to='example.net'>{query}</iq><iq type='get' id='other' to='juliet@example.net/x'/>"
    )
    site.settle()
    site.deliver(client, Stanza('iq', {'type': 'result', 'id': 'done', 'to': client.jid}), first)
    client.take_stanzas()
    first.links.stop()
    site.settle()
    second = other(site, first)
    assert second.numbers == [1] and second.frames[0].flags & REPEAT
    assert second.stanzas[0].attrs['id'] == 'g' and second.frames[0].dest == second.links.node
    (answer,) = client.take_stanzas('iq')
    assert (answer.attrs['id'], answer.attrs['type']) == ('s', 'error')
    assert b"type='wait'" in answer.inner and b'internal-server-error' in answer.inner
    # And only once each, unless a link is lost before the answer.
    site.links.stop()
    site.links.start()
    site.settle()
    assert second.numbers == [1, 1] and not client.take_stanzas('iq')
    site.deliver(client, Stanza('iq', {'type': 'result', 'id': 'g', 'to': client.jid}), second)
    assert site.session(client).iqs is None


def test_an_unconfirmed_set_is_repeated_and_its_answer_waited_for() -> None:
    site = Site(sms=2)
    client = site.login()
    first = pinned(site, client)
    first.confirms = False
    client.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'/></iq>")
    site.settle()
    first.links.stop()
    site.settle()
    second = other(site, first)
    assert second.numbers == [1] and not client.take_stanzas('iq')
    site.links.stop()
    site.links.start()
    site.settle()
    assert not client.take_stanzas('iq'), 'the sm that has it is alive'


def test_what_is_kept_of_unanswered_iqs_is_bounded() -> None:
    site = Site(sms=2)
    client = site.login()
    for n in range(100):
        client.send(f"<iq type='get' id='{n}'><query xmlns='jabber:iq:roster'/></iq>")
        site.settle()
    first = pinned(site, client)
    first.links.stop()
    site.settle()
    assert other(site, first).numbers == list(range(85, 101))


# ---- many


def test_many_sessions_move_a_slice_at_a_time() -> None:
    site = Site(sms=2)
    clients = [site.login('romeo', f'r{n}') for n in range(30)]
    session = site.session(clients[0])
    for _ in range(3 * SLICE):
        # More sessions than there are clients: the same ones would do as well, were they others.
        copy = type(session)(site.c2s, session.conn, type(parse_bare())('romeo', 'example.net'), 'x', None)
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


def parse_bare() -> object:
    from jabberd_tx.xmpp.jid import parse

    return parse('romeo@example.net')


# ---- anything in any order


class Trial:
    """Clients that send numbered messages while sms and links come and go; every sm settles what reaches it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.site = Site(sms=2)
        self.clients = [self.site.login('romeo', 'a', acks=True), self.site.login('juliet', 'b', acks=True)]
        self.streams = [self.site.session(client).stream for client in self.clients]
        self.sent = [0, 0]
        self.dead: list[ScriptedSm] = []
        self.linked = True
        self.born = 2

    def step(self, what: str) -> None:
        site, rng = self.site, self.random
        alive = [sm for sm in site.sms if sm not in self.dead]
        if what == 'send':
            who = rng.randrange(2)
            for _ in range(rng.randrange(1, 20)):
                self.sent[who] += 1
                self.clients[who].send(chat(self.sent[who]))
        elif what == 'kill' and alive:
            sm = rng.choice(alive)
            self.dead.append(sm)
            sm.links.stop()
        elif what == 'spawn':
            self.born += 1
            site.sms.append(site.add_sm(f'sm-{self.born}'))
        elif what == 'drain' and alive:
            rng.choice(alive).links.drain()
        elif what == 'unlink' and self.linked:
            self.linked = False
            site.links.stop()
        elif what == 'link' and not self.linked:
            self.linked = True
            site.links.start()
        elif what == 'withhold' and alive:
            rng.choice(alive).confirms = False
        elif what == 'confirm':
            for sm in alive:
                sm.confirms = True
                sm.confirm()
        elif what == 'turn':
            for _ in range(rng.randrange(1, 6)):
                site.network.turn_once()
        elif what == 'wait':
            site.advance(rng.random() * 3)

    def check(self) -> None:
        """Give everything time: then each stanza has settled, and each sm has seen each stream in order."""
        site = self.site
        if not self.linked:
            site.links.start()
        site.sms.append(site.add_sm('sm-last'))
        for _ in range(20):
            for sm in site.sms:
                if sm not in self.dead:
                    sm.confirms = True
                    sm.confirm()
            site.advance(3)
        for client, stream, sent in zip(self.clients, self.streams, self.sent, strict=True):
            assert not client.error and not site.c2s.sessions[stream].unconfirmed
            client.ask()
            site.settle()
            assert client.acked == sent
            for sm in site.sms:
                numbers = list(dict.fromkeys(frame.uid[16:] for frame in frames_of(sm.frames, stream)))
                assert numbers == sorted(numbers), 'first sights in order'
            seen = {frame.uid for sm in site.sms for frame in frames_of(sm.frames, stream)}
            assert len(seen) == sent, 'nothing lost'


WHAT = (
    'send',
    'send',
    'kill',
    'spawn',
    'drain',
    'unlink',
    'link',
    'link',
    'withhold',
    'confirm',
    'turn',
    'turn',
    'wait',
)


@settings(max_examples=30)
@given(st.integers(0, 1 << 30), st.lists(st.sampled_from(WHAT), max_size=25))
def test_whatever_goes_and_comes_nothing_accepted_is_lost_and_order_is_kept(seed: int, steps: list[str]) -> None:
    trial = Trial(seed)
    for what in steps:
        trial.step(what)
    trial.check()
