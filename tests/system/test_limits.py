"""Clients that want too much, in both shapes: each limit is kept, counted, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator

import pytest
from bystanders import Bystanders
from processes import DOMAIN, SHAPES, Site
from raw_client import BIND, RawClient, plain

# The bystanders come from 127.0.0.1, those who want too much from elsewhere on loopback.
LIMITS = """
unlimited_addresses = ["127.0.0.1"]
address_connections = 6
failures_account = 2
failures_delay = 2
rate_bytes = 20000
burst_bytes = 300000
rate_stanzas = 20
burst_stanzas = 64
rate_presences = 1
burst_presences = 5
rate_iqs = 10
burst_iqs = 32
rate_patience = 2
"""
# juliet sends a message and waits for its arrival and then some: she keeps to the rates.
PACE_S = 0.1
SM = '\n[sm]\nroster_items = 5\nmax_resources = 3\n'


@pytest.fixture(scope='module', params=SHAPES)
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with narrow limits, where two people chat."""
    site = Site(tmp_path_factory.mktemp('limited'), request.param, SM)
    with site:
        config = site.folder / 'jabberd.toml'
        config.write_text(config.read_text().replace('[c2s]\n', '[c2s]' + LIMITS, 1))
        site.run_all()
        for name in ('juliet', 'romeo', 'nurse', 'paris', 'peter'):
            site.add_user(name, f'{name}-secret')
        yield site


@pytest.fixture(scope='module')
def bystanders(limited: Site) -> Iterator[Bystanders]:
    """They chat from before the first of these tests until after the last."""
    chatting = Bystanders(limited, PACE_S)
    chatting.go_on()
    yield chatting
    chatting.go_on()
    chatting.stop()
    assert chatting.slowest < 3


@pytest.fixture(autouse=True)
def unharmed(bystanders: Bystanders) -> Iterator[None]:
    """After each test."""
    yield
    bystanders.go_on()


def client(site: Site, source: str = '127.0.0.1') -> RawClient:
    return RawClient(site.ports[0], site.folder / 'data' / 'cert.pem', source=source)


def count(site: Site, name: str) -> float:
    """Of the first c2s, or of the sm."""
    component = name.partition('_')[0]
    for process in site.processes.values():
        if process.name in ('jabberd', f'{component}-a'):
            return process.metric(f'jabberd_{name}')
    raise AssertionError(component)


def test_connections_from_one_address(limited: Site) -> None:
    """The seventh is turned away with the reason; another address is not; there is room again after one has gone."""

    async def talk() -> None:
        held = [await client(limited, '127.0.0.7').connect() for _ in range(6)]
        for one in held:
            await one.open()
        said = await (await client(limited, '127.0.0.7').connect()).ended()
        assert re.search('<stream:stream.*<stream:error><policy-violation.*</stream:stream>$', said, re.S), said
        other = await client(limited, '127.0.0.8').login('nurse')
        held[0].send('</stream:stream>')
        await held[0].ended()
        again = await client(limited, '127.0.0.7').connect()
        await again.open()
        for one in (*held[1:], other, again):
            one.close()

    asyncio.run(talk())
    assert count(limited, 'c2s_limited_total{limit="address-connections"}') == 1


def test_guesses_of_a_password(limited: Site) -> None:
    """Become slow where they come from; the owner logs in from elsewhere as fast as ever."""

    async def guess() -> float:
        one = await client(limited, '127.0.0.9').connect()
        await one.start_tls()
        began = time.monotonic()
        one.send(plain('paris', 'wrong'))
        assert '<not-authorized' in await one.until('</failure>')
        one.close()
        return time.monotonic() - began

    async def talk() -> None:
        waits = [await guess() for _ in range(4)]
        assert waits[2] >= 0.9 and waits[3] >= 1.8, waits
        (await client(limited).login('paris')).close()

    asyncio.run(talk())
    # Neither the first two nor the owner have waited.
    assert count(limited, 'c2s_limited_total{limit="login-delay"}') == 2


def pings(number: int) -> str:
    """So many IQs, with the ids p0, p1, …"""
    one = "<iq type='get' id='p{}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>"
    return ''.join(one.format(n, DOMAIN) for n in range(number))


FLOODS = {
    'bytes': f"<message to='paris@{DOMAIN}' type='headline'><body>{'x' * 9000}</body></message>",
    'stanzas': f"<message to='paris@{DOMAIN}' type='headline'/>",
    'presences': '<presence/>',
    'iqs': f"<iq type='get' id='1' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>",
}


@pytest.mark.parametrize('limit', FLOODS)
def test_a_flood_is_slowed_down_and_ended_when_it_does_not_stop(limited: Site, limit: str) -> None:
    """A client that sends without an end, as fast as it may."""

    async def talk() -> None:
        flooder = await client(limited).login('nurse')
        began = time.monotonic()

        async def flood() -> None:
            try:
                while True:
                    flooder.send(FLOODS[limit] * 10)
                    await asyncio.wait_for(flooder.writer.drain(), 30)
            except OSError:
                pass

        flooding = asyncio.create_task(flood())
        said = await flooder.ended()
        flooding.cancel()
        assert re.search(f'<policy-violation .*>too many {limit} a second', said, re.S), said[-500:]
        assert time.monotonic() - began >= 2

    asyncio.run(talk())
    assert count(limited, f'c2s_limited_total{{limit="{limit}"}}') >= 1


def test_one_that_pauses_gets_everything_through(limited: Site) -> None:
    """A burst above the rate, and then nothing more: slowed down, not ended."""

    async def talk() -> None:
        one = await client(limited).login('nurse')
        began = time.monotonic()
        one.send(pings(64))
        await one.until("id='p63'")
        assert time.monotonic() - began > 1.5
        one.close()

    asyncio.run(talk())


def test_a_roster_takes_so_many_contacts(limited: Site) -> None:
    """The sixth is refused."""

    async def talk() -> None:
        one = await client(limited).login('peter')
        for n in range(6):
            item = f"<item jid='c{n}@{DOMAIN}'/>"
            one.send(f"<iq type='set' id='r{n}'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
            answer = await one.until(f"<iq[^>]*id='r{n}'[^>]*(/>|>.*</iq>)")
            assert ('<resource-constraint' in answer) == (n == 5), answer
        one.close()

    asyncio.run(talk())
    assert count(limited, 'sm_limited_total{limit="roster"}') == 1


def test_a_user_has_so_many_resources(limited: Site) -> None:
    """The fourth is refused until one of them has gone."""

    async def talk() -> None:
        there = [await client(limited).login('paris') for _ in range(3)]
        fourth = await (await client(limited).connect()).start_tls()
        await fourth.authenticate('paris')
        fourth.send(BIND)
        assert '<resource-constraint' in await fourth.until('</iq>')
        there[0].send('</stream:stream>')
        await there[0].ended()
        await fourth.bind()
        for one in (*there[1:], fourth):
            one.close()

    asyncio.run(talk())
    assert count(limited, 'sm_limited_total{limit="resources"}') == 1


def test_new_limits_hold_after_a_reload(limited: Site) -> None:
    """For connections, and for clients that are here already."""
    config = limited.folder / 'jabberd.toml'
    before = config.read_text()
    after = before.replace('address_connections = 6', 'address_connections = 3').replace('iqs = 10', 'iqs = 0')
    iqs = 'c2s_limited_total{limit="iqs"}'

    async def talk() -> None:
        held = [await client(limited, '127.0.0.6').connect() for _ in range(3)]
        one = await client(limited).login('nurse')
        config.write_text(after)
        done = await asyncio.to_thread(limited.ctl, 'reload')
        assert done.returncode == 0 and 'c2s.address_connections: 6 -> 3' in done.stdout, done.stdout + done.stderr
        assert '<policy-violation' in await (await client(limited, '127.0.0.6').connect()).ended()
        slowed = count(limited, iqs)
        one.send(pings(60))
        await one.until("id='p59'")
        assert count(limited, iqs) == slowed
        for other in (*held, one):
            other.close()

    try:
        asyncio.run(talk())
    finally:
        config.write_text(before)
        assert limited.ctl('reload').returncode == 0
