"""Streams that lose their connection and are resumed, and some that are not, through both shapes (XEP-0198 §5)."""

from __future__ import annotations

import asyncio
import re

from processes import DOMAIN, Site, wait_for
from raw_client import RawClient
from slixmpp_client import Client

ACKS = 'urn:xmpp:sm:3'


async def login(site: Site, name: str, seconds: int = 60) -> tuple[RawClient, str]:
    """A raw client that may resume its stream, and the id of that."""
    client = await RawClient(site.ports[0], site.folder / 'data' / 'cert.pem').login(name)
    client.send(f"<enable xmlns='{ACKS}' resume='true' max='{seconds}'/>")
    enabled = await client.until('<enabled[^>]*>')
    match = re.search("id='([^']+)'", enabled)
    assert match is not None and f"max='{seconds}'" in enabled
    return client, match[1]


async def resume(site: Site, name: str, previd: str, h: int, port: int = 0) -> RawClient:
    """The same, on a new connection to the worker with that number, after its wish to resume."""
    client = RawClient(site.ports[port % len(site.ports)], site.folder / 'data' / 'cert.pem')
    await client.connect()
    await client.start_tls()
    await client.authenticate(name)
    client.send(f"<resume xmlns='{ACKS}' previd='{previd}' h='{h}'/>")
    return client


def cut(client: RawClient) -> None:
    """Lose the connection, without an end of TLS or of the stream."""
    client.writer.transport.abort()


async def bodies(client: RawClient, count: int) -> list[str]:
    """Of the next messages."""
    found = [await client.until('</message>') for _ in range(count)]
    return [re.findall('<body>([^<]*)</body>', message)[0] for message in found]


def test_what_was_sent_meanwhile_comes_once_and_in_order(site: Site) -> None:
    """And what the client sends counts on."""

    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[-1]).login()
        romeo, previd = await login(site, 'romeo')
        juliet.send_message(f'romeo@{DOMAIN}', 'seen', mtype='chat')
        assert await bodies(romeo, 1) == ['seen']
        romeo.send(f"<message to='juliet@{DOMAIN}' type='chat'><body>one</body></message>")
        await juliet.until('message', lambda message: message['body'] == 'one')
        cut(romeo)
        for n in range(5):
            juliet.send_message(romeo.jid, f'away {n}', mtype='chat')
        again = await resume(site, 'romeo', previd, 1)
        resumed = await again.until('<resumed[^>]*>')
        assert "h='1'" in resumed and previd in resumed
        assert await bodies(again, 5) == [f'away {n}' for n in range(5)]
        again.send(f"<message to='juliet@{DOMAIN}' type='chat'><body>two</body></message><r xmlns='{ACKS}'/>")
        await juliet.until('message', lambda message: message['body'] == 'two')
        again.send(f"<r xmlns='{ACKS}'/>")
        await again.until("<a [^>]*h='2'/>")
        again.send(f"<a xmlns='{ACKS}' h='6'/></stream:stream>")
        await again.ended()
        await juliet.leave()

    asyncio.run(talk())


def test_a_stream_moves_to_another_worker_and_back(site: Site) -> None:
    """Where there is one; what came in between is there each time, once and in order."""

    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[-1]).login()
        romeo, previd = await login(site, 'romeo')
        handled = 0
        for port in (1, 0, 1, 1):
            cut(romeo)
            for n in range(5):
                juliet.send_message(f'romeo@{DOMAIN}', f'{port} {n}', mtype='chat')
            romeo = await resume(site, 'romeo', previd, handled, port)
            await romeo.until('<resumed[^>]*>')
            assert await bodies(romeo, 5) == [f'{port} {n}' for n in range(5)]
            handled += 5
            romeo.send(f"<message to='juliet@{DOMAIN}' type='chat'><body>from {port} {handled}</body></message>")
            body = f'from {port} {handled}'
            await juliet.until('message', lambda message, body=body: message['body'] == body)
        romeo.send(f"<a xmlns='{ACKS}' h='{handled}'/></stream:stream>")
        await romeo.ended()
        await juliet.leave()

    asyncio.run(talk())


def test_a_live_connection_is_taken_over(site: Site) -> None:
    """The old one ends with conflict."""

    async def talk() -> None:
        romeo, previd = await login(site, 'romeo')
        again = await resume(site, 'romeo', previd, 0, 1)
        await again.until('<resumed[^>]*>')
        assert '<conflict' in await romeo.ended()
        again.send(f"<a xmlns='{ACKS}' h='0'/></stream:stream>")
        await again.ended()

    asyncio.run(talk())


def away(site: Site) -> float:
    """Sessions that wait for their client."""
    return sum(
        process.metric('jabberd_c2s_away')
        for name, process in site.processes.items()
        if name == 'jabberd' or name.startswith('c2s')
    )


def test_what_a_client_never_came_back_for_is_stored_once(site: Site) -> None:
    """Its stream is over in time, and the next login gets its messages from the offline store."""

    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[-1]).login()
        romeo, previd = await login(site, 'romeo', 2)
        cut(romeo)
        for n in range(3):
            juliet.send_message(romeo.jid, f'late {n}', mtype='chat')
        await asyncio.to_thread(wait_for, 'the session waits', lambda: away(site) == 1)
        await asyncio.to_thread(wait_for, 'the session is over', lambda: away(site) == 0)
        late = await resume(site, 'romeo', previd, 0)
        assert 'item-not-found' in await late.until('</failed>')
        await late.bind()
        late.send('<presence/>')
        assert await bodies(late, 3) == [f'late {n}' for n in range(3)]
        juliet.send_message(late.jid, 'now', mtype='chat')
        assert await bodies(late, 1) == ['now']
        late.close()
        await juliet.leave()

    asyncio.run(talk())


def test_slixmpp_resumes_by_itself(site: Site) -> None:
    """Unmodified: it reconnects, to another worker where there is one, resumes, and gets what came meanwhile."""

    async def talk() -> None:
        juliet, romeo = await asyncio.gather(
            Client(site, 'juliet', site.ports[-1]).login(), Client(site, 'romeo', site.ports[0]).login()
        )
        resumed = asyncio.Event()
        romeo.add_event_handler('session_resumed', lambda _: resumed.set())
        romeo.transport.abort()
        await romeo.until('disconnected')
        for n in range(5):
            juliet.send_message(romeo.boundjid.full, f'away {n}', mtype='chat')
        romeo.connect('127.0.0.1', site.ports[-1])
        await asyncio.wait_for(resumed.wait(), 20)
        got = [(await romeo.until('message'))['body'] for _ in range(5)]
        assert got == [f'away {n}' for n in range(5)]
        romeo.send_message(juliet.boundjid.full, 'back', mtype='chat')
        # What came and was not acked before she left may be there once more.
        await juliet.until('message', lambda message: message['body'] == 'back')
        await asyncio.gather(juliet.leave(), romeo.leave())

    asyncio.run(talk())
