"""What the session store says is kept true: after a loss, and after a c2s has gone that nobody saw going."""

from __future__ import annotations

from jabberd_tx.components.sm.records import LOOK_S, kept_of, restore
from jabberd_tx.link import session as vocabulary
from jabberd_tx.storage.sessions.interface import Session
from tests.components.sm.sm_support import DOMAIN, Site
from tests.components.sm.test_sm_presence import got

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'


def left_behind(site: Site) -> Session:
    """A session of a c2s that is not there any more."""
    session = Session(f'{ROMEO}/r', 'c2s-9', b'i' * 16, b's' * 16)
    site.sessions.open(session, False)
    return session


def test_sessions_of_a_c2s_that_nobody_saw_going_end() -> None:
    """It is looked for twice."""
    site = Site()
    left_behind(site)
    site.advance(LOOK_S * 0.6)
    assert site.sessions.peek(ROMEO)
    site.advance(LOOK_S * 2.2)
    assert not site.sessions.peek(ROMEO)
    site.quiet()


def test_those_of_one_that_is_there_stay() -> None:
    """However often it is looked for, and those of its own start alone."""
    site = Site()
    juliet = site.c2s('c2s-1').client('juliet')
    left_behind(site)
    site.advance(LOOK_S * 5)
    assert [session.jid for session in site.sessions.peek(JULIET)] == [juliet.jid]
    site.quiet()


def test_without_a_link_nobody_is_missed() -> None:
    """It is the sm itself that is alone then."""
    site = Site()
    left_behind(site)
    site.sm_links.lose(0)
    site.advance(LOOK_S * 5)
    assert site.sessions.peek(ROMEO)
    site.sm_links.regain(0)
    site.quiet()


def test_what_only_the_store_knows_comes_back_with_the_session() -> None:
    """Carbons, and who has got directed presence: they hear of the end as if nothing had been."""
    site = Site()
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet'), c2s.client('romeo', 'r')
    romeo.send("<iq type='set' id='1'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    romeo.send(f"<presence to='{juliet.jid}'/>")
    site.settle()
    got(juliet)
    (before,) = site.sessions.peek(ROMEO)
    assert before.carbons and before.directed == {juliet.jid}
    site.sessions.close(romeo.stream, ROMEO, 0)  # as if Redis had lost it
    c2s.attach_again(romeo, '<presence/>')
    site.settle()
    (after,) = site.sessions.peek(ROMEO)
    assert after.carbons and after.directed == {juliet.jid}
    romeo.leave()
    assert got(juliet) == [f'{romeo.jid} unavailable']
    site.quiet()


def test_after_a_loss_every_c2s_is_asked_for_its_sessions() -> None:
    """Once each, with a frame that belongs to no stream."""
    site = Site()
    for node in ('c2s-1', 'c2s-2'):
        site.c2s(node).client('romeo', node)
    asked: list[tuple[str, bytes | str | None, str | None]] = []
    post = site.sm.posts.to_stream

    def note(owner: str, node: str, stream: bytes | None, epoch: int, stanza: object, **more: object) -> None:
        asked.append((node, stream, stanza.attrs.get('type')))  # type: ignore[attr-defined]

    site.sm.posts.to_stream = note  # type: ignore[assignment, method-assign]
    site.sm.records._announce()
    site.sm.posts.to_stream = post  # type: ignore[method-assign]
    assert asked == [(node, vocabulary.NO_STREAM, 'announce') for node in ('c2s-1', 'c2s-2')]


def test_a_record_is_read_as_it_was_written() -> None:
    """And nothing changes where nothing was kept."""
    one, other = (Session(f'{ROMEO}/r', 'c2s-1', b'i' * 16, b's' * 16) for _ in range(2))
    one.carbons, one.directed = True, frozenset(('a@b', 'c@d/e f'))
    restore(other, kept_of(one))
    assert (other.carbons, other.directed) == (True, one.directed)
    restore(other, b'')
    assert other.carbons
