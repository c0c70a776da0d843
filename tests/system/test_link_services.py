"""What a component on a link of its own gets from real processes: the default route, copies, events of sessions."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from processes import DOMAIN, Site, wait_for
from raw_link import RawLink
from slixmpp_client import Client

from jabberd_tx.link import events
from jabberd_tx.link.decoding import decode
from jabberd_tx.link.frames import DEFAULT_ROUTE, Bind, Bound, Copy, Credit, Route
from jabberd_tx.xmpp.stanza import Stanza

SETTINGS = """
[sm]
name = "sm.here"
authoritative = false
cluster = ["cluster-*"]

[[access]]
nodes = ["cluster-*"]
names = ["cluster.here"]
default = true

[[access]]
nodes = ["recorder-*"]
names = ["recorder.here"]
log = true

[[access]]
nodes = ["*"]
names = ["*"]
"""
STRANGER = f'stranger@{DOMAIN}'


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One router, one c2s and an sm that is not authoritative; juliet and romeo."""
    with Site(tmp_path_factory.mktemp('services'), 'apart', SETTINGS) as site:
        router = f'127.0.0.1:{site.router_ports[0]}'
        links = ('--set', f'link.routers=["{router}"]')
        site.run('router-a', 'jabberd-router', '--node', 'a', '--set', f'router.listen={router}')
        site.run('sm-a', 'jabberd-sm', '--node', 'a', *links)
        site.run('c2s-a', 'jabberd-c2s', '--node', 'a', *links, '--set', f'c2s.port={site.ports[0]}')
        for name, process in site.processes.items():
            wait_for(f'{name} is ready', process.ready)
        for name in ('sm-a', 'c2s-a'):
            wait_for(f'{name} has its link', lambda name=name: site.processes[name].metric('jabberd_link_up') == 1)
        for name in ('juliet', 'romeo'):
            site.add_user(name, f'{name}-secret')
        yield site


@pytest.fixture
def link(site: Site) -> Iterator[Callable[..., RawLink]]:
    """Makes links that have bound a name."""
    secret = next(
        line.partition('"')[2].rstrip('"')
        for line in (site.folder / 'jabberd.toml').read_text().splitlines()
        if line.startswith('secret')
    )
    made: list[RawLink] = []

    def make(node: str, name: str, **options: object) -> RawLink:
        link = RawLink(site.router_ports[0], node, secret)
        made.append(link)
        link.say(Bind(name, options))
        assert link.until(Bound).outcome == 'ok'
        return link

    yield make
    for one in made:
        one.close()


def event(link: RawLink) -> tuple[str, str]:
    """(type, jid) of the next event, which is confirmed."""
    while True:
        frame = link.until(Route)
        link.confirm(frame)
        stanza = Stanza.unpack(frame.payload)
        if stanza.name == events.NAME:
            return stanza.attrs['type'], stanza.attrs.get('jid', '')


def test_a_clustering_component_is_told_of_sessions_and_gets_what_is_for_strangers(site: Site, link: Any) -> None:
    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[0], resource='a').login()
        cluster = link('cluster-1', 'cluster.here', default=True)
        cluster.route('sm-a', events.watch())
        assert await asyncio.to_thread(event, cluster) == ('session', f'juliet@{DOMAIN}/a')
        assert await asyncio.to_thread(event, cluster) == ('whole', '')
        romeo = await Client(site, 'romeo', site.ports[0], resource='b').login()
        assert await asyncio.to_thread(event, cluster) == ('session', f'romeo@{DOMAIN}/b')
        assert await asyncio.to_thread(event, cluster) == ('presence', f'romeo@{DOMAIN}/b')

        juliet.send_message(STRANGER, 'are you there?', mtype='chat')
        frame = await asyncio.to_thread(cluster.until, Route)
        cluster.confirm(frame)
        assert frame.dest == DEFAULT_ROUTE and Stanza.unpack(frame.payload).attrs['to'] == STRANGER
        answer = Stanza.build(
            'message', {'from': f'{STRANGER}/x', 'to': f'juliet@{DOMAIN}', 'type': 'chat'},
            ('jabber:client', 'body', b'<body>I am</body>'),
        )  # fmt: skip
        cluster.route('sm.here', answer, f'juliet@{DOMAIN}')
        assert (await juliet.until('message'))['body'] == 'I am'
        await romeo.leave()
        assert await asyncio.to_thread(event, cluster) == ('ended', f'romeo@{DOMAIN}/b')
        await juliet.leave()

    asyncio.run(talk())


def test_a_log_sink_gets_a_copy_of_what_passes_twice(site: Site, link: Any) -> None:
    """From the client's c2s to the session manager, and on from there; a filter rule that is read later stops it."""

    async def talk() -> None:
        recorder = link('recorder-1', 'recorder.here', log=True)
        juliet, romeo = [await Client(site, name, site.ports[0], resource='a').login() for name in ('juliet', 'romeo')]
        juliet.send_message(f'romeo@{DOMAIN}/a', 'hello', mtype='chat')
        assert (await romeo.until('message'))['body'] == 'hello'
        dests = await asyncio.to_thread(copies_of, recorder, b'hello', 2)
        assert dests == ['sm-a', 'c2s-a']

        file = site.folder / 'jabberd.toml'
        before = file.read_text()
        try:
            file.write_text(before + f'\n[[filter]]\nto = ["romeo@{DOMAIN}"]\ncondition = "forbidden"\n')
            router = site.processes['router-a']
            router.popen.send_signal(signal.SIGHUP)
            await asyncio.to_thread(wait_for, 'the rule is read', lambda: 'applied filter' in router.text())
            juliet.send_message(f'romeo@{DOMAIN}/a', 'not now', mtype='chat')
            refused = await juliet.until('message_error')
            assert refused['error']['condition'] == 'forbidden'
        finally:
            file.write_text(before)
        await asyncio.gather(juliet.leave(), romeo.leave())

    asyncio.run(talk())


def copies_of(recorder: RawLink, text: bytes, count: int) -> list[str]:
    """Where frames with that text went, as copies tell."""
    dests = []
    while len(dests) < count:
        copy = recorder.until(Copy)
        recorder.say(Credit(len(copy.frame)))  # type: ignore[arg-type]
        if text in copy.frame:  # type: ignore[operator]
            frame: Any = decode(copy.frame)  # type: ignore[arg-type]
            dests.append(frame.dest)
    return dests
