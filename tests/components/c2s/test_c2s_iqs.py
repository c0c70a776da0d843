"""IQs that wait for an answer when an sm or a link goes."""

from __future__ import annotations

from jabberd_tx.link import session as vocabulary
from jabberd_tx.link.frames import REPEAT, Route
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.c2s.c2s_support import Site, other, pinned, route_of


def frames_of(frames: list[Route], client_session: bytes) -> list[Route]:
    return [frame for frame in frames if frame.uid[:16] == client_session]


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
    site.deliver(client, Stanza('iq', {'type': 'result', 'id': 'g', 'to': client.jid}), second)
    assert site.session(client).iqs is None


def test_a_get_that_was_asked_again_is_asked_once_more_when_a_link_is_lost() -> None:
    site = Site(sms=2, routers=2)
    client = site.login()
    first = pinned(site, client)
    client.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>")
    site.settle()
    first.links.stop()
    site.settle()
    second = other(site, first)
    assert second.numbers == [1]
    site.links.cut(route_of(site, client)[0])
    site.settle()
    assert second.numbers == [1, 1] and not client.take_stanzas('iq')


def test_iqs_are_answered_with_an_error_when_the_answer_may_have_been_lost_with_the_last_link() -> None:
    site = Site()
    client = site.login()
    query = "<query xmlns='jabber:iq:roster'/>"
    client.send(f"<iq type='get' id='g'>{query}</iq><iq type='set' id='s'>{query}</iq>")
    site.settle()
    site.links.stop()
    site.settle()
    site.links.start()
    site.settle()
    answers = client.take_stanzas('iq')
    assert [(answer.attrs['id'], answer.attrs['type']) for answer in answers] == [('g', 'error'), ('s', 'error')]
    assert site.sm.numbers == [1, 2]


def test_a_session_that_its_sm_has_lost_is_attached_again() -> None:
    site = Site()
    client = site.login()
    client.send('<presence/>')
    site.settle()
    epoch = site.session(client).epoch
    site.deliver(client, vocabulary.lost(), epoch=epoch)
    assert site.sm.kinds() == ['start', 'attach'] and site.session(client).epoch > epoch
    site.deliver(client, vocabulary.lost(), epoch=epoch)
    assert site.sm.kinds() == ['start', 'attach'], 'old news'


def test_an_unconfirmed_set_is_repeated_and_its_answer_waited_for() -> None:
    site = Site(sms=2, routers=2)
    client = site.login()
    first = pinned(site, client)
    first.confirms = False
    client.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'/></iq>")
    site.settle()
    first.links.stop()
    site.settle()
    second = other(site, first)
    assert second.numbers == [1] and not client.take_stanzas('iq')
    site.links.cut(route_of(site, client)[0])
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
