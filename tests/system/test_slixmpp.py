"""slixmpp, unmodified, through both shapes: login, roster, presence, chat, offline and back."""

from __future__ import annotations

import asyncio

import pytest
from processes import DOMAIN, Site
from slixmpp.exceptions import IqError
from slixmpp_client import Client


async def two(site: Site, *names: str) -> list[Client]:
    """Clients of these users, on different workers where there are several."""
    clients = [Client(site, name, site.ports[n % len(site.ports)]) for n, name in enumerate(names)]
    return list(await asyncio.gather(*(client.login() for client in clients)))


async def befriend(one: Client, other: Client) -> None:
    """Both subscribe to each other and wait until both know."""
    for client, contact in ((one, other), (other, one)):
        client.send_presence_subscription(contact.boundjid.bare)
    for client, contact in ((one, other), (other, one)):
        await client.until('presence', lambda p, contact=contact: p['from'].full == contact.boundjid.full)


def test_login_with_starttls_and_scram(site: Site) -> None:
    """The stream is encrypted, and the strongest mechanism is taken."""

    async def talk() -> None:
        client = await Client(site, 'juliet', site.ports[0]).login()
        assert client.transport.get_extra_info('ssl_object').version() in ('TLSv1.3', 'TLSv1.2')
        mechanism = client.plugin['feature_mechanisms'].mech.name
        assert mechanism.startswith('SCRAM-SHA-'), mechanism
        await client.leave()

    asyncio.run(talk())


def test_wrong_password_is_refused(site: Site) -> None:
    """not-authorized, and the right one works afterwards."""

    async def talk() -> None:
        wrong = Client(site, 'juliet', site.ports[0], password='not hers')
        wrong.connect('127.0.0.1', site.ports[0])
        failure = await wrong.until('failed_auth')
        assert failure['condition'] == 'not-authorized'
        wrong.abort()
        await (await Client(site, 'juliet', site.ports[0]).login()).leave()

    asyncio.run(talk())


def test_chat_both_ways(site: Site) -> None:
    """To the full and to the bare JID, in order, markup and non-ASCII text intact."""

    async def talk() -> None:
        juliet, romeo = await two(site, 'juliet', 'romeo')
        for n in range(20):
            juliet.send_message(romeo.boundjid.full if n % 2 else romeo.boundjid.bare, f'«{n}» <&> ♥', mtype='chat')
        for n in range(20):
            message = await romeo.until('message')
            assert (message['body'], message['from']) == (f'«{n}» <&> ♥', juliet.boundjid)
        romeo.send_message(juliet.boundjid.full, 'by yonder blessed moon', mtype='chat')
        assert (await juliet.until('message'))['body'] == 'by yonder blessed moon'
        await asyncio.gather(juliet.leave(), romeo.leave())

    asyncio.run(talk())


def test_roster_and_presence(site: Site) -> None:
    """Subscription both ways, presence of each other, away, offline; the roster says so afterwards."""

    async def talk() -> None:
        juliet, romeo = await two(site, 'juliet', 'romeo')
        await befriend(juliet, romeo)
        juliet.send_presence(pshow='away', pstatus='on the balcony')
        seen = await romeo.until('presence', lambda p: p['from'] == juliet.boundjid and p['type'] == 'away')
        assert seen['status'] == 'on the balcony'
        await juliet.leave()
        await romeo.until('presence', lambda p: p['from'] == juliet.boundjid and p['type'] == 'unavailable')
        await romeo.get_roster()
        assert romeo.client_roster[f'juliet@{DOMAIN}']['subscription'] == 'both'
        await romeo.del_roster_item(f'juliet@{DOMAIN}')
        again = await Client(site, 'juliet', site.ports[0]).login()
        assert again.client_roster[f'romeo@{DOMAIN}']['subscription'] == 'none'
        await again.del_roster_item(f'romeo@{DOMAIN}')
        await asyncio.gather(again.leave(), romeo.leave())

    asyncio.run(talk())


def test_offline_and_back(site: Site) -> None:
    """Messages to somebody who is not there wait, in order, with the time they were sent."""

    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[0]).login()
        for n in range(5):
            juliet.send_message(f'nurse@{DOMAIN}', f'waiting {n}', mtype='chat')
        await juliet.plugin['xep_0199'].ping(DOMAIN)
        nurse = await Client(site, 'nurse', site.ports[-1]).login()
        for n in range(5):
            message = await nurse.until('message')
            assert message['body'] == f'waiting {n}'
            assert message['delay']['stamp'] is not None
        # What a client has not acked when it leaves it finds again.
        nurse.plugin['xep_0198'].send_ack()
        await nurse.leave()
        again = await Client(site, 'nurse', site.ports[-1]).login()
        await again.plugin['xep_0199'].ping(DOMAIN)
        assert not [event for event, _ in again.notes if event == 'message']
        await asyncio.gather(juliet.leave(), again.leave())

    asyncio.run(talk())


def test_disco_and_ping(site: Site) -> None:
    """The server says what it can, and answers a ping; an unknown request gets service-unavailable."""

    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[0]).login()
        info = (await juliet.plugin['xep_0030'].get_info(DOMAIN))['disco_info']
        assert ('server', 'im', None, None) in {(*identity[:2], None, None) for identity in info['identities']}
        assert 'urn:xmpp:ping' in info['features']
        assert await juliet.plugin['xep_0199'].ping(DOMAIN) < 10
        with pytest.raises(IqError) as error:
            await juliet.plugin['xep_0030'].get_info(f'nobody@{DOMAIN}')
        assert error.value.condition == 'service-unavailable'
        await juliet.leave()

    asyncio.run(talk())


def test_a_second_login_with_the_same_resource_ends_the_first(site: Site) -> None:
    """conflict (RFC 6120 §7.7.2.2)."""

    async def talk() -> None:
        first = await Client(site, 'juliet', site.ports[0], resource='balcony').login()
        second = await Client(site, 'juliet', site.ports[-1], resource='balcony').login()
        error = await first.until('stream_error')
        assert error['condition'] == 'conflict'
        assert second.boundjid.resource == 'balcony'
        first.abort()
        await second.leave()

    asyncio.run(talk())
