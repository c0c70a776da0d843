"""Copies of what clients have not acked: what they are waited for, and what is left of a worker that is killed."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred, fail

from jabberd_tx.components.c2s import copies as copies_module
from jabberd_tx.link.frames import Route
from jabberd_tx.link.stream_copies import streams_of
from jabberd_tx.storage.copies.interface import Start
from jabberd_tx.testing.client import Refused, XmppClient, run
from jabberd_tx.testing.memory_copies import MemoryCopies
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import DOMAIN
from tests.components.c2s.test_c2s_moving import Workers, chat, meet

T = TypeVar('T')


def said(client: XmppClient) -> list[str]:
    """The bodies of the messages in its inbox, out of it."""
    return [re.findall(b'<body>([^<]*)', stanza.inner)[0].decode() for stanza in client.take_stanzas('message')]


def now(done: Deferred[T]) -> T:
    """Its result, which is there."""
    results: list[T] = []
    done.addCallback(results.append)
    return results[0]


class Site(Workers):
    """Two workers and an sm, and copies."""

    copies: MemoryCopies

    def __init__(self) -> None:
        super().__init__(copies=True)

    def log(self, which: int = 0) -> list[bytes]:
        return now(self.copies.read(self.start(which)))

    def start(self, which: int = 0) -> Start:
        """The worker, as the store knows it."""
        copies = self.c2s[which].copies
        assert copies is not None
        return copies.start

    def starts(self) -> int:
        """How many workers have a log."""
        return len(now(self.copies.starts()))

    def hold_stanzas(self, which: int, name: str) -> list[Route]:
        """From now on that worker sees no stanzas of that name from its sm; they are kept in the list."""
        intake, kept = self.c2s[which].intake, []
        take = intake.on_route

        def on_route(frame: Route, link: Any) -> None:
            stanza = frame.payload if isinstance(frame.payload, Stanza) else Stanza.unpack(frame.payload)
            if stanza.name == name:
                kept.append(frame)
            else:
                take(frame, link)

        intake.on_route = on_route  # type: ignore[method-assign]
        return kept

    def lease_over(self) -> None:
        """Long enough for what is left to be looked at."""
        self.advance(10)

    def presence(self, user: str) -> list[bool]:
        """Of each session: whether it is available."""
        return [session.presence is not None for session in self.sessions.peek(f'{user}@{DOMAIN}') or ()]


def cut(site: Site, client: XmppClient, which: int = 0) -> None:
    """The worker is killed, and the client's connection with it."""
    site.kill(which)
    client.drop()
    site.settle()


def come(site: Site) -> XmppClient:
    """Romeo logs in anew at the second worker, and gets what is stored."""
    romeo = site.connect(1)
    run(site.network, romeo.login('r', 'PLAIN'))
    romeo.send('<presence/>')
    site.settle()
    return romeo


def another(site: Site) -> XmppClient:
    """A second client of juliet, at the first worker."""
    client = site.connect(0, 'juliet')
    run(site.network, client.login('other', 'PLAIN'))
    run(site.network, client.enable_acks(resume=True))
    client.send('<presence/>')
    site.settle()
    return client


def test_nothing_is_written_or_confirmed_before_it_is_copied() -> None:
    site = Site()
    romeo, juliet = meet(site)
    site.copies.holds = True
    juliet.send(chat(1, 'romeo') + chat(2, 'romeo'))
    juliet.ask()
    site.settle()
    assert not said(romeo) and juliet.acked is None and len(site.sm.delivery.kept) == 2
    site.copies.answer()
    site.settle()
    assert said(romeo) == ['1', '2'] and not site.sm.delivery.kept
    juliet.ask()
    site.settle()
    assert juliet.acked == 3


def test_while_one_chunk_is_under_way_the_next_one_gathers() -> None:
    site = Site()
    romeo, juliet = meet(site)
    site.copies.holds = True
    for n in range(5):
        juliet.send(chat(n, 'romeo'))
        site.settle()
    assert len(site.copies.held) <= 2, 'one of each worker'
    while site.copies.held:
        held, site.copies.held = site.copies.held, []
        for one in held:
            one.callback(None)
        site.settle()
    assert said(romeo) == ['0', '1', '2', '3', '4']


def test_a_killed_workers_stream_goes_on_at_another_one() -> None:
    site = Site()
    romeo, juliet = meet(site)
    romeo.answers = False
    romeo.send(chat(1, 'juliet'))
    juliet.send(chat(1, 'romeo') + chat(2, 'romeo'))
    romeo.ask()
    site.settle()
    assert said(romeo) == ['1', '2'] and romeo.acked == 2
    cut(site, romeo)
    juliet.send(chat(3, 'romeo'))
    site.settle()
    again = site.resume(1, romeo, romeo.handled - 1)
    assert again.resumed is not None and again.resumed.attrs['h'] == '2'
    assert said(again) == ['2', '3'], 'what was not acked, and then what was sent meanwhile'
    juliet.send(chat(4, 'romeo'))
    again.send(chat(2, 'juliet'))
    again.ask()
    site.settle()
    assert said(again) == ['4'] and said(juliet) == ['1', '2'] and again.acked == 3
    assert site.presence('romeo') == [True]
    assert site.c2s[1].measures.resumptions.recovered == 1
    assert not juliet.take_stanzas('presence'), 'and nobody has seen him go'
    site.advance(400)
    assert site.starts() == 1, 'what is left of the first worker is seen to'
    juliet.send(chat(5, 'romeo'))
    site.settle()
    assert said(again) == ['5'], 'and that is not'


def test_what_was_taken_but_the_client_never_told_is_not_doubled() -> None:
    """It sends it again, under the number that it had."""
    site = Site()
    romeo, juliet = meet(site)
    romeo.send(chat(1, 'juliet') + chat(2, 'juliet'))
    site.settle()
    cut(site, romeo)
    again = site.resume(1, romeo)
    assert again.resumed is not None and again.resumed.attrs['h'] == '0'
    again.send('<presence/>' + chat(1, 'juliet') + chat(2, 'juliet') + chat(3, 'juliet'))
    again.ask()
    site.settle()
    assert said(juliet) == ['1', '2', '3'] and again.acked == 4
    for n in range(4, 90):
        again.send(chat(n, 'juliet'))
        site.settle()
    site.advance(20)
    assert said(juliet) == [str(n) for n in range(4, 90)]
    assert not any(session.repeats_to for session in site.c2s[1].sessions.values())


def test_a_stream_that_nobody_resumes_is_over() -> None:
    """What was not acked is stored, once; its user is seen to go."""
    site = Site()
    romeo, juliet = meet(site)
    romeo.answers = False
    juliet.send(f"<presence to='romeo@{DOMAIN}' type='subscribe'/>")
    site.settle()
    romeo.send(f"<presence to='juliet@{DOMAIN}' type='subscribed'/>")
    juliet.send(chat(1, 'romeo') + chat(2, 'romeo'))
    site.settle()
    juliet.take_stanzas()
    cut(site, romeo)
    site.lease_over()
    assert site.presence('romeo') == [True] and not juliet.take_stanzas('presence'), 'he may come back'
    juliet.send(chat(3, 'romeo'))
    site.settle()
    site.advance(320)
    assert site.presence('romeo') == []
    assert [stanza.attrs.get('type') for stanza in juliet.take_stanzas('presence')] == ['unavailable']
    assert site.starts() == 1
    with pytest.raises(Refused, match='item-not-found'):
        site.resume(1, romeo)
    assert said(come(site)) == ['1', '2', '3']


def test_a_stream_that_can_not_be_resumed_is_over_with_its_worker() -> None:
    """When the lease is, and what was not acked is stored."""
    site = Site()
    romeo, juliet = site.connect(0), site.login(1, 'juliet')
    run(site.network, romeo.login('r', 'PLAIN', acks=True))
    romeo.answers = False
    romeo.send('<presence/>')
    juliet.send(chat(1, 'romeo'))
    site.settle()
    cut(site, romeo)
    assert site.presence('romeo') == [True]
    site.lease_over()
    assert site.presence('romeo') == [] and site.starts() == 1
    assert said(come(site)) == ['1']


def test_a_worker_dies_that_had_claimed_a_stream() -> None:
    """Whether it had copied it by then or not."""
    for attached in (False, True):
        site = Site()
        romeo, juliet = meet(site)
        site.c2s.append(site.add('c2s-3'))
        site.settle()
        romeo.answers = False
        juliet.send(chat(1, 'romeo'))
        site.settle()
        h = romeo.handled - 1
        cut(site, romeo)
        start = site.start()
        if attached:
            first = site.resume(2, romeo, h)
            assert said(first) == ['1']
            juliet.send(chat(2, 'romeo'))
            first.answers = False
            site.settle()
            cut(site, first, 2)
            romeo, h = first, first.handled - 1
        else:
            stream = next(iter(streams_of(site.log())))
            site.copies.claim(start, stream, str(Start('c2s-3', site.c2s[2].links.incarnation)))
            site.kill(2)
            site.settle()
        again = site.resume(1, romeo, h)
        assert said(again) == (['2'] if attached else ['1'])


def test_another_workers_claim_stands() -> None:
    site = Site()
    romeo, _ = meet(site)
    start = site.start()
    stream = next(iter(streams_of(site.log())))
    cut(site, romeo)
    site.copies.claim(start, stream, str(Start('sm-1', site.sm.links.incarnation)))
    with pytest.raises(Refused, match='item-not-found'):
        site.resume(1, romeo)


def test_only_its_own_user_with_its_secret_gets_a_stream() -> None:
    site = Site()
    romeo, juliet = meet(site)
    cut(site, romeo)
    romeo.resume_id, right = romeo.resume_id[:-4] + 'AAAA', romeo.resume_id
    with pytest.raises(Refused, match='item-not-found'):
        site.resume(1, romeo)
    romeo.resume_id = right
    assert site.resume(1, romeo).resumed is not None


def test_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is acked does not stay, though another client acks nothing."""
    monkeypatch.setattr(copies_module, 'LEAST_BYTES', 10_000)
    site = Site()
    romeo, juliet = meet(site)
    slow = another(site)
    slow.answers = False
    site.settle()
    slow.drop()
    for n in range(400):
        juliet.send(f"<message to='{romeo.jid}' type='chat'><body>{n}</body></message>")
        site.settle()
        if not n % 20:
            romeo.ack()
    assert len(said(romeo)) == 400
    copies = site.c2s[0].copies
    assert copies is not None and sum(map(len, site.log())) == copies.size() < 40_000
    cut(site, romeo)
    assert site.resume(1, romeo).resumed is not None


def test_after_a_loss_all_is_copied_anew() -> None:
    site = Site()
    romeo, juliet = meet(site)
    romeo.answers = False
    juliet.send(chat(1, 'romeo'))
    site.settle()
    site.copies.lose()
    site.settle()
    juliet.send(chat(2, 'romeo'))
    site.settle()
    cut(site, romeo)
    assert said(site.resume(1, romeo, romeo.handled - 2)) == ['1', '2']


def test_without_the_store_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And when it is back there are copies again."""
    site = Site()
    romeo, juliet = meet(site)
    romeo.answers = False
    append = site.copies.append
    monkeypatch.setattr(site.copies, 'append', lambda *arguments: fail(OSError('not there')))
    juliet.send(chat(1, 'romeo'))
    site.settle()
    juliet.send(chat(2, 'romeo'))
    site.settle()
    assert said(romeo) == ['1', '2']
    monkeypatch.setattr(site.copies, 'append', append)
    site.advance(3)
    cut(site, romeo)
    assert said(site.resume(1, romeo, romeo.handled - 2)) == ['1', '2']


def test_what_is_held_back_is_copied() -> None:
    """For a client that is inactive (XEP-0352)."""
    site = Site()
    romeo, juliet = meet(site)
    romeo.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    site.settle()
    for n in (1, 2):
        juliet.send(f"<message to='{romeo.jid}' type='chat' id='h{n}'><x xmlns='urn:x'/></message>")
    site.settle()
    assert not romeo.take_stanzas('message')
    cut(site, romeo)
    again = site.resume(1, romeo)
    assert [stanza.attrs['id'] for stanza in again.take_stanzas('message')] == ['h1', 'h2']


def test_a_stream_that_was_closed_leaves_nothing() -> None:
    site = Site()
    romeo, juliet = meet(site)
    romeo.send(chat(1, 'juliet'))
    romeo.close()
    site.advance(2)
    assert said(juliet) == ['1'] and romeo.acked == 2
    assert not streams_of(site.log())


def test_a_stream_that_moves_is_copied_where_it_is() -> None:
    site = Site()
    romeo, juliet = meet(site)
    romeo.drop()
    site.settle()
    romeo = site.resume(1, romeo)
    site.settle()
    assert not streams_of(site.log()) and len(streams_of(site.log(1))) == 2
    romeo = site.resume(0, romeo)
    site.settle()
    assert len(streams_of(site.log())) == 1 and len(streams_of(site.log(1))) == 1


def test_a_lost_lease_ends_what_others_have_taken_over() -> None:
    """The rest is attached again."""
    site = Site()
    romeo, juliet = meet(site)
    other = another(site)
    start = site.start()
    stream = next(stream for stream, copy in streams_of(site.log()).items() if copy.bare.startswith('romeo'))
    site.copies.claim(start, stream, 'sm-1 00')
    site.copies._leases[start] = site.clock.seconds() - 1
    before = {session.stream: session.epoch for session in site.c2s[0].sessions.values()}
    site.advance(3)
    assert romeo.error == 'conflict' and not other.closed
    (session,) = site.c2s[0].sessions.values()
    assert session.epoch > before[session.stream]
    juliet.send(f"<message to='{other.jid}' type='chat'><body>1</body></message>")
    site.settle()
    assert said(other) == ['1']


def test_while_a_lease_is_held_nobody_ends_the_sessions() -> None:
    """No router sees the worker, but it lives."""
    site = Site()
    romeo, _ = meet(site)
    store, start = site.copies, site.start()
    cut(site, romeo)
    for _ in range(10):
        store.renew(start, 4.0)
        site.advance(3)
    assert site.presence('romeo') == [True]
    assert now(store.claims(start)) == {}
    (session,) = site.sessions.peek(f'romeo@{DOMAIN}')
    assert session.priority == 0


def test_an_iq_whose_answer_is_lost_with_the_worker_is_answered_with_an_error() -> None:
    """One that was answered is not."""
    site = Site()
    romeo, _ = meet(site)
    romeo.send("<iq type='get' id='answered'><ping xmlns='urn:xmpp:ping'/></iq>")
    site.settle()
    answers = site.hold_stanzas(0, 'iq')
    romeo.send("<iq type='get' id='lost'><ping xmlns='urn:xmpp:ping'/></iq>")
    site.settle()
    romeo.ask()
    site.settle()
    assert len(answers) == 1 and romeo.acked == 3
    cut(site, romeo)
    again = site.resume(1, romeo)
    site.settle()
    assert [(stanza.attrs['id'], stanza.attrs['type']) for stanza in again.take_stanzas('iq')] == [('lost', 'error')]
