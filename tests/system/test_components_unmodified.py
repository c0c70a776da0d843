"""Components of other people, unmodified, through both shapes: slixmpp, wokkel, @xmpp/component, biboumi."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from component_site import SECRET, ComponentSite, component_site
from irc import IrcUser, biboumi, irc_server
from processes import DOMAIN, SHAPES, wait_for
from slixmpp import ComponentXMPP
from slixmpp.exceptions import IqError
from slixmpp_client import Client

HERE = Path(__file__).parent
NAMES = ('slix', 'wokkel', 'node', 'irc')
ROOM = f'#verona@irc.{DOMAIN}'
WAIT_S = 20.0


@pytest.fixture(scope='module', params=SHAPES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComponentSite]:
    """With juliet, and names for the components."""
    folder = tmp_path_factory.mktemp(request.param.replace(' ', '-'))
    with component_site(folder, request.param, NAMES) as running:
        yield running


class Echo(ComponentXMPP):
    """slixmpp's component class; says what it is told."""

    def __init__(self, site: ComponentSite, secret: str = SECRET) -> None:
        super().__init__(f'slix.{DOMAIN}', secret, '127.0.0.1', site.port)
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.seen: asyncio.Queue[Any] = asyncio.Queue()
        for plugin in ('xep_0030', 'xep_0199'):
            self.register_plugin(plugin)
        self.add_event_handler('session_start', lambda event: self.note('online'))
        self.add_event_handler('stream_error', lambda error: self.note(error['condition']))
        self.add_event_handler('message', self.echo)
        self.add_event_handler('presence', self.seen.put_nowait)

    def note(self, what: str) -> None:
        if not self.ready.done():
            self.ready.set_result(what)

    def echo(self, message: Any) -> None:
        if message['type'] == 'chat':
            message.reply(f'slix: {message["body"]}').send()

    async def until(self, what: str) -> Echo:
        self.connect()
        assert await asyncio.wait_for(self.ready, WAIT_S) == what
        return self


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A component that is a process, once it has said that it is online."""
    popen = subprocess.Popen(command, cwd=HERE / 'xmppjs', text=True, stdout=subprocess.PIPE)
    assert popen.stdout is not None
    try:
        assert popen.stdout.readline().startswith('online')
        yield popen
    finally:
        popen.terminate()
        popen.wait(WAIT_S)
        popen.stdout.close()


async def chat(juliet: Client, name: str, voice: str) -> None:
    """Twenty messages there and back, in order."""
    for n in range(20):
        juliet.send_message(f'nick@{name}.{DOMAIN}', f'«{n}» <&> ♥', mtype='chat')
    for n in range(20):
        message = await juliet.until('message')
        assert (message['body'], message['from'].full) == (f'{voice}: «{n}» <&> ♥', f'nick@{name}.{DOMAIN}')


async def leave(juliet: Client) -> None:
    """What she has not acked she would find again."""
    juliet.plugin['xep_0198'].send_ack()
    await juliet.leave()


def test_slixmpp(site: ComponentSite) -> None:
    """Messages and presence both ways, disco and ping from either side, errors when it is gone."""

    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[0]).login()
        echo = await Echo(site).until('online')
        await chat(juliet, 'slix', 'slix')
        await juliet.plugin['xep_0199'].ping(f'slix.{DOMAIN}')
        info = await juliet.plugin['xep_0030'].get_info(f'slix.{DOMAIN}')
        assert 'urn:xmpp:ping' in info['disco_info']['features']
        await echo.plugin['xep_0199'].ping(juliet.boundjid, ifrom=f'slix.{DOMAIN}')
        info = await echo.plugin['xep_0030'].get_info(DOMAIN, ifrom=f'slix.{DOMAIN}')
        assert ('server', 'im', None) in {identity[:3] for identity in info['disco_info']['identities']}

        juliet.send_presence_subscription(f'slix.{DOMAIN}')
        assert (await asyncio.wait_for(echo.seen.get(), WAIT_S))['type'] == 'subscribe'
        echo.send_presence(pto='juliet@localhost', pfrom=f'slix.{DOMAIN}', ptype='subscribed')
        await juliet.until('presence_subscribed')
        echo.send_presence(pto='juliet@localhost', pfrom=f'slix.{DOMAIN}', pshow='dnd')
        await juliet.until('presence', lambda presence: presence['type'] == 'dnd')

        await echo.disconnect()
        await asyncio.to_thread(site.wait_connections, f'slix.{DOMAIN}', 0)
        juliet.send_message(f'slix.{DOMAIN}', 'anybody?', mtype='chat')
        error = await juliet.until('message_error')
        assert error['error']['condition'] == 'remote-server-not-found'
        with pytest.raises(IqError) as caught:
            await juliet.plugin['xep_0199'].send_ping(f'slix.{DOMAIN}')
        assert caught.value.condition == 'remote-server-not-found'
        await juliet.del_roster_item(f'slix.{DOMAIN}')
        await leave(juliet)

    asyncio.run(talk())


def test_slixmpp_with_a_wrong_secret(site: ComponentSite) -> None:
    """not-authorized; and conflict for a second one with the right one."""

    async def talk() -> None:
        wrong = await Echo(site, secret='guessed').until('not-authorized')
        wrong.abort()
        first = await Echo(site).until('online')
        second = await Echo(site).until('conflict')
        second.abort()
        await first.disconnect()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ('name', 'command'),
    [
        ('wokkel', [sys.executable, str(HERE / 'wokkel_component.py')]),
        ('node', ['node', str(HERE / 'xmppjs' / 'component.mjs')]),
    ],
)
def test_a_component_of_its_own_process(site: ComponentSite, name: str, command: Sequence[str]) -> None:
    """Messages both ways in order, a request, and its end."""
    assert shutil.which(command[0]) is not None, 'node is missing: apt-get install nodejs'
    assert (HERE / 'xmppjs' / 'node_modules' / '@xmpp' / 'component').is_dir(), 'run: npm ci, in tests/system/xmppjs'

    async def talk() -> None:
        juliet = await Client(site, 'juliet', site.ports[-1]).login()
        await chat(juliet, name, name)
        if name == 'wokkel':
            await juliet.plugin['xep_0199'].ping(f'wokkel.{DOMAIN}')
            info = await juliet.plugin['xep_0030'].get_info(f'wokkel.{DOMAIN}')
            assert ('automation', 'echo', None, 'an echo') in info['disco_info']['identities']
        else:
            request = juliet.make_iq_get(queryxmlns=None, ito=f'node.{DOMAIN}')
            request.xml.append(Element('{urn:xmpp:time}time'))
            answer = await request.send()
            assert answer.xml.find('.//{urn:xmpp:time}tzo').text == '+00:00'
        await leave(juliet)

    with process(*command, str(site.port), f'{name}.{DOMAIN}', SECRET):
        asyncio.run(talk())
    wait_for(f'{name} has left', lambda: site.connections(f'{name}.{DOMAIN}') == 0)


@pytest.fixture(scope='module')
def irc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An IRC server."""
    with irc_server(tmp_path_factory.mktemp('irc')):
        yield


@pytest.fixture(scope='module')
def on_irc(site: ComponentSite, irc: None) -> Iterator[None]:
    """biboumi, a gateway to it."""
    with biboumi(site):
        yield


def test_a_client_talks_on_irc(site: ComponentSite, on_irc: None) -> None:
    """She joins a channel as a room; both hear each other in order, and a private message; she leaves."""

    async def talk() -> None:
        mercutio = await IrcUser().join('#verona')
        juliet = await Client(site, 'juliet', site.ports[0]).login()
        juliet.send_raw(f"<presence to='{ROOM}/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
        await juliet.until('presence', lambda presence: presence['from'].full == f'{ROOM}/juliet')
        await mercutio.until('JOIN')
        for n in range(5):
            juliet.send_message(ROOM, f'good morrow {n}', mtype='groupchat')
        for n in range(5):
            line = await mercutio.until('PRIVMSG #verona')
            assert line.startswith(':juliet!') and line.strip().endswith(f':good morrow {n}')
        mercutio.say('PRIVMSG #verona :a plague', 'PRIVMSG juliet :between us')
        heard = await juliet.until('message', lambda message: message['from'].full == f'{ROOM}/mercutio')
        assert (heard['type'], heard['body']) == ('groupchat', 'a plague')
        private = await juliet.until('message', lambda message: message['body'] == 'between us')
        assert private['type'] == 'chat'
        await juliet.plugin['xep_0199'].ping(f'irc.{DOMAIN}')
        juliet.send_presence(pto=f'{ROOM}/juliet', ptype='unavailable')
        await mercutio.until('PART')
        await leave(juliet)
        mercutio.writer.close()

    asyncio.run(talk())


def test_who_goes_offline_leaves_the_channel(site: ComponentSite, on_irc: None) -> None:
    """The gateway learns that its user is gone (RFC 6121 §4.6.3: directed presence)."""

    async def talk() -> None:
        mercutio = await IrcUser().join('#mantua')
        juliet = await Client(site, 'juliet', site.ports[-1]).login()
        room = f'#mantua@irc.{DOMAIN}/juliet'
        juliet.send_raw(f"<presence to='{room}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
        await juliet.until('presence', lambda presence: presence['from'].full == room)
        await mercutio.until('JOIN')
        await leave(juliet)
        assert ':juliet!' in await mercutio.until('#mantua')
        mercutio.writer.close()

    asyncio.run(talk())
