"""Sessions and the links that their frames take: what happens when one is lost, or reaches less than another."""

from __future__ import annotations

from jabberd_tx.link.frames import REPEAT, Route
from jabberd_tx.xmpp import ns
from tests.components.c2s.c2s_support import Site, chat, route_of


def frames_of(frames: list[Route], client_session: bytes) -> list[Route]:
    return [frame for frame in frames if frame.uid[:16] == client_session]


def test_when_its_link_is_lost_a_session_repeats_what_was_unconfirmed_over_another_to_the_same_sm() -> None:
    site = Site(routers=2)
    client = site.login()
    site.sm.confirms = False
    client.send(chat(1) + chat(2))
    site.settle()
    used, left = route_of(site, client)
    site.links.cut(used)
    client.send(chat(3))
    site.settle()
    assert site.sm.numbers == [1, 2, 1, 2, 3]
    assert [frame.flags & REPEAT for frame in site.sm.frames][:4] == [0, 0, 1, 1]
    assert site.sm.kinds() == ['start'], 'it stays where it is'
    assert route_of(site, client)[0] == left


def test_when_its_last_link_is_lost_a_session_is_attached_anew() -> None:
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
    assert site.sm.kinds() == ['start', 'attach'], 'it may have been taken for gone'
    assert site.sm.numbers == [1, 2, 1, 2, 3]
    assert all(frame.flags & REPEAT for frame in site.sm.frames[2:])


def test_a_session_keeps_its_link_while_something_is_unconfirmed_and_then_takes_the_one_that_is_its_own() -> None:
    site = Site(routers=2)
    client = site.login()
    own, other_router = route_of(site, client)
    site.links.cut(own)
    site.settle()
    site.sm.confirms = False
    client.send(chat(1))
    site.settle()
    assert route_of(site, client)[0] == other_router
    site.links.mend(own)
    site.settle()
    client.send(chat(2))
    site.settle()
    assert route_of(site, client)[0] == other_router
    site.sm.confirm()
    site.settle()
    client.send(chat(3))
    site.settle()
    assert route_of(site, client)[0] == own
    assert site.sm.numbers == [1, 2, 3] and not any(frame.flags & REPEAT for frame in site.sm.frames)


def test_an_sm_that_one_router_does_not_reach_is_reached_by_the_other() -> None:
    site = Site(routers=2)
    client = site.login()
    used, left = route_of(site, client)
    site.sm.links.cut(used)
    site.settle()
    site.advance(1)
    client.send(chat(1) + chat(2))
    site.advance(1)
    assert list(dict.fromkeys(site.sm.numbers)) == [1, 2] and site.sm.kinds() == ['start']
    assert route_of(site, client)[0] == left


def test_what_was_under_way_to_an_sm_that_one_router_has_lost_is_repeated_by_the_other() -> None:
    site = Site(routers=2)
    client = site.login()
    used, _ = route_of(site, client)
    client.send(chat(1))
    while not site.session(client).unconfirmed:
        site.network.turn_once()
    site.sm.links.cut(used)  # with the frame in its inbox
    site.advance(1)
    assert site.sm.numbers == [1] and site.sm.frames[0].flags & REPEAT


def test_a_login_finds_the_sm_by_the_router_that_has_it() -> None:
    site = Site(routers=2)
    client = site.login()
    used, _ = route_of(site, client)
    site.sm.links.cut(used)
    site.settle()
    second = site.connect()
    site.run(second.open())
    site.run(second.authenticate())
    site.run(second.open())
    second.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
    site.advance(1)
    assert site.run(second.stanza('iq')).attrs['type'] == 'result'


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
    assert site.sm.numbers == [1] and site.sm.kinds() == ['start', 'attach', 'end'] and not site.c2s.sessions


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
