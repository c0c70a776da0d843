"""How fast a client may go: it is slowed down, and closed when it never gives in."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.testing.client import XmppClient
from jabberd_tx.xmpp import ns
from tests.components.c2s.c2s_support import Site, chat, message

PADDED = "<message to='juliet@example.net'><body>" + 'x' * 4000 + '</body></message>'
# What is used, one unit of each limit, and how many of those one `FLOOD` is.
FLOODS = {
    'bytes': (PADDED, 4000),
    'stanzas': (chat(1), 1),
    'presences': ('<presence/>', 1),
    'iqs': ("<iq type='get' id='x'><query xmlns='jabber:iq:roster'/></iq>", 1),
}


def flooded(limit: str, times: int = 160, **options: Any) -> tuple[Site, XmppClient]:
    """A site where nothing else is limited, and a client that has sent so many at once."""
    others = {f'rate_{name}': 0 for name in FLOODS if name != limit}
    amount = FLOODS[limit][1]
    site = Site(**others, **{f'rate_{limit}': 10 * amount, f'burst_{limit}': 32 * amount, **options})
    client = site.login()
    before = len(site.sm.frames)
    client.send(FLOODS[limit][0] * times)
    site.settle()
    assert before == 0
    return site, client


def came(site: Site) -> int:
    return len(site.sm.frames)


@pytest.mark.parametrize('limit', FLOODS)
def test_a_burst_goes_through_and_the_rest_at_the_rate(limit: str) -> None:
    """Nothing of it is lost; the metric counts how often it was slowed down."""
    site, client = flooded(limit)
    # What one read brings above the bytes waits whole; here that is all of it.
    assert came(site) <= 96 and (came(site) >= 32 or limit == 'bytes'), 'the burst, and a lot more'
    assert not site.session(client).transport.reading
    assert getattr(site.c2s.limited.counts, limit) >= 1
    counts = []
    for _ in range(20):
        site.advance(1)
        counts.append(came(site))
    assert counts[-1] == 160 and not client.error
    assert counts[3] < 160 and counts == sorted(counts)
    assert site.session(client).transport.reading


@pytest.mark.parametrize('limit', FLOODS)
def test_without_a_rate_nothing_is_slowed_down(limit: str) -> None:
    """However much it is."""
    site, client = flooded(limit, 2000, **{f'rate_{limit}': 0})
    assert came(site) == 2000 and getattr(site.c2s.limited.counts, limit) == 0


def test_the_defaults_let_a_busy_client_be() -> None:
    """One that joins two hundred rooms, asks five hundred things and sends a hundred messages, all at once."""
    site = Site()
    client = site.login()
    client.send(''.join(f"<presence to='room{n}@example.net/r'/>" for n in range(200)))
    client.send(''.join(f"<iq type='get' id='{n}' to='example.net'/>" for n in range(500)))
    client.send(''.join(map(chat, range(100))))
    site.settle()
    assert came(site) == 800 and not any(site.c2s.limited.counts.read().values())


def test_directed_presence_is_a_stanza_like_any_other() -> None:
    """The rate is of what goes to all contacts."""
    site, _ = flooded('presences', 0)
    client = site.login('juliet')
    client.send("<presence to='romeo@example.net/r'/>" * 200)
    site.settle()
    assert came(site) == 200


def test_a_client_that_is_slowed_down_still_gets_what_comes_for_it_and_others_go_on() -> None:
    """Only its own sending waits."""
    site, client = flooded('stanzas', 2000)
    site.deliver(client, message(1))
    assert client.take_stanzas() == [message(1)]
    other = site.login('juliet')
    before = came(site)
    other.send(chat(1) * 10)
    site.settle()
    assert came(site) == before + 10


def test_a_client_that_never_gives_in_is_closed() -> None:
    """When it has been above the rate for as long as our patience lasts, and not before."""
    site, client = flooded('stanzas', 3000, rate_patience=60)
    site.advance(50)
    assert not client.error
    site.advance(30)
    assert client.error == 'policy-violation' and client.closed
    assert site.c2s.limited.counts.patience == 1
    assert not site.c2s.sessions, 'and everything that it sent is settled'
    assert not [call for call in site.clock.getDelayedCalls() if 'Rates' in str(call.func)]


def test_one_who_gives_in_in_time_is_forgiven() -> None:
    """The time begins anew after a rest."""
    site, client = flooded('stanzas', 400, rate_patience=60)
    for _ in range(4):
        site.advance(45)
        client.send(chat(1) * 400)
        site.settle()
    assert not client.error


def test_without_patience_to_lose_a_client_is_only_slowed_down() -> None:
    """rate_patience = 0."""
    site, client = flooded('stanzas', 3000, rate_patience=0)
    site.advance(200)
    assert not client.error and came(site) < 3000
    site.advance(200)
    assert came(site) == 3000


def test_new_rates_hold_for_clients_that_are_here() -> None:
    """On where there was none, and off again, which sets free who is held."""
    site, client = flooded('stanzas', 320, rate_stanzas=0)
    assert came(site) == 320
    site.c2s.options.rate_stanzas = 10
    client.send(chat(1) * 320)
    site.settle()
    assert came(site) < 450
    site.c2s.options.rate_stanzas = 0
    site.advance(11)
    assert came(site) == 640


def test_the_window_and_the_rate_hold_independently() -> None:
    """Confirming what fills the window does not set free a client that is too fast, nor the other way round."""
    site = Site(rate_stanzas=10, burst_stanzas=32, rate_iqs=0)
    site.sm.confirms = False
    client = site.login()
    client.send(chat(1) * 64)
    site.settle()
    first = came(site)
    assert first == 62, 'the window'
    site.advance(60)
    assert came(site) == first
    site.sm.confirm()
    site.settle()
    assert came(site) == 64
    client.send(chat(1) * 200)
    site.settle()
    held = came(site)
    site.sm.confirms = True
    site.sm.confirm()
    site.settle()
    assert came(site) < held + 64
    site.advance(60)
    assert came(site) == 264


def test_a_client_that_leaves_while_it_is_slowed_down_leaves_nothing_behind() -> None:
    """No timer, no session."""
    site, client = flooded('stanzas', 500)
    client.drop()
    site.settle()
    assert not site.c2s.sessions
    assert not [call for call in site.clock.getDelayedCalls() if 'Rates' in str(call.func)]


def test_shutdown_does_not_wait_for_what_a_slow_client_may_not_send() -> None:
    """What was taken is confirmed, acks are still heard."""
    site, client = flooded('stanzas', 0)
    site.run(client.enable_acks())
    site.deliver(client, message(1))
    client.send(chat(1) * 500)
    site.settle()
    taken = came(site)
    done: list[Any] = []
    Deferred.fromCoroutine(site.c2s.stop()).addBoth(done.append)
    for _ in range(10):
        site.advance(0.5)
    assert done == [None] and came(site) == taken and client.error == 'system-shutdown'
    assert client.acked == taken


def test_what_is_no_stanza_is_not_counted_as_one() -> None:
    """Requests for acks count as bytes alone."""
    site, client = flooded('stanzas', 0)
    site.run(client.enable_acks())
    client.send(f"<r xmlns='{ns.ACKS}'/>" * 500)
    site.settle()
    assert site.c2s.limited.counts.stanzas == 0
